//! The layout of the persistent memory, and the one way in which it changes: the flip.
//!
//! ```text
//! header | roots: the ring, and two more | two lists of changes | entries | freed ranges | block data ...
//! ```
//!
//! 1. The valid root with the highest sequence number is *the* root. A root is valid when its checksum holds.
//! 2. A flip writes a complete root, with the changes of the tables, into a place that is not that of *the* root; its last
//!    store makes it valid. Before that store nothing has happened, after it everything has.
//! 3. The changes are applied to the tables after the flip and before the next one. Applying twice is the same as once,
//!    so whoever opens the memory applies the root's changes again, and finds the tables as the root says.
//! 4. A slot with a zero tag holds nothing that anybody relies on. The root holds a digest of all entries, each entry
//!    a check of its slot, its tag and its block: a table or a block that was damaged is noticed, and the whole memory
//!    discarded.
//! 5. A root with a record lies in the ring, in the place of the oldest, and stays there as its record: record number n in
//!    place n mod N. All of the last N - 1 are whole. A root without one lies beside the ring, so it costs no record.
//! 6. Changes that do not fit into a root lie in the list that the root before does not use. The list of an older root
//!    means nothing, and neither do freed ranges beyond the root's count.

use alloc::vec::Vec;

use crate::crc::{WordSum, block_sum};
use crate::disk::BLOCK;
use crate::error::{Error, Result};
use crate::memory::{Word, carve, store, words};
use crate::record::{Packed, Record};

const MAGIC: u64 = u64::from_le_bytes(*b"TESSCACH");
const VERSION: u32 = 4;
const HEADER_WORDS: usize = 32;
/// Words of the header that say something; its sum comes after them.
const SAID_WORDS: usize = 6;
const ROOT_WORDS: usize = 16;
/// Words after a root's first, which is the sum of its changes and of these.
const HEAD_WORDS: usize = 8;
/// Where the changes begin.
const CHANGES: usize = 1 + HEAD_WORDS;
const CHANGE_WORDS: usize = 3;
/// Changes that have room in a root. Where there are more, it has their sum instead.
const INLINE: usize = (ROOT_WORDS - CHANGES) / CHANGE_WORDS;
const ENTRY_WORDS: usize = 2;
/// Places in the ring.
const RING: usize = 256;
/// The first of the two places beside the ring.
const PLAIN: usize = RING;
const PLACES: usize = RING + 2;

/// No slot.
pub const NONE: u32 = u32::MAX;
/// Tag bit: the block is newer than what the journal and the disk have.
pub const DIRTY: u64 = 1 << 56;
/// Tag bit: the block is in the on-disk journal, and not yet in place.
pub const LOGGED: u64 = 1 << 57;
/// Tag bit: the block was free in the last state that is safe on disk, so it may be written in place at any time.
pub const FRESH: u64 = 1 << 58;
const BLOCK_BITS: u64 = (1 << 56) - 1;

/// The block number in a tag.
pub fn tag_block(tag: u64) -> u64 {
    tag & BLOCK_BITS
}

/// Which filesystem the memory belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The filesystem's UUID.
    pub uuid: [u8; 16],
    /// Its size in blocks.
    pub blocks: u64,
}

/// How far the transfer of the dirty blocks to the on-disk journal has come.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Nothing is under way; no block is in the journal only.
    Idle = 0,
    /// A transaction may be partly on disk. It must be written again, the same bytes to the same places, before any
    /// block changes.
    Writing = 1,
    /// The transaction is safe; its blocks still have to be written in place.
    Logged = 2,
}

/// What the root says beside the table changes.
#[derive(Clone, Copy, Debug)]
pub struct Root {
    sequence: u64,
    digest: u64,
    /// Number of records ever written.
    pub records: u64,
    /// Number of valid entries in the table of freed ranges.
    pub freed: u32,
    /// See [`Phase`].
    pub phase: Phase,
    /// Journal block (counted in the journal) at which the next transaction begins.
    pub log_head: u32,
    /// Sequence number of the next journal transaction; 0 before the journal was opened.
    pub log_sequence: u32,
}

