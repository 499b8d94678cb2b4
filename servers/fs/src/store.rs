//! The filesystem as its clients see it: `FileStore`, and `Fs`, which implements it on an ext4 disk.
//!
//! 1. There is no state about open files: a [`FileId`] says it all, and survives every restart.
//! 2. An operation that changes something takes effect wholly or not at all, together with the record of its message.
//!    A message id that has taken effect is answered from the record.
//! 3. When an operation returns, its effect survives the death of this process. When `sync` returns, the effect of all
//!    earlier operations survives a power cut.
//! 4. While the disk is marked clean, it is complete without journal and memory, and nothing in the memory is newer. The
//!    mark goes, safely, before anything changes.
//! 5. After an error the heap holds nothing that the cache does not: it was dropped, to be read again.

use alloc::vec::Vec;
use core::ops::Range;

use crate::cache::Cache;
use crate::dir::check_name;
use crate::disk::{BLOCK, Disk};
use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::inode::{Inode, Nodes, ROOT};
use crate::journal::Journal;
use crate::names::Names;
use crate::record::{Message, Packed};
use crate::region::{Identity, Phase};
use crate::superblock::{Fields, Super};

const MODE_FILE: u16 = 0o100_644;
const MODE_EXEC: u16 = 0o100_755;
const MODE_DIR: u16 = 0o040_755;
/// Nanoseconds that a time of change is exact to, as on Linux: what is written again within them changes no inode.
const TICK: u64 = 4_000_000;
/// Largest file: block numbers in a file have 32 bits.
const MAX_SIZE: u64 = (u32::MAX as u64) * BLOCK as u64;
const MAX_LINKS: u16 = 65_000;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Names a file or directory for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Inode number.
    pub inode: u32,
    /// Which of the files that have had this inode.
    pub generation: u32,
}

impl FileId {
    /// As one word, to be a badge.
    pub fn to_badge(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.inode)
    }

    /// From a badge. Any word gives a `FileId`; if it names nothing, operations on it are refused as stale.
    pub fn from_badge(badge: u64) -> Self {
        Self { inode: badge as u32, generation: (badge >> 32) as u32 }
    }
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link. It can be seen, read and removed.
    Symlink,
    /// A device, socket or pipe, of which only the name means anything here.
    Other,
}

/// What is known about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its name for ever.
    pub id: FileId,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Space in use, in blocks of 512 bytes.
    pub sectors: u64,
    /// Number of names (for a directory, also of subdirectories).
    pub links: u16,
    /// Unix mode.
    pub mode: u16,
    /// Last change of the contents, in nanoseconds since 1970.
    pub modified: u64,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Size in blocks of 4 KiB.
    pub blocks: u64,
    /// Free blocks.
    pub free_blocks: u64,
    /// Number of inodes.
    pub inodes: u32,
    /// Free inodes.
    pub free_inodes: u32,
}

/// A directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'b> {
    /// Its name, without a zero at the end.
    pub name: &'b [u8],
    /// Inode number (without generation: `lookup` gives that).
    pub inode: u32,
    /// What the entry says it is.
    pub kind: Kind,
    /// Cookie of what comes after this entry.
    pub next: u64,
}

/// Gives part of the data to be written: (position in the request, buffer to fill).
pub type Source<'s> = dyn FnMut(usize, &mut [u8]) -> Result<()> + 's;
/// Takes part of the data read: (position in the request, bytes).
pub type Sink<'s> = dyn FnMut(usize, &[u8]) -> Result<()> + 's;

