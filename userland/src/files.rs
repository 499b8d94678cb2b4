//! The files that a program was given.
//!
//! Invariant: a program without directories is told that the operation is not permitted; it never sees another's files.

use crate::program::{Input, readable};
use alloc::{string::String, vec::Vec};
use libipc::dir::Namespace;
use libipc::proto::directory::{Entry, OpenFlags};
use libipc::proto::info::{FileInfo, FsInfo};
use libipc::proto::{FsError, file::FileClient};
use libipc::spawn::Image;
use libipc::{Account, Dir, File, Startup};

/// Why, in the words of these programs.
pub fn reason(error: &FsError) -> &'static str {
    match error {
        FsError::NotFound => "no such file",
        other => other.text(),
    }
}

/// Files by path.
#[derive(Clone, Debug)]
pub struct Files {
    namespace: Option<Namespace>,
}

impl Files {
    /// Those of a program that was started so.
    pub fn of(startup: &Startup<'_>) -> Files {
        Files { namespace: Namespace::of(startup).ok() }
    }

    fn namespace(&self) -> Result<&Namespace, FsError> {
        self.namespace.as_ref().ok_or(FsError::NotPermitted)
    }

    /// Where a path starts. An empty path names nothing.
    fn start(&self, path: &str) -> Result<Dir, FsError> {
        if path.is_empty() {
            return Err(FsError::NotFound);
        }
        Ok(self.namespace()?.start(path))
    }

    /// The path from the root.
    pub fn absolute(&self, path: &str) -> String {
        self.namespace.as_ref().map_or_else(|| path.into(), |namespace| sh::path::absolute(namespace.pwd(), path))
    }

    /// What is known about it.
    pub fn stat(&self, path: &str) -> Result<FileInfo, FsError> {
        self.start(path)?.stat(path)
    }

    /// Opens a file to read it.
    pub fn open(&self, path: &str) -> Result<Input, FsError> {
        let (handle, info) = self.start(path)?.open_any(path, OpenFlags::READ)?;
        readable(info.kind)?;
        Ok(Input::new(path, File::new(handle).into_stream()))
    }

    /// Reads a program's file into memory that `account` pays for.
    pub fn image(&self, path: &str, account: Account) -> Result<Image, FsError> {
        let (handle, info) = self.start(path)?.open_any(path, OpenFlags::READ)?;
        readable(info.kind)?;
        Image::read(&mut File::new(handle), account)
    }

    /// Opens a file to write it anew.
    pub fn create(&self, path: &str) -> Result<File, FsError> {
        self.start(path)?.create(path)
    }

    /// All entries of a directory, as they lie there.
    pub fn entries(&self, path: &str) -> Result<Vec<Entry>, FsError> {
        self.start(path)?.list(path)
    }

    /// Makes a directory.
    pub fn mkdir(&self, path: &str) -> Result<(), FsError> {
        self.start(path)?.mkdir(path)
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, path: &str) -> Result<(), FsError> {
        self.start(path)?.rmdir(path)
    }

    /// Removes a file.
    pub fn unlink(&self, path: &str) -> Result<(), FsError> {
        self.start(path)?.unlink(path)
    }

    /// Renames.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        if from.is_empty() || to.is_empty() {
            return Err(FsError::NotFound);
        }
        self.namespace()?.rename(from, to)
    }

    /// Makes a file where there is none; else its time of change is now. The machine has no calendar of its own: the
    /// filesystem keeps the time, and setting a file to the size that it has makes it take note.
    pub fn touch(&self, path: &str) -> Result<(), FsError> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        let (handle, info) = self.start(path)?.open_any(path, flags)?;
        FileClient::new(handle.queue()).truncate(info.size)
    }

    /// How large the filesystem is and how full.
    pub fn space(&self) -> Result<FsInfo, FsError> {
        self.namespace()?.root().statfs()
    }

    /// Returns when all that was done before survives a power cut.
    pub fn sync(&self) -> Result<(), FsError> {
        self.namespace()?.root().sync()
    }
}
