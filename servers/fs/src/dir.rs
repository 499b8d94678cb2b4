//! Directories: blocks of entries, searched from first to last.
//!
//! 1. An entry is checked before it is used: it lies in its block, and its name in it. So no walk is endless.
//! 2. Entries never move: the byte position of an entry is a cookie that stays good across changes and restarts.
//! 3. A hash index (of a directory that Linux has written) is read around. The first insertion turns it off, after which
//!    the directory is an ordinary one to everybody; removal leaves it valid.

use crate::bytes::{get16, get32, put16, put32};
use crate::crc::crc32c;
use crate::disk::{BLOCK, Disk};
use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::inode::{FLAG_INDEX, Inode};
use crate::store::{Entry, Fs, Kind};

/// Bytes of the checksum entry at the end of a block.
const TAIL: usize = 12;
const TAIL_MARK: u8 = 0xDE;
/// Longest name in bytes.
pub const NAME_MAX: usize = 255;
/// No directory that this server makes gets larger.
const MAX_BLOCKS: u64 = 1 << 18;

/// An entry found in a block.
#[derive(Clone, Copy, Debug)]
struct Raw {
    at: usize,
    len: usize,
    inode: u32,
    name: usize,
    kind: u8,
}

impl Raw {
    fn used(&self) -> usize {
        if self.inode == 0 { 0 } else { space(self.name) }
    }
}

/// A name found in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub inode: u32,
    block: u64,
    at: usize,
}

/// Bytes that an entry with a name of `name` bytes needs.
fn space(name: usize) -> usize {
    (8 + name).next_multiple_of(4)
}

fn raw(block: &[u8], at: usize, end: usize) -> Result<Raw> {
    let raw = Raw {
        at,
        len: usize::from(get16(block, at + 4)),
        inode: get32(block, at),
        name: usize::from(block[at + 6]),
        kind: block[at + 7],
    };
    // In the blocks of a hash index the entry under which the index hides reaches to the end of the block.
    let hides = at + raw.len == BLOCK && (at == 0 && raw.inode == 0 || at == 12 && raw.name == 2);
    let sound = raw.len >= 12 && raw.len.is_multiple_of(4) && (at + raw.len <= end || hides) && 8 + raw.name <= raw.len;
    if sound { Ok(raw) } else { Err(Error::Corrupt) }
}

/// Calls `visit` with each entry until it returns something.
fn walk<T>(block: &[u8], end: usize, mut visit: impl FnMut(Raw) -> Option<T>) -> Result<Option<T>> {
    let mut at = 0;
    while at + 12 <= end {
        let entry = raw(block, at, end)?;
        if let Some(found) = visit(entry) {
            return Ok(Some(found));
        }
        at += entry.len;
    }
    Ok(None)
}

fn name_of<'b>(block: &'b [u8], entry: &Raw) -> &'b [u8] {
    &block[entry.at + 8..entry.at + 8 + entry.name]
}

fn write_entry(block: &mut [u8], at: usize, len: usize, inode: u32, kind: u8, name: &[u8]) {
    put32(block, at, inode);
    put16(block, at + 4, len as u16);
    block[at + 6] = name.len() as u8;
    block[at + 7] = kind;
    block[at + 8..at + 8 + name.len()].copy_from_slice(name);
}

fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::Symlink => 7,
        Kind::Other => 0,
    }
}

fn kind_of(code: u8) -> Kind {
    match code {
        1 => Kind::File,
        2 => Kind::Directory,
        7 => Kind::Symlink,
        _ => Kind::Other,
    }
}

/// Whether `name` can be an entry.
///
/// # Errors
/// [`Error::NameTooLong`]; [`Error::Invalid`] for an empty name, `.`, `..`, a slash or a zero byte. (`..` is refused
/// because a directory capability gives no way out of the directory.)
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX {
        return Err(Error::NameTooLong);
    }
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        return Err(Error::Invalid);
    }
    Ok(())
}

