//! The protocols `stream`, `file` and `directory`, on a [`FileStore`].
//!
//! 1. There is no state about clients: the badge of the capability says which file, and what is allowed.
//! 2. What a capability is opened with never exceeds the rights of the directory it is opened from.
//! 3. The store records what has taken effect, under the id of the message: a redelivered call is simply done again.
//! 4. What changed becomes safe from a power cut by `sync`, or without it after a few seconds.

use alloc::string::String;

use abi::SysError;
use libipc::{
    Context, Grant, Lease, MessageId, Queue, Read, Reply, Rights, Service, Write,
    answer::Answer,
    context::now,
    proto::{
        FsError,
        directory::{DirectoryProtocol, DirectoryServer, Entry, OpenFlags},
        file::{FileProtocol, FileServer},
        info::{FileInfo, FileKind, FsInfo},
        stream::{StreamProtocol, StreamServer},
    },
    sys,
};

use crate::badge::{Access, Badge};
use crate::disk::{BLOCK, Disk};
use crate::error::Error;
use crate::record::Message;
use crate::store::{FileId, FileStore, Fs, Kind, Stat};

const SECOND: u64 = 1_000_000_000;
/// What changed becomes safe without `sync` after this time, in nanoseconds.
const WRITE_BACK: u64 = 5 * SECOND;
/// After a `sync`, what it left for later is done after this time.
const SETTLE: u64 = SECOND / 10;
/// Symbolic links followed on one path.
const MAX_LINKS: usize = 8;

impl From<Error> for FsError {
    fn from(error: Error) -> FsError {
        match error {
            Error::NotFound => FsError::NotFound,
            Error::Exists => FsError::Exists,
            Error::NotADirectory => FsError::NotDirectory,
            Error::IsADirectory => FsError::IsDirectory,
            Error::NotEmpty => FsError::NotEmpty,
            Error::NoSpace => FsError::NoSpace,
            Error::NameTooLong => FsError::NameTooLong,
            Error::Invalid => FsError::BadName,
            Error::Stale => FsError::Stale,
            Error::TooLarge => FsError::TooLarge,
            Error::Io => FsError::Io,
            Error::Corrupt => FsError::Corrupt,
            Error::Unsupported => FsError::Unsupported,
            Error::CacheFull => FsError::Sys(SysError::NoMemory),
            Error::BadBuffer => FsError::Sys(SysError::BadLease),
        }
    }
}

fn kind(kind: Kind) -> FileKind {
    match kind {
        Kind::File => FileKind::File,
        Kind::Directory => FileKind::Directory,
        Kind::Symlink => FileKind::Link,
        Kind::Other => FileKind::Other,
    }
}

fn info(stat: &Stat) -> FileInfo {
    FileInfo {
        inode: u64::from(stat.id.inode),
        size: stat.size,
        mtime: (stat.modified / SECOND) as i64,
        allocated: stat.sectors * 512,
        mode: u32::from(stat.mode & 0o7777),
        links: u32::from(stat.links),
        kind: kind(stat.kind),
    }
}

fn access(flags: OpenFlags) -> Access {
    let pairs =
        [(OpenFlags::READ, Access::READ), (OpenFlags::WRITE, Access::WRITE), (OpenFlags::APPEND, Access::APPEND)];
    pairs.into_iter().filter(|(flag, _)| flags.contains(*flag)).fold(Access::empty(), |all, (_, one)| all | one)
}

/// The call as the store's record knows it: the kernel tells whether it was delivered before.
fn message(cx: &Context) -> Message {
    Message { id: cx.id().raw(), again: cx.attempt() > 0 }
}

fn nanoseconds(seconds: i64) -> Option<u64> {
    Some(u64::try_from(seconds).unwrap_or(0).saturating_mul(SECOND))
}

/// The filesystem server.
pub struct Server<'m, D> {
    fs: Fs<'m, D>,
    queue: Queue,
    /// When to write back, by the clock since power-on.
    due: Option<u64>,
}

impl<'m, D: Disk> Server<'m, D> {
    /// Serves `queue`, from which capabilities to files are minted.
    pub fn new(queue: Queue, fs: Fs<'m, D>) -> Self {
        // A predecessor may have left something to write back.
        Self { fs, queue, due: Some(sys::clock() + SETTLE) }
    }

