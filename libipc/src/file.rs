//! An open file: a [`Stream`] with what only files have.

use crate::object::Queue;
use crate::owned::OwnedHandle;
use crate::proto::FsError;
use crate::proto::file::FileClient;
use crate::proto::info::FileInfo;
use crate::stream::Stream;
use core::ops::{Deref, DerefMut};

/// An open file; reads and writes as its [`Stream`] does.
#[derive(Debug)]
pub struct File {
    stream: Stream,
}

impl File {
    /// Takes over a capability. No person keeps a file waiting, so a read or write of it waits no longer than any call.
    pub fn new(handle: OwnedHandle) -> File {
        File { stream: Stream::prompt(handle) }
    }
    fn client(&self) -> FileClient {
        FileClient::new(self.stream.queue())
    }
    /// The capability.
    pub fn queue(&self) -> Queue {
        self.stream.queue()
    }
    /// What it is.
    pub fn info(&self) -> Result<FileInfo, FsError> {
        self.client().info()
    }
    /// Cuts it to `size` bytes, or extends it with zeros.
    pub fn truncate(&self, size: u64) -> Result<(), FsError> {
        self.client().truncate(size)
    }
    /// Returns when what was written to it survives a power cut.
    pub fn sync(&self) -> Result<(), FsError> {
        self.client().sync()
    }
    /// Sets when it was last changed, seconds since 1970-01-01.
    pub fn set_mtime(&self, seconds: i64) -> Result<(), FsError> {
        self.client().set_mtime(seconds)
    }
    /// As a stream.
    pub fn into_stream(self) -> Stream {
        self.stream
    }
}

impl Deref for File {
    type Target = Stream;
    fn deref(&self) -> &Stream {
        &self.stream
    }
}
impl DerefMut for File {
    fn deref_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }
}