/// One change of the entry table: `old` becomes empty, then `slot` gets `tag` and `sum`. Either may be [`NONE`].
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The slot that gets an entry.
    pub slot: u32,
    /// The slot that loses its entry.
    pub old: u32,
    /// Block number and flags.
    pub tag: u64,
    /// Check of the slot, the tag and the slot's data.
    pub check: u64,
}

impl Root {
    const EMPTY: Root =
        Root { sequence: 0, digest: 0, records: 0, freed: 0, phase: Phase::Idle, log_head: 0, log_sequence: 0 };

    /// What is written of a root with so many changes.
    #[inline(always)]
    fn head(&self, changes: usize, record: Option<Record>) -> [u64; HEAD_WORDS] {
        let Record { id, answer: [first, second] } = record.unwrap_or(Record { id: 0, answer: [0; 2] });
        let freed = self.freed | (self.phase as u32) << FREED_BITS;
        let log = pair(self.log_head, self.log_sequence);
        [self.sequence, self.digest, self.records, pair(changes as u32, freed), log, id, first, second]
    }

    /// The root of these words, and how many changes it has.
    fn parse([sequence, digest, records, third, log, ..]: [u64; HEAD_WORDS]) -> Option<(Root, usize)> {
        let ((changes, freed), (log_head, log_sequence)) = (halves(third), halves(log));
        let phase = match freed >> FREED_BITS {
            0 => Phase::Idle,
            1 => Phase::Writing,
            2 => Phase::Logged,
            _ => return None,
        };
        let freed = freed % (1 << FREED_BITS);
        Some((Root { sequence, digest, records, freed, phase, log_head, log_sequence }, changes as usize))
    }
}

/// Bits for the number of freed ranges.
const FREED_BITS: u32 = 16;

#[inline]
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

impl Change {
    /// The slot loses its entry.
    pub fn empties(old: u32) -> Change {
        Change { slot: NONE, old, tag: 0, check: 0 }
    }

    #[inline]
    fn encode(&self) -> [u64; CHANGE_WORDS] {
        [pair(self.slot, self.old), self.tag, self.check]
    }

    fn decode([slots, tag, check]: [u64; CHANGE_WORDS]) -> Change {
        let (slot, old) = halves(slots);
        Change { slot, old, tag, check }
    }
}

/// How much of each part there is.
#[derive(Clone, Copy)]
struct Layout {
    slots: usize,
    freed: usize,
    /// Words before the block data.
    tables: usize,
}

impl Layout {
    fn for_size(len: usize) -> Result<Self> {
        let freed = if len < 1 << 20 { 256 } else { 1024 };
        let fixed = HEADER_WORDS + PLACES * ROOT_WORDS + freed;
        let each = 2 * CHANGE_WORDS + ENTRY_WORDS;
        let slots = len.saturating_sub(fixed * size_of::<Word>() + BLOCK) / (BLOCK + each * size_of::<Word>());
        if slots < 24 {
            return Err(Error::CacheFull);
        }
        let tables = (fixed + slots * each).next_multiple_of(BLOCK / size_of::<Word>());
        Ok(Self { slots, freed, tables })
    }
}

/// The persistent memory, opened.
pub struct Region<'m> {
    header: &'m mut [Word],
    roots: &'m mut [[Word; ROOT_WORDS]],
    lists: [&'m mut [[Word; CHANGE_WORDS]]; 2],
    entries: &'m mut [[Word; ENTRY_WORDS]],
    freed: &'m mut [Word],
    data: &'m mut [[u8; BLOCK]],
    /// Bytes of all of it.
    size: usize,
    /// The current root. Change it only through [`Region::flip`].
    root: Root,
    /// Where it lies.
    place: usize,
}

