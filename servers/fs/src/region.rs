//! The layout of the persistent memory, and the one way in which it changes: the flip.
//!
//! ```text
//! header | root A | root B | entries | records | freed ranges | block data ...
//! ```
//!
//! 1. The valid root with the higher sequence number is *the* root. A root is valid when its checksum holds.
//! 2. A flip writes a complete root, with a list of table changes, into the area of the *other* root; its last store
//!    makes it valid. Before that store nothing has happened, after it everything has.
//! 3. The changes are applied to the tables after the flip and before the next one. Applying twice is the same as once,
//!    so whoever opens the memory applies the root's changes again, and finds the tables as the root says.
//! 4. A slot with a zero entry holds nothing that anybody relies on. The root holds a digest of all entries, each entry
//!    a sum of its block: a table or a block that was damaged is noticed, and the whole memory discarded.
//! 5. Freed ranges beyond the root's count, and records older than the table is long, mean nothing.

use alloc::vec::Vec;

use crate::crc::{WordSum, block_sum, mix};
use crate::disk::BLOCK;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::record::{RECORD_WORDS, Record};

const MAGIC: u64 = u64::from_le_bytes(*b"TESSCACH");
const VERSION: u32 = 3;
const HEADER: usize = 256;
/// Words of the header that say something; its sum comes after them.
const HEADER_WORDS: usize = 6;
/// Words at the beginning of a root: the sequence and the sum of all that follows.
const SEAL_WORDS: usize = 2;
/// Words after them.
const FIELD_WORDS: usize = 5;
const CHANGE_WORDS: usize = 3;
/// Bytes.
const RECORD: usize = RECORD_WORDS * 8;
const ROOT_HEAD: usize = (SEAL_WORDS + FIELD_WORDS) * 8 + RECORD;
const CHANGE: usize = CHANGE_WORDS * 8;
const ENTRY: usize = 16;

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
    /// Sum of the slot's data.
    pub sum: u64,
}

impl Root {
    const EMPTY: Root =
        Root { sequence: 0, digest: 0, records: 0, freed: 0, phase: Phase::Idle, log_head: 0, log_sequence: 0 };

    /// What the root says, with the number of changes and whether there is a record.
    #[inline]
    fn fields(&self, changes: usize, recorded: bool) -> [u64; FIELD_WORDS] {
        [
            self.digest,
            self.records,
            pair(self.freed, self.phase as u32),
            pair(self.log_head, self.log_sequence),
            pair(changes as u32, u32::from(recorded)),
        ]
    }

    /// The root of these fields, with the number of changes and whether there is a record.
    fn parse(sequence: u64, fields: [u64; FIELD_WORDS]) -> Option<(Root, usize, bool)> {
        let [digest, records, third, fourth, fifth] = fields;
        let ((freed, phase), (log_head, log_sequence), (changes, recorded)) =
            (halves(third), halves(fourth), halves(fifth));
        let phase = match phase {
            0 => Phase::Idle,
            1 => Phase::Writing,
            2 => Phase::Logged,
            _ => return None,
        };
        let root = Root { sequence, digest, records, freed, phase, log_head, log_sequence };
        Some((root, changes as usize, recorded != 0))
    }
}

#[inline]
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

impl Change {
    #[inline]
    fn encode(&self) -> [u64; CHANGE_WORDS] {
        [pair(self.slot, self.old), self.tag, self.sum]
    }

    fn decode([slots, tag, sum]: [u64; CHANGE_WORDS]) -> Change {
        let (slot, old) = halves(slots);
        Change { slot, old, tag, sum }
    }
}

/// Where each part begins, in bytes.
#[derive(Clone, Copy)]
struct Layout {
    roots: [usize; 2],
    entries: usize,
    records: usize,
    freed: usize,
    data: usize,
    slots: usize,
    record_count: usize,
    freed_count: usize,
}

impl Layout {
    fn for_size(len: usize) -> Result<Self> {
        let (record_count, freed_count) = if len < 1 << 20 { (256, 256) } else { (1024, 1024) };
        let fixed = HEADER + 2 * ROOT_HEAD + record_count * RECORD + freed_count * 8 + BLOCK;
        let slots = len.saturating_sub(fixed) / (BLOCK + 2 * CHANGE + ENTRY);
        if slots < 24 {
            return Err(Error::CacheFull);
        }
        let root = ROOT_HEAD + slots * CHANGE;
        let entries = HEADER + 2 * root;
        let records = entries + slots * ENTRY;
        let freed = records + record_count * RECORD;
        let data = (freed + freed_count * 8).next_multiple_of(BLOCK);
        Ok(Self { roots: [HEADER, HEADER + root], entries, records, freed, data, slots, record_count, freed_count })
    }
}

/// The persistent memory, opened.
pub struct Region<'m> {
    memory: Memory<'m>,
    layout: Layout,
    /// The current root. Change it only through [`Region::flip`].
    root: Root,
}

