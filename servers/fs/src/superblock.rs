//! The superblock: what the filesystem looks like. All of it but a few counters is constant while mounted.
//!
//! 1. A `Super` describes a filesystem of 4 KiB blocks whose every feature this server knows.
//! 2. Its numbers are consistent with each other: no computation on them overflows or divides by zero.

use crate::bytes::{get16, get32, put32};
use crate::crc::{crc16, crc32c};
use crate::disk::BLOCK;
use crate::error::{Error, Result};

/// Byte at which the superblock begins in block 0.
const AT: usize = 1024;
const SIZE: usize = 1024;

const COMPAT_JOURNAL: u32 = 4;
const INCOMPAT_RECOVER: u32 = 4;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CSUM_SEED: u32 = 0x2000;
/// filetype, recover, extents, 64bit, flex_bg, csum_seed.
const INCOMPAT_KNOWN: u32 = 2 | INCOMPAT_RECOVER | 0x40 | INCOMPAT_64BIT | 0x200 | INCOMPAT_CSUM_SEED;
const INCOMPAT_NEEDED: u32 = 2 | 0x40;
const RO_GDT_CSUM: u32 = 0x10;
const RO_METADATA_CSUM: u32 = 0x400;
/// sparse_super, large_file, huge_file, uninit_bg, dir_nlink, extra_isize, metadata_csum.
const RO_KNOWN: u32 = 1 | 2 | 8 | RO_GDT_CSUM | 0x20 | 0x40 | RO_METADATA_CSUM;

/// The constants of a filesystem.
#[derive(Clone, Debug)]
pub struct Super {
    /// Size in blocks.
    pub blocks: u64,
    /// Number of inodes.
    pub inodes: u32,
    /// Blocks in a group (the last may have fewer).
    pub blocks_per_group: u32,
    /// Inodes in a group.
    pub inodes_per_group: u32,
    /// Number of groups.
    pub groups: u32,
    /// Bytes of an inode.
    pub inode_size: usize,
    /// Bytes of a group descriptor.
    pub desc_size: usize,
    /// First inode that is free for files.
    pub first_inode: u32,
    /// The journal's inode.
    pub journal_inode: u32,
    /// UUID.
    pub uuid: [u8; 16],
    /// Initial value of all metadata checksums.
    pub seed: u32,
    /// Metadata carries checksums.
    pub checksums: bool,
    /// Group descriptors carry the older, 16-bit checksum.
    pub old_checksums: bool,
    /// Extra bytes that new inodes use beyond the first 128.
    pub extra_isize: u16,
    /// Blocks reserved for growing the descriptor table, after each copy of it.
    pub reserved_gdt: u32,
    /// Copies of the superblock only in some groups.
    pub sparse: bool,
}

