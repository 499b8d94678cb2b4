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

use crate::bytes::{get32, get64, put32, put64};
use crate::crc::{block_sum, mix, word_sum};
use crate::disk::BLOCK;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::record::{RECORD_SIZE, Record};

const MAGIC: u64 = u64::from_le_bytes(*b"TESSCACH");
const VERSION: u32 = 2;
const HEADER: usize = 256;
const ROOT_HEAD: usize = 160;
const CHANGE: usize = 24;
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
        let fixed = HEADER + 2 * ROOT_HEAD + record_count * RECORD_SIZE + freed_count * 8 + BLOCK;
        let slots = len.saturating_sub(fixed) / (BLOCK + 2 * CHANGE + ENTRY);
        if slots < 24 {
            return Err(Error::CacheFull);
        }
        let root = ROOT_HEAD + slots * CHANGE;
        let entries = HEADER + 2 * root;
        let records = entries + slots * ENTRY;
        let freed = records + record_count * RECORD_SIZE;
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
    body: Vec<u8>,
}

impl<'m> Region<'m> {
    /// Opens the memory. The second result says whether it held a valid state of this filesystem; if not, it has been
    /// formatted and is empty.
    pub fn open(bytes: &'m mut [u8], identity: Identity) -> Result<(Self, bool)> {
        let layout = Layout::for_size(bytes.len())?;
        let root =
            Root { sequence: 0, digest: 0, records: 0, freed: 0, phase: Phase::Idle, log_head: 0, log_sequence: 0 };
        let mut region = Self { memory: Memory::new(bytes), layout, root, body: Vec::new() };
        let kept = region.header(identity)[..] == *region.memory.bytes(0, HEADER) && region.recover();
        if !kept {
            region.format(identity);
        }
        Ok((region, kept))
    }

    /// Forgets everything, durably.
    pub fn format(&mut self, identity: Identity) {
        self.memory.store(0, &[0; HEADER]);
        for at in (HEADER..self.layout.data).step_by(BLOCK) {
            let len = BLOCK.min(self.layout.data - at);
            self.memory.scratch(at, len).fill(0);
        }
        // From here on all of the memory is there, and no read waits for the kernel to find some.
        for slot in 0..self.layout.slots as u32 {
            self.data_mut(slot)[0] = 0;
        }
        self.root =
            Root { sequence: 0, digest: 0, records: 0, freed: 0, phase: Phase::Idle, log_head: 0, log_sequence: 0 };
        self.flip(self.root, &[], None);
        let header = self.header(identity);
        self.memory.store(0, &header);
    }

    fn header(&self, identity: Identity) -> [u8; HEADER] {
        let mut h = [0; HEADER];
        put64(&mut h, 0, MAGIC);
        put32(&mut h, 8, VERSION);
        put32(&mut h, 12, self.layout.slots as u32);
        put64(&mut h, 16, self.memory.size() as u64);
        h[24..40].copy_from_slice(&identity.uuid);
        put64(&mut h, 40, identity.blocks);
        let sum = word_sum(&h[..HEADER - 8]);
        put64(&mut h, HEADER - 8, sum);
        h
    }

