//! The memory that a client has attached, kept across the driver's own death.
//!
//! The capability comes in a message, and would die with the incarnation that received it. The driver grants it to itself,
//! so that it stays in its table, and notes its handle in the part of the DMA memory that no device touches. Where the
//! driver is not allowed to (`self` without `GRANT`), the memory is forgotten, and the client is told `NotAttached`.
//!
//! Always true:
//! 1. What is noted is whole (its checksum says so), or counts as nothing.

use crate::hal;
use core::sync::atomic::{Ordering, compiler_fence};
use libipc::{Handle, Kind, Memory, OwnedHandle, Rights, memory::own_process, sys};

const MAGIC: u64 = u64::from_le_bytes(*b"attach\0\x01");

/// What the driver may do with attached memory.
pub const RIGHTS: Rights = Rights::READ.union(Rights::WRITE).union(Rights::MAP).union(Rights::DMA);

/// An attached memory.
pub struct Attachment {
    handle: OwnedHandle,
    lasting: bool,
}

impl Attachment {
    /// Takes over what came in a message, and keeps it for good if that is allowed.
    pub fn take(handle: OwnedHandle) -> Attachment {
        match own_process().give(handle.handle(), RIGHTS, 0) {
            Ok(kept) => Attachment { handle: OwnedHandle::new(kept), lasting: true },
            Err(_) => Attachment { handle, lasting: false },
        }
    }

    /// The memory.
    pub fn memory(&self) -> Memory {
        self.handle.memory()
    }
}

fn sum(handle: u64, epoch: u64) -> u64 {
    [handle, epoch].iter().fold(MAGIC, |sum, word| (sum.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Notes it for the next incarnation.
pub fn remember(attachment: &Attachment, epoch: u64) {
    hal::write_lasting(0, &0u64.to_le_bytes());
    compiler_fence(Ordering::SeqCst);
    if !attachment.lasting {
        return;
    }
    let handle = attachment.handle.handle().raw();
    hal::write_lasting(8, &handle.to_le_bytes());
    hal::write_lasting(16, &epoch.to_le_bytes());
    compiler_fence(Ordering::SeqCst);
    hal::write_lasting(0, &sum(handle, epoch).to_le_bytes());
}

/// What the predecessor has noted, and its epoch.
pub fn recall() -> Option<(Attachment, u64)> {
    let mut bytes = [0; 24];
    hal::read_lasting(&mut bytes);
    let [noted, handle, epoch] = [0, 8, 16].map(|at| u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i])));
    if noted != sum(handle, epoch) {
        return None;
    }
    let handle = Handle::from_raw(handle);
    let found = sys::inspect(handle).ok()?;
    let fit = found.kind == Kind::Memory && found.rights.contains(RIGHTS);
    fit.then(|| (Attachment { handle: OwnedHandle::new(handle), lasting: true }, epoch))
}