impl<'m> Region<'m> {
    /// Opens the memory. The second result says whether it held a valid state of this filesystem; if not, it has been
    /// formatted and is empty.
    pub fn open(bytes: &'m mut [u8], identity: Identity) -> Result<(Self, bool)> {
        let size = bytes.len();
        let layout = Layout::for_size(size)?;
        let (tables, data) = bytes.split_at_mut(layout.tables * size_of::<Word>());
        let rest = &mut tables.as_chunks_mut().0;
        let mut region = Self {
            header: carve::<HEADER_WORDS>(rest, 1).as_flattened_mut(),
            roots: carve(rest, PLACES),
            lists: [carve(rest, layout.slots), carve(rest, layout.slots)],
            entries: carve(rest, layout.slots),
            freed: carve::<1>(rest, layout.freed).as_flattened_mut(),
            data: &mut data.as_chunks_mut().0[..layout.slots],
            size,
            root: Root::EMPTY,
            place: PLAIN,
        };
        let said = region.said(identity);
        let kept = region.header.iter().eq(said.map(u64::to_le_bytes).iter()) && region.recover();
        if !kept {
            region.format(identity);
        }
        Ok((region, kept))
    }

    /// Forgets everything, durably.
    pub fn format(&mut self, identity: Identity) {
        store(self.header, [0; HEADER_WORDS]);
        let lists = self.lists.iter_mut().flat_map(|list| list.as_flattened_mut());
        let tables = self.roots.as_flattened_mut().iter_mut().chain(lists).chain(self.entries.as_flattened_mut());
        tables.chain(self.freed.iter_mut()).for_each(|word| *word = [0; 8]);
        // From here on all of the memory is there, and no read waits for the kernel to find some.
        self.data.iter_mut().for_each(|block| block[0] = 0);
        self.root = Root::EMPTY;
        self.flip(self.root, &[], None);
        store(self.header, self.said(identity));
    }

    /// What the header says.
    fn said(&self, identity: Identity) -> [u64; HEADER_WORDS] {
        let (uuid, _) = identity.uuid.as_chunks::<8>();
        let said: [u64; SAID_WORDS] = [
            MAGIC,
            pair(VERSION, self.slots() as u32),
            self.size as u64,
            u64::from_le_bytes(uuid[0]),
            u64::from_le_bytes(uuid[1]),
            identity.blocks,
        ];
        let mut header = [0; HEADER_WORDS];
        header[..SAID_WORDS].copy_from_slice(&said);
        header[SAID_WORDS] = WordSum::new(MAGIC).with(&said).value();
        header
    }

    /// The current root.
    #[inline]
    pub fn root(&self) -> Root {
        self.root
    }

    /// Number of block slots.
    pub fn slots(&self) -> usize {
        self.data.len()
    }

    /// Number of freed ranges that fit.
    #[inline]
    pub fn freed_capacity(&self) -> usize {
        self.freed.len()
    }

    /// The block data of a slot.
    #[inline]
    pub fn data(&self, slot: u32) -> &[u8; BLOCK] {
        &self.data[slot as usize]
    }

    /// The block data of a slot whose entry is empty.
    #[inline]
    pub fn data_mut(&mut self, slot: u32) -> &mut [u8; BLOCK] {
        &mut self.data[slot as usize]
    }

    /// The data of `count` slots from `slot` on, whose entries are empty.
    #[inline]
    pub fn run_mut(&mut self, slot: u32, count: usize) -> &mut [u8] {
        self.data[slot as usize..][..count].as_flattened_mut()
    }

    /// The data of `count` slots from `slot` on.
    #[inline]
    pub fn run(&self, slot: u32, count: usize) -> &[u8] {
        self.data[slot as usize..][..count].as_flattened()
    }

    /// Copies the data of `from` to `to`, whose entry is empty.
    pub fn copy(&mut self, from: u32, to: u32) {
        self.data.copy_within(from as usize..from as usize + 1, to as usize);
    }

    /// The tag of a slot; 0 is an empty entry.
    pub fn tag(&self, slot: u32) -> u64 {
        let [tag, _] = words(&self.entries[slot as usize]);
        tag
    }

