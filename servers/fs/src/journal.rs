//! The on-disk journal (JBD2), through which committed blocks become safe from a power cut.
//!
//! 1. `sync` turns everything dirty into one transaction. Fresh blocks go in place, the others into the log; flush; the
//!    commit block; flush. From there on the new state is what a mount finds.
//! 2. The log holds at most the last transaction when the next is begun: its blocks have been written in place, and
//!    flushed, before any of them changes again. Two transactions always fit beside each other.
//! 3. A transaction once begun is finished before anything else changes, if need be by a successor of this process, with
//!    the same bytes at the same places: a half-overwritten commit cannot come about.
//! 4. The transaction in the log does not contain a block that was free when it was made, so replaying it cannot damage
//!    a fresh block written in place since. (Hence no revoke records.)
//! 5. The journal superblock names the oldest transaction that may still be needed; it changes only together with the
//!    next transaction, and all of it that changes lies in one 512-byte sector.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::{be32, be64, put_be32};
use crate::cache::{Cache, State};
use crate::crc::crc32c;
use crate::disk::{BLOCK, Disk};
use crate::error::{Error, Result};
use crate::region::Phase;

const MAGIC: u32 = 0xC03B_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const SUPERBLOCK_V2: u32 = 4;
const REVOKE: u32 = 5;

const FEATURE_REVOKE: u32 = 1;
const FEATURE_64BIT: u32 = 2;
const FEATURE_CSUM_V2: u32 = 8;
const FEATURE_CSUM_V3: u32 = 0x10;
const KNOWN: u32 = FEATURE_REVOKE | FEATURE_64BIT | FEATURE_CSUM_V2 | FEATURE_CSUM_V3;

const TAG_ESCAPED: u32 = 1;
const TAG_SAME_UUID: u32 = 2;
const TAG_LAST: u32 = 8;
/// Tags in a descriptor block: header 12, one UUID 16, checksum 4, tags of 16 bytes.
const TAGS: usize = (BLOCK - 32) / 16;

/// Where the journal lies and how it is written.
#[derive(Default)]
pub struct Journal {
    /// Physical place of each run of journal blocks: first journal block, length, first disk block.
    runs: Vec<(u32, u32, u64)>,
    first: u32,
    end: u32,
    superblock: Vec<u8>,
}

/// A block found in the log by `Journal::scan`.
struct Logged {
    at: u32,
    target: u64,
    flags: u32,
    crc: Option<u32>,
    sequence: u32,
}

/// What a scan of the log found.
#[derive(Default)]
struct Scan {
    blocks: Vec<Logged>,
    revoked: BTreeMap<u64, u32>,
    /// Sequence number after that of the last complete transaction.
    next: u32,
}

impl Journal {
    /// Opens the journal that occupies `runs` (see the field). Does not look at the log.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Unsupported`] for journal features that are not known.
    pub fn open<D: Disk>(runs: Vec<(u32, u32, u64)>, disk: &mut D) -> Result<Self> {
        let mut journal = Self { runs, first: 0, end: 0, superblock: vec![0; BLOCK] };
        let at = journal.place(0)?;
        disk.read_blocks(at, &mut journal.superblock)?;
        let sb = &journal.superblock;
        if be32(sb, 0) != MAGIC || be32(sb, 4) != SUPERBLOCK_V2 || be32(sb, 12) as usize != BLOCK {
            return Err(Error::Corrupt);
        }
        if be32(sb, 40) & !KNOWN != 0 || be32(sb, 44) != 0 {
            return Err(Error::Unsupported);
        }
        (journal.first, journal.end) = (be32(sb, 20), be32(sb, 16));
        let blocks = journal.runs.last().map_or(0, |run| run.0 + run.1);
        if journal.first == 0 || journal.end > blocks || journal.end < journal.first.saturating_add(64) {
            return Err(Error::Corrupt);
        }
        Ok(journal)
    }

    /// The most blocks that one transaction may hold.
    pub fn capacity(&self) -> usize {
        let half = (self.end - self.first) as usize / 2;
        (half.saturating_sub(3) * TAGS / (TAGS + 1)).saturating_sub(1)
    }

