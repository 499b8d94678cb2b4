//! What the server must not forget when it dies: one small record for each pipe, in memory that survives it.
//!
//! 1. A record is there twice; the copy that is whole and has the higher sequence number counts. A commit writes the
//!    other copy, its seal last: a death in the middle leaves the record as it was.
//! 2. A record of which neither copy is whole is discarded: its pipe is gone, and its generation is a fresh one.
//! 3. The first word tells the version of this layout; another one discards everything.

/// Memory of words that survives the server.
pub trait Words {
    /// How many words there are.
    fn count(&self) -> usize;
    /// Reads a word below `count`.
    fn load(&self, at: usize) -> u64;
    /// Writes a word below `count`. Stores stay in their order.
    fn store(&mut self, at: usize, value: u64);
}

/// "pipes" and the version of the layout.
const VERSION: u64 = 0x7069_7065_7300_0001;
const HEADER: usize = 16;
const FIELDS: usize = 7;
const COPY: usize = FIELDS + 2;
const SLOT: usize = 2 * COPY;

/// Everything about one pipe that outlives the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Told from earlier pipes in the same slot by this.
    pub generation: u32,
    /// The read end is open.
    pub readable: bool,
    /// The write end is open.
    pub writable: bool,
    /// The client that made it.
    pub owner: u64,
    /// The call that made it.
    pub made_by: u64,
    /// The write that is being, or was last, read from.
    pub write: u64,
    /// Bytes of it that have been read.
    pub consumed: u64,
    /// The read that was answered last.
    pub read: u64,
    /// Bytes that it got.
    pub given: u64,
}

impl Record {
    /// Whether the pipe exists.
    pub fn is_open(&self) -> bool {
        self.readable || self.writable
    }

    fn pack(&self) -> [u64; FIELDS] {
        let flags = u64::from(self.readable) | u64::from(self.writable) << 1;
        let first = u64::from(self.generation) << 32 | flags;
        [first, self.owner, self.made_by, self.write, self.consumed, self.read, self.given]
    }

    fn unpack(fields: [u64; FIELDS]) -> Record {
        let [first, owner, made_by, write, consumed, read, given] = fields;
        let (generation, readable, writable) = ((first >> 32) as u32, first & 1 != 0, first & 2 != 0);
        Record { generation, readable, writable, owner, made_by, write, consumed, read, given }
    }
}

/// The records of all pipes.
pub struct Records<W> {
    words: W,
}

impl<W: Words> Records<W> {
    /// The records in `words`; of memory that holds none, new ones whose generations begin at `generation`.
    pub fn open(words: W, generation: u32) -> Records<W> {
        let mut records = Records { words };
        if records.words.count() < HEADER || records.words.load(0) != VERSION {
            for slot in 0..records.slots() {
                records.erase(slot, generation);
            }
            if records.words.count() > 0 {
                records.words.store(0, VERSION);
            }
        }
        records
    }

    /// How many pipes there can be.
    pub fn slots(&self) -> usize {
        (self.words.count().saturating_sub(HEADER) / SLOT).min(usize::from(u16::MAX))
    }

    /// The record of `slot` and its sequence number; `generation` is for one that has to be discarded.
    pub fn load(&mut self, slot: usize, generation: u32) -> (Record, u64) {
        let newest = [0, 1].into_iter().filter_map(|copy| self.copy(slot, copy)).max_by_key(|(_, sequence)| *sequence);
        newest.unwrap_or_else(|| {
            self.erase(slot, generation);
            (Record { generation, ..Record::default() }, 1)
        })
    }

    /// Replaces the record of `slot`, whose sequence number so far is `sequence`. At once, or not at all.
    pub fn commit(&mut self, slot: usize, record: &Record, sequence: &mut u64) {
        *sequence += 1;
        let fields = record.pack();
        let base = Self::base(slot, *sequence as usize % 2);
        for (at, field) in fields.iter().enumerate() {
            self.words.store(base + at, *field);
        }
        self.words.store(base + FIELDS, *sequence);
        self.words.store(base + FIELDS + 1, seal(&fields, *sequence, slot));
    }

    fn erase(&mut self, slot: usize, generation: u32) {
        self.commit(slot, &Record { generation, ..Record::default() }, &mut 0);
        self.words.store(Self::base(slot, 0) + FIELDS + 1, 0);
    }