impl Super {
    /// Reads the superblock in `block0`, without looking at its checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if this is not ext4, [`Error::Unsupported`] if it uses what this server does not know.
    pub fn parse(block0: &[u8]) -> Result<Self> {
        let sb = &block0[AT..AT + SIZE];
        let (compat, incompat, ro) = (get32(sb, 0x5C), get32(sb, 0x60), get32(sb, 0x64));
        if get16(sb, 0x38) != 0xEF53 {
            return Err(Error::Corrupt);
        }
        let unknown =
            incompat & !INCOMPAT_KNOWN != 0 || ro & !RO_KNOWN != 0 || incompat & INCOMPAT_NEEDED != INCOMPAT_NEEDED;
        if unknown || get32(sb, 0x18) != 2 || compat & COMPAT_JOURNAL == 0 || get32(sb, 0x4C) == 0 {
            return Err(Error::Unsupported);
        }
        let wide = incompat & INCOMPAT_64BIT != 0;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&sb[0x68..0x78]);
        let this = Self {
            blocks: u64::from(get32(sb, 4)) | if wide { u64::from(get32(sb, 0x150)) << 32 } else { 0 },
            inodes: get32(sb, 0),
            blocks_per_group: get32(sb, 0x20),
            inodes_per_group: get32(sb, 0x28),
            groups: 0,
            inode_size: usize::from(get16(sb, 0x58)),
            desc_size: if wide { usize::from(get16(sb, 0xFE)) } else { 32 },
            first_inode: get32(sb, 0x54),
            journal_inode: get32(sb, 0xE0),
            uuid,
            seed: if incompat & INCOMPAT_CSUM_SEED != 0 { get32(sb, 0x270) } else { crc32c(!0, &uuid) },
            checksums: ro & RO_METADATA_CSUM != 0,
            old_checksums: ro & (RO_METADATA_CSUM | RO_GDT_CSUM) == RO_GDT_CSUM,
            extra_isize: get16(sb, 0x15E),
            reserved_gdt: u32::from(get16(sb, 0xCE)),
            sparse: ro & 1 != 0,
        };
        this.checked(get32(sb, 0x14))
    }

    fn checked(mut self, first_data_block: u32) -> Result<Self> {
        let bits = (BLOCK * 8) as u32;
        let sound = first_data_block == 0
            && (64..=bits).contains(&self.blocks_per_group)
            && self.blocks_per_group.is_multiple_of(8)
            && (8..=bits).contains(&self.inodes_per_group)
            && self.inodes_per_group.is_multiple_of(8)
            && self.inode_size.is_power_of_two()
            && (128..=BLOCK).contains(&self.inode_size)
            && self.desc_size.is_power_of_two()
            && (32..=BLOCK).contains(&self.desc_size)
            && self.blocks >= 64
            && self.blocks < 1 << 44
            && usize::from(self.extra_isize) + 128 <= self.inode_size.max(256)
            && self.first_inode >= 11;
        if !sound {
            return Err(Error::Corrupt);
        }
        let groups = self.blocks.div_ceil(u64::from(self.blocks_per_group));
        self.groups = u32::try_from(groups).map_err(|_| Error::Corrupt)?;
        let inodes = groups * u64::from(self.inodes_per_group);
        if inodes != u64::from(self.inodes) || self.table_blocks() > self.blocks {
            return Err(Error::Corrupt);
        }
        if self.inode_size == 128 {
            self.extra_isize = 0;
        }
        Ok(self)
    }

    /// Blocks of the group descriptor table.
    pub fn table_blocks(&self) -> u64 {
        (u64::from(self.groups) * self.desc_size as u64).div_ceil(BLOCK as u64)
    }

    /// Number of blocks in `group`.
    pub fn blocks_in(&self, group: u32) -> u32 {
        let start = self.group_start(group);
        (self.blocks - start).min(u64::from(self.blocks_per_group)) as u32
    }

    /// First block of `group`.
    pub fn group_start(&self, group: u32) -> u64 {
        u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// Whether `group` holds a copy of the superblock and of the descriptor table.
    pub fn has_copy(&self, group: u32) -> bool {
        let power = |base: u32| {
            let mut x = base;
            while x < group {
                x = x.saturating_mul(base);
            }
            x == group
        };
        group <= 1 || !self.sparse || power(3) || power(5) || power(7)
    }

    /// The checksum of the group descriptor `desc` of `group`.
    pub fn desc_crc(&self, group: u32, desc: &[u8]) -> u16 {
        if self.checksums {
            let crc = crc32c(crc32c(self.seed, &group.to_le_bytes()), &desc[..0x1E]);
            crc32c(crc32c(crc, &[0; 2]), &desc[0x20..]) as u16
        } else {
            let crc = crc16(crc16(crc16(!0, &self.uuid), &group.to_le_bytes()), &desc[..0x1E]);
            crc16(crc, &desc[0x20..])
        }
    }
}

/// The parts of the superblock that change, in a copy of block 0.
pub struct Fields<'b>(pub &'b mut [u8]);

impl Fields<'_> {
    fn crc(&self) -> u32 {
        crc32c(!0, &self.0[AT..AT + 0x3FC])
    }

    /// Whether the checksum is right.
    pub fn is_sound(&self, sup: &Super) -> bool {
        !sup.checksums || self.crc() == get32(self.0, AT + 0x3FC)
    }

    /// Corrects the checksum. Every change ends with this.
    pub fn seal(&mut self, sup: &Super) {
        if sup.checksums {
            let crc = self.crc();
            put32(self.0, AT + 0x3FC, crc);
        }
    }

    /// Whether the journal may hold something that is needed.
    pub fn needs_recovery(&self) -> bool {
        get32(self.0, AT + 0x60) & INCOMPAT_RECOVER != 0
    }

    /// Sets what `needs_recovery` returns.
    pub fn set_needs_recovery(&mut self, on: bool) {
        let flags = get32(self.0, AT + 0x60) & !INCOMPAT_RECOVER;
        put32(self.0, AT + 0x60, flags | if on { INCOMPAT_RECOVER } else { 0 });
    }

    /// The first inode of the list of those that were deleted but not yet emptied; 0 ends the list.
    pub fn orphan(&self) -> u32 {
        get32(self.0, AT + 0xE8)
    }

    /// Sets the head of that list.
    pub fn set_orphan(&mut self, inode: u32) {
        put32(self.0, AT + 0xE8, inode);
    }

    /// Free blocks and free inodes.
    pub fn counts(&self) -> (u64, u32) {
        let high = u64::from(get32(self.0, AT + 0x158));
        (u64::from(get32(self.0, AT + 0xC)) | high << 32, get32(self.0, AT + 0x10))
    }

    /// Sets free blocks and free inodes.
    pub fn set_counts(&mut self, blocks: u64, inodes: u32) {
        put32(self.0, AT + 0xC, blocks as u32);
        put32(self.0, AT + 0x158, (blocks >> 32) as u32);
        put32(self.0, AT + 0x10, inodes);
    }

    /// Sets the time of the last change, in seconds, unless a later one is known.
    pub fn set_changed_at(&mut self, seconds: u64) {
        let seconds = seconds.max(self.last_change());
        put32(self.0, AT + 0x30, seconds as u32);
    }

    /// The later of the times of last change and last mount, in seconds since 1970.
    pub fn last_change(&self) -> u64 {
        u64::from(get32(self.0, AT + 0x2C).max(get32(self.0, AT + 0x30)))
    }
}