    /// Sequence number for the next transaction, and the journal block where it goes, if the log is empty.
    pub fn start(&self) -> (u32, u32) {
        (be32(&self.superblock, 24).max(1), self.first)
    }

    fn place(&self, at: u32) -> Result<u64> {
        let run = self.runs.iter().find(|run| at >= run.0 && at - run.0 < run.1).ok_or(Error::Corrupt)?;
        Ok(run.2 + u64::from(at - run.0))
    }

    fn after(&self, at: u32, count: u32) -> u32 {
        let next = at + count;
        if next >= self.end { next - (self.end - self.first) } else { next }
    }

    fn features(&self) -> u32 {
        be32(&self.superblock, 40)
    }

    fn seed(&self) -> u32 {
        crc32c(!0, &self.superblock[48..64])
    }

    /// Names the oldest transaction that is needed: `start` 0 means that there is none.
    fn write_superblock<D: Disk>(&mut self, disk: &mut D, sequence: u32, start: u32) -> Result<()> {
        let sb = &mut self.superblock;
        let features = be32(sb, 40) & !FEATURE_CSUM_V2 | FEATURE_CSUM_V3 | FEATURE_64BIT;
        put_be32(sb, 24, sequence);
        put_be32(sb, 28, start);
        put_be32(sb, 36, 0);
        put_be32(sb, 40, features);
        sb[80] = 4;
        put_be32(sb, 252, 0);
        let crc = crc32c(!0, &sb[..1024]);
        put_be32(sb, 252, crc);
        let at = self.place(0)?;
        Ok(disk.write_blocks(at, &self.superblock)?)
    }

    /// Brings the disk to the state that the log says, and empties the log. `blocks` is the filesystem's size.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a complete transaction does not have the contents that it had when it was written.
    pub fn replay<D: Disk>(&mut self, disk: &mut D, blocks: u64) -> Result<()> {
        if be32(&self.superblock, 28) == 0 {
            return Ok(());
        }
        let found = self.scan(disk)?;
        let mut data = vec![0; BLOCK];
        for block in &found.blocks {
            if found.revoked.get(&block.target).is_some_and(|&at| at.wrapping_sub(block.sequence) as i32 >= 0) {
                continue;
            }
            if block.target >= blocks {
                return Err(Error::Corrupt);
            }
            disk.read_blocks(self.place(block.at)?, &mut data)?;
            if block.crc.is_some_and(|crc| crc != self.tag_crc(block.sequence, &data)) {
                return Err(Error::Corrupt);
            }
            if block.flags & TAG_ESCAPED != 0 {
                put_be32(&mut data, 0, MAGIC);
            }
            disk.write_blocks(block.target, &data)?;
        }
        disk.flush()?;
        // One number is skipped: the log may hold parts of an incomplete transaction that bear it.
        self.write_superblock(disk, found.next.wrapping_add(1), 0)?;
        Ok(disk.flush()?)
    }

    fn tag_crc(&self, sequence: u32, data: &[u8]) -> u32 {
        crc32c(crc32c(self.seed(), &sequence.to_be_bytes()), data)
    }

    /// Reads the log from its tail to the last complete transaction.
    fn scan<D: Disk>(&self, disk: &mut D) -> Result<Scan> {
        let mut at = be32(&self.superblock, 28);
        let mut found = Scan { next: be32(&self.superblock, 24), ..Scan::default() };
        let (mut complete, mut pending) = (0, Vec::new());
        let mut block = vec![0; BLOCK];
        let mut left = self.end - self.first;
        while at >= self.first && at < self.end && left > 0 {
            disk.read_blocks(self.place(at)?, &mut block)?;
            if be32(&block, 0) != MAGIC || be32(&block, 8) != found.next {
                break;
            }
            let mut used = 1;
            match be32(&block, 4) {
                DESCRIPTOR if self.tail_is_right(&block) => {
                    used += self.tags(&block, at, found.next, &mut found.blocks)
                }
                REVOKE if self.tail_is_right(&block) => self.revokes(&block, found.next, &mut pending),
                COMMIT if self.commit_is_right(&block) => {
                    found.revoked.extend(pending.drain(..));
                    complete = found.blocks.len();
                    found.next = found.next.wrapping_add(1);
                }
                _ => break,
            }
            if used > left {
                break;
            }
            left -= used;
            at = self.after(at, used);
        }
        found.blocks.truncate(complete);
        Ok(found)
    }