/// A store of files in directories. Every operation that changes something is told the message that asked for it.
/// All may fail with [`Error::Io`], [`Error::Corrupt`] and, on a [`FileId`] whose file is gone, [`Error::Stale`].
pub trait FileStore {
    /// The root directory.
    fn root(&mut self) -> Result<FileId>;
    /// The file called `name` in `dir`. [`Error::NotFound`], [`Error::NotADirectory`].
    fn lookup(&mut self, dir: FileId, name: &[u8]) -> Result<Stat>;
    /// The directory above `dir`; of the root, the root.
    fn parent(&mut self, dir: FileId) -> Result<FileId>;
    /// What is known about a file.
    fn stat(&mut self, file: FileId) -> Result<Stat>;
    /// Makes an empty file, or finds the one that is there: with `exclusive` that is [`Error::Exists`].
    fn create(&mut self, message: impl Into<Message>, dir: FileId, name: &[u8], exclusive: bool) -> Result<FileId>;
    /// Makes an empty directory.
    fn mkdir(&mut self, message: impl Into<Message>, dir: FileId, name: &[u8]) -> Result<FileId>;
    /// Removes a name of something that is not a directory, and the file with its last name.
    fn unlink(&mut self, message: impl Into<Message>, dir: FileId, name: &[u8]) -> Result<()>;
    /// Removes an empty directory.
    fn rmdir(&mut self, message: impl Into<Message>, dir: FileId, name: &[u8]) -> Result<()>;
    /// Moves `from` to `to`, replacing what is there if it is of the same kind (and, if a directory, empty).
    fn rename(&mut self, message: impl Into<Message>, from: (FileId, &[u8]), to: (FileId, &[u8])) -> Result<()>;
    /// Reads up to `len` bytes at `offset`, in parts. Returns how many there were.
    fn read_chunks(&mut self, file: FileId, offset: u64, len: usize, sink: &mut Sink<'_>) -> Result<usize>;
    /// Writes at `offset`. Returns how many bytes were written: fewer than `len` if there is no more room, or if `len`
    /// exceeds what fits into one operation (`max_write`).
    fn write_chunks(
        &mut self,
        message: impl Into<Message>,
        file: FileId,
        offset: u64,
        len: usize,
        source: &mut Source<'_>,
    ) -> Result<usize>;
    /// Writes at the end. Returns the offset and how many bytes were written, as for `write_chunks`.
    fn append_chunks(
        &mut self,
        message: impl Into<Message>,
        file: FileId,
        len: usize,
        source: &mut Source<'_>,
    ) -> Result<(u64, usize)>;
    /// Sets the size in bytes. What is new reads as zero.
    fn truncate(&mut self, message: impl Into<Message>, file: FileId, size: u64) -> Result<()>;
    /// Sets the time of last change, in nanoseconds since 1970; `None` is now.
    fn set_modified(&mut self, message: impl Into<Message>, file: FileId, time: Option<u64>) -> Result<()>;
    /// Sets or clears the permission to execute.
    fn set_executable(&mut self, message: impl Into<Message>, file: FileId, on: bool) -> Result<()>;
    /// Calls `visit` with each entry from `cookie` (at first 0) on until it returns false. Returns the cookie to go on
    /// from. `.` and `..` are not shown.
    fn readdir(&mut self, dir: FileId, cookie: u64, visit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<u64>;
    /// How much room there is.
    fn space(&mut self) -> Result<Space>;
    /// Makes everything done so far survive a power cut.
    fn sync(&mut self) -> Result<()>;
    /// The most bytes that one `write_chunks` or `append_chunks` takes.
    fn max_write(&self) -> usize;

    /// Reads into a buffer. See `read_chunks`.
    fn read(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let len = buf.len();
        self.read_chunks(file, offset, len, &mut |at, part| {
            buf[at..at + part.len()].copy_from_slice(part);
            Ok(())
        })
    }

    /// Writes from a buffer. See `write_chunks`.
    fn write(&mut self, message: impl Into<Message>, file: FileId, offset: u64, data: &[u8]) -> Result<usize> {
        self.write_chunks(message, file, offset, data.len(), &mut |at, part| {
            part.copy_from_slice(&data[at..at + part.len()]);
            Ok(())
        })
    }

    /// Appends from a buffer. See `append_chunks`.
    fn append(&mut self, message: impl Into<Message>, file: FileId, data: &[u8]) -> Result<(u64, usize)> {
        self.append_chunks(message, file, data.len(), &mut |at, part| {
            part.copy_from_slice(&data[at..at + part.len()]);
            Ok(())
        })
    }
}

/// Free blocks and inodes; derived from the group descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub blocks: u64,
    pub inodes: u32,
}

/// An ext4 filesystem on a disk, through a cache in persistent memory.
pub struct Fs<'m, D> {
    pub(crate) cache: Cache<'m, D>,
    pub(crate) sup: Super,
    pub(crate) counts: Counts,
    pub(crate) nodes: Nodes,
    names: Names,
    /// Directory, and its block, into which an entry went last.
    pub(crate) dir_hint: (u32, u32),
    /// Something was put on the orphan list.
    pub(crate) orphans: bool,
    /// The journal has not been looked at yet: what is read may be half-written.
    pub(crate) opening: bool,
    /// The disk is marked clean.
    at_rest: bool,
    /// End of the last allocation, where new files begin.
    goal: u64,
    /// See `max_write`.
    max_write: usize,
    clock: fn() -> u64,
}

/// What [`Fs::back`] found under a file, or put there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backing {
    /// Blocks as they were.
    Same,
    /// Blocks that were the file's, and are now zero; the inode has changed.
    Zeroed,
    /// Blocks just allocated, which hold nothing yet; the inode has changed.
    New,
}

/// An answer that fits into a record.
trait Answer: Sized {
    fn pack(&self) -> Packed;
    fn unpack(packed: Packed) -> Self;
}

impl Answer for () {
    fn pack(&self) -> Packed {
        [0; 2]
    }
    fn unpack(_: Packed) -> Self {}
}

impl Answer for FileId {
    fn pack(&self) -> Packed {
        [self.to_badge(), 0]
    }
    fn unpack(packed: Packed) -> Self {
        Self::from_badge(packed[0])
    }
}

impl Answer for (u64, usize) {
    fn pack(&self) -> Packed {
        [self.0, self.1 as u64]
    }
    fn unpack(packed: Packed) -> Self {
        (packed[0], packed[1] as usize)
    }
}