    /// The change that gives a slot, in place of `old`, an entry with this tag and the check of what it holds now.
    #[inline]
    pub fn entered(&self, slot: u32, old: u32, tag: u64) -> Change {
        Change { slot, old, tag, check: block_sum(self.data(slot)) ^ tag_hash(slot, tag) }
    }

    /// The change that gives a slot's entry another tag. Its data is as it was, so what its check says of that stays.
    pub fn retagged(&self, slot: u32, tag: u64) -> Change {
        let [was, check] = words(&self.entries[slot as usize]);
        Change { slot, old: slot, tag, check: check ^ tag_hash(slot, was) ^ tag_hash(slot, tag) }
    }

    /// The answer in the record of message `id`, if it is one of the last.
    pub fn recorded(&self, id: u64) -> Option<Packed> {
        (0..RING).find_map(|place| {
            let (_, [.., found, first, second]) = split(&self.roots[place]);
            // What a predecessor did not finish to write is no record.
            (found == id && self.read_root(place).is_some()).then_some([first, second])
        })
    }

    /// The freed range at `index`: first block and length.
    pub fn freed(&self, index: u32) -> (u64, u32) {
        let word = u64::from_le_bytes(self.freed[index as usize]);
        (word >> 20, (word & 0xF_FFFF) as u32)
    }

    /// Writes the freed range at `index`, which is not below the root's count. Length below 2^20.
    pub fn put_freed(&mut self, index: u32, start: u64, len: u32) {
        store(&mut self.freed[index as usize..][..1], [start << 20 | u64::from(len)]);
    }

    /// Makes `next` the root, with `changes` and `record`, in one step. It is the current root but for what is to change;
    /// sequence, digest and the number of records go on here.
    #[inline(always)]
    pub fn flip(&mut self, mut next: Root, changes: &[Change], record: Option<Record>) {
        debug_assert_eq!(next.sequence, self.root.sequence, "it is made of the current root");
        next.sequence += 1;
        next.records = self.root.records + u64::from(record.is_some());
        let place = match record {
            Some(_) => ring_place(self.root.records),
            None if self.place == PLAIN => PLAIN + 1,
            None => PLAIN,
        };
        let area = &mut self.roots[place];
        store(&mut area[..1], [0]);
        let inline = changes.len() <= INLINE;
        let places = if inline { area[CHANGES..].as_chunks_mut().0 } else { &mut *self.lists[list_of(next)] };
        let mut sum = WordSum::new(MAGIC);
        for (place, change) in places.iter_mut().zip(changes) {
            if change.old != NONE {
                let [_, check] = words(&self.entries[change.old as usize]);
                next.digest ^= check;
            }
            if change.slot != NONE {
                next.digest ^= change.check;
            }
            let words = change.encode();
            store(place, words);
            sum = sum.with(&words);
        }
        if !inline {
            store(&mut area[CHANGES..=CHANGES], [sum.value()]);
            sum = sum_of_list(sum.value());
        }
        let head = next.head(changes.len(), record);
        store(&mut area[1..CHANGES], head);
        store(&mut area[..1], [sum.with(&head).value()]);
        (self.root, self.place) = (next, place);
        self.apply(changes);
    }