    /// Adds the blocks that a descriptor at `at` names; returns how many.
    fn tags(&self, block: &[u8], at: u32, sequence: u32, into: &mut Vec<Logged>) -> u32 {
        let features = self.features();
        let v3 = features & FEATURE_CSUM_V3 != 0;
        let wide = features & FEATURE_64BIT != 0;
        let size =
            if v3 { 16 } else { 8 + if features & FEATURE_CSUM_V2 != 0 { 2 } else { 0 } + if wide { 4 } else { 0 } };
        let (mut pos, mut count) = (12, 0);
        while pos + size <= BLOCK - 4 && count < self.end - self.first - 1 {
            let low = u64::from(be32(block, pos));
            let flags = be32(block, pos + 4) & if v3 { !0 } else { 0xFFFF };
            let high = if wide { u64::from(be32(block, pos + 8)) << 32 } else { 0 };
            let crc = v3.then(|| be32(block, pos + 12));
            count += 1;
            into.push(Logged { at: self.after(at, count), target: low | high, flags, crc, sequence });
            pos += size + if flags & TAG_SAME_UUID == 0 { 16 } else { 0 };
            if flags & TAG_LAST != 0 {
                break;
            }
        }
        count
    }

    fn revokes(&self, block: &[u8], sequence: u32, into: &mut Vec<(u64, u32)>) {
        let used = (be32(block, 12) as usize).min(BLOCK);
        let wide = self.features() & FEATURE_64BIT != 0;
        let size = if wide { 8 } else { 4 };
        for entry in block.get(16..used).unwrap_or(&[]).chunks_exact(size) {
            into.push((if wide { be64(entry, 0) } else { u64::from(be32(entry, 0)) }, sequence));
        }
    }

    fn checksummed(&self) -> bool {
        self.features() & (FEATURE_CSUM_V2 | FEATURE_CSUM_V3) != 0
    }

    fn tail_is_right(&self, block: &[u8]) -> bool {
        !self.checksummed() || crc32c(crc32c(self.seed(), &block[..BLOCK - 4]), &[0; 4]) == be32(block, BLOCK - 4)
    }

    fn commit_is_right(&self, block: &[u8]) -> bool {
        let crc = [&block[..16], &[0; 4], &block[20..]].iter().fold(self.seed(), |crc, part| crc32c(crc, part));
        !self.checksummed() || crc == be32(block, 16)
    }
}

/// Consecutive disk blocks gathered in the bounce buffer.
#[derive(Default)]
struct Gather {
    first: u64,
    count: usize,
}

