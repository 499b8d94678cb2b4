//! Directories. Paths are relative to the capability; a leading `/` is ignored, `..` follows the entry on the disk.

use super::FsError;
use super::info::{FileInfo, FileKind, FsInfo};
use crate::protocol;
use alloc::string::String;

bitflags::bitflags! {
    /// What an opened file is for. Without `READ` and `WRITE` it can only be asked what it is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// Read it; list a directory.
        const READ = 1;
        /// Write it; change a directory's entries.
        const WRITE = 2;
        /// Every write goes to its end, whatever the offset.
        const APPEND = 4;
        /// Make it where there is none.
        const CREATE = 8;
        /// With `CREATE`: refuse one that is there.
        const EXCLUSIVE = 16;
        /// Cut it to 0 bytes.
        const TRUNCATE = 32;
        /// Refuse what is no directory.
        const DIRECTORY = 64;
    }
}

impl crate::Words for OpenFlags {
    const COUNT: usize = 1;
    fn put(&self, words: &mut [u64; 8], at: usize) {
        words[at] = self.bits() as u64;
    }
    fn take(words: &[u64; 8], at: usize) -> Option<Self> {
        Self::from_bits(u32::try_from(words[at]).ok()?)
    }
}

impl OpenFlags {
    /// Whether opening with them changes the file system: then it goes by `create`.
    pub const fn changes(self) -> bool {
        self.intersects(OpenFlags::CREATE.union(OpenFlags::TRUNCATE))
    }
}

protocol! {
    /// A directory, and the names below it. An opened directory speaks this too; every operation names a path, "." being
    /// the directory itself.
    pub protocol Directory = 3 version 1;
    error FsError;

    /// Opens what is there; refuses flags that change anything. The capability speaks `stream` and `file`, or
    /// `directory`.
    idempotent fn open(path: &str, flags: OpenFlags) -> (Cap, FileInfo) = 1;
    /// Opens with flags that may make or cut the file.
    recorded fn create(path: &str, flags: OpenFlags) -> (Cap, FileInfo) = 2;
    /// What the path names.
    idempotent fn stat(path: &str) -> FileInfo = 3;
    /// Entries of the directory at `path`, from `cookie` on (0 at first), encoded into `entries` as [`Entries`] reads
    /// them. Returns the cookie of the next call (0: there is no more) and the bytes used.
    idempotent fn list(path: &str, cookie: u64, entries: &mut [u8]) -> (u64, u64) = 4;
    /// Makes a directory.
    recorded fn mkdir(path: &str) = 5;
    /// Removes a file.
    recorded fn unlink(path: &str) = 6;
    /// Removes an empty directory.
    recorded fn rmdir(path: &str) = 7;
    /// Renames; a file, or an empty directory for a directory, that has the new name is replaced. Both paths are
    /// relative to this capability.
    recorded fn rename(from: &str, to: &str) = 8;
    /// How large the file system is and how full.
    idempotent fn statfs() -> FsInfo = 9;
    /// Sets when a file was last changed, seconds since 1970-01-01.
    idempotent fn set_mtime(path: &str, seconds: i64) = 10;
    /// Returns when all that was done before survives a power cut.
    idempotent fn sync() = 11;
    /// The same, and the disk is complete without a journal and marked clean, until something is changed again. Needs a
    /// directory that may be written.
    idempotent fn rest() = 12;
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of what it names.
    pub inode: u64,
    /// What it names.
    pub kind: FileKind,
    /// The name.
    pub name: String,
}

impl Entry {
    const HEAD: usize = 10;
    /// Bytes that an entry with a name of `length` bytes takes.
    pub const fn encoded_length(length: usize) -> usize {
        Self::HEAD + length
    }
    /// Appends an entry at the start of `into`; returns its bytes, or `None` where there is no room or the name is
    /// longer than 255 bytes.
    pub fn encode(inode: u64, kind: FileKind, name: &str, into: &mut [u8]) -> Option<usize> {
        let length = Self::encoded_length(name.len());
        let into = into.get_mut(..length)?;
        into[..8].copy_from_slice(&inode.to_le_bytes());
        into[8] = kind as u8;
        into[9] = u8::try_from(name.len()).ok()?;
        into[Self::HEAD..].copy_from_slice(name.as_bytes());
        Some(length)
    }
}

/// Reads encoded entries one by one; ends at the first that is malformed.
pub struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    /// Of the bytes that `list` has used.
    pub fn new(bytes: &'a [u8]) -> Entries<'a> {
        Entries(bytes)
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;
    fn next(&mut self) -> Option<Entry> {
        let (head, rest) = self.0.split_first_chunk::<{ Entry::HEAD }>()?;
        let (name, rest) = rest.split_at_checked(head[9] as usize)?;
        let (inode, kind) = head.split_first_chunk::<8>()?;
        let mut words = [0; 8];
        words[0] = kind[0] as u64;
        self.0 = rest;
        Some(Entry {
            inode: u64::from_le_bytes(*inode),
            kind: crate::Words::take(&words, 0)?,
            name: core::str::from_utf8(name).ok()?.into(),
        })
    }
}
