//! The memory that a client has attached, kept across the server's own death.
//!
//! The capability comes in a message, and would die with the incarnation that received it. The server grants it to itself,
//! so that it stays in its table, and notes its handle.
//!
//! Invariants:
//! 1. What is noted is whole (its checksum says so), or counts as nothing.

use core::sync::atomic::{Ordering, compiler_fence};
use libipc::{Handle, Kind, Mapping, OwnedHandle, Rights, SysError, memory::own_process, sys};

const MAGIC: u64 = u64::from_le_bytes(*b"ramdisk\x01");
/// What the server does with attached memory.
const RIGHTS: Rights = Rights::READ.union(Rights::WRITE).union(Rights::MAP);

/// Attached memory.
pub struct Attachment {
    handle: OwnedHandle,
    /// It, mapped.
    pub mapping: Mapping,
    /// The epoch of the client that attached it.
    pub epoch: u64,
}

impl Attachment {
    /// Takes over what came in a message, and keeps it for good.
    ///
    /// # Errors
    /// It cannot be kept or mapped.
    pub fn new(handle: OwnedHandle, epoch: u64) -> Result<Attachment, SysError> {
        let handle = OwnedHandle::new(own_process().give(handle.handle(), RIGHTS, 0)?);
        let mapping = handle.memory().map(true)?;
        Ok(Attachment { handle, mapping, epoch })
    }

    /// Notes it for the next incarnation.
    pub fn note(&self, head: &mut [u8]) {
        let (handle, epoch) = (self.handle.handle().raw(), self.epoch);
        for (at, word) in [(0, 0), (8, handle), (16, epoch), (0, sum(handle, epoch))] {
            head[at..at + 8].copy_from_slice(&word.to_le_bytes());
            compiler_fence(Ordering::SeqCst);
        }
    }

    /// What the predecessor has noted, where it is still there.
    pub fn noted(head: &[u8]) -> Option<Attachment> {
        let word = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (handle, epoch) = (word(8), word(16));
        if word(0) != sum(handle, epoch) {
            return None;
        }
        let handle = Handle::from_raw(handle);
        let found = sys::inspect(handle).ok().filter(|found| found.kind == Kind::Memory)?;
        let handle = found.rights.contains(RIGHTS).then(|| OwnedHandle::new(handle))?;
        let mapping = handle.memory().map(true).ok()?;
        Some(Attachment { handle, mapping, epoch })
    }
}

fn sum(handle: u64, epoch: u64) -> u64 {
    [handle, epoch].iter().fold(MAGIC, |sum, word| (sum.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
