//! Group descriptors and bitmaps: which blocks and inodes are in use.
//!
//! 1. After each operation the counts in a descriptor match its bitmaps, and all checksums are right.
//! 2. No block is handed out whose last use the state on disk may still need (see `Cache::quarantined`).
//! 3. Freeing what is free, or what is metadata of the filesystem itself, is refused as corruption.

use crate::bytes::{get16, get32, put16};
use crate::crc::{crc32c, crc32c_change};
use crate::disk::{BLOCK, Disk};
use crate::error::{Error, Result};
use crate::store::Fs;

const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;

/// A group descriptor, taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub block_bitmap: u64,
    pub inode_bitmap: u64,
    pub inode_table: u64,
    pub free_blocks: u32,
    pub free_inodes: u32,
    pub directories: u32,
    pub unused_inodes: u32,
    flags: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Map {
    Blocks,
    Inodes,
}

impl Map {
    /// Where the descriptor has the bitmap's checksum: low and high half.
    fn crc_places(self) -> (usize, usize) {
        if self == Map::Blocks { (0x18, 0x38) } else { (0x1A, 0x3A) }
    }
}

/// The checksum of a bitmap: a value, or by what it is to be xored.
#[derive(Clone, Copy)]
enum Crc {
    Is(u32),
    By(u32),
}

impl Group {
    fn parse(d: &[u8]) -> Self {
        let wide = d.len() >= 64;
        let word = |low, high| u64::from(get32(d, low)) | if wide { u64::from(get32(d, high)) << 32 } else { 0 };
        let half = |low, high| u32::from(get16(d, low)) | if wide { u32::from(get16(d, high)) << 16 } else { 0 };
        Self {
            block_bitmap: word(0, 0x20),
            inode_bitmap: word(4, 0x24),
            inode_table: word(8, 0x28),
            free_blocks: half(0xC, 0x2C),
            free_inodes: half(0xE, 0x2E),
            directories: half(0x10, 0x30),
            unused_inodes: half(0x1C, 0x32),
            flags: get16(d, 0x12),
        }
    }

    fn write(&self, d: &mut [u8]) {
        put16(d, 0x12, self.flags);
        let halves = [
            (0xC, 0x2C, self.free_blocks),
            (0xE, 0x2E, self.free_inodes),
            (0x10, 0x30, self.directories),
            (0x1C, 0x32, self.unused_inodes),
        ];
        for (low, high, value) in halves {
            put16(d, low, value as u16);
            if d.len() >= 64 {
                put16(d, high, (value >> 16) as u16);
            }
        }
    }
}

pub(crate) fn test_bit(map: &[u8], bit: u32) -> bool {
    map[bit as usize / 8] >> (bit % 8) & 1 != 0
}

fn set_bits(map: &mut [u8], start: u32, len: u32, on: bool) {
    for bit in start..start + len {
        let mask = 1 << (bit % 8);
        if on { map[bit as usize / 8] |= mask } else { map[bit as usize / 8] &= !mask }
    }
}

/// The first clear bit in `from..end`.
fn first_clear(map: &[u8], from: u32, end: u32) -> Option<u32> {
    let mut bit = from;
    while bit < end {
        if bit.is_multiple_of(8) && map[bit as usize / 8] == 0xFF {
            bit += 8;
        } else if test_bit(map, bit) {
            bit += 1;
        } else {
            return Some(bit);
        }
    }
    None
}