impl<'m, D: Disk> Fs<'m, D> {
    /// Opens the filesystem. `memory` is the persistent memory (at least 256 KiB): what a predecessor left in it is
    /// taken over if it is whole and belongs to this disk. Otherwise the disk's journal is replayed. All earlier
    /// writes to `disk` must have completed. `clock` gives nanoseconds since 1970.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Corrupt`], [`Error::Io`], [`Error::CacheFull`] if `memory` is too small.
    pub fn open(memory: &'m mut [u8], mut disk: D, clock: fn() -> u64) -> Result<Self> {
        let mut block0 = alloc::vec![0; BLOCK];
        disk.read_blocks(0, &mut block0)?;
        let sup = Super::parse(&block0)?;
        let identity = Identity { uuid: sup.uuid, blocks: sup.blocks };
        let (cache, kept) = Cache::open(memory, disk, identity)?;
        let counts = Counts { blocks: 0, inodes: 0 };
        let mut fs = Self {
            cache,
            sup,
            counts,
            nodes: Nodes::new(),
            names: Names::new(),
            dir_hint: (0, 0),
            orphans: false,
            opening: true,
            at_rest: !Fields(&mut block0).needs_recovery(),
            goal: 0,
            max_write: 0,
            clock,
        };
        fs.open_journal()?;
        if !kept {
            fs.start_from_disk()?;
        } else if fs.cache.region.root().log_sequence == 0 {
            // The predecessor died before it had begun.
            fs.cache.region.format(identity);
            fs.start_from_disk()?;
        } else if fs.cache.region.root().phase == Phase::Writing {
            fs.cache.sync()?;
        }
        fs.opening = false;
        fs.count_free()?;
        fs.reap_all()?;
        Ok(fs)
    }

    fn open_journal(&mut self) -> Result<()> {
        let inode = self.inode_raw(self.sup.journal_inode)?;
        let blocks = u32::try_from(inode.size / BLOCK as u64).map_err(|_| Error::Corrupt)?;
        let (mut runs, mut at) = (Vec::new(), 0);
        while at < blocks {
            let e = self.find(&inode, at)?;
            if e.physical == 0 {
                return Err(Error::Corrupt);
            }
            let len = (e.len - (at - e.logical)).min(blocks - at);
            runs.push((at, len, e.physical + u64::from(at - e.logical)));
            at += len;
        }
        self.cache.journal = Journal::open(runs, &mut self.cache.disk)?;
        self.cache.limit_stage();
        // The rest is for bitmaps, descriptors and the extent tree.
        self.max_write = self.cache.max_stage().saturating_sub(8).min(256) * BLOCK;
        Ok(())
    }

    /// Takes the state from the disk: replays its journal, checks the superblock.
    fn start_from_disk(&mut self) -> Result<()> {
        let cache = &mut self.cache;
        cache.journal.replay(&mut cache.disk, self.sup.blocks)?;
        cache.forget_clean();
        let mut block0 = cache.read(0)?.to_vec();
        cache.forget_clean();
        self.sup = Super::parse(&block0)?;
        let mut fields = Fields(&mut block0);
        if !fields.is_sound(&self.sup) {
            // A power cut may have torn our own change of this one flag.
            let flag = fields.needs_recovery();
            fields.set_needs_recovery(!flag);
            if !fields.is_sound(&self.sup) {
                return Err(Error::Corrupt);
            }
            self.mark_clean(false)?;
        }
        let mut root = self.cache.region.root();
        (root.log_sequence, root.log_head) = self.cache.journal.start();
        self.cache.region.flip(root, &[], None);
        Ok(())
    }

    /// Sets or takes away the mark that the disk is clean. Nothing in the memory may be newer than the disk.
    fn mark_clean(&mut self, on: bool) -> Result<()> {
        let mut block0 = self.cache.read(0)?.to_vec();
        // This flag and nothing else: whatever else changes goes through the journal, where a torn write does no harm.
        let mut fields = Fields(&mut block0);
        fields.set_needs_recovery(!on);
        fields.seal(&self.sup);
        self.cache.forget(0);
        self.cache.disk.write_blocks(0, &block0)?;
        self.cache.disk.flush()?;
        self.at_rest = on;
        Ok(())
    }

    fn count_free(&mut self) -> Result<()> {
        let mut counts = Counts { blocks: 0, inodes: 0 };
        for group in 0..self.sup.groups {
            let g = self.group(group)?;
            counts.blocks += u64::from(g.free_blocks);
            counts.inodes += g.free_inodes;
        }
        self.counts = counts;
        Ok(())
    }

    /// Now, in nanoseconds since 1970, to the last [`TICK`].
    pub(crate) fn now(&self) -> u64 {
        let now = (self.clock)();
        now - now % TICK
    }

    /// Where to put the first block of the file in inode `number`.
    pub(crate) fn goal_for(&self, number: u32) -> u64 {
        let start = self.sup.group_start((number - 1) / self.sup.inodes_per_group);
        if (start..start + u64::from(self.sup.blocks_per_group)).contains(&self.goal) { self.goal } else { start }
    }

    /// Runs `operation` as one step, answered from the record if `message` has taken effect before.
    fn run<T: Answer>(&mut self, message: Message, mut operation: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(packed) = self.answered(message) {
            return Ok(T::unpack(packed));
        }
        let answer = self.step(&mut operation, |answer| Some((message.id, answer.pack())))?;
        if self.orphans {
            // The answer stands already; what is left to free can also wait for the next mount.
            let _ = self.reap_all();
        }
        Ok(answer)
    }

    /// Runs `operation` and commits it. If it lacks cache or blocks that a `sync` would give, it is tried once more.
    fn step<T>(
        &mut self,
        operation: &mut impl FnMut(&mut Self) -> Result<T>,
        message: impl Fn(&T) -> Option<(u64, Packed)>,
    ) -> Result<T> {
        self.make_room()?;
        let mut again = false;
        loop {
            let short = match self.attempt(operation) {
                Ok(value) => {
                    self.cache.commit(message(&value));
                    return Ok(value);
                }
                Err(error) if again => return Err(error),
                Err(Error::NoSpace) if !self.cache.has_quarantine() => return Err(Error::NoSpace),
                Err(error) => error,
            };
            if !matches!(short, Error::CacheFull | Error::NoSpace) {
                return Err(short);
            }
            self.sync_all()?;
            self.cache.checkpoint()?;
            again = true;
        }
    }

