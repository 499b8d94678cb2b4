//! Extent trees: where the blocks of a file lie.
//!
//! 1. A node is checked before it is used: magic, counts, depth, checksum. Depth falls by one from parent to child, so
//!    no walk is endless.
//! 2. `insert` splits full nodes on its way down: a parent always has room for one more child.
//! 3. `shrink` only removes from the end, and leaves a valid tree after each step.
//! 4. Every block that a node names lies in the filesystem.

use alloc::vec::Vec;

use crate::bytes::{get16, get32, put16, put32};
use crate::crc::crc32c;
use crate::disk::{BLOCK, Disk};
use crate::error::{Error, Result};
use crate::inode::{FLAG_EXTENTS, Inode};
use crate::store::Fs;

const MAGIC: u16 = 0xF30A;
const HEAD: usize = 12;
const ENTRY: usize = 12;
const ROOT_ENTRIES: u16 = 4;
const BLOCK_ENTRIES: u16 = ((BLOCK - HEAD) / ENTRY) as u16;
const MAX_DEPTH: u16 = 5;
/// Longest written extent; longer values mean an unwritten one.
const MAX_LEN: u32 = 32768;
/// Sectors of 512 bytes in a block.
const SECTORS: u64 = 8;

/// A run of blocks of a file, or a hole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First block, counted in the file.
    pub logical: u32,
    pub len: u32,
    /// First block on disk; 0 for a hole.
    pub physical: u64,
    /// False: allocated, but to be read as zeros.
    pub written: bool,
}

impl Extent {
    #[inline]
    pub fn contains(&self, logical: u32) -> bool {
        logical.wrapping_sub(self.logical) < self.len
    }

    fn end(&self) -> u32 {
        self.logical.saturating_add(self.len)
    }

    fn decode(e: &[u8]) -> Self {
        let raw = u32::from(get16(e, 4));
        let (len, written) = if raw <= MAX_LEN { (raw, true) } else { (raw - MAX_LEN, false) };
        let physical = u64::from(get32(e, 8)) | u64::from(get16(e, 6)) << 32;
        Self { logical: get32(e, 0), len, physical, written }
    }

    fn encode(&self) -> [u8; ENTRY] {
        let mut e = [0; ENTRY];
        put32(&mut e, 0, self.logical);
        put16(&mut e, 4, (self.len + if self.written { 0 } else { MAX_LEN }) as u16);
        put16(&mut e, 6, (self.physical >> 32) as u16);
        put32(&mut e, 8, self.physical as u32);
        e
    }

    /// `self` followed by `next` as one extent, if that is possible.
    fn joined(&self, next: &Self) -> Option<Self> {
        let fits = self.end() == next.logical && self.physical + u64::from(self.len) == next.physical;
        let same = self.written == next.written && self.len + next.len <= MAX_LEN - u32::from(!self.written);
        (fits && same).then(|| Self { len: self.len + next.len, ..*self })
    }
}

/// Where a node lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Root,
    Block(u64),
}

fn count(n: &[u8]) -> usize {
    usize::from(get16(n, 2))
}

fn depth(n: &[u8]) -> u16 {
    get16(n, 6)
}

fn entry(n: &[u8], i: usize) -> &[u8] {
    &n[HEAD + i * ENTRY..HEAD + (i + 1) * ENTRY]
}

fn key(n: &[u8], i: usize) -> u32 {
    get32(entry(n, i), 0)
}

fn child(n: &[u8], i: usize) -> u64 {
    u64::from(get32(entry(n, i), 4)) | u64::from(get16(entry(n, i), 8)) << 32
}

fn index_entry(key: u32, child: u64) -> [u8; ENTRY] {
    let mut e = [0; ENTRY];
    put32(&mut e, 0, key);
    put32(&mut e, 4, child as u32);
    put16(&mut e, 8, (child >> 32) as u16);
    e
}

