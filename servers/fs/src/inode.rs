//! Inodes: reading, writing, making and emptying them.
//!
//! 1. A copy in the heap (`Nodes`) equals what the cache holds; an aborted operation drops all copies.
//! 2. An inode given out anew has another generation than at its last use.
//! 3. An inode on the orphan list has no name and no links; the list is emptied after the operation that filled it, or
//!    by the next mount.

use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::{get16, get32, put16, put32};
use crate::crc::crc32c;
use crate::disk::{BLOCK, Disk};
use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::store::{FileId, Fs, Kind};
use crate::superblock::{Fields, Super};

pub(crate) const FLAG_INDEX: u32 = 0x1000;
const FLAG_HUGE: u32 = 0x4_0000;
pub(crate) const FLAG_EXTENTS: u32 = 0x8_0000;
/// Encrypted, verity, extended-attribute inode, inline data.
const FLAGS_UNKNOWN: u32 = 0x800 | 0x10_0000 | 0x20_0000 | 0x1000_0000;

const NODES: usize = 64;
const NANOS: u64 = 1_000_000_000;

/// An inode, as far as it is used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    pub number: u32,
    pub mode: u16,
    pub links: u16,
    /// Bytes.
    pub size: u64,
    /// Blocks in use, of 512 bytes.
    pub sectors: u64,
    pub flags: u32,
    pub generation: u32,
    /// Nanoseconds since 1970.
    pub modified: u64,
    /// Time of deletion in seconds, or the next inode on the orphan list.
    pub deleted: u32,
    /// Block with extended attributes, or 0.
    pub attributes: u64,
    /// The root of the extent tree, or a short symbolic link's target.
    pub root: [u8; 60],
}

impl Inode {
    fn parse(number: u32, b: &[u8]) -> Self {
        let mut root = [0; 60];
        root.copy_from_slice(&b[0x28..0x64]);
        let flags = get32(b, 0x20);
        let units = u64::from(get32(b, 0x1C)) | u64::from(get16(b, 0x74)) << 32;
        Self {
            number,
            mode: get16(b, 0),
            links: get16(b, 0x1A),
            size: u64::from(get32(b, 4)) | u64::from(get32(b, 0x6C)) << 32,
            sectors: if flags & FLAG_HUGE != 0 { units.saturating_mul(8) } else { units },
            flags,
            generation: get32(b, 0x64),
            modified: read_time(b, 0x10, 0x88),
            deleted: get32(b, 0x14),
            attributes: u64::from(get32(b, 0x68)) | u64::from(get16(b, 0x76)) << 32,
            root,
        }
    }

    fn write(&self, b: &mut [u8], now: u64) {
        put16(b, 0, self.mode);
        put32(b, 4, self.size as u32);
        put32(b, 0x6C, (self.size >> 32) as u32);
        put32(b, 0x14, self.deleted);
        put16(b, 0x1A, self.links);
        let units = if self.flags & FLAG_HUGE != 0 { self.sectors / 8 } else { self.sectors };
        put32(b, 0x1C, units as u32);
        put16(b, 0x74, (units >> 32) as u16);
        put32(b, 0x20, self.flags);
        b[0x28..0x64].copy_from_slice(&self.root);
        put32(b, 0x64, self.generation);
        put32(b, 0x68, self.attributes as u32);
        put16(b, 0x76, (self.attributes >> 32) as u16);
        write_time(b, 0x10, 0x88, self.modified);
        write_time(b, 0xC, 0x84, now);
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        match self.mode & 0xF000 {
            0x8000 => Kind::File,
            0x4000 => Kind::Directory,
            0xA000 => Kind::Symlink,
            _ => Kind::Other,
        }
    }

    /// This, if it is a regular file that can be worked with.
    #[inline]
    fn as_file(&self) -> Result<&Self> {
        match self.kind() {
            Kind::File if self.flags & FLAG_EXTENTS != 0 => Ok(self),
            Kind::File => Err(Error::Unsupported),
            Kind::Directory => Err(Error::IsADirectory),
            _ => Err(Error::Invalid),
        }
    }

    pub fn id(&self) -> FileId {
        FileId { inode: self.number, generation: self.generation }
    }
}

fn has_extra(b: &[u8], end: usize) -> bool {
    b.len() >= end && 128 + usize::from(get16(b, 0x80)) >= end
}