    #[inline]
    fn attempt<T>(&mut self, operation: &mut impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let counts = self.counts;
        let result = operation(self);
        if result.is_err() {
            self.cache.abort();
            self.nodes.clear();
            self.names.clear();
            self.counts = counts;
            self.orphans = false;
        }
        result
    }

    #[inline]
    fn make_room(&mut self) -> Result<()> {
        if !self.at_rest && self.cache.has_room() { Ok(()) } else { self.find_room() }
    }

    #[cold]
    fn find_room(&mut self) -> Result<()> {
        if self.at_rest {
            self.mark_clean(false)?;
        }
        let phase = self.cache.region.root().phase;
        if phase == Phase::Writing {
            self.cache.sync()?;
        }
        if phase != Phase::Idle {
            self.cache.checkpoint()?;
        }
        if !self.cache.has_room() {
            self.sync_all()?;
            self.cache.checkpoint()?;
        }
        Ok(())
    }

    /// Works off the orphan list.
    fn reap_all(&mut self) -> Result<()> {
        self.orphans = false;
        let mut left = self.inodes_bound();
        while left > 0 && self.first_orphan()? != 0 && self.step(&mut |fs: &mut Self| fs.reap(), |_| None)? {
            left -= 1;
        }
        Ok(())
    }

    /// More steps than the orphan list can need: a list that is damaged may be a ring.
    fn inodes_bound(&self) -> u64 {
        u64::from(self.sup.inodes) + self.sup.blocks
    }

    fn sync_all(&mut self) -> Result<()> {
        if self.cache.region.root().phase == Phase::Writing {
            self.cache.sync()?;
        }
        self.cache.checkpoint()?;
        if !self.cache.is_dirty() {
            return Ok(());
        }
        let (counts, sup) = (self.counts, self.sup.clone());
        let now_seconds = self.now() / 1_000_000_000;
        let stage = |fs: &mut Self| {
            let mut now = fs.cache.read(0)?.to_vec();
            if Fields(&mut now).counts() != (counts.blocks, counts.inodes) {
                let mut fields = Fields(fs.cache.edit(0)?);
                fields.set_counts(counts.blocks, counts.inodes);
                fields.set_changed_at(now_seconds);
                fields.seal(&sup);
            }
            Ok(())
        };
        // Without the counts the filesystem is sound too: they are a summary of the group descriptors.
        if self.attempt(&mut { stage }).is_ok() {
            self.cache.commit(None);
        }
        self.cache.sync()
    }

    /// From now on an operation is done whenever it is asked for: a message that comes again is done again.
    pub fn stop_recording(&mut self) {
        self.cache.stop_recording();
    }

    /// If `message` has taken effect: the file that was answered, which is inode 0 where the answer was no file.
    pub fn recorded(&self, message: impl Into<Message>) -> Option<FileId> {
        self.answered(message.into()).map(FileId::unpack)
    }

    /// What `message` was answered, if it has taken effect.
    #[inline]
    fn answered(&self, message: Message) -> Option<Packed> {
        if message.again { self.cache.answered(message.id) } else { None }
    }

    /// When the disk was last changed or mounted, as it says itself: nanoseconds since 1970.
    pub fn last_change(&mut self) -> u64 {
        match self.cache.read(0) {
            Ok(block0) => Fields(&mut block0.to_vec()).last_change() * 1_000_000_000,
            Err(_) => 0,
        }
    }

    /// Finishes what `sync` has left for later. To be called when there is nothing else to do.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing is lost.
    pub fn idle(&mut self) -> Result<()> {
        self.cache.checkpoint()
    }