    /// Brings the tables to what the changes say.
    #[inline]
    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            if change.old != NONE && change.old != change.slot {
                store(&mut self.entries[change.old as usize], [0, 0]);
            }
            if change.slot != NONE {
                store(&mut self.entries[change.slot as usize], [change.tag, change.check]);
            }
        }
    }

    /// Finds the root, applies its changes again and checks that everything is as it says.
    fn recover(&mut self) -> bool {
        let roots = (0..PLACES).filter_map(|place| self.read_root(place).map(|(root, count)| (place, root, count)));
        let Some((place, root, count)) = roots.max_by_key(|(_, root, _)| root.sequence) else { return false };
        let Some(changes) = self.read_changes(place, root, count) else { return false };
        (self.root, self.place) = (root, place);
        self.apply(&changes);
        self.entries_are_sound() && self.records_are_sound()
    }

    fn entries_are_sound(&self) -> bool {
        let mut digest = 0;
        for slot in 0..self.slots() as u32 {
            let [tag, check] = words(&self.entries[slot as usize]);
            if tag != 0 {
                digest ^= check;
                if block_sum(self.data(slot)) ^ tag_hash(slot, tag) != check {
                    return false;
                }
            }
        }
        digest == self.root.digest
    }

    /// The place of the oldest may be half overwritten.
    fn records_are_sound(&self) -> bool {
        let first = self.root.records.saturating_sub(RING as u64 - 1);
        let there = |number| self.read_root(ring_place(number)).is_some_and(|(root, _)| root.records == number + 1);
        (first..self.root.records).all(there)
    }

    /// The root at `place`, if it is whole, and how many changes it has.
    fn read_root(&self, place: usize) -> Option<(Root, usize)> {
        let area = &self.roots[place];
        let (found, head) = split(area);
        let (root, count) = Root::parse(head)?;
        if root.sequence == 0 || count > self.slots() || root.freed as usize > self.freed_capacity() {
            return None;
        }
        let sum = match count {
            0..=INLINE => sum_changes(&area[CHANGES..].as_chunks().0[..count]),
            _ => sum_of_list(u64::from_le_bytes(area[CHANGES])),
        };
        (sum.with(&head).value() == found).then_some((root, count))
    }

    /// The changes of the root at `place`, if they are whole.
    fn read_changes(&self, place: usize, root: Root, count: usize) -> Option<Vec<Change>> {
        let area = &self.roots[place];
        let list = if count <= INLINE {
            &area[CHANGES..].as_chunks().0[..count]
        } else {
            let list = &self.lists[list_of(root)][..count];
            if sum_changes(list).value() != u64::from_le_bytes(area[CHANGES]) {
                return None;
            }
            list
        };
        let changes: Vec<Change> = list.iter().map(|places| Change::decode(words(places))).collect();
        let fits = |slot: u32| slot == NONE || (slot as usize) < self.slots();
        changes.iter().all(|c| fits(c.slot) && fits(c.old)).then_some(changes)
    }
}

/// Where in the ring record number `number` goes.
#[inline]
fn ring_place(number: u64) -> usize {
    (number % RING as u64) as usize
}

/// Which list a root has: never that of the root before.
fn list_of(root: Root) -> usize {
    (root.sequence % 2) as usize
}

/// The sum and the other words of a root, without its changes.
fn split(area: &[Word; ROOT_WORDS]) -> (u64, [u64; HEAD_WORDS]) {
    let all = words(area);
    (all[0], core::array::from_fn(|at| all[1 + at]))
}

/// What a root is summed on from where its changes lie in a list with this sum.
fn sum_of_list(list: u64) -> WordSum {
    WordSum::new(MAGIC).with(&[list])
}

fn sum_changes(places: &[[Word; CHANGE_WORDS]]) -> WordSum {
    places.iter().fold(WordSum::new(MAGIC), |sum, place| sum.with(&words(place)))
}