fn read_time(b: &[u8], at: usize, extra: usize) -> u64 {
    let seconds = get32(b, at);
    let more = if has_extra(b, extra + 4) { get32(b, extra) } else { 0 };
    let seconds = i64::from(seconds as i32) + (i64::from(more & 3) << 32);
    u64::try_from(seconds).unwrap_or(0) * NANOS + u64::from(more >> 2).min(NANOS - 1)
}

fn write_time(b: &mut [u8], at: usize, extra: usize, time: u64) {
    let seconds = time / NANOS;
    put32(b, at, seconds as u32);
    if has_extra(b, extra + 4) {
        let epoch = (seconds as i64 - i64::from(seconds as u32 as i32)) >> 32;
        put32(b, extra, (epoch as u32 & 3) | ((time % NANOS) as u32) << 2);
    }
}

/// The checksum of the inode in `b`, and the value it is compared with.
fn inode_crc(sup: &Super, number: u32, b: &[u8]) -> (u32, u32) {
    let wide = has_extra(b, 0x84);
    let mut crc = seed_of(sup, number, get32(b, 0x64));
    crc = crc32c(crc32c(crc, &b[..0x7C]), &[0; 2]);
    crc = crc32c(crc, &b[0x7E..0x80]);
    if b.len() > 0x80 {
        crc = crc32c(crc, &b[0x80..0x82]);
        crc = crc32c(crc, if wide { &[0; 2] } else { &b[0x82..0x84] });
        crc = crc32c(crc, &b[0x84..]);
    }
    let mask = if wide { !0 } else { 0xFFFF };
    let found = u32::from(get16(b, 0x7C)) | if wide { u32::from(get16(b, 0x82)) << 16 } else { 0 };
    (crc & mask, found)
}

fn seed_of(sup: &Super, number: u32, generation: u32) -> u32 {
    crc32c(crc32c(sup.seed, &number.to_le_bytes()), &generation.to_le_bytes())
}

impl Super {
    /// Initial value of the checksums of an inode's directory and extent blocks.
    pub(crate) fn inode_seed(&self, inode: &Inode) -> u32 {
        seed_of(self, inode.number, inode.generation)
    }
}

/// An inode in the heap, with the extent used last.
#[derive(Clone)]
pub(crate) struct Node {
    pub inode: Inode,
    pub extent: Extent,
}

/// The inodes used last.
pub(crate) struct Nodes(Vec<Option<Node>>);

impl Nodes {
    pub fn new() -> Self {
        Self(vec![None; NODES])
    }

    #[inline]
    pub fn get(&mut self, number: u32) -> Option<&mut Node> {
        self.0[number as usize % NODES].as_mut().filter(|node| node.inode.number == number)
    }

    pub fn put(&mut self, inode: &Inode) {
        let extent = match self.get(inode.number) {
            Some(node) if node.inode.root == inode.root && node.inode.generation == inode.generation => node.extent,
            _ => Extent::default(),
        };
        self.0[inode.number as usize % NODES] = Some(Node { inode: inode.clone(), extent });
    }

    /// The inode of an existing file that can be worked with, where it is here.
    #[inline]
    pub fn existing(&mut self, number: u32) -> Option<&Inode> {
        let inode = &self.get(number)?.inode;
        (inode.links > 0 && inode.flags & FLAGS_UNKNOWN == 0).then_some(inode)
    }

    /// The extent used last of inode `number`, where that is the one with block `logical`.
    #[inline]
    pub fn extent(&mut self, number: u32, logical: u32) -> Option<Extent> {
        self.get(number).map(|node| node.extent).filter(|extent| extent.contains(logical))
    }

    /// Whether `inode` is just as it is here: staged already, or never changed.
    pub fn has(&mut self, inode: &Inode) -> bool {
        self.get(inode.number).is_some_and(|node| node.inode == *inode)
    }

    /// The extents of `number` have changed.
    pub fn forget_extent(&mut self, number: u32) {
        if let Some(node) = self.get(number) {
            node.extent = Extent::default();
        }
    }

    pub fn clear(&mut self) {
        self.0.fill(None);
    }
}

