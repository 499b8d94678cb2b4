//! The system calls as safe functions. Errors are those of [`abi::Sysno`].
//!
//! Invariants:
//! 1. Only `trap` (the instruction) and, on the host, `crate::testing` know how a call reaches the kernel.
//! 2. A message's words stay in registers from the caller of a function here to the instruction and back.

mod ipc;
mod object;
#[cfg(target_os = "none")]
#[allow(unsafe_code)]
mod trap;
#[cfg(not(target_os = "none"))]
use crate::testing::trap;

pub use ipc::*;
pub use object::*;

use abi::{CallFlags, Sysno};

/// What goes into `rax`.
#[inline(always)]
const fn number(call: Sysno, flags: CallFlags) -> u64 {
    call as u64 | (flags.bits() as u64) << 8
}

/// [`raw`] without its exceptions: a system call with these registers, whatever they mean.
///
/// # Safety
/// What the call does to the memory of the program must be what Rust allows there: unmapping what is in use, mapping
/// over it, or naming memory that is borrowed as the destination of a copy is not.
#[allow(unsafe_code)]
#[inline(always)]
pub unsafe fn raw_unchecked(frame: Frame) -> Frame {
    trap::message(frame)
}

/// Registers of a message call, on entry and on return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// `rax`
    pub rax: u64,
    /// `rdi`
    pub rdi: u64,
    /// `rsi`
    pub rsi: u64,
    /// `r15`
    pub r15: u64,
    /// `rdx r8 r9 r10 rbx r12 r13 r14`
    pub words: [u64; 8],
}