    /// Makes the disk complete without journal and memory. Work may go on after it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn settle(&mut self) -> Result<()> {
        self.sync_all()?;
        self.cache.checkpoint()
    }

    /// The same, and marks the disk clean, as before a power-off. Work may go on: it takes the mark away first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn rest(&mut self) -> Result<()> {
        if self.at_rest {
            return Ok(());
        }
        self.settle()?;
        self.cache.close_log()?;
        self.mark_clean(true)
    }

    fn stat_of(inode: &Inode) -> Stat {
        Stat {
            id: inode.id(),
            kind: inode.kind(),
            size: inode.size,
            sectors: inode.sectors,
            links: inode.links,
            mode: inode.mode,
            modified: inode.modified,
        }
    }

    fn touch(&mut self, inode: &mut Inode) -> Result<()> {
        inode.modified = self.now();
        if self.nodes.has(inode) { Ok(()) } else { self.put_inode(inode) }
    }

    fn add_dir_link(inode: &mut Inode) -> Result<()> {
        if inode.links >= MAX_LINKS {
            return Err(Error::TooLarge);
        }
        inode.links += u16::from(inode.links != 1);
        Ok(())
    }

    fn remove_dir_link(inode: &mut Inode) {
        // A count of 1 says that there were too many to count.
        if inode.links > 2 {
            inode.links -= 1;
        }
    }

    fn do_create(&mut self, dir: FileId, name: &[u8], exclusive: bool) -> Result<FileId> {
        check_name(name)?;
        let mut parent = self.open_dir(dir)?;
        if let Some(found) = self.dir_find(&parent, name)? {
            let inode = self.inode(found.inode)?;
            return match inode.kind() {
                _ if exclusive => Err(Error::Exists),
                Kind::Directory => Err(Error::IsADirectory),
                _ => Ok(inode.id()),
            };
        }
        let inode = self.make_inode(parent.number, MODE_FILE)?;
        self.dir_insert(&mut parent, name, &inode)?;
        self.touch(&mut parent)?;
        Ok(inode.id())
    }

    fn do_mkdir(&mut self, dir: FileId, name: &[u8]) -> Result<FileId> {
        check_name(name)?;
        let mut parent = self.open_dir(dir)?;
        if self.dir_find(&parent, name)?.is_some() {
            return Err(Error::Exists);
        }
        let mut inode = self.make_inode(parent.number, MODE_DIR)?;
        self.dir_init(&mut inode, parent.number)?;
        inode.links = 2;
        self.put_inode(&inode)?;
        self.dir_insert(&mut parent, name, &inode)?;
        Self::add_dir_link(&mut parent)?;
        self.touch(&mut parent)?;
        Ok(inode.id())
    }

    fn do_remove(&mut self, dir: FileId, name: &[u8], directory: bool) -> Result<()> {
        check_name(name)?;
        let mut parent = self.open_dir(dir)?;
        let found = self.dir_find(&parent, name)?.ok_or(Error::NotFound)?;
        let inode = self.entry_inode(found.inode)?;
        match (directory, inode.kind()) {
            (false, Kind::Directory) => return Err(Error::IsADirectory),
            (true, Kind::Directory) => {
                if !self.dir_is_empty(&inode)? {
                    return Err(Error::NotEmpty);
                }
                Self::remove_dir_link(&mut parent);
            }
            (true, _) => return Err(Error::NotADirectory),
            (false, _) => {}
        }
        self.names.forget(parent.number, name);
        self.dir_remove(&parent, found)?;
        self.touch(&mut parent)?;
        self.drop_link(inode)
    }

    /// The inode that an entry names: it must exist.
    fn entry_inode(&mut self, number: u32) -> Result<Inode> {
        if number < self.sup.first_inode {
            return Err(if number == ROOT { Error::Invalid } else { Error::Corrupt });
        }
        self.inode(number).map_err(|e| if e == Error::Stale { Error::Corrupt } else { e })
    }

    fn do_rename(&mut self, from: (FileId, &[u8]), to: (FileId, &[u8])) -> Result<()> {
        check_name(from.1)?;
        check_name(to.1)?;
        let source_dir = self.open_dir(from.0)?;
        let target_dir = self.open_dir(to.0)?;
        let source = self.dir_find(&source_dir, from.1)?.ok_or(Error::NotFound)?;
        let mut moved = self.entry_inode(source.inode)?;
        let directory = moved.kind() == Kind::Directory;
        let across = source_dir.number != target_dir.number;
        if directory && across {
            self.refuse_descendant(&target_dir, moved.number)?;
        }
        let replaced = match self.dir_find(&target_dir, to.1)? {
            Some(found) if found.inode == moved.number => return Ok(()),
            Some(found) => Some((found, self.entry_inode(found.inode)?)),
            None => None,
        };
        match &replaced {
            Some((found, old)) => {
                self.refuse_replacing(directory, old)?;
                self.names.forget(target_dir.number, to.1);
                self.dir_replace(&target_dir, *found, &moved)?;
            }
            None => {
                let mut dir = target_dir;
                self.dir_insert(&mut dir, to.1, &moved)?;
                self.put_inode(&dir)?;
            }
        }
        // The insertion may have changed the directory's inode and its entries.
        let mut source_dir = self.inode(source_dir.number)?;
        let source = self.dir_find(&source_dir, from.1)?.ok_or(Error::Corrupt)?;
        self.names.forget(source_dir.number, from.1);
        self.dir_remove(&source_dir, source)?;
        let old_is_dir = replaced.as_ref().is_some_and(|(_, old)| old.kind() == Kind::Directory);
        if directory && (across || old_is_dir) {
            Self::remove_dir_link(&mut source_dir);
        }
        self.touch(&mut source_dir)?;
        if across {
            self.arrive(to.0.inode, &mut moved, directory, old_is_dir)?;
        }
        match replaced {
            Some((_, old)) => self.drop_link(old),
            None => Ok(()),
        }
    }

    /// The other half of a rename to another directory: link counts, times, and `..`.
    fn arrive(&mut self, dir: u32, moved: &mut Inode, directory: bool, replaces_dir: bool) -> Result<()> {
        let mut dir = self.inode(dir)?;
        if directory {
            self.dir_set_parent(moved, &dir)?;
            if !replaces_dir {
                Self::add_dir_link(&mut dir)?;
            }
        }
        self.touch(&mut dir)
    }

    fn refuse_replacing(&mut self, directory: bool, old: &Inode) -> Result<()> {
        match (directory, old.kind() == Kind::Directory) {
            (true, false) => Err(Error::NotADirectory),
            (false, true) => Err(Error::IsADirectory),
            (true, true) if !self.dir_is_empty(old)? => Err(Error::NotEmpty),
            _ => Ok(()),
        }
    }

    /// A directory cannot go into itself: `moved` must not be `dir` or above it.
    fn refuse_descendant(&mut self, dir: &Inode, moved: u32) -> Result<()> {
        let mut at = dir.clone();
        for _ in 0..self.sup.inodes {
            if at.number == moved {
                return Err(Error::Invalid);
            }
            if at.number == ROOT {
                return Ok(());
            }
            let up = self.dir_find(&at, b"..")?.ok_or(Error::Corrupt)?;
            at = self.inode(up.inode)?;
            if at.kind() != Kind::Directory {
                return Err(Error::Corrupt);
            }
        }
        Err(Error::Corrupt)
    }

    /// The inode is copied only where the file changes beside the contents of its blocks.
    #[inline]
    fn do_write(&mut self, file: FileId, offset: Option<u64>, len: usize, source: &mut Source<'_>) -> Result<u64> {
        let (size, modified) = self.look(file, |inode| (inode.size, inode.modified))?;
        let offset = offset.unwrap_or(size);
        let end = offset.checked_add(len as u64).filter(|&end| end <= MAX_SIZE).ok_or(Error::TooLarge)?;
        if len == 0 {
            return Ok(offset);
        }
        let mut changed = None;
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let (logical, skip) = ((at / BLOCK as u64) as u32, (at % BLOCK as u64) as usize);
            let backing = match self.nodes.extent(file.inode, logical) {
                Some(extent) if extent.written && changed.is_none() => (extent, false),
                _ => self.back_file(file, &mut changed, logical, end)?,
            };
            done = self.put_part(backing, (logical, skip), done..len, source)?;
        }
        let now = self.now();
        if changed.is_some() || size < end || now != modified {
            let mut inode = changed.map_or_else(|| self.open_file(file), Ok)?;
            (inode.size, inode.modified) = (size.max(end), now);
            self.put_inode(&inode)?;
        }
        Ok(offset)
    }

    /// Writes what `source` gives from `at.start` on, up to `at.end`, to where that lies in `extent`: block `logical`, after
    /// `skip` bytes. Returns how far it came.
    #[inline]
    fn put_part(
        &mut self,
        (extent, new): (Extent, bool),
        (logical, mut skip): (u32, usize),
        at: Range<usize>,
        source: &mut Source<'_>,
    ) -> Result<usize> {
        let mut done = at.start;
        for block in extent.physical + u64::from(logical - extent.logical)..extent.physical + u64::from(extent.len) {
            let part = (BLOCK - skip).min(at.end - done);
            let data = match (part == BLOCK, new) {
                (true, false) => self.cache.edit_whole(block)?,
                (true, true) => self.cache.edit_new_whole(block)?,
                (false, true) => self.cache.edit_new(block)?,
                (false, false) => self.cache.edit(block)?,
            };
            source(done, &mut data[skip..skip + part])?;
            (done, skip) = (done + part, 0);
            if done == at.end {
                break;
            }
        }
        Ok(done)
    }

    /// As [`Fs::back`] for the blocks before byte `end`, with the inode in `changed` once it has changed. The second
    /// result says that the blocks are new.
    #[inline(never)]
    fn back_file(
        &mut self,
        file: FileId,
        changed: &mut Option<Inode>,
        logical: u32,
        end: u64,
    ) -> Result<(Extent, bool)> {
        let want = ((end - 1) / BLOCK as u64) as u32 - logical + 1;
        let (mut inode, known) = match changed.take() {
            Some(inode) => (inode, true),
            None => (self.open_file(file)?, false),
        };
        let (extent, backing) = self.back(&mut inode, logical, want)?;
        *changed = (known || backing != Backing::Same).then_some(inode);
        Ok((extent, backing == Backing::New))
    }

    /// The blocks under `logical` and at most `want - 1` after it, allocated if there are none.
    fn back(&mut self, inode: &mut Inode, logical: u32, want: u32) -> Result<(Extent, Backing)> {
        let extent = self.map(inode, logical)?;
        let room = (extent.len - (logical - extent.logical)).min(want);
        if extent.physical == 0 {
            let goal = self.goal_after(inode, logical)?;
            let (physical, len) = self.alloc_blocks(goal, room)?;
            let new = Extent { logical, len, physical, written: true };
            self.insert(inode, new)?;
            inode.sectors += u64::from(len) * (BLOCK / 512) as u64;
            self.goal = physical + u64::from(len);
            return Ok((new, Backing::New));
        }
        if extent.written {
            return Ok((extent, Backing::Same));
        }
        self.mark_written(inode, extent, logical, room)?;
        let physical = extent.physical + u64::from(logical - extent.logical);
        // Not fresh for the journal: `edit` of zeros would be, so they are zeroed as an ordinary change.
        for block in physical..physical + u64::from(room) {
            self.cache.edit_whole(block)?.fill(0);
        }
        Ok((Extent { logical, len: room, physical, written: true }, Backing::Zeroed))
    }

    fn goal_after(&mut self, inode: &Inode, logical: u32) -> Result<u64> {
        if let Some(before) = logical.checked_sub(1) {
            let e = self.map(inode, before)?;
            if e.physical != 0 {
                return Ok(e.physical + u64::from(logical - e.logical));
            }
        }
        Ok(self.goal_for(inode.number))
    }

    fn write_at(
        &mut self,
        message: Message,
        file: FileId,
        offset: Option<u64>,
        len: usize,
        source: &mut Source<'_>,
    ) -> Result<(u64, usize)> {
        let mut len = len.min(self.max_write());
        loop {
            let result = self.run(message, |fs| {
                let offset = fs.do_write(file, offset, len, source)?;
                Ok((offset, len))
            });
            match result {
                // A disk that is nearly full takes a part.
                Err(Error::NoSpace | Error::CacheFull) if len > BLOCK => {
                    len = (len / 2).next_multiple_of(BLOCK).min(len - 1)
                }
                other => return other,
            }
        }
    }

    fn do_truncate(&mut self, file: FileId, size: u64) -> Result<bool> {
        let mut inode = self.open_file(file)?;
        if size > MAX_SIZE {
            return Err(Error::TooLarge);
        }
        if size < inode.size {
            let keep = size.div_ceil(BLOCK as u64) as u32;
            if !self.shrink(&mut inode, keep)? {
                // A shorter file, on the way to the one asked for.
                self.put_inode(&inode)?;
                return Ok(false);
            }
            self.zero_tail(&inode, size)?;
        }
        inode.size = size;
        self.touch(&mut inode)?;
        Ok(true)
    }

    /// Zeroes what lies beyond `size` in the last block.
    fn zero_tail(&mut self, inode: &Inode, size: u64) -> Result<()> {
        let skip = (size % BLOCK as u64) as usize;
        let logical = (size / BLOCK as u64) as u32;
        let extent = self.find(inode, logical)?;
        if skip > 0 && extent.physical != 0 && extent.written {
            let block = extent.physical + u64::from(logical - extent.logical);
            self.cache.edit(block)?[skip..].fill(0);
        }
        Ok(())
    }

    /// What lies in block `logical` of the file, and in those of the `want` blocks asked for that are at hand with it.
    #[inline]
    fn read_part(&mut self, extent: Extent, logical: u32, want: usize) -> Result<&[u8]> {
        if extent.physical == 0 || !extent.written {
            return Ok(&ZEROS);
        }
        let block = extent.physical + u64::from(logical - extent.logical);
        let left = (extent.len - (logical - extent.logical)) as usize;
        self.cache.read_ahead(block, want, left)
    }

    /// The extent that holds `logical`, and the file's size. On the common path nothing is copied but these.
    #[inline]
    fn locate(&mut self, file: FileId, logical: u32) -> Result<(Extent, u64)> {
        if let Some(node) = self.nodes.get(file.inode) {
            let known = node.inode.generation == file.generation && node.inode.kind() == Kind::File;
            if known && node.extent.contains(logical) && node.inode.links > 0 {
                return Ok((node.extent, node.inode.size));
            }
        }
        let inode = self.open_file(file)?;
        if u64::from(logical) * BLOCK as u64 >= inode.size {
            return Ok((Extent { logical, len: 1, physical: 0, written: false }, inode.size));
        }
        let extent = self.map(&inode, logical)?;
        Ok((extent, inode.size))
    }

    #[inline(always)]
    fn do_read(&mut self, file: FileId, offset: u64, len: usize, done: &mut usize, sink: &mut Sink<'_>) -> Result<()> {
        while *done < len {
            let Some(at) = offset.checked_add(*done as u64).filter(|&at| at < MAX_SIZE) else { return Ok(()) };
            let (logical, skip) = ((at / BLOCK as u64) as u32, (at % BLOCK as u64) as usize);
            let (extent, size) = self.locate(file, logical)?;
            if at >= size {
                return Ok(());
            }
            let left = (len - *done).min(usize::try_from(size - at).unwrap_or(usize::MAX));
            let data = &self.read_part(extent, logical, (skip + left).div_ceil(BLOCK))?[skip..];
            let part = &data[..left.min(data.len())];
            sink(*done, part)?;
            *done += part.len();
        }
        Ok(())
    }

    /// Reads that find no room in the cache make some.
    fn with_room<T>(&mut self, mut operation: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        match operation(self) {
            Err(Error::CacheFull) => {
                self.settle()?;
                operation(self)
            }
            other => other,
        }
    }

    /// Reads what is no file, but may be a symbolic link.
    #[cold]
    fn read_link(&mut self, file: FileId, offset: u64, len: usize, sink: &mut Sink<'_>) -> Result<usize> {
        let inode = self.open_any(file)?;
        if inode.kind() != Kind::Symlink {
            return Err(Error::Invalid);
        }
        let size = usize::try_from(inode.size).unwrap_or(usize::MAX);
        if size >= 60 || inode.sectors > 0 && inode.attributes == 0 {
            return Err(Error::Unsupported);
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(size);
        let part = &inode.root[from..size.min(from.saturating_add(len))];
        sink(0, part)?;
        Ok(part.len())
    }
}