    fn opened(&mut self, cx: &Context) -> Result<(FileId, Access), FsError> {
        match Badge::from_raw(cx.badge()).ok_or(FsError::NotPermitted)? {
            Badge::Root => Ok((self.fs.root()?, Access::READ | Access::WRITE)),
            Badge::Opened(id, access) => Ok((id, access)),
        }
    }

    fn allowed(&mut self, cx: &Context, wanted: Access) -> Result<FileId, FsError> {
        let (id, access) = self.opened(cx)?;
        if access.contains(wanted) { Ok(id) } else { Err(FsError::NotPermitted) }
    }

    /// Something has changed: it is to be written back some time.
    fn changed(&mut self) {
        if self.due.is_none() {
            self.due = Some(sys::clock() + WRITE_BACK);
        }
    }

    /// Walks all of `path` but its last name. Without one (`.`, `/`, `a/..`) the name is empty.
    fn walk<'p>(&mut self, start: FileId, path: &'p str, links: usize) -> Result<(FileId, &'p [u8]), FsError> {
        let (mut at, mut last): (_, &[u8]) = (start, b"");
        for part in path.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
            if !last.is_empty() {
                at = self.step(at, last, links)?;
            }
            last = part;
            if part == b".." {
                at = self.fs.parent(at)?;
                last = b"";
            }
        }
        Ok((at, last))
    }

    fn step(&mut self, dir: FileId, name: &[u8], links: usize) -> Result<FileId, FsError> {
        let stat = self.follow(dir, name, links)?;
        if stat.kind == Kind::Directory { Ok(stat.id) } else { Err(FsError::NotDirectory) }
    }

    /// What `name` in `dir` is, or leads to.
    fn follow(&mut self, dir: FileId, name: &[u8], links: usize) -> Result<Stat, FsError> {
        let stat = self.fs.lookup(dir, name)?;
        if stat.kind != Kind::Symlink {
            return Ok(stat);
        }
        if links == 0 {
            return Err(FsError::TooManyLinks);
        }
        let mut target = [0; BLOCK];
        let len = self.fs.read(stat.id, 0, &mut target)?;
        let target = core::str::from_utf8(&target[..len]).map_err(|_| FsError::BadName)?;
        let start = if target.starts_with('/') { self.fs.root()? } else { dir };
        self.find(start, target, links - 1)
    }

    /// What `path` names.
    fn find(&mut self, start: FileId, path: &str, links: usize) -> Result<Stat, FsError> {
        match self.walk(start, path, links)? {
            (dir, b"") => Ok(self.fs.stat(dir)?),
            (dir, name) => self.follow(dir, name, links),
        }
    }

    /// Whether this call has taken effect in an earlier delivery. It is asked before any path is walked: the effect may
    /// have been on that very path.
    fn is_done(&self, cx: &Context) -> bool {
        self.fs.recorded(message(cx)).is_some()
    }

    /// Directory and name of an entry that is to be made or removed.
    fn entry<'p>(&mut self, cx: &Context, path: &'p str) -> Result<(FileId, &'p [u8]), FsError> {
        let start = self.allowed(cx, Access::WRITE)?;
        let (dir, name) = self.walk(start, path, MAX_LINKS)?;
        self.changed();
        Ok((dir, name))
    }

    fn capability(&self, stat: &Stat, flags: OpenFlags) -> Result<Reply<(Grant, FileInfo)>, FsError> {
        if flags.contains(OpenFlags::DIRECTORY) && stat.kind != Kind::Directory {
            return Err(FsError::NotDirectory);
        }
        let badge = Badge::Opened(stat.id, access(flags));
        now((self.queue.minted(Rights::SEND, badge.raw()), info(stat)))
    }

    fn set_time(&mut self, cx: &Context, file: FileId, seconds: i64) -> Result<Reply<()>, FsError> {
        self.changed();
        now(self.fs.set_modified(message(cx), file, nanoseconds(seconds))?)
    }

    fn save(&mut self) -> Result<Reply<()>, FsError> {
        self.fs.sync()?;
        self.due = Some(sys::clock() + SETTLE);
        now(())
    }
}

impl<D: Disk> Service for Server<'_, D> {
    libipc::protocols!(StreamProtocol, DirectoryProtocol, FileProtocol);

    fn next_deadline(&self) -> sys::Deadline {
        self.due
    }

    fn on_deadline(&mut self) {
        self.due = None;
        if self.fs.settle().is_err() {
            // Nothing is lost: the memory has it still.
            self.changed();
        }
    }
}