    fn copy(&self, slot: usize, copy: usize) -> Option<(Record, u64)> {
        let base = Self::base(slot, copy);
        let fields = core::array::from_fn(|at| self.words.load(base + at));
        let sequence = self.words.load(base + FIELDS);
        let whole = self.words.load(base + FIELDS + 1) == seal(&fields, sequence, slot);
        (whole && sequence as usize % 2 == copy).then(|| (Record::unpack(fields), sequence))
    }

    fn base(slot: usize, copy: usize) -> usize {
        HEADER + slot * SLOT + copy * COPY
    }
}

/// A checksum over the fields, their sequence number and their place. Never 0.
fn seal(fields: &[u64; FIELDS], sequence: u64, slot: usize) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: &u64| (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    let sum = fields.iter().chain([&sequence]).fold(slot as u64 + 1, mix);
    sum.wrapping_mul(PRIME) | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    struct Memory {
        words: Vec<Cell<u64>>,
        stores_left: Cell<usize>,
    }

    impl Words for &Memory {
        fn count(&self) -> usize {
            self.words.len()
        }
        fn load(&self, at: usize) -> u64 {
            self.words[at].get()
        }
        fn store(&mut self, at: usize, value: u64) {
            if self.stores_left.get() > 0 {
                self.stores_left.set(self.stores_left.get() - 1);
                self.words[at].set(value);
            }
        }
    }

    fn memory(words: usize) -> Memory {
        Memory { words: vec![Cell::new(0); words], stores_left: Cell::new(usize::MAX) }
    }

    fn record(n: u64) -> Record {
        Record {
            generation: n as u32,
            readable: true,
            writable: n.is_multiple_of(2),
            owner: n,
            consumed: n,
            ..Record::default()
        }
    }

    #[test]
    fn a_commit_that_is_cut_off_after_any_store_leaves_the_old_record_or_the_new_one() {
        for stores in 0..=COPY {
            let memory = memory(HEADER + 2 * SLOT);
            let mut records = Records::open(&memory, 1);
            let (_, mut sequence) = records.load(1, 1);
            for n in 2..5 {
                records.commit(1, &record(n), &mut sequence);
            }
            memory.stores_left.set(stores);
            records.commit(1, &record(5), &mut sequence);
            memory.stores_left.set(usize::MAX);
            let expected = if stores < COPY { record(4) } else { record(5) };
            assert_eq!(Records::open(&memory, 9).load(1, 9).0, expected, "{stores} stores");
        }
    }

    #[test]
    fn a_new_memory_has_closed_pipes_of_the_given_generation() {
        let memory = memory(HEADER + 3 * SLOT + 5);
        let mut records = Records::open(&memory, 42);
        assert_eq!(records.slots(), 3);
        assert_eq!(records.load(2, 7).0, Record { generation: 42, ..Record::default() });
        assert_eq!(Records::open(&self::memory(3), 1).slots(), 0, "too small for any");
    }

    #[test]
    fn a_flipped_bit_brings_back_the_older_copy_and_two_discard_the_record() {
        let memory = memory(HEADER + SLOT);
        let mut records = Records::open(&memory, 1);
        let (_, mut sequence) = records.load(0, 1);
        for n in 2..4 {
            records.commit(0, &record(n), &mut sequence);
        }
        let newer = Records::<&Memory>::base(0, sequence as usize % 2);
        let older = Records::<&Memory>::base(0, (sequence as usize + 1) % 2);
        memory.words[newer + 4].set(memory.words[newer + 4].get() ^ 4);
        assert_eq!(records.load(0, 8).0, record(2));
        memory.words[older].set(memory.words[older].get() ^ 1 << 50);
        assert_eq!(records.load(0, 8).0, Record { generation: 8, ..Record::default() });
        assert_eq!(records.load(0, 9).0.generation, 8, "and stays discarded");
    }

    #[test]
    fn another_version_discards_everything() {
        let memory = memory(HEADER + SLOT);
        let mut records = Records::open(&memory, 1);
        let (_, mut sequence) = records.load(0, 1);
        records.commit(0, &record(2), &mut sequence);
        memory.words[0].set(VERSION + 1);
        assert_eq!(Records::open(&memory, 6).load(0, 6).0, Record { generation: 6, ..Record::default() });
    }
}