impl<D: Disk> Fs<'_, D> {
    /// Where entries end in a block.
    fn entries_end(&self) -> usize {
        if self.sup.checksums { BLOCK - TAIL } else { BLOCK }
    }

    fn dir_blocks(&self, dir: &Inode) -> Result<u32> {
        let blocks = dir.size / BLOCK as u64;
        if !dir.size.is_multiple_of(BLOCK as u64) || blocks == 0 || blocks > MAX_BLOCKS {
            return Err(Error::Corrupt);
        }
        Ok(blocks as u32)
    }

    /// The disk block of directory block `i`, checked.
    fn dir_block(&mut self, dir: &Inode, i: u32) -> Result<u64> {
        let extent = self.map(dir, i)?;
        if extent.physical == 0 || !extent.written {
            return Err(Error::Corrupt);
        }
        let block = extent.physical + u64::from(i - extent.logical);
        if self.sup.checksums {
            let seed = self.sup.inode_seed(dir);
            let indexed = dir.flags & FLAG_INDEX != 0;
            self.cache.read_checked(block, |data| {
                let tail = &data[BLOCK - TAIL..];
                let has_tail = tail[..8] == [0, 0, 0, 0, 12, 0, 0, TAIL_MARK];
                if has_tail { crc32c(seed, &data[..BLOCK - TAIL]) == get32(tail, 8) } else { indexed }
            })?;
        }
        Ok(block)
    }

    fn seal_dir_block(&mut self, dir: &Inode, block: u64) -> Result<()> {
        if self.sup.checksums {
            let seed = self.sup.inode_seed(dir);
            let data = self.cache.edit(block)?;
            write_entry(data, BLOCK - TAIL, TAIL, 0, TAIL_MARK, &[]);
            let crc = crc32c(seed, &data[..BLOCK - TAIL]);
            put32(data, BLOCK - 4, crc);
        }
        Ok(())
    }

    /// Finds `name`, any name, in a directory.
    pub(crate) fn dir_find(&mut self, dir: &Inode, name: &[u8]) -> Result<Option<Found>> {
        let end = self.entries_end();
        for i in 0..self.dir_blocks(dir)? {
            let block = self.dir_block(dir, i)?;
            let data = self.cache.read(block)?;
            let is_it = |e: Raw| {
                (e.inode != 0 && e.name == name.len() && name_of(data, &e) == name).then_some(Found {
                    inode: e.inode,
                    block,
                    at: e.at,
                })
            };
            if let Some(found) = walk(data, end, is_it)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Adds an entry. The name must not exist.
    pub(crate) fn dir_insert(&mut self, dir: &mut Inode, name: &[u8], target: &Inode) -> Result<()> {
        if dir.flags & FLAG_INDEX != 0 {
            self.unindex(dir)?;
        }
        let (end, need) = (self.entries_end(), space(name.len()));
        let blocks = self.dir_blocks(dir)?;
        // Where the last insertion found room there is most likely more; elsewhere comes second.
        let hint = if self.dir_hint.0 == dir.number { self.dir_hint.1.min(blocks - 1) } else { 0 };
        for i in (hint..blocks).chain(0..hint) {
            let block = self.dir_block(dir, i)?;
            let data = self.cache.read(block)?;
            let Some(e) = walk(data, end, |e| (e.len.saturating_sub(e.used()) >= need).then_some(e))? else { continue };
            let data = self.cache.edit(block)?;
            let used = e.used();
            if used > 0 {
                put16(data, e.at + 4, used as u16);
            }
            write_entry(data, e.at + used, e.len - used, target.number, kind_code(target.kind()), name);
            self.dir_hint = (dir.number, i);
            return self.seal_dir_block(dir, block);
        }
        self.dir_append(dir, blocks, name, target)
    }

    fn dir_append(&mut self, dir: &mut Inode, blocks: u32, name: &[u8], target: &Inode) -> Result<()> {
        if u64::from(blocks) >= MAX_BLOCKS {
            return Err(Error::TooLarge);
        }
        let end = self.entries_end();
        let block = self.dir_grow(dir, blocks)?;
        write_entry(self.cache.edit(block)?, 0, end, target.number, kind_code(target.kind()), name);
        self.dir_hint = (dir.number, blocks);
        self.seal_dir_block(dir, block)
    }

    /// Gives the directory a block number `i`, its last.
    fn dir_grow(&mut self, dir: &mut Inode, i: u32) -> Result<u64> {
        let goal = match i.checked_sub(1) {
            Some(last) => {
                let e = self.map(dir, last)?;
                e.physical + u64::from(i - e.logical)
            }
            None => self.goal_for(dir.number),
        };
        let (block, _) = self.alloc_blocks(goal, 1)?;
        self.cache.edit_new(block)?;
        self.insert(dir, Extent { logical: i, len: 1, physical: block, written: true })?;
        dir.sectors += (BLOCK / 512) as u64;
        dir.size = (u64::from(i) + 1) * BLOCK as u64;
        Ok(block)
    }

    /// The first block of a new directory.
    pub(crate) fn dir_init(&mut self, dir: &mut Inode, parent: u32) -> Result<()> {
        let end = self.entries_end();
        let block = self.dir_grow(dir, 0)?;
        let data = self.cache.edit(block)?;
        write_entry(data, 0, 12, dir.number, 2, b".");
        write_entry(data, 12, end - 12, parent, 2, b"..");
        self.seal_dir_block(dir, block)
    }

    /// Takes the entry out: the one before it in its block takes over its space.
    pub(crate) fn dir_remove(&mut self, dir: &Inode, found: Found) -> Result<()> {
        let end = self.entries_end();
        let data = self.cache.edit(found.block)?;
        let mut previous = None;
        let entry = walk(data, end, |e| {
            if e.at == found.at {
                return Some(e);
            }
            previous = Some(e);
            None
        })?;
        let entry = entry.ok_or(Error::Corrupt)?;
        match previous {
            Some(p) => put16(data, p.at + 4, (p.len + entry.len) as u16),
            None => put32(data, entry.at, 0),
        }
        self.seal_dir_block(dir, found.block)
    }

    /// Points the entry at another inode.
    pub(crate) fn dir_replace(&mut self, dir: &Inode, found: Found, target: &Inode) -> Result<()> {
        let data = self.cache.edit(found.block)?;
        put32(data, found.at, target.number);
        data[found.at + 7] = kind_code(target.kind());
        if self.tail_present(found.block)? {
            self.seal_dir_block(dir, found.block)?;
        }
        Ok(())
    }

    /// False in the blocks of a hash index, whose checksum lies elsewhere and is not touched by `..` alone.
    fn tail_present(&mut self, block: u64) -> Result<bool> {
        Ok(self.cache.read(block)?[BLOCK - TAIL..][..8] == [0, 0, 0, 0, 12, 0, 0, TAIL_MARK])
    }

    /// Points `..` at another directory.
    pub(crate) fn dir_set_parent(&mut self, dir: &mut Inode, parent: &Inode) -> Result<()> {
        if dir.flags & FLAG_INDEX != 0 {
            self.unindex(dir)?;
        }
        let found = self.dir_find(dir, b"..")?.ok_or(Error::Corrupt)?;
        self.dir_replace(dir, found, parent)
    }

    /// Whether there is nothing but `.` and `..`.
    pub(crate) fn dir_is_empty(&mut self, dir: &Inode) -> Result<bool> {
        let end = self.entries_end();
        for i in 0..self.dir_blocks(dir)? {
            let block = self.dir_block(dir, i)?;
            let data = self.cache.read(block)?;
            let other =
                |e: Raw| (e.inode != 0 && name_of(data, &e) != b"." && name_of(data, &e) != b"..").then_some(());
            if walk(data, end, other)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Turns the hash index off: its blocks become blocks without entries.
    fn unindex(&mut self, dir: &mut Inode) -> Result<()> {
        let end = self.entries_end();
        for i in 0..self.dir_blocks(dir)? {
            let block = self.dir_block(dir, i)?;
            let data = self.cache.read(block)?;
            if i == 0 {
                if get16(data, 4) != 12 || usize::from(get16(data, 16)) < BLOCK - 12 - TAIL {
                    return Err(Error::Corrupt);
                }
                let data = self.cache.edit(block)?;
                put16(data, 16, (end - 12) as u16);
                data[24..].fill(0);
            } else if get32(data, 0) == 0 && usize::from(get16(data, 4)) == BLOCK {
                let data = self.cache.edit(block)?;
                data.fill(0);
                put16(data, 4, end as u16);
            } else {
                continue;
            }
            self.seal_dir_block(dir, block)?;
        }
        dir.flags &= !FLAG_INDEX;
        self.put_inode(dir)
    }

    /// Calls `visit` with the entries from `cookie` on, until it returns false or there are no more. Returns the cookie
    /// to go on from: that of the entry refused, or the end.
    pub(crate) fn dir_read(
        &mut self,
        dir: &Inode,
        cookie: u64,
        visit: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<u64> {
        let end = self.entries_end();
        let blocks = self.dir_blocks(dir)?;
        for i in (cookie / BLOCK as u64).min(u64::from(blocks)) as u32..blocks {
            let start = u64::from(i) * BLOCK as u64;
            let block = self.dir_block(dir, i)?;
            let data = self.cache.read(block)?;
            let stop = walk(data, end, |e| {
                let here = start + e.at as u64;
                let name = name_of(data, &e);
                if here < cookie || e.inode == 0 || name == b"." || name == b".." {
                    return None;
                }
                let next = start + (e.at + e.len) as u64;
                let entry = Entry { name, inode: e.inode, kind: kind_of(e.kind), next };
                (!visit(entry)).then_some(here)
            })?;
            if let Some(here) = stop {
                return Ok(here);
            }
        }
        Ok(u64::from(blocks) * BLOCK as u64)
    }
}
