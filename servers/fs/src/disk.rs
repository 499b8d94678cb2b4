//! The disk below: blocks of 4 KiB, addressed by number.
//!
//! 1. A write may reach the medium at any time after it was issued, in any order, until the next `flush` returns.
//! 2. After `flush` returned `Ok`, every write that returned before it was called is on the medium.

use crate::error::Error;

/// Bytes in a block of the disk and of the filesystem.
pub const BLOCK: usize = 4096;

/// The disk could not do it; nothing is known about what reached the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError;

impl From<DiskError> for Error {
    fn from(_: DiskError) -> Self {
        Error::Io
    }
}

/// A disk. In the guest this is a client of the block server, in tests a vector.
pub trait Disk {
    /// Reads `buf.len() / BLOCK` consecutive blocks from block number `first` on. `buf` is a whole number of blocks.
    ///
    /// # Errors
    /// [`DiskError`] also if the range exceeds the disk.
    fn read_blocks(&mut self, first: u64, buf: &mut [u8]) -> Result<(), DiskError>;

    /// Writes consecutive blocks from block number `first` on. `buf` is a whole number of blocks.
    ///
    /// # Errors
    /// [`DiskError`] also if the range exceeds the disk.
    fn write_blocks(&mut self, first: u64, buf: &[u8]) -> Result<(), DiskError>;

    /// Returns once everything written before is on the medium.
    ///
    /// # Errors
    /// [`DiskError`] if that is not certain.
    fn flush(&mut self) -> Result<(), DiskError>;
}
