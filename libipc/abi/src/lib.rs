//! The Tessera system-call interface, written once: the kernel and every program compile this crate, so that a
//! number can never mean two things.
//!
//! # How a system call is made
//!
//! The `syscall` instruction, with
//!
//! | register | on entry | on return |
//! |---|---|---|
//! | `rax` | [`Sysno`] in bits 0..8, [`CallFlags`] in bits 8..16 | 0, or a [`SysError`] |
//! | `rdi` | first operand, most often a [`Handle`] | of a received message: the badge; else unchanged |
//! | `rsi` | second operand; of a message: the [`Tag`] | of a message: the tag; else unchanged |
//! | `rdx r8 r9 r10 rbx r12 r13 r14` | words 0 to 7 (further operands) | of a message: its words; else the results in the first of them, the others unchanged |
//! | `r15` | the [`MessageId`] that a reply or forward is about | of a received message: its id; else unchanged |
//! | `rcx r11` | | destroyed |
//! | `rbp rsp` | | unchanged |
//! | `xmm0..15`, x87 | dead | zero, and the control words at their default, where the address space changed; else unspecified |
//!
//! A call that is refused changes no word register, unless its documentation says so.
//!
//! # Invariants
//! 1. A number that was in a release is never reused or renumbered.
//! 2. Every type that crosses the boundary has its size asserted beside it.
//! 3. `TryFrom` (or `from_raw`) is the only way from a raw number to a meaning.
#![no_std]
#![forbid(unsafe_code)]

mod error;
mod handle;
pub mod layout;
mod message;
mod numbered;
mod page;
mod report;
mod rights;
mod sysno;
mod trace;

pub use error::{ImageDefect, SysError};
pub use handle::{Handle, MessageId};
pub use message::{Delivery, MAX_CAPS, MAX_LEASES, MAX_PAYLOAD, MESSAGE_WORDS, Message, Tag};
pub use page::{CapDescriptor, LeaseAccess, LeaseDescriptor, MessagePage};
pub use report::{
    AccountStatus, AuditLine, AuditReport, CapabilityStatus, FaultKind, FaultReport, KindUsage, MachineInfo,
    ProcessState, ProcessStatus, Registers, ThreadStatus, ThreadWait,
};
pub use rights::{Kind, Rights};
pub use sysno::{CallFlags, Sysno};
pub use trace::{TraceKind, TraceRecord};

/// Bytes in a page, the unit of memory objects, mappings and quotas.
pub const PAGE_SIZE: u64 = 4096;

/// Most pages of a physically contiguous memory object: they are cleared when it is made, with interrupts off.
pub const MAX_CONTIGUOUS: u64 = 128;

/// Number of thread priorities; 0 is the lowest, `PRIORITIES - 1` the highest.
pub const PRIORITIES: u8 = 32;

/// Most bytes of the kernel's command line.
pub const MAX_CMDLINE: usize = 960;

/// How often a server may fault or end itself at a call before the call is answered [`SysError::ServerDied`], unless its
/// queue was made with another number. Calls that it merely holds are not counted, nor ends that another process orders.
pub const MAX_ATTEMPTS: u8 = 3;
