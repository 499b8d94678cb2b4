//! Leases: ranges of a caller's memory, lent to the receiver of its call until the answer.
//!
//! Invariants:
//! 1. A lease is reached only through the token of its call, so it dies with the token.
//! 2. The lender's descriptor is read afresh for each copy: a lender that changes it harms itself alone.
//! 3. Bytes move through the direct map after a walk of the page tables; a range that is not mapped for the access is
//!    the fault of whoever named it.

use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Frame, Ref};
use crate::process::Process;
use abi::{LeaseAccess, LeaseDescriptor, MAX_LEASES, MessageId, MessagePage, PAGE_SIZE, SysError, layout};
use core::mem::offset_of;

/// Most bytes that one system call copies: about 20,000 instructions with all its walks.
pub const MAX_COPY: u64 = 64 * 1024;
/// How many times a lease may be passed on.
const MAX_DEPTH: usize = 8;
const LEASES: usize = offset_of!(MessagePage, leases) / 8;
const LEASE_WORDS: usize = size_of::<LeaseDescriptor>() / 8;

/// A range of a program's memory, somewhere in the user half. Nothing more is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRange {
    /// Whose.
    pub process: Ref<Process>,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

impl UserRange {
    /// Checks that the range lies in the user half and does not wrap.
    pub fn claim(process: Ref<Process>, start: u64, length: u64) -> Option<UserRange> {
        let end = start.checked_add(length)?;
        (start >= layout::USER_START && end <= layout::USER_END).then_some(UserRange { process, start, length })
    }
}

impl<M: Machine> Kernel<M> {
    /// The memory behind `length` bytes from `offset` of lease `index` of call `token`, which `process` holds.
    pub(crate) fn lease(
        &self,
        process: Ref<Process>,
        token: MessageId,
        index: u64,
        offset: u64,
        length: u64,
        access: LeaseAccess,
    ) -> Result<UserRange, SysError> {
        let (mut holder, mut token, mut index, mut offset) = (process, token, index, offset);
        for _ in 0..MAX_DEPTH {
            let lender = self.caller_of(holder, token)?;
            let count = self.threads[lender].tag().leases().min(MAX_LEASES) as u64;
            if index >= count {
                return Err(SysError::BadLease);
            }
            let at = LEASES + index as usize * LEASE_WORDS;
            let page = self.threads[lender].message.expect("a thread in use has a message page");
            let [start, size, of, flags] = self.mm.words::<LEASE_WORDS>(page, at);
            let inside = offset.checked_add(length).is_some_and(|end| end <= size);
            if !inside || !LeaseAccess::from_bits_truncate(flags as u32).contains(access) {
                return Err(SysError::BadLease);
            }
            let owner = self.threads[lender].process;
            let from = start.checked_add(offset).ok_or(SysError::BadLease)?;
            if of == 0 {
                return UserRange::claim(owner, from, length).ok_or(SysError::BadLease);
            }
            (holder, token, index, offset) = (owner, MessageId::from_raw(of), flags >> 32, from);
        }
        Err(SysError::BadLease)
    }

    /// The frame behind a program's address, made present for the access.
    #[inline(always)]
    fn user_frame(&mut self, process: Ref<Process>, address: u64, write: bool) -> Result<Frame, SysError> {
        if let Some(space) = self.processes[process].space
            && let Some((physical, writable)) = self.mm.translate(space, address)
            && (writable || !write)
            && let Some(frame) = self.mm.content(physical)
        {
            return Ok(frame);
        }
        self.touched_frame(process, address, write)
    }

    /// The same where it is not, or not for this access, or cannot be.
    #[cold]
    #[inline(never)]
    fn touched_frame(&mut self, process: Ref<Process>, address: u64, write: bool) -> Result<Frame, SysError> {
        self.processes[process].space.ok_or(SysError::BadAddress)?;
        let physical = self.touch(process, address, write, false)?;
        self.mm.content(physical).ok_or(SysError::BadAddress)
    }

    /// Copies between two programs. On an error, of `from` or of `to`, earlier pages may have been copied.
    pub(crate) fn copy_user(&mut self, from: UserRange, to: UserRange) -> Result<(), CopyError> {
        let mut done = 0;
        // The frames of the pages that the copy has come to; looked up again at each page boundary only. Looking up the
        // one may commit a page, but takes no page away from the other.
        let (mut source, mut target) = (None, None);
        while done < from.length {
            let (source_at, target_at) = (from.start + done, to.start + done);
            let (source_offset, target_offset) = (source_at % PAGE_SIZE, target_at % PAGE_SIZE);
            let step = (PAGE_SIZE - source_offset).min(PAGE_SIZE - target_offset).min(from.length - done);
            let source_frame = match source.filter(|_| source_offset != 0) {
                Some(frame) => frame,
                None => self.user_frame(from.process, source_at, false).map_err(CopyError::Source)?,
            };
            let target_frame = match target.filter(|_| target_offset != 0) {
                Some(frame) => frame,
                None => self.user_frame(to.process, target_at, true).map_err(CopyError::Target)?,
            };
            self.mm.copy(source_frame, source_offset as usize, target_frame, target_offset as usize, step as usize);
            (source, target) = (Some(source_frame), Some(target_frame));
            done += step;
        }
        Ok(())
    }
}

/// Which side of a copy was at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyError {
    /// The range that was read.
    Source(SysError),
    /// The range that was written.
    Target(SysError),
}

impl CopyError {
    /// The error for the system call, where the named side is a lease.
    pub fn with_lease(self, lease_is_source: bool) -> SysError {
        match (self, lease_is_source) {
            (CopyError::Source(SysError::NoMemory) | CopyError::Target(SysError::NoMemory), _) => SysError::NoMemory,
            (CopyError::Source(_), true) | (CopyError::Target(_), false) => SysError::BadLease,
            _ => SysError::BadAddress,
        }
    }
}
