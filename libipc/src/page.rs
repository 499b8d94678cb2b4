//! The thread's message page: payload, capabilities and leases of the message sent or received last.
//!
//! Invariants:
//! 1. The page is reached by copies through a raw pointer alone; no reference into it is ever made, so that the kernel
//!    may change it during any system call.
//! 2. Every index and length is bounded before it is used.

use abi::{
    AccountStatus, AuditReport, CapDescriptor, CapabilityStatus, Handle, LeaseDescriptor, MachineInfo, ProcessStatus,
    ThreadStatus,
};
use abi::{MAX_CAPS, MAX_LEASES, MAX_PAYLOAD};
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

/// The calling thread's page.
#[cfg(target_os = "none")]
#[inline(always)]
fn page() -> *mut abi::MessagePage {
    let rsp: u64;
    // SAFETY: reads a register, changes nothing.
    unsafe { core::arch::asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags, pure)) };
    core::ptr::with_exposed_provenance_mut((rsp & !(abi::layout::THREAD_AREA - 1)) as usize)
}

#[cfg(not(target_os = "none"))]
use crate::testing::trap::page;

// SAFETY of every block below: `page()` is the calling thread's own page, mapped readable and writable for as long as
// the thread lives (abi::layout, THREAD_AREA), aligned for its type; every field is plain old data, valid for all bit
// patterns; no references into it exist (invariant 1), and no other thread uses it.

/// Sets when the next call that waits gives up.
#[inline(always)]
pub(crate) fn set_deadline(at: u64) {
    // SAFETY: see above.
    unsafe { addr_of_mut!((*page()).deadline).write(at) }
}

/// Sets capability `index` of the message to be sent. An index beyond the limit is ignored.
#[inline(always)]
pub fn set_cap(index: usize, cap: CapDescriptor) {
    if index < MAX_CAPS {
        // SAFETY: see above; the index is in bounds.
        unsafe { addr_of_mut!((*page()).caps[index]).write(cap) }
    }
}

/// Capability `index` as it was set to be sent.
#[inline]
pub fn sent_cap(index: usize) -> CapDescriptor {
    if index >= MAX_CAPS {
        return CapDescriptor::default();
    }
    // SAFETY: see above; the index is in bounds.
    unsafe { addr_of_mut!((*page()).caps[index]).read() }
}

/// Capability `index` of the message received last; `Handle::NONE` where there is none.
#[inline(always)]
pub fn received_cap(index: usize) -> Handle {
    if index >= MAX_CAPS {
        return Handle::NONE;
    }
    // SAFETY: see above; the index is in bounds.
    unsafe { addr_of_mut!((*page()).received[index]).read() }
}

/// Sets lease `index` of the message to be sent.
///
/// Not public: a descriptor of the thread's own memory must come from a borrow that outlives the call.
#[inline(always)]
pub(crate) fn set_lease(index: usize, lease: LeaseDescriptor) {
    if index < MAX_LEASES {
        // SAFETY: see above; the index is in bounds.
        unsafe { addr_of_mut!((*page()).leases[index]).write(lease) }
    }
}

/// Takes back the first `count` leases, so that no later message lends what is borrowed no more.
#[inline(always)]
pub(crate) fn clear_leases(count: usize) {
    for index in 0..count.min(MAX_LEASES) {
        // SAFETY: see above; the index is in bounds.
        unsafe { addr_of_mut!((*page()).leases[index].length).write(0) }
    }
}

/// Copies `bytes` into the payload from `at` on, as far as it has room; returns whether all fitted.
#[inline]
pub fn write_payload(at: usize, bytes: &[u8]) -> bool {
    let fits = at <= MAX_PAYLOAD && bytes.len() <= MAX_PAYLOAD - at;
    if fits {
        // SAFETY: see above; the range lies within the payload; `bytes` is no part of the page (invariant 1).
        unsafe {
            let payload = addr_of_mut!((*page()).payload).cast::<u8>();
            payload.add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }
    fits
}

/// A copy of the payload received last, on the stack.
pub struct Payload {
    bytes: [MaybeUninit<u8>; MAX_PAYLOAD],
    length: usize,
}

impl Payload {
    /// Copies the first `length` bytes (at most [`MAX_PAYLOAD`]).
    #[inline]
    pub fn copy(length: usize) -> Payload {
        let length = length.min(MAX_PAYLOAD);
        let mut bytes = [const { MaybeUninit::uninit() }; MAX_PAYLOAD];
        // SAFETY: see above; `length` is in bounds of both, which do not overlap.
        unsafe {
            let payload = addr_of_mut!((*page()).payload).cast::<u8>();
            bytes.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(payload, length);
        }
        Payload { bytes, length }
    }
    /// Its bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `copy` has initialised the first `length` bytes, and only it makes this type.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr().cast(), self.length) }
    }
}

/// Copies of the payload as what a system call has just reported there.
macro_rules! reports {
    ($($name:ident: $type:ty),*) => { $(
        pub(crate) fn $name() -> $type {
            // SAFETY: see above; a report fits into the payload (asserted in abi), has no padding that matters, and is
            // made of integers and bytes only.
            unsafe { addr_of_mut!((*page()).payload).cast::<$type>().read_unaligned() }
        }
    )* };
}
reports!(account_status: AccountStatus, process_status: ProcessStatus, machine_info: MachineInfo,
         thread_status: ThreadStatus, capability_status: CapabilityStatus, audit_report: AuditReport);