impl<'m> Region<'m> {
    /// Opens the memory. The second result says whether it held a valid state of this filesystem; if not, it has been
    /// formatted and is empty.
    pub fn open(bytes: &'m mut [u8], identity: Identity) -> Result<(Self, bool)> {
        let layout = Layout::for_size(bytes.len())?;
        let mut region = Self { memory: Memory::new(bytes), layout, root: Root::EMPTY };
        let kept = region.header(identity) == region.memory.words(0) && region.recover();
        if !kept {
            region.format(identity);
        }
        Ok((region, kept))
    }

    /// Forgets everything, durably.
    pub fn format(&mut self, identity: Identity) {
        self.memory.store(0, [0; HEADER / 8]);
        for at in (HEADER..self.layout.data).step_by(BLOCK) {
            let len = BLOCK.min(self.layout.data - at);
            self.memory.scratch(at, len).fill(0);
        }
        // From here on all of the memory is there, and no read waits for the kernel to find some.
        for slot in 0..self.layout.slots as u32 {
            self.data_mut(slot)[0] = 0;
        }
        self.root = Root::EMPTY;
        self.flip(self.root, &[], None);
        self.memory.store(0, self.header(identity));
    }

    fn header(&self, identity: Identity) -> [u64; HEADER / 8] {
        let (uuid, _) = identity.uuid.as_chunks::<8>();
        let said: [u64; HEADER_WORDS] = [
            MAGIC,
            pair(VERSION, self.layout.slots as u32),
            self.memory.size() as u64,
            u64::from_le_bytes(uuid[0]),
            u64::from_le_bytes(uuid[1]),
            identity.blocks,
        ];
        let mut header = [0; HEADER / 8];
        header[..HEADER_WORDS].copy_from_slice(&said);
        header[HEADER_WORDS] = WordSum::new(MAGIC).with(&said).value();
        header
    }

    /// The current root.
    #[inline]
    pub fn root(&self) -> Root {
        self.root
    }

    /// Number of block slots.
    pub fn slots(&self) -> usize {
        self.layout.slots
    }

    /// Number of records kept.
    pub fn record_count(&self) -> usize {
        self.layout.record_count
    }

    /// Number of freed ranges that fit.
    pub fn freed_capacity(&self) -> usize {
        self.layout.freed_count
    }

    /// The block data of a slot.
    #[inline]
    pub fn data(&self, slot: u32) -> &[u8] {
        self.memory.bytes(self.layout.data + slot as usize * BLOCK, BLOCK)
    }

    /// The block data of a slot whose entry is empty.
    #[inline]
    pub fn data_mut(&mut self, slot: u32) -> &mut [u8] {
        self.memory.scratch(self.layout.data + slot as usize * BLOCK, BLOCK)
    }

    /// The data of `count` slots from `slot` on, whose entries are empty.
    #[inline]
    pub fn run_mut(&mut self, slot: u32, count: usize) -> &mut [u8] {
        self.memory.scratch(self.layout.data + slot as usize * BLOCK, count * BLOCK)
    }

    /// The data of `count` slots from `slot` on.
    #[inline]
    pub fn run(&self, slot: u32, count: usize) -> &[u8] {
        self.memory.bytes(self.layout.data + slot as usize * BLOCK, count * BLOCK)
    }

    /// Copies the data of `from` to `to`, whose entry is empty.
    pub fn copy(&mut self, from: u32, to: u32) {
        let data = self.layout.data;
        self.memory.copy(data + from as usize * BLOCK, data + to as usize * BLOCK, BLOCK);
    }

    /// Tag and sum of a slot; tag 0 is an empty entry.
    pub fn entry(&self, slot: u32) -> (u64, u64) {
        let [tag, sum] = self.memory.words(self.layout.entries + slot as usize * ENTRY);
        (tag, sum)
    }

    /// The record with serial number `serial`, if it is still there and whole.
    pub fn record(&self, serial: u64) -> Option<Record> {
        self.record_at(self.record_place(serial)).filter(|record| record.serial == serial)
    }

    /// Where in the table the record with serial number `serial` goes.
    pub fn record_place(&self, serial: u64) -> u32 {
        (serial % self.layout.record_count as u64) as u32
    }

    /// The record at `place` of the table, if it is whole.
    pub fn record_at(&self, place: u32) -> Option<Record> {
        Record::decode(self.memory.words(self.record_at_byte(place)))
    }

    #[inline]
    fn record_at_byte(&self, place: u32) -> usize {
        self.layout.records + place as usize * RECORD
    }

    /// The freed range at `index`: first block and length.
    pub fn freed(&self, index: u32) -> (u64, u32) {
        let [word] = self.memory.words(self.layout.freed + index as usize * 8);
        (word >> 20, (word & 0xF_FFFF) as u32)
    }

    /// Writes the freed range at `index`, which is not below the root's count. Length below 2^20.
    pub fn put_freed(&mut self, index: u32, start: u64, len: u32) {
        let word = start << 20 | u64::from(len);
        self.memory.store(self.layout.freed + index as usize * 8, [word]);
    }