fn is_full(n: &[u8]) -> bool {
    get16(n, 2) >= get16(n, 4)
}

fn insert_entry(n: &mut [u8], i: usize, e: &[u8; ENTRY]) {
    let (at, end) = (HEAD + i * ENTRY, HEAD + count(n) * ENTRY);
    n.copy_within(at..end, at + ENTRY);
    n[at..at + ENTRY].copy_from_slice(e);
    put16(n, 2, count(n) as u16 + 1);
}

fn remove_entry(n: &mut [u8], i: usize) {
    let (at, end) = (HEAD + i * ENTRY, HEAD + count(n) * ENTRY);
    n.copy_within(at + ENTRY..end, at);
    put16(n, 2, count(n) as u16 - 1);
}

/// Number of entries whose key is not above `logical`.
fn upper(n: &[u8], logical: u32) -> usize {
    let (mut low, mut high) = (0, count(n));
    while low < high {
        let mid = usize::midpoint(low, high);
        if key(n, mid) <= logical { low = mid + 1 } else { high = mid }
    }
    low
}

fn node_crc(seed: u32, n: &[u8]) -> u32 {
    crc32c(seed, &n[..HEAD + usize::from(BLOCK_ENTRIES) * ENTRY])
}

fn check(n: &[u8], capacity: u16) -> Result<()> {
    let sound = get16(n, 0) == MAGIC && get16(n, 4) <= capacity && get16(n, 4) > 0 && get16(n, 2) <= get16(n, 4);
    if sound && depth(n) <= MAX_DEPTH { Ok(()) } else { Err(Error::Corrupt) }
}