impl<D: Disk> Cache<'_, D> {
    /// Makes every committed operation safe from a power cut.
    ///
    /// # Errors
    /// [`Error::Io`]: it is not known to be safe; a later `sync` tries again.
    pub fn sync(&mut self) -> Result<()> {
        self.checkpoint()?;
        let mut root = self.region.root();
        if root.phase == Phase::Idle {
            if !self.is_dirty() {
                return Ok(());
            }
            root.phase = Phase::Writing;
            self.region.flip(root, &[], None);
            root = self.region.root();
        }
        let fresh = self.sorted(State::Dirty, true);
        let others = self.sorted(State::Dirty, false);
        self.journal.write_superblock(&mut self.disk, root.log_sequence, root.log_head)?;
        self.write_in_place(&fresh)?;
        let end = self.log(&others)?;
        self.disk.flush()?;
        self.write_commit(end)?;
        self.disk.flush()?;
        root.phase = Phase::Logged;
        root.log_head = self.journal.after(end, 1);
        root.log_sequence = root.log_sequence.wrapping_add(1).max(1);
        root.freed = 0;
        self.retag(root, &fresh, &others);
        Ok(())
    }

    /// Writes what is in the journal only in place, if anything is. To be called when there is time, or before the next
    /// change.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing is lost, a later call tries again.
    pub fn checkpoint(&mut self) -> Result<()> {
        let mut root = self.region.root();
        if root.phase != Phase::Logged {
            return Ok(());
        }
        let slots = self.sorted(State::Logged, false);
        self.write_in_place(&slots)?;
        self.disk.flush()?;
        root.phase = Phase::Idle;
        self.retag(root, &slots, &[]);
        Ok(())
    }

    /// Marks the log empty, so that the disk is complete without it. Everything must be in place.
    pub(crate) fn close_log(&mut self) -> Result<()> {
        let root = self.region.root();
        self.journal.write_superblock(&mut self.disk, root.log_sequence, 0)?;
        Ok(self.disk.flush()?)
    }

    /// Writes descriptors and blocks to the log. Returns the journal block that comes after them.
    fn log(&mut self, slots: &[u32]) -> Result<u32> {
        let (mut at, mut gather) = (self.region.root().log_head, Gather::default());
        for part in slots.chunks(TAGS) {
            let descriptor = self.descriptor(part);
            self.gather(&mut gather, at, |_, to| to.copy_from_slice(&descriptor))?;
            at = self.journal.after(at, 1);
            for &slot in part {
                self.gather(&mut gather, at, |region, to| {
                    to.copy_from_slice(region.data(slot));
                    escape(to);
                })?;
                at = self.journal.after(at, 1);
            }
        }
        self.write_gathered(&mut gather)?;
        Ok(at)
    }

    fn descriptor(&self, slots: &[u32]) -> Vec<u8> {
        let sequence = self.region.root().log_sequence;
        let mut block = header(DESCRIPTOR, sequence);
        let (mut pos, mut copy) = (12, vec![0; BLOCK]);
        for (i, &slot) in slots.iter().enumerate() {
            let target = self.slots[slot as usize].block;
            copy.copy_from_slice(self.region.data(slot));
            let escaped = if escape(&mut copy) { TAG_ESCAPED } else { 0 };
            let same = if i > 0 { TAG_SAME_UUID } else { 0 };
            let last = if i + 1 == slots.len() { TAG_LAST } else { 0 };
            put_be32(&mut block, pos, target as u32);
            put_be32(&mut block, pos + 4, escaped | same | last);
            put_be32(&mut block, pos + 8, (target >> 32) as u32);
            put_be32(&mut block, pos + 12, self.journal.tag_crc(sequence, &copy));
            pos += 16;
            if i == 0 {
                block[pos..pos + 16].copy_from_slice(&self.journal.superblock[48..64]);
                pos += 16;
            }
        }
        let crc = crc32c(self.journal.seed(), &block);
        put_be32(&mut block, BLOCK - 4, crc);
        block
    }

    fn write_commit(&mut self, at: u32) -> Result<()> {
        let mut block = header(COMMIT, self.region.root().log_sequence);
        let crc = crc32c(self.journal.seed(), &block);
        put_be32(&mut block, 16, crc);
        let place = self.journal.place(at)?;
        Ok(self.disk.write_blocks(place, &block)?)
    }

    fn gather(
        &mut self,
        g: &mut Gather,
        at: u32,
        fill: impl FnOnce(&crate::region::Region<'_>, &mut [u8]),
    ) -> Result<()> {
        let place = self.journal.place(at)?;
        if g.count > 0 && (place != g.first + g.count as u64 || (g.count + 1) * BLOCK > self.bounce.len()) {
            self.write_gathered(g)?;
        }
        if g.count == 0 {
            g.first = place;
        }
        fill(&self.region, &mut self.bounce[g.count * BLOCK..(g.count + 1) * BLOCK]);
        g.count += 1;
        Ok(())
    }

    fn write_gathered(&mut self, g: &mut Gather) -> Result<()> {
        if g.count > 0 {
            self.disk.write_blocks(g.first, &self.bounce[..g.count * BLOCK])?;
            g.count = 0;
        }
        Ok(())
    }
}

fn header(kind: u32, sequence: u32) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    put_be32(&mut block, 0, MAGIC);
    put_be32(&mut block, 4, kind);
    put_be32(&mut block, 8, sequence);
    block
}

/// A block that begins with the journal's magic number is logged without it.
fn escape(block: &mut [u8]) -> bool {
    let clash = be32(block, 0) == MAGIC;
    if clash {
        put_be32(block, 0, 0);
    }
    clash
}