    /// Makes `next` the root, with `changes` and `record`, in one step. Sequence and digest are filled in here.
    pub fn flip(&mut self, mut next: Root, changes: &[Change], record: Option<Record>) {
        next.sequence = self.root.sequence + 1;
        next.digest = self.digest_after(changes);
        if record.is_some() {
            next.records = self.root.records + 1;
        }
        let record = record.map(|record| (self.record_place(record.serial), record.encode()));
        let area = self.layout.roots[(next.sequence & 1) as usize];
        let fields = next.fields(changes.len(), record.is_some());
        let mut sum = WordSum::new(next.sequence).with(&fields);
        self.memory.store(area, [0; SEAL_WORDS]);
        self.memory.store(area + SEAL_WORDS * 8, fields);
        if let Some((_, words)) = record {
            self.memory.store(area + ROOT_HEAD - RECORD, words);
            sum = sum.with(&words[RECORD_WORDS - 1..]);
        }
        for (at, change) in (area + ROOT_HEAD..).step_by(CHANGE).zip(changes) {
            let words = change.encode();
            self.memory.store(at, words);
            sum = sum.with(&words);
        }
        self.memory.store(area, [next.sequence, sum.value()]);
        self.root = next;
        self.apply(changes, record);
    }

    fn digest_after(&self, changes: &[Change]) -> u64 {
        let mut digest = self.root.digest;
        for change in changes {
            if change.old != NONE {
                let (tag, sum) = self.entry(change.old);
                digest ^= entry_hash(change.old, tag, sum);
            }
            if change.slot != NONE {
                digest ^= entry_hash(change.slot, change.tag, change.sum);
            }
        }
        digest
    }

    /// Brings the tables to what the changes and the record, with its place, say.
    fn apply(&mut self, changes: &[Change], record: Option<(u32, [u64; RECORD_WORDS])>) {
        let entry = |slot: u32| self.layout.entries + slot as usize * ENTRY;
        for change in changes {
            if change.old != NONE && change.old != change.slot {
                self.memory.store(entry(change.old), [0; 2]);
            }
            if change.slot != NONE {
                self.memory.store(entry(change.slot), [change.tag, change.sum]);
            }
        }
        if let Some((place, words)) = record {
            self.memory.store(self.record_at_byte(place), words);
        }
    }

    /// Finds the root, applies its changes again and checks that everything is as it says.
    fn recover(&mut self) -> bool {
        let a = self.read_root(0);
        let b = self.read_root(1);
        let (root, changes, record) = match (a, b) {
            (Some(a), Some(b)) => {
                if a.0.sequence > b.0.sequence {
                    a
                } else {
                    b
                }
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return false,
        };
        self.root = root;
        self.apply(&changes, record.map(|record| (self.record_place(record.serial), record.encode())));
        self.entries_are_sound() && self.records_are_sound()
    }

    fn entries_are_sound(&self) -> bool {
        let mut digest = 0;
        for slot in 0..self.layout.slots as u32 {
            let (tag, sum) = self.entry(slot);
            if tag != 0 {
                digest ^= entry_hash(slot, tag, sum);
                if block_sum(self.data(slot)) != sum {
                    return false;
                }
            }
        }
        digest == self.root.digest
    }

    fn records_are_sound(&self) -> bool {
        let first = self.root.records.saturating_sub(self.layout.record_count as u64);
        (first..self.root.records).all(|serial| self.record(serial).is_some())
    }

    fn read_root(&self, which: usize) -> Option<(Root, Vec<Change>, Option<Record>)> {
        let area = self.layout.roots[which];
        let [sequence, found] = self.memory.words::<SEAL_WORDS>(area);
        if sequence == 0 || sequence & 1 != which as u64 {
            return None;
        }
        let fields = self.memory.words::<FIELD_WORDS>(area + SEAL_WORDS * 8);
        let (root, count, recorded) = Root::parse(sequence, fields)?;
        if count > self.layout.slots {
            return None;
        }
        let mut sum = WordSum::new(sequence).with(&fields);
        let record = recorded.then(|| self.memory.words::<RECORD_WORDS>(area + ROOT_HEAD - RECORD));
        // The record's own sum stands for the rest of it.
        if let Some(words) = &record {
            sum = sum.with(&words[RECORD_WORDS - 1..]);
        }
        let changes = (0..count).map(|i| self.memory.words::<CHANGE_WORDS>(area + ROOT_HEAD + i * CHANGE));
        let sum = changes.clone().fold(sum, |sum, words| sum.with(&words));
        if sum.value() != found {
            return None;
        }
        let fits = |slot: u32| slot == NONE || (slot as usize) < self.layout.slots;
        let changes: Vec<Change> = changes.map(Change::decode).collect();
        if !changes.iter().all(|c| fits(c.slot) && fits(c.old)) || root.freed as usize > self.layout.freed_count {
            return None;
        }
        let record = match record {
            Some(words) => Some(Record::decode(words)?),
            None => None,
        };
        Some((root, changes, record))
    }
}

#[inline]
fn entry_hash(slot: u32, tag: u64, sum: u64) -> u64 {
    mix(mix(tag.wrapping_add(u64::from(slot) << 40)) ^ sum)
}