impl<D: Disk> StreamServer for Server<'_, D> {
    fn recall(&mut self, _: MessageId) -> Option<Answer> {
        None // the store has its own record
    }

    #[inline(always)]
    fn read(&mut self, cx: &Context, offset: u64, buffer: Lease<Write>) -> Result<Reply<u64>, FsError> {
        let file = self.allowed(cx, Access::READ)?;
        let len = usize::try_from(buffer.len()).unwrap_or(usize::MAX);
        let sink = &mut |at: usize, part: &[u8]| buffer.write_at(at as u64, part).map_err(|_| Error::BadBuffer);
        now(self.fs.read_chunks(file, offset, len, sink)? as u64)
    }

    #[inline(always)]
    fn write(&mut self, cx: &Context, offset: u64, data: Lease<Read>) -> Result<Reply<u64>, FsError> {
        let (file, access) = self.opened(cx)?;
        if !access.contains(Access::WRITE) {
            return Err(FsError::NotPermitted);
        }
        self.changed();
        let len = usize::try_from(data.len()).unwrap_or(usize::MAX);
        let source = &mut |at: usize, part: &mut [u8]| data.read_at(at as u64, part).map_err(|_| Error::BadBuffer);
        let message = message(cx);
        let written = if access.contains(Access::APPEND) {
            self.fs.append_chunks(message, file, len, source)?.1
        } else {
            self.fs.write_chunks(message, file, offset, len, source)?
        };
        now(written as u64)
    }
}

impl<D: Disk> FileServer for Server<'_, D> {
    fn recall(&mut self, _: MessageId) -> Option<Answer> {
        None
    }

    fn info(&mut self, cx: &Context) -> Result<Reply<FileInfo>, FsError> {
        let (file, _) = self.opened(cx)?;
        now(info(&self.fs.stat(file)?))
    }

    fn truncate(&mut self, cx: &Context, size: u64) -> Result<Reply<()>, FsError> {
        let file = self.allowed(cx, Access::WRITE)?;
        self.changed();
        now(self.fs.truncate(message(cx), file, size)?)
    }

    fn sync(&mut self, cx: &Context) -> Result<Reply<()>, FsError> {
        self.opened(cx)?;
        self.save()
    }

    fn set_mtime(&mut self, cx: &Context, seconds: i64) -> Result<Reply<()>, FsError> {
        let file = self.allowed(cx, Access::WRITE)?;
        self.set_time(cx, file, seconds)
    }
}