impl<D: Disk> Fs<'_, D> {
    fn node<'a>(&'a mut self, inode: &'a Inode, at: At) -> Result<&'a [u8]> {
        let At::Block(block) = at else {
            check(&inode.root, ROOT_ENTRIES)?;
            return Ok(&inode.root);
        };
        let (seed, checksums) = (self.sup.inode_seed(inode), self.sup.checksums && !self.opening);
        let tail = HEAD + usize::from(BLOCK_ENTRIES) * ENTRY;
        let node = self.cache.read_checked(block, |n| !checksums || node_crc(seed, n) == get32(n, tail))?;
        check(node, BLOCK_ENTRIES)?;
        Ok(node)
    }

    fn node_mut<'a>(&'a mut self, inode: &'a mut Inode, at: At) -> Result<&'a mut [u8]> {
        match at {
            At::Root => Ok(&mut inode.root),
            At::Block(block) => self.cache.edit(block),
        }
    }

    fn seal(&mut self, inode: &Inode, at: At) -> Result<()> {
        if let (At::Block(block), true) = (at, self.sup.checksums) {
            let seed = self.sup.inode_seed(inode);
            let node = self.cache.edit(block)?;
            let crc = node_crc(seed, node);
            put32(node, HEAD + usize::from(BLOCK_ENTRIES) * ENTRY, crc);
        }
        Ok(())
    }

    /// The extent, or the hole, that holds block `logical` of the file.
    pub(crate) fn find(&mut self, inode: &Inode, logical: u32) -> Result<Extent> {
        if inode.flags & FLAG_EXTENTS == 0 {
            return Err(Error::Unsupported);
        }
        let blocks = self.sup.blocks;
        let (mut at, mut bound, mut level) = (At::Root, u32::MAX, None);
        loop {
            let node = self.node(inode, at)?;
            if level.is_some_and(|level| depth(node) != level) {
                return Err(Error::Corrupt);
            }
            let i = upper(node, logical);
            if i < count(node) {
                bound = bound.min(key(node, i));
            }
            if depth(node) == 0 {
                let found = i.checked_sub(1).map(|i| Extent::decode(entry(node, i)));
                return hole_or(found, logical, bound, blocks);
            }
            if count(node) == 0 {
                return Err(Error::Corrupt);
            }
            level = Some(depth(node) - 1);
            at = At::Block(child(node, i.saturating_sub(1)));
        }
    }

    /// As `find`, remembering the answer.
    #[inline]
    pub(crate) fn map(&mut self, inode: &Inode, logical: u32) -> Result<Extent> {
        if let Some(node) = self.nodes.get(inode.number)
            && node.extent.contains(logical)
        {
            return Ok(node.extent);
        }
        let extent = self.find(inode, logical)?;
        if let Some(node) = self.nodes.get(inode.number) {
            node.extent = extent;
        }
        Ok(extent)
    }

    /// A new node block near the file's data.
    fn new_node(&mut self, inode: &mut Inode, near: u64) -> Result<u64> {
        let (block, _) = self.alloc_blocks(near, 1)?;
        let node = self.cache.edit_new(block)?;
        put16(node, 0, MAGIC);
        put16(node, 4, BLOCK_ENTRIES);
        inode.sectors += SECTORS;
        Ok(block)
    }

    /// Adds an extent where there was a hole.
    pub(crate) fn insert(&mut self, inode: &mut Inode, new: Extent) -> Result<()> {
        self.nodes.forget_extent(inode.number);
        if self.join(inode, &new)? {
            return Ok(());
        }
        if is_full(self.node(inode, At::Root)?) {
            self.grow(inode, new.physical)?;
        }
        let mut at = At::Root;
        loop {
            let node = self.node(inode, at)?;
            if depth(node) == 0 {
                break;
            }
            if count(node) == 0 {
                return Err(Error::Corrupt);
            }
            let i = upper(node, new.logical).saturating_sub(1);
            let (first, below, level) = (key(node, i), child(node, i), depth(node) - 1);
            if new.logical < first {
                put32(self.node_mut(inode, at)?, HEAD + i * ENTRY, new.logical);
                self.seal(inode, at)?;
            }
            let next = self.node(inode, At::Block(below))?;
            if depth(next) != level {
                return Err(Error::Corrupt);
            }
            at = At::Block(if is_full(next) { self.split(inode, at, i, below, &new)? } else { below });
        }
        let node = self.node_mut(inode, at)?;
        let i = upper(node, new.logical);
        insert_entry(node, i, &new.encode());
        self.seal(inode, at)
    }

    /// The leaf that holds `logical`, or would.
    fn leaf(&mut self, inode: &Inode, logical: u32) -> Result<At> {
        let (mut at, mut level) = (At::Root, None);
        loop {
            let node = self.node(inode, at)?;
            if level.is_some_and(|level| depth(node) != level) {
                return Err(Error::Corrupt);
            }
            if depth(node) == 0 {
                return Ok(at);
            }
            if count(node) == 0 {
                return Err(Error::Corrupt);
            }
            level = Some(depth(node) - 1);
            at = At::Block(child(node, upper(node, logical).saturating_sub(1)));
        }
    }

    /// Lengthens a neighbour to take in `new`, if possible.
    fn join(&mut self, inode: &mut Inode, new: &Extent) -> Result<bool> {
        let at = self.leaf(inode, new.logical)?;
        let node = self.node(inode, at)?;
        let i = upper(node, new.logical);
        let left = i.checked_sub(1).and_then(|i| Extent::decode(entry(node, i)).joined(new).map(|e| (i, e)));
        let right = || (i < count(node)).then(|| new.joined(&Extent::decode(entry(node, i))).map(|e| (i, e))).flatten();
        let Some((i, joined)) = left.or_else(right) else { return Ok(false) };
        self.node_mut(inode, at)?[HEAD + i * ENTRY..HEAD + (i + 1) * ENTRY].copy_from_slice(&joined.encode());
        self.seal(inode, at)?;
        Ok(true)
    }

    /// Moves the root's entries into a block of their own.
    fn grow(&mut self, inode: &mut Inode, near: u64) -> Result<()> {
        let level = depth(&inode.root);
        if level >= MAX_DEPTH {
            return Err(Error::TooLarge);
        }
        let block = self.new_node(inode, near)?;
        let entries = count(&inode.root);
        let node = self.cache.edit(block)?;
        node[HEAD..HEAD + entries * ENTRY].copy_from_slice(&inode.root[HEAD..HEAD + entries * ENTRY]);
        put16(node, 2, entries as u16);
        put16(node, 6, level);
        let first = key(node, 0);
        inode.root[HEAD..].fill(0);
        inode.root[HEAD..HEAD + ENTRY].copy_from_slice(&index_entry(first, block));
        put16(&mut inode.root, 2, 1);
        put16(&mut inode.root, 6, level + 1);
        self.seal(inode, At::Block(block))
    }

    /// Splits the full node `below`, entry `i` of its parent. Returns the half in which `new` belongs.
    fn split(&mut self, inode: &mut Inode, parent: At, i: usize, below: u64, new: &Extent) -> Result<u64> {
        let block = self.new_node(inode, new.physical)?;
        let old = self.cache.edit(below)?;
        let (entries, level) = (count(old), depth(old));
        // A file that grows at its end leaves full nodes behind.
        let appending = new.logical > key(old, entries - 1);
        let keep = match (appending, level) {
            (true, 0) => entries,
            (true, _) => entries - 1,
            _ => entries / 2,
        };
        let moved: Vec<u8> = old[HEAD + keep * ENTRY..HEAD + entries * ENTRY].to_vec();
        put16(old, 2, keep as u16);
        let node = self.cache.edit(block)?;
        node[HEAD..HEAD + moved.len()].copy_from_slice(&moved);
        put16(node, 2, (entries - keep) as u16);
        put16(node, 6, level);
        let first = if moved.is_empty() { new.logical } else { key(node, 0) };
        insert_entry(self.node_mut(inode, parent)?, i + 1, &index_entry(first, block));
        for at in [At::Block(below), At::Block(block), parent] {
            self.seal(inode, at)?;
        }
        Ok(if new.logical >= first { block } else { below })
    }

    /// Marks `len` blocks from `logical` on, inside the unwritten extent `of`, as written.
    pub(crate) fn mark_written(&mut self, inode: &mut Inode, of: Extent, logical: u32, len: u32) -> Result<()> {
        self.nodes.forget_extent(inode.number);
        let at = self.leaf(inode, logical)?;
        let node = self.node_mut(inode, at)?;
        let i = upper(node, logical).checked_sub(1).ok_or(Error::Corrupt)?;
        if Extent::decode(entry(node, i)) != of {
            return Err(Error::Corrupt);
        }
        let skip = logical - of.logical;
        if skip == 0 {
            remove_entry(node, i);
        } else {
            node[HEAD + i * ENTRY..HEAD + (i + 1) * ENTRY].copy_from_slice(&Extent { len: skip, ..of }.encode());
        }
        self.seal(inode, at)?;
        let middle = Extent { logical, len, physical: of.physical + u64::from(skip), written: true };
        self.insert(inode, middle)?;
        if middle.end() < of.end() {
            let physical = middle.physical + u64::from(len);
            self.insert(
                inode,
                Extent { logical: middle.end(), len: of.end() - middle.end(), physical, written: false },
            )?;
        }
        Ok(())
    }

    /// Frees all blocks from `from` on, counted in the file. False if the operation became too large before the end:
    /// the tree is valid, and a further call goes on.
    pub(crate) fn shrink(&mut self, inode: &mut Inode, from: u32) -> Result<bool> {
        self.nodes.forget_extent(inode.number);
        loop {
            if self.cache.freed_room() < 8 || self.cache.stage_room() < 12 {
                return Ok(false);
            }
            let path = self.rightmost(inode)?;
            let at = path[path.len() - 1];
            let node = self.node(inode, at)?;
            let entries = count(node);
            if entries == 0 {
                if at == At::Root {
                    put16(&mut inode.root, 6, 0);
                    return Ok(true);
                }
                self.remove_node(inode, &path)?;
                continue;
            }
            let last = Extent::decode(entry(node, entries - 1));
            if last.end() <= from {
                self.flatten(inode)?;
                return Ok(true);
            }
            self.cut(inode, at, entries - 1, last, from)?;
        }
    }

    fn rightmost(&mut self, inode: &Inode) -> Result<Vec<At>> {
        let (mut path, mut level) = (Vec::from([At::Root]), None);
        loop {
            let node = self.node(inode, path[path.len() - 1])?;
            if level.is_some_and(|level| depth(node) != level) {
                return Err(Error::Corrupt);
            }
            if depth(node) == 0 || count(node) == 0 {
                return Ok(path);
            }
            level = Some(depth(node) - 1);
            path.push(At::Block(child(node, count(node) - 1)));
        }
    }

    /// Takes an empty node, the last of `path`, out of the tree.
    fn remove_node(&mut self, inode: &mut Inode, path: &[At]) -> Result<()> {
        let (At::Block(block), parent) = (path[path.len() - 1], path[path.len() - 2]) else {
            return Err(Error::Corrupt);
        };
        let node = self.node_mut(inode, parent)?;
        remove_entry(node, count(node) - 1);
        self.seal(inode, parent)?;
        self.free_blocks(block, 1)?;
        inode.sectors = inode.sectors.saturating_sub(SECTORS);
        Ok(())
    }

    fn cut(&mut self, inode: &mut Inode, at: At, i: usize, last: Extent, from: u32) -> Result<()> {
        let keep = from.saturating_sub(last.logical).min(last.len);
        let node = self.node_mut(inode, at)?;
        if keep == 0 {
            remove_entry(node, i);
        } else {
            node[HEAD + i * ENTRY..HEAD + (i + 1) * ENTRY].copy_from_slice(&Extent { len: keep, ..last }.encode());
        }
        self.seal(inode, at)?;
        self.free_blocks(last.physical + u64::from(keep), last.len - keep)?;
        inode.sectors = inode.sectors.saturating_sub(u64::from(last.len - keep) * SECTORS);
        Ok(())
    }

    /// Takes levels out of the tree that a short file does not need.
    fn flatten(&mut self, inode: &mut Inode) -> Result<()> {
        while depth(&inode.root) > 0 && count(&inode.root) == 1 {
            let block = child(&inode.root, 0);
            let node = self.node(inode, At::Block(block))?;
            let (entries, level) = (count(node), depth(node));
            if entries > usize::from(ROOT_ENTRIES) {
                break;
            }
            let bytes = node[HEAD..HEAD + entries * ENTRY].to_vec();
            inode.root[HEAD..].fill(0);
            inode.root[HEAD..HEAD + bytes.len()].copy_from_slice(&bytes);
            put16(&mut inode.root, 2, entries as u16);
            put16(&mut inode.root, 6, level);
            self.free_blocks(block, 1)?;
            inode.sectors = inode.sectors.saturating_sub(SECTORS);
        }
        Ok(())
    }
}

/// The extent found, if it reaches as far as `logical`, or the hole up to `bound`.
fn hole_or(found: Option<Extent>, logical: u32, bound: u32, blocks: u64) -> Result<Extent> {
    let start = match found {
        Some(e) if e.len == 0 || e.physical == 0 || e.physical + u64::from(e.len) > blocks => {
            return Err(Error::Corrupt);
        }
        Some(e) if e.contains(logical) => return Ok(e),
        Some(e) => e.end(),
        None => 0,
    };
    if start > logical || bound <= logical && bound != u32::MAX {
        return Err(Error::Corrupt);
    }
    Ok(Extent { logical: start, len: bound - start, physical: 0, written: false })
}