impl<D: Disk> Fs<'_, D> {
    fn inode_place(&mut self, number: u32, checked: bool) -> Result<(u64, usize)> {
        if number == 0 || number > self.sup.inodes {
            return Err(Error::Stale);
        }
        let (group, index) = ((number - 1) / self.sup.inodes_per_group, (number - 1) % self.sup.inodes_per_group);
        let g = if checked { self.group(group)? } else { self.group_raw(group)? };
        let at = index as usize * self.sup.inode_size;
        Ok((g.inode_table + (at / BLOCK) as u64, at % BLOCK))
    }

    /// The inode, without looking at checksums.
    pub(crate) fn inode_raw(&mut self, number: u32) -> Result<Inode> {
        let (block, at) = self.inode_place(number, false)?;
        let size = self.sup.inode_size;
        Ok(Inode::parse(number, &self.cache.read(block)?[at..at + size]))
    }

    /// The inode, which may have been deleted.
    pub(crate) fn inode_any(&mut self, number: u32) -> Result<Inode> {
        if let Some(node) = self.nodes.get(number) {
            return Ok(node.inode.clone());
        }
        let (block, at) = self.inode_place(number, true)?;
        let bytes = &self.cache.read(block)?[at..at + self.sup.inode_size];
        let inode = Inode::parse(number, bytes);
        if inode.links == 0 {
            return Ok(inode);
        }
        if self.sup.checksums {
            let (crc, found) = inode_crc(&self.sup, number, bytes);
            if crc != found {
                return Err(Error::Corrupt);
            }
        }
        if self.sup.inode_size > 128 && 128 + usize::from(get16(bytes, 0x80)) > self.sup.inode_size {
            return Err(Error::Corrupt);
        }
        self.nodes.put(&inode);
        Ok(inode)
    }

    /// The inode of an existing file that this server can work with.
    pub(crate) fn inode(&mut self, number: u32) -> Result<Inode> {
        let inode = self.inode_any(number)?;
        if inode.links == 0 {
            return Err(Error::Stale);
        }
        if inode.flags & FLAGS_UNKNOWN != 0 {
            return Err(Error::Unsupported);
        }
        Ok(inode)
    }

    /// The inode that `file` names, if it is still that file.
    pub(crate) fn open_any(&mut self, file: FileId) -> Result<Inode> {
        if file.inode != ROOT && file.inode < self.sup.first_inode {
            return Err(Error::Stale);
        }
        let inode = self.inode(file.inode)?;
        if inode.generation != file.generation { Err(Error::Stale) } else { Ok(inode) }
    }

    /// As `open_any`, where the inode is in the heap: without a copy.
    #[inline]
    pub(crate) fn opened(&mut self, file: FileId) -> Option<&Inode> {
        let named = file.inode == ROOT || file.inode >= self.sup.first_inode;
        self.nodes.existing(file.inode).filter(|inode| named && inode.generation == file.generation)
    }

    pub(crate) fn open_dir(&mut self, file: FileId) -> Result<Inode> {
        let inode = self.open_any(file)?;
        if inode.kind() != Kind::Directory { Err(Error::NotADirectory) } else { Ok(inode) }
    }

    pub(crate) fn open_file(&mut self, file: FileId) -> Result<Inode> {
        self.look(file, Inode::clone)
    }

    /// What `see` sees in the inode of the file that `file` names, which is copied only where it is not in the heap.
    #[inline]
    pub(crate) fn look<T>(&mut self, file: FileId, see: impl FnOnce(&Inode) -> T) -> Result<T> {
        match self.opened(file) {
            Some(inode) => inode.as_file().map(see),
            None => self.open_any(file)?.as_file().map(see),
        }
    }

    /// Stages the changed inode.
    pub(crate) fn put_inode(&mut self, inode: &Inode) -> Result<()> {
        let (block, at) = self.inode_place(inode.number, true)?;
        let now = self.now();
        let bytes = &mut self.cache.edit(block)?[at..at + self.sup.inode_size];
        inode.write(bytes, now);
        seal(&self.sup, inode.number, bytes);
        self.nodes.put(inode);
        Ok(())
    }

    /// Makes an empty file or directory in a free inode, near `near`.
    pub(crate) fn make_inode(&mut self, near: u32, mode: u16) -> Result<Inode> {
        let directory = mode & 0xF000 == 0x4000;
        let number = self.alloc_inode(near, directory)?;
        let (block, at) = self.inode_place(number, true)?;
        let now = self.now();
        let extra = self.sup.extra_isize;
        let bytes = &mut self.cache.edit(block)?[at..at + self.sup.inode_size];
        let generation = get32(bytes, 0x64).wrapping_add(1);
        bytes.fill(0);
        if bytes.len() > 128 {
            put16(bytes, 0x80, extra);
        }
        write_time(bytes, 8, 0x8C, now);
        if has_extra(bytes, 0x98) {
            write_time(bytes, 0x90, 0x94, now);
        }
        let mut root = [0; 60];
        put16(&mut root, 0, 0xF30A);
        put16(&mut root, 4, 4);
        let inode = Inode {
            number,
            mode,
            links: 1,
            size: 0,
            sectors: 0,
            flags: FLAG_EXTENTS,
            generation,
            modified: now,
            deleted: 0,
            attributes: 0,
            root,
        };
        self.put_inode(&inode)?;
        Ok(inode)
    }

    /// One name of `inode` is gone: without any left its blocks and the inode itself are freed, now or, if that is too
    /// much for one operation, from the orphan list.
    pub(crate) fn drop_link(&mut self, mut inode: Inode) -> Result<()> {
        let directory = inode.kind() == Kind::Directory;
        inode.links = if directory { 0 } else { inode.links.saturating_sub(1) };
        if inode.links > 0 {
            return self.put_inode(&inode);
        }
        if self.empty(&mut inode)? {
            return self.erase(inode, directory);
        }
        let block0 = self.cache.edit(0)?;
        let mut fields = Fields(block0);
        inode.deleted = fields.orphan();
        fields.set_orphan(inode.number);
        fields.seal(&self.sup);
        self.orphans = true;
        self.put_inode(&inode)
    }

    /// Frees what the inode holds. False if something is left.
    fn empty(&mut self, inode: &mut Inode) -> Result<bool> {
        if inode.flags & FLAG_EXTENTS != 0 && matches!(inode.kind(), Kind::File | Kind::Directory | Kind::Symlink) {
            if !self.shrink(inode, 0)? {
                return Ok(false);
            }
        } else if inode.sectors > 0 && inode.attributes == 0 && inode.kind() != Kind::Symlink {
            return Err(Error::Unsupported);
        }
        if inode.attributes != 0 {
            self.drop_attributes(inode.attributes)?;
            inode.attributes = 0;
            inode.sectors = inode.sectors.saturating_sub(8);
        }
        Ok(true)
    }

    /// Extended attributes may be shared between inodes: the block counts its users.
    fn drop_attributes(&mut self, block: u64) -> Result<()> {
        let data = self.cache.read(block)?;
        if get32(data, 0) != 0xEA02_0000 {
            return Err(Error::Corrupt);
        }
        let users = get32(data, 4);
        if users <= 1 {
            return self.free_blocks(block, 1);
        }
        let seed = self.sup.seed;
        let checksums = self.sup.checksums;
        let data = self.cache.edit(block)?;
        put32(data, 4, users - 1);
        if checksums {
            put32(data, 16, 0);
            let crc = crc32c(crc32c(seed, &block.to_le_bytes()), data);
            put32(data, 16, crc);
        }
        Ok(())
    }

    fn erase(&mut self, mut inode: Inode, directory: bool) -> Result<()> {
        inode.size = 0;
        inode.deleted = (self.now() / NANOS) as u32;
        self.put_inode(&inode)?;
        self.free_inode(inode.number, directory)
    }

    /// The first inode of the orphan list, or 0.
    pub(crate) fn first_orphan(&mut self) -> Result<u32> {
        let mut copy = self.cache.read(0)?.to_vec();
        Ok(Fields(&mut copy).orphan())
    }

    /// Works on the first inode of the orphan list for one operation. False if the list is empty.
    pub(crate) fn reap(&mut self) -> Result<bool> {
        let head = self.first_orphan()?;
        if head == 0 {
            return Ok(false);
        }
        let mut inode = self.inode_any(head)?;
        let next = inode.deleted;
        if inode.links > 0 {
            // Linux lists a file here while it truncates it.
            let keep = inode.size.div_ceil(BLOCK as u64);
            if !self.shrink(&mut inode, u32::try_from(keep).map_err(|_| Error::Corrupt)?)? {
                return self.put_inode(&inode).map(|()| true);
            }
            inode.deleted = 0;
            self.put_inode(&inode)?;
        } else {
            if !self.empty(&mut inode)? {
                return self.put_inode(&inode).map(|()| true);
            }
            let directory = inode.kind() == Kind::Directory;
            self.erase(inode, directory)?;
        }
        let mut fields = Fields(self.cache.edit(0)?);
        fields.set_orphan(next);
        fields.seal(&self.sup);
        Ok(true)
    }
}

/// The root directory's inode.
pub(crate) const ROOT: u32 = 2;

fn seal(sup: &Super, number: u32, bytes: &mut [u8]) {
    if sup.checksums {
        let (crc, _) = inode_crc(sup, number, bytes);
        put16(bytes, 0x7C, crc as u16);
        if has_extra(bytes, 0x84) {
            put16(bytes, 0x82, (crc >> 16) as u16);
        }
    }
}