    /// The current root.
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
        let entry = self.memory.bytes(self.layout.entries + slot as usize * ENTRY, ENTRY);
        (get64(entry, 0), get64(entry, 8))
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
        let at = self.layout.records + place as usize * RECORD_SIZE;
        Record::decode(self.memory.bytes(at, RECORD_SIZE))
    }

    /// The freed range at `index`: first block and length.
    pub fn freed(&self, index: u32) -> (u64, u32) {
        let word = get64(self.memory.bytes(self.layout.freed + index as usize * 8, 8), 0);
        (word >> 20, (word & 0xF_FFFF) as u32)
    }

    /// Writes the freed range at `index`, which is not below the root's count. Length below 2^20.
    pub fn put_freed(&mut self, index: u32, start: u64, len: u32) {
        let word = start << 20 | u64::from(len);
        self.memory.store(self.layout.freed + index as usize * 8, &word.to_le_bytes());
    }

    /// Makes `next` the root, with `changes` and `record`, in one step. Sequence and digest are filled in here.
    pub fn flip(&mut self, mut next: Root, changes: &[Change], record: Option<Record>) {
        next.sequence = self.root.sequence + 1;
        next.digest = self.digest_after(changes);
        if record.is_some() {
            next.records = self.root.records + 1;
        }
        let mut body = core::mem::take(&mut self.body);
        encode_root(&mut body, &next, changes, record.as_ref());
        let area = self.layout.roots[(next.sequence & 1) as usize];
        let sum = word_sum(&body[16..]);
        let mut head = [0; 16];
        put64(&mut head, 0, next.sequence);
        put32(&mut head, 8, sum as u32 ^ next.sequence as u32);
        put32(&mut head, 12, body.len() as u32);
        self.memory.store(area, &[0; 16]);
        self.memory.store(area + 16, &body[16..]);
        self.memory.store(area, &head);
        self.body = body;
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

    fn apply(&mut self, changes: &[Change], record: Option<Record>) {
        for change in changes {
            if change.old != NONE && change.old != change.slot {
                self.memory.store(self.layout.entries + change.old as usize * ENTRY, &[0; ENTRY]);
            }
            if change.slot != NONE {
                let mut entry = [0; ENTRY];
                put64(&mut entry, 0, change.tag);
                put64(&mut entry, 8, change.sum);
                self.memory.store(self.layout.entries + change.slot as usize * ENTRY, &entry);
            }
        }
        if let Some(record) = record {
            let at = self.layout.records + self.record_place(record.serial) as usize * RECORD_SIZE;
            self.memory.store(at, &record.encode());
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
        self.apply(&changes, record);
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
        let room = self.layout.roots[1] - self.layout.roots[0];
        let area = self.memory.bytes(self.layout.roots[which], room);
        let sequence = get64(area, 0);
        let len = get32(area, 12) as usize;
        if sequence == 0 || sequence & 1 != which as u64 || len < ROOT_HEAD || len > room {
            return None;
        }
        if word_sum(&area[16..len]) as u32 ^ sequence as u32 != get32(area, 8) {
            return None;
        }
        self.decode_root(&area[..len])
    }

    fn decode_root(&self, area: &[u8]) -> Option<(Root, Vec<Change>, Option<Record>)> {
        let phase = match get32(area, 44) {
            0 => Phase::Idle,
            1 => Phase::Writing,
            2 => Phase::Logged,
            _ => return None,
        };
        let root = Root {
            sequence: get64(area, 0),
            digest: get64(area, 24),
            records: get64(area, 32),
            freed: get32(area, 40),
            phase,
            log_head: get32(area, 48),
            log_sequence: get32(area, 52),
        };
        let slots = self.layout.slots as u32;
        let fits = |slot: u32| slot == NONE || slot < slots;
        let changes: Vec<Change> = area[ROOT_HEAD..].chunks_exact(CHANGE).map(decode_change).collect();
        if !changes.iter().all(|c| fits(c.slot) && fits(c.old)) || root.freed as usize > self.layout.freed_count {
            return None;
        }
        let record = if get32(area, 56) != 0 { Some(Record::decode(&area[64..64 + RECORD_SIZE])?) } else { None };
        Some((root, changes, record))
    }
}

fn encode_root(body: &mut Vec<u8>, root: &Root, changes: &[Change], record: Option<&Record>) {
    let mut head = [0; ROOT_HEAD];
    put64(&mut head, 16, root.sequence);
    put64(&mut head, 24, root.digest);
    put64(&mut head, 32, root.records);
    put32(&mut head, 40, root.freed);
    put32(&mut head, 44, root.phase as u32);
    put32(&mut head, 48, root.log_head);
    put32(&mut head, 52, root.log_sequence);
    if let Some(record) = record {
        put32(&mut head, 56, 1);
        head[64..64 + RECORD_SIZE].copy_from_slice(&record.encode());
    }
    body.clear();
    body.extend_from_slice(&head);
    for change in changes {
        let mut bytes = [0; CHANGE];
        put32(&mut bytes, 0, change.slot);
        put32(&mut bytes, 4, change.old);
        put64(&mut bytes, 8, change.tag);
        put64(&mut bytes, 16, change.sum);
        body.extend_from_slice(&bytes);
    }
}

fn decode_change(bytes: &[u8]) -> Change {
    Change { slot: get32(bytes, 0), old: get32(bytes, 4), tag: get64(bytes, 8), sum: get64(bytes, 16) }
}

fn entry_hash(slot: u32, tag: u64, sum: u64) -> u64 {
    mix(mix(tag.wrapping_add(u64::from(slot) << 40)) ^ sum)
}