impl<D: Disk> Fs<'_, D> {
    fn desc_at(&self, group: u32) -> (u64, usize) {
        let at = group as usize * self.sup.desc_size;
        (1 + (at / BLOCK) as u64, at % BLOCK)
    }

    /// The descriptor of `group`, without looking at checksums.
    pub(crate) fn group_raw(&mut self, group: u32) -> Result<Group> {
        let (block, at) = self.desc_at(group);
        let size = self.sup.desc_size;
        Ok(Group::parse(&self.cache.read(block)?[at..at + size]))
    }

    /// The descriptor of `group`, checked.
    pub(crate) fn group(&mut self, group: u32) -> Result<Group> {
        if group >= self.sup.groups {
            return Err(Error::Corrupt);
        }
        let (block, at) = self.desc_at(group);
        let sup = &self.sup;
        let first = group - (at / sup.desc_size) as u32;
        let sound = |data: &[u8]| {
            let crc_right = |(i, d): (usize, &[u8])| {
                let group = first + i as u32;
                group >= sup.groups || sup.desc_crc(group, d) == get16(d, 0x1E)
            };
            !(sup.checksums || sup.old_checksums) || data.chunks_exact(sup.desc_size).enumerate().all(crc_right)
        };
        let g = Group::parse(&self.cache.read_checked(block, sound)?[at..at + sup.desc_size]);
        let table = (u64::from(sup.inodes_per_group) * sup.inode_size as u64).div_ceil(BLOCK as u64);
        let last = g.inode_table.saturating_add(table).max(g.block_bitmap + 1).max(g.inode_bitmap + 1);
        if last > sup.blocks || g.free_blocks > sup.blocks_in(group) || g.free_inodes > sup.inodes_per_group {
            return Err(Error::Corrupt);
        }
        Ok(g)
    }

    /// Writes the descriptor. The checksum of the bitmap `map` is `crc`, or, for [`Crc::By`], changes by it.
    fn put_group(&mut self, group: u32, g: &Group, map: Map, crc: Crc) -> Result<()> {
        let (block, at) = self.desc_at(group);
        let size = self.sup.desc_size;
        let d = &mut self.cache.edit(block)?[at..at + size];
        g.write(d);
        let (low, high) = map.crc_places();
        let (keep, crc) = match crc {
            Crc::Is(crc) => (0, crc),
            Crc::By(crc) => (!0, crc),
        };
        if self.sup.checksums {
            put16(d, low, get16(d, low) & keep ^ crc as u16);
            if size >= 64 {
                put16(d, high, get16(d, high) & keep ^ (crc >> 16) as u16);
            }
        }
        if self.sup.checksums || self.sup.old_checksums {
            let crc = self.sup.desc_crc(group, d);
            put16(d, 0x1E, crc);
        }
        Ok(())
    }

    /// Changes bits that are all the other way now. Returns by how much the bitmap's checksum changes.
    fn turn(&mut self, map: Map, block: u64, start: u32, len: u32, on: bool) -> Result<Crc> {
        let data = self.cache.edit(block)?;
        set_bits(data, start, len, on);
        let end = start + len;
        let flips = |byte: u32| {
            (byte * 8..byte * 8 + 8).filter(|bit| (start..end).contains(bit)).fold(0, |m, bit| m | 1 << (bit % 8))
        };
        let (first, after) = (start / 8, end.div_ceil(8));
        if !self.sup.checksums {
            return Ok(Crc::By(0));
        }
        Ok(Crc::By(crc32c_change((first..after).map(flips), self.map_len(map).saturating_sub(after as usize))))
    }

    fn map_len(&self, map: Map) -> usize {
        (if map == Map::Blocks { self.sup.blocks_per_group } else { self.sup.inodes_per_group }) as usize / 8
    }

    /// Reads a bitmap into the cache, after making it if the group has none yet. Returns its block.
    fn bitmap(&mut self, group: u32, g: &mut Group, map: Map) -> Result<u64> {
        let (block, uninit) = match map {
            Map::Blocks => (g.block_bitmap, BLOCK_UNINIT),
            Map::Inodes => (g.inode_bitmap, INODE_UNINIT),
        };
        if g.flags & uninit != 0 && (self.sup.checksums || self.sup.old_checksums) {
            self.make_bitmap(group, g, map)?;
            g.flags &= !uninit;
            let (seed, len) = (self.sup.seed, self.map_len(map));
            let crc = crc32c(seed, &self.cache.read(block)?[..len]);
            self.put_group(group, g, map, Crc::Is(crc))?;
            return Ok(block);
        }
        if self.sup.checksums {
            let (dblock, at) = self.desc_at(group);
            let d = &self.cache.read(dblock)?[at..at + self.sup.desc_size];
            let (low, high) = map.crc_places();
            let wide = d.len() >= 64;
            let wanted = u32::from(get16(d, low)) | if wide { u32::from(get16(d, high)) << 16 } else { 0 };
            let (seed, len, mask) = (self.sup.seed, self.map_len(map), if wide { !0 } else { 0xFFFF });
            self.cache.read_checked(block, |data| crc32c(seed, &data[..len]) & mask == wanted)?;
        }
        Ok(block)
    }

    /// The bitmap of a group that was never used.
    fn make_bitmap(&mut self, group: u32, g: &Group, map: Map) -> Result<()> {
        let sup = self.sup.clone();
        let bits = (BLOCK * 8) as u32;
        if map == Map::Inodes {
            let data = self.cache.edit_whole(g.inode_bitmap)?;
            data.fill(0);
            set_bits(data, sup.inodes_per_group, bits - sup.inodes_per_group, true);
            return Ok(());
        }
        let (start, len) = (sup.group_start(group), sup.blocks_in(group));
        let table = (u64::from(sup.inodes_per_group) * sup.inode_size as u64).div_ceil(BLOCK as u64);
        let data = self.cache.edit_whole(g.block_bitmap)?;
        data.fill(0);
        if sup.has_copy(group) {
            let used = 1 + sup.table_blocks() as u32 + sup.reserved_gdt;
            set_bits(data, 0, used.min(len), true);
        }
        let own = [(g.block_bitmap, 1), (g.inode_bitmap, 1), (g.inode_table, table)];
        for block in own.into_iter().flat_map(|(first, count)| first..first + count) {
            if (start..start + u64::from(len)).contains(&block) {
                set_bits(data, (block - start) as u32, 1, true);
            }
        }
        set_bits(data, len, bits - len, true);
        Ok(())
    }

    /// Allocates up to `want` consecutive blocks, at `goal` if possible.
    ///
    /// # Errors
    /// [`Error::NoSpace`].
    pub(crate) fn alloc_blocks(&mut self, goal: u64, want: u32) -> Result<(u64, u32)> {
        if self.counts.blocks == 0 {
            return Err(Error::NoSpace);
        }
        let goal = if goal < self.sup.blocks { goal } else { 0 };
        let first = (goal / u64::from(self.sup.blocks_per_group)) as u32;
        for i in 0..=self.sup.groups {
            let group = (first + i) % self.sup.groups;
            let from = if i == 0 { (goal % u64::from(self.sup.blocks_per_group)) as u32 } else { 0 };
            if let Some(found) = self.alloc_in(group, from, want)? {
                return Ok(found);
            }
        }
        Err(Error::NoSpace)
    }

    fn alloc_in(&mut self, group: u32, from: u32, want: u32) -> Result<Option<(u64, u32)>> {
        let mut g = self.group(group)?;
        if g.free_blocks == 0 {
            return Ok(None);
        }
        let map = self.bitmap(group, &mut g, Map::Blocks)?;
        let (start, end) = (self.sup.group_start(group), self.sup.blocks_in(group));
        let mut at = from;
        let (bit, len) = loop {
            let data = self.cache.read(map)?;
            let Some(bit) = first_clear(data, at, end) else { return Ok(None) };
            let limit = end.min(bit.saturating_add(want.min(g.free_blocks)));
            let len = (bit..limit).take_while(|&b| !test_bit(data, b)).count() as u32;
            match self.cache.quarantined(start + u64::from(bit), len) {
                None => break (bit, len),
                Some((first, _)) if first > start + u64::from(bit) => break (bit, (first - start) as u32 - bit),
                Some((_, last)) => at = (last - start).min(u64::from(end)) as u32,
            }
        };
        let crc = self.turn(Map::Blocks, map, bit, len, true)?;
        g.free_blocks -= len;
        self.put_group(group, &g, Map::Blocks, crc)?;
        self.counts.blocks = self.counts.blocks.saturating_sub(u64::from(len));
        Ok(Some((start + u64::from(bit), len)))
    }

    /// Frees `len` blocks from `start` on.
    pub(crate) fn free_blocks(&mut self, start: u64, len: u32) -> Result<()> {
        let end = start.checked_add(u64::from(len)).filter(|&end| end <= self.sup.blocks).ok_or(Error::Corrupt)?;
        let mut at = start;
        while at < end {
            let group = (at / u64::from(self.sup.blocks_per_group)) as u32;
            let group_end = self.sup.group_start(group) + u64::from(self.sup.blocks_in(group));
            let part = (end.min(group_end) - at) as u32;
            self.free_in(group, at, part)?;
            at += u64::from(part);
        }
        Ok(())
    }

    fn free_in(&mut self, group: u32, start: u64, len: u32) -> Result<()> {
        let mut g = self.group(group)?;
        let table = (u64::from(self.sup.inodes_per_group) * self.sup.inode_size as u64).div_ceil(BLOCK as u64);
        let hits = |first: u64, count: u64| start < first + count && first < start + u64::from(len);
        if hits(g.block_bitmap, 1)
            || hits(g.inode_bitmap, 1)
            || hits(g.inode_table, table)
            || hits(0, 1 + self.sup.table_blocks())
        {
            return Err(Error::Corrupt);
        }
        let map = self.bitmap(group, &mut g, Map::Blocks)?;
        let bit = (start - self.sup.group_start(group)) as u32;
        let data = self.cache.read(map)?;
        if !(bit..bit + len).all(|b| test_bit(data, b)) {
            return Err(Error::Corrupt);
        }
        let crc = self.turn(Map::Blocks, map, bit, len, false)?;
        g.free_blocks += len;
        self.put_group(group, &g, Map::Blocks, crc)?;
        self.counts.blocks += u64::from(len);
        self.cache.free_range(start, len)
    }

    /// Allocates an inode, in `near`'s group if possible.
    ///
    /// # Errors
    /// [`Error::NoSpace`].
    pub(crate) fn alloc_inode(&mut self, near: u32, directory: bool) -> Result<u32> {
        let first = near.saturating_sub(1) / self.sup.inodes_per_group;
        for i in 0..self.sup.groups {
            let group = (first + i) % self.sup.groups;
            let mut g = self.group(group)?;
            if g.free_inodes == 0 {
                continue;
            }
            let map = self.bitmap(group, &mut g, Map::Inodes)?;
            let per_group = self.sup.inodes_per_group;
            let reserved = (self.sup.first_inode - 1).saturating_sub(group.saturating_mul(per_group)).min(per_group);
            let Some(bit) = first_clear(self.cache.read(map)?, reserved, per_group) else { continue };
            let crc = self.turn(Map::Inodes, map, bit, 1, true)?;
            g.free_inodes -= 1;
            g.directories += u32::from(directory);
            g.unused_inodes = g.unused_inodes.min(per_group - bit - 1);
            self.put_group(group, &g, Map::Inodes, crc)?;
            // A group in use has a block bitmap too.
            self.bitmap(group, &mut g, Map::Blocks)?;
            self.counts.inodes = self.counts.inodes.saturating_sub(1);
            return Ok(group * per_group + bit + 1);
        }
        Err(Error::NoSpace)
    }

    /// Marks an inode free.
    pub(crate) fn free_inode(&mut self, inode: u32, directory: bool) -> Result<()> {
        let (group, bit) = ((inode - 1) / self.sup.inodes_per_group, (inode - 1) % self.sup.inodes_per_group);
        let mut g = self.group(group)?;
        let map = self.bitmap(group, &mut g, Map::Inodes)?;
        if inode < self.sup.first_inode || !test_bit(self.cache.read(map)?, bit) {
            return Err(Error::Corrupt);
        }
        let crc = self.turn(Map::Inodes, map, bit, 1, false)?;
        g.free_inodes += 1;
        g.directories = g.directories.saturating_sub(u32::from(directory));
        self.put_group(group, &g, Map::Inodes, crc)?;
        self.counts.inodes += 1;
        Ok(())
    }
}