impl<D: Disk> FileStore for Fs<'_, D> {
    fn root(&mut self) -> Result<FileId> {
        if let Some(inode) = self.nodes.existing(ROOT) {
            return Ok(inode.id());
        }
        self.with_room(|fs| Ok(fs.inode(ROOT)?.id()))
    }

    fn lookup(&mut self, dir: FileId, name: &[u8]) -> Result<Stat> {
        let known = self.names.get(dir.inode, name);
        if let Some(number) = known
            && self.opened(dir).is_some_and(|dir| dir.kind() == Kind::Directory)
            && let Some(inode) = self.nodes.existing(number)
        {
            return Ok(Self::stat_of(inode));
        }
        check_name(name)?;
        self.with_room(|fs| {
            let dir = fs.open_dir(dir)?;
            let number = match known {
                Some(number) => number,
                None => fs.dir_find(&dir, name)?.ok_or(Error::NotFound)?.inode,
            };
            let inode = fs.entry_inode(number)?;
            fs.names.put(dir.number, name, number);
            Ok(Self::stat_of(&inode))
        })
    }

    fn parent(&mut self, dir: FileId) -> Result<FileId> {
        self.with_room(|fs| {
            let dir = fs.open_dir(dir)?;
            let up = fs.dir_find(&dir, b"..")?.ok_or(Error::Corrupt)?;
            let up = fs.inode(up.inode)?;
            if up.kind() == Kind::Directory { Ok(up.id()) } else { Err(Error::Corrupt) }
        })
    }

    fn stat(&mut self, file: FileId) -> Result<Stat> {
        if let Some(inode) = self.opened(file) {
            return Ok(Self::stat_of(inode));
        }
        self.with_room(|fs| Ok(Self::stat_of(&fs.open_any(file)?)))
    }

    fn create(&mut self, message: impl Into<Message>, dir: FileId, name: &[u8], exclusive: bool) -> Result<FileId> {
        self.run(message.into(), |fs| fs.do_create(dir, name, exclusive))
    }

    fn mkdir(&mut self, message: impl Into<Message>, dir: FileId, name: &[u8]) -> Result<FileId> {
        self.run(message.into(), |fs| fs.do_mkdir(dir, name))
    }

    fn unlink(&mut self, message: impl Into<Message>, dir: FileId, name: &[u8]) -> Result<()> {
        self.run(message.into(), |fs| fs.do_remove(dir, name, false))
    }

    fn rmdir(&mut self, message: impl Into<Message>, dir: FileId, name: &[u8]) -> Result<()> {
        self.run(message.into(), |fs| fs.do_remove(dir, name, true))
    }

    fn rename(&mut self, message: impl Into<Message>, from: (FileId, &[u8]), to: (FileId, &[u8])) -> Result<()> {
        self.run(message.into(), |fs| fs.do_rename(from, to))
    }

    fn read_chunks(&mut self, file: FileId, offset: u64, len: usize, sink: &mut Sink<'_>) -> Result<usize> {
        let (mut done, mut tried) = (0, false);
        loop {
            match self.do_read(file, offset, len, &mut done, sink) {
                Ok(()) => return Ok(done),
                Err(Error::CacheFull) if !tried => self.settle()?,
                Err(Error::Invalid) => return self.read_link(file, offset, len, sink),
                Err(e) => return Err(e),
            }
            tried = true;
        }
    }

    fn write_chunks(
        &mut self,
        message: impl Into<Message>,
        file: FileId,
        offset: u64,
        len: usize,
        source: &mut Source<'_>,
    ) -> Result<usize> {
        self.write_at(message.into(), file, Some(offset), len, source).map(|(_, len)| len)
    }

    fn append_chunks(
        &mut self,
        message: impl Into<Message>,
        file: FileId,
        len: usize,
        source: &mut Source<'_>,
    ) -> Result<(u64, usize)> {
        self.write_at(message.into(), file, None, len, source)
    }

    fn truncate(&mut self, message: impl Into<Message>, file: FileId, size: u64) -> Result<()> {
        let message = message.into();
        if self.answered(message).is_some() {
            return Ok(());
        }
        let mut operation = |fs: &mut Self| fs.do_truncate(file, size);
        while !self.step(&mut operation, |&finished| finished.then_some((message.id, [0; 2])))? {}
        Ok(())
    }

    fn set_modified(&mut self, message: impl Into<Message>, file: FileId, time: Option<u64>) -> Result<()> {
        self.run(message.into(), |fs| {
            let mut inode = fs.open_any(file)?;
            inode.modified = time.unwrap_or_else(|| fs.now());
            fs.put_inode(&inode)
        })
    }

    fn set_executable(&mut self, message: impl Into<Message>, file: FileId, on: bool) -> Result<()> {
        self.run(message.into(), |fs| {
            let mut inode = fs.open_file(file)?;
            inode.mode = inode.mode & !(MODE_EXEC ^ MODE_FILE) | if on { MODE_EXEC ^ MODE_FILE } else { 0 };
            fs.put_inode(&inode)
        })
    }

    fn readdir(&mut self, dir: FileId, cookie: u64, visit: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<u64> {
        let mut at = cookie;
        for _ in 0..2 {
            let from = at;
            let result = self.open_dir(dir).and_then(|inode| {
                self.dir_read(&inode, from, &mut |entry| {
                    let more = visit(entry);
                    if more {
                        at = entry.next;
                    }
                    more
                })
            });
            match result {
                Err(Error::CacheFull) => self.settle()?,
                other => return other,
            }
        }
        Err(Error::CacheFull)
    }

    fn space(&mut self) -> Result<Space> {
        Ok(Space {
            blocks: self.sup.blocks,
            free_blocks: self.counts.blocks,
            inodes: self.sup.inodes,
            free_inodes: self.counts.inodes,
        })
    }

    fn sync(&mut self) -> Result<()> {
        self.sync_all()
    }

    fn max_write(&self) -> usize {
        self.max_write
    }
}
