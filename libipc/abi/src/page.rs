//! The message page: what of a message does not fit into registers. One page per thread, mapped readable and writable
//! in its process; the kernel reaches it through its own map of memory, never through a user pointer.

use crate::{Handle, MAX_CAPS, MAX_LEASES, MAX_PAYLOAD, PAGE_SIZE, Rights};

/// A capability to derive a copy of for the receiver. The sender keeps its own, so that a redelivery can derive again.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapDescriptor {
    /// The sender's capability.
    pub handle: Handle,
    /// Rights that the copy keeps ([`Rights::bits`]); bits that the sender's capability lacks are dropped.
    pub rights: u64,
    /// The badge of the copy where `handle` is a queue with [`Rights::MINT`]; else 0: the copy has the sender's badge.
    pub badge: u64,
}

impl CapDescriptor {
    /// A copy of `handle` with `rights`, and its own badge.
    pub const fn copy(handle: Handle, rights: Rights) -> CapDescriptor {
        CapDescriptor { handle, rights: rights.bits() as u64, badge: 0 }
    }
    /// A copy of queue `handle` with `rights` and `badge`.
    pub const fn mint(handle: Handle, rights: Rights, badge: u64) -> CapDescriptor {
        CapDescriptor { handle, rights: rights.bits() as u64, badge }
    }
}

bitflags::bitflags! {
    /// What the receiver may do with a lease.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LeaseAccess: u32 {
        /// Copy out of it (`LeaseRead`).
        const READ = 1;
        /// Copy into it (`LeaseWrite`).
        const WRITE = 2;
    }
}

/// A range of memory lent to the receiver of a call until its reply: the sender's own, or part of a lease that was lent
/// to the sender by a call that it has not answered yet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseDescriptor {
    /// First byte: an address of the sender, or an offset into the lease that it passes on.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// 0: the sender's own memory. Else the [`crate::MessageId`] of the call whose lease is passed on.
    pub of: u64,
    /// [`LeaseAccess`].
    pub access: u32,
    /// Which lease of `of` is passed on.
    pub index: u32,
}

/// One thread's message page.
#[repr(C, align(4096))]
pub struct MessagePage {
    /// Payload of the message sent or received last; reports that a system call returns.
    pub payload: [u8; MAX_PAYLOAD],
    /// To be sent: capabilities.
    pub caps: [CapDescriptor; MAX_CAPS],
    /// Received: handles of the capabilities, `Handle::NONE` for one that could not be derived.
    pub received: [Handle; MAX_CAPS],
    /// To be sent: leases. They must stay as they are until the call returns.
    pub leases: [LeaseDescriptor; MAX_LEASES],
    /// With [`crate::CallFlags::DEADLINE`]: when to give up, nanoseconds of [`crate::Sysno::Clock`].
    pub deadline: u64,
    /// Not used by the kernel.
    pub spare: [u8; PAGE_SIZE as usize - MAX_PAYLOAD - 4 * 24 - 4 * 8 - 4 * 32 - 8],
}

const _: () = assert!(size_of::<CapDescriptor>() == 24);
const _: () = assert!(size_of::<LeaseDescriptor>() == 32);
const _: () = assert!(size_of::<MessagePage>() == PAGE_SIZE as usize);