impl<D: Disk> DirectoryServer for Server<'_, D> {
    fn recall(&mut self, _: MessageId) -> Option<Answer> {
        None
    }

    fn open(&mut self, cx: &Context, path: &str, flags: OpenFlags) -> Result<Reply<(Grant, FileInfo)>, FsError> {
        if flags.changes() {
            return Err(FsError::BadArgument);
        }
        let start = self.allowed(cx, access(flags) - Access::APPEND)?;
        let stat = self.find(start, path, MAX_LINKS)?;
        self.capability(&stat, flags)
    }

    fn create(&mut self, cx: &Context, path: &str, flags: OpenFlags) -> Result<Reply<(Grant, FileInfo)>, FsError> {
        let start = self.allowed(cx, (access(flags) - Access::APPEND) | Access::WRITE)?;
        let message = message(cx);
        self.changed();
        if let Some(made) = self.fs.recorded(message).filter(|made| made.inode != 0) {
            let stat = self.fs.stat(made)?;
            return self.capability(&stat, flags);
        }
        if !flags.contains(OpenFlags::CREATE) {
            let stat = self.find(start, path, MAX_LINKS)?;
            self.fs.truncate(message, stat.id, 0)?;
            let stat = self.fs.stat(stat.id)?;
            return self.capability(&stat, flags);
        }
        let (dir, name) = self.walk(start, path, MAX_LINKS)?;
        if name.is_empty() {
            return Err(FsError::IsDirectory);
        }
        let exclusive = flags.contains(OpenFlags::EXCLUSIVE);
        // A file that is there, at the end of a link perhaps, is taken; a link that leads nowhere is in the way.
        let file = match self.follow(dir, name, MAX_LINKS) {
            Ok(stat) if !exclusive && stat.kind == Kind::File => {
                if flags.contains(OpenFlags::TRUNCATE) {
                    self.fs.truncate(message, stat.id, 0)?;
                }
                stat.id
            }
            _ => self.fs.create(message, dir, name, exclusive)?,
        };
        let stat = self.fs.stat(file)?;
        self.capability(&stat, flags)
    }

    fn stat(&mut self, cx: &Context, path: &str) -> Result<Reply<FileInfo>, FsError> {
        let (start, _) = self.opened(cx)?;
        now(info(&self.find(start, path, MAX_LINKS)?))
    }

    fn list(
        &mut self,
        cx: &Context,
        path: &str,
        cookie: u64,
        entries: Lease<Write>,
    ) -> Result<Reply<(u64, u64)>, FsError> {
        let start = self.allowed(cx, Access::READ)?;
        let dir = self.find(start, path, MAX_LINKS)?.id;
        let room = usize::try_from(entries.len()).unwrap_or(usize::MAX).min(BLOCK);
        let (mut bytes, mut more) = (alloc::vec![0; room], false);
        let mut used = 0;
        let next = self.fs.readdir(dir, cookie, &mut |entry| {
            let name = String::from_utf8_lossy(entry.name);
            let fitted = Entry::encode(u64::from(entry.inode), kind(entry.kind), &name, &mut bytes[used..]);
            used += fitted.unwrap_or(0);
            more = fitted.is_none();
            !more
        })?;
        if more && used == 0 {
            return Err(FsError::BadArgument);
        }
        entries.write_at(0, &bytes[..used])?;
        now((if more { next } else { 0 }, used as u64))
    }

    fn mkdir(&mut self, cx: &Context, path: &str) -> Result<Reply<()>, FsError> {
        if self.is_done(cx) {
            return now(());
        }
        let (dir, name) = self.entry(cx, path)?;
        if name.is_empty() {
            return Err(FsError::Exists);
        }
        now(self.fs.mkdir(message(cx), dir, name).map(drop)?)
    }

    fn unlink(&mut self, cx: &Context, path: &str) -> Result<Reply<()>, FsError> {
        if self.is_done(cx) {
            return now(());
        }
        let (dir, name) = self.entry(cx, path)?;
        if name.is_empty() {
            return Err(FsError::IsDirectory);
        }
        now(self.fs.unlink(message(cx), dir, name)?)
    }

    fn rmdir(&mut self, cx: &Context, path: &str) -> Result<Reply<()>, FsError> {
        if self.is_done(cx) {
            return now(());
        }
        let (dir, name) = self.entry(cx, path)?;
        now(self.fs.rmdir(message(cx), dir, name)?)
    }

    fn rename(&mut self, cx: &Context, from: &str, to: &str) -> Result<Reply<()>, FsError> {
        if self.is_done(cx) {
            return now(());
        }
        let (from, to) = (self.entry(cx, from)?, self.entry(cx, to)?);
        let done = self.fs.rename(message(cx), from, to);
        // Names were fine where both are there: then it was the directory that would have gone into itself.
        let named = !from.1.is_empty() && !to.1.is_empty();
        now(done.map_err(|e| if e == Error::Invalid && named { FsError::Loop } else { e.into() })?)
    }

    fn statfs(&mut self, _: &Context) -> Result<Reply<FsInfo>, FsError> {
        let space = self.fs.space()?;
        now(FsInfo {
            block_size: BLOCK as u32,
            blocks: space.blocks,
            free_blocks: space.free_blocks,
            inodes: u64::from(space.inodes),
            free_inodes: u64::from(space.free_inodes),
        })
    }

    fn set_mtime(&mut self, cx: &Context, path: &str, seconds: i64) -> Result<Reply<()>, FsError> {
        let start = self.allowed(cx, Access::WRITE)?;
        let file = self.find(start, path, MAX_LINKS)?.id;
        self.set_time(cx, file, seconds)
    }

    fn rest(&mut self, cx: &Context) -> Result<Reply<()>, FsError> {
        self.allowed(cx, Access::WRITE)?;
        self.fs.rest()?;
        self.due = None;
        now(())
    }

    fn sync(&mut self, _: &Context) -> Result<Reply<()>, FsError> {
        self.save()
    }
}