/// What a slot's check says of the slot and its tag.
#[inline]
fn tag_hash(slot: u32, tag: u64) -> u64 {
    WordSum::new(MAGIC).with(&[tag, u64::from(slot)]).value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fuse;

    const IDENTITY: Identity = Identity { uuid: *b"of one disk only", blocks: 1000 };

    fn open(memory: &mut [u8]) -> (Region<'_>, bool) {
        Region::open(memory, IDENTITY).expect("there is room")
    }

    fn record(id: u64) -> Option<Record> {
        Some(Record { id, answer: [id + 1, id + 2] })
    }

    /// Changes that give the first `count` slots an entry each.
    fn fill(region: &mut Region<'_>, count: u32, mark: u8) -> Vec<Change> {
        (0..count)
            .map(|slot| {
                region.data_mut(slot).fill(mark);
                let old = if region.tag(slot) == 0 { NONE } else { slot };
                region.entered(slot, old, u64::from(slot) | DIRTY)
            })
            .collect()
    }

    #[test]
    fn flips_without_a_record_cost_no_record_and_each_one_keeps_its_place_until_it_is_the_oldest() {
        let mut memory = vec![0; 256 << 10];
        let mut region = open(&mut memory).0;
        for id in 1..=1000 {
            region.flip(region.root(), &[], record(id));
            (0..id % 4).for_each(|_| region.flip(region.root(), &[], None));
        }
        let (region, kept) = open(&mut memory);
        assert!(kept && region.root().records == 1000);
        let oldest = 1000 - RING as u64 + 1;
        assert!((oldest..=1000).all(|id| region.recorded(id) == Some([id + 1, id + 2])));
        assert!((1..oldest).chain([1001]).all(|id| region.recorded(id).is_none()));
    }

    #[test]
    fn a_flip_that_dies_at_any_store_has_happened_with_its_record_or_not_at_all() {
        for count in [0, 1, INLINE as u32, INLINE as u32 + 1, 9] {
            let (mut before, mut after) = (0, 0);
            for at in 0.. {
                let mut memory = vec![0; 256 << 10];
                let mut region = open(&mut memory).0;
                (0..RING as u64 + 9).for_each(|id| region.flip(region.root(), &[], record(1000 + id)));
                // The slots that change lie apart from those that have entries, as the cache sees to it.
                let first = fill(&mut region, count, 1);
                region.flip(region.root(), &first, record(1));
                let second: Vec<Change> =
                    (0..count).map(|slot| region.entered(slot + 10, slot, u64::from(slot) | DIRTY)).collect();
                let lived = fuse::until(at, || region.flip(region.root(), &second, record(2))).is_some();
                let (region, kept) = open(&mut memory);
                let (old, new) = (region.tag(0) != 0, region.tag(10) != 0);
                let done = region.recorded(2).is_some();
                assert!(kept && region.recorded(1).is_some(), "{count} changes, death at {at}");
                assert!(count == 0 || (old, new) == (!done, done), "{count} changes, death at {at}");
                if lived {
                    break;
                }
                if done { after += 1 } else { before += 1 }
            }
            assert!(before > 2 && (count == 0 || after > 0));
        }
    }

    #[test]
    fn any_flipped_bit_in_what_the_root_relies_on_is_noticed() {
        for last in [1, INLINE as u32, 9] {
            let mut memory = vec![0; 256 << 10];
            let mut region = open(&mut memory).0;
            for id in 0..RING as u64 + 5 {
                let changes = fill(&mut region, 12, id as u8);
                region.flip(region.root(), &changes, record(id));
            }
            let changes = fill(&mut region, last, 77);
            region.flip(region.root(), &changes, record(1000));
            let (root, place, slots) = (region.root(), region.place, region.slots());
            let at = |word: usize| 8 * (HEADER_WORDS + word);
            let head = |place: usize| at(place * ROOT_WORDS)..at(place * ROOT_WORDS + CHANGES);
            let list = PLACES * ROOT_WORDS + list_of(root) * slots * CHANGE_WORDS;
            let listed = if last as usize > INLINE { last as usize * CHANGE_WORDS } else { 0 };
            let entries = PLACES * ROOT_WORDS + 2 * slots * CHANGE_WORDS;
            // Those to which the changes of the root are not applied again.
            let others = at(entries + last as usize * ENTRY_WORDS)..at(entries + 12 * ENTRY_WORDS);
            let older = head(ring_place(root.records - 3));
            for byte in head(place).chain(older).chain(at(list)..at(list + listed)).chain(others) {
                for bit in [0, 3, 7] {
                    let mut damaged = memory.clone();
                    damaged[byte] ^= 1 << bit;
                    assert!(!open(&mut damaged).1, "bit {bit} of byte {byte}");
                }
            }
            assert!(open(&mut memory).1);
        }
    }
}
