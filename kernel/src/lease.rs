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
    #[inline(always)]
    pub(crate) fn lease(
        &self,
        process: Ref<Process>,
        token: MessageId,
        index: u64,
        offset: u64,
        length: u64,
        access: LeaseAccess,
    ) -> Result<UserRange, SysError> {
        match self.lent(process, token, index, offset, length, access)? {
            Lent::Memory(range) => Ok(range),
            Lent::Passed(from) => self.lease_passed(from, length, access),
        }
    }

    /// The same of a lease that its lender had been lent.
    #[inline(never)]
    fn lease_passed(&self, from: Passed, length: u64, access: LeaseAccess) -> Result<UserRange, SysError> {
        let Passed { mut holder, mut token, mut index, mut offset } = from;
        for _ in 1..MAX_DEPTH {
            match self.lent(holder, token, index, offset, length, access)? {
                Lent::Memory(range) => return Ok(range),
                Lent::Passed(from) => Passed { holder, token, index, offset } = from,
            }
        }
        Err(SysError::BadLease)
    }

    /// What lease `index` of call `token`, which `process` holds, is of.
    #[inline(always)]
    fn lent(
        &self,
        process: Ref<Process>,
        token: MessageId,
        index: u64,
        offset: u64,
        length: u64,
        access: LeaseAccess,
    ) -> Result<Lent, SysError> {
        let lender = self.caller_of(process, token)?;
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
            return UserRange::claim(owner, from, length).map(Lent::Memory).ok_or(SysError::BadLease);
        }
        let (token, index) = (MessageId::from_raw(of), flags >> 32);
        Ok(Lent::Passed(Passed { holder: owner, token, index, offset: from }))
    }

    /// The frame behind a program's address, made present for the access.
    fn user_frame(&mut self, process: Ref<Process>, address: u64, write: bool) -> Result<Frame, SysError> {
        if let Some(space) = self.processes[process].space
            && let Some((physical, writable)) = self.mm.translate(space, address)
            && (writable || !write)
            && let Some(frame) = self.mm.content(physical)
        {
            return Ok(frame);
        }
        self.processes[process].space.ok_or(SysError::BadAddress)?;
        let physical = self.touch(process, address, write, false)?;
        self.mm.content(physical).ok_or(SysError::BadAddress)
    }

    /// Copies between two programs. On an error, of `from` or of `to`, earlier pages may have been copied.
    #[inline(always)]
    pub(crate) fn copy_user(&mut self, from: UserRange, to: UserRange) -> Result<(), CopyError> {
        let done = self.copy_present(from, to);
        if done == from.length { Ok(()) } else { self.copy_rest(from, to, done) }
    }

    /// Copies as far as the pages are there, if the programs are two. Returns how many bytes.
    #[inline(always)]
    fn copy_present(&mut self, from: UserRange, to: UserRange) -> u64 {
        if let Some((source, target)) = self.processes.pair(from.process, to.process)
            && let (Some(source_space), Some(target_space)) = (source.space, target.space)
        {
            let source = ((&mut source.walks, source_space), from.start);
            return self.mm.copy_between(source, ((&mut target.walks, target_space), to.start), from.length);
        }
        0
    }

    /// Copies what is behind the first `done` bytes, and makes pages that are not there.
    #[inline(never)]
    fn copy_rest(&mut self, from: UserRange, to: UserRange, mut done: u64) -> Result<(), CopyError> {
        while done < from.length {
            let (source_at, target_at) = (from.start + done, to.start + done);
            let (source_offset, target_offset) = (source_at % PAGE_SIZE, target_at % PAGE_SIZE);
            let step = (PAGE_SIZE - source_offset.max(target_offset)).min(from.length - done);
            // Looking up the one may commit a page, but takes no page away from the other.
            let source = self.user_frame(from.process, source_at, false).map_err(CopyError::Source)?;
            let target = self.user_frame(to.process, target_at, true).map_err(CopyError::Target)?;
            self.mm.copy(source, source_offset as usize, target, target_offset as usize, step as usize);
            done += step;
            let rest = |range: UserRange| UserRange { start: range.start + done, length: range.length - done, ..range };
            done += self.copy_present(rest(from), rest(to));
        }
        Ok(())
    }
}

/// What a lease is of.
enum Lent {
    /// The lender's memory.
    Memory(UserRange),
    /// A lease that the lender was lent.
    Passed(Passed),
}

/// A place in a lease that a process was lent with a call.
struct Passed {
    holder: Ref<Process>,
    token: MessageId,
    index: u64,
    offset: u64,
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
