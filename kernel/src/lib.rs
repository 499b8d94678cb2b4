//! The Tessera kernel's object logic: everything of the kernel that does not depend on the processor.
//!
//! The path of a system call: [`syscall`] decodes and checks, the file of the object acts, [`schedule`] says who runs.
#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]

pub mod account;
mod audit;
mod blame;
pub mod boot;
pub mod cap;
mod coverage;
pub mod event;
#[cfg(test)]
mod fake;
pub mod fault;
mod first;
pub mod handoff;
pub mod image;
mod inventory;
pub mod ipc;
pub mod irq;
pub mod kernel;
pub mod killpoint;
pub mod latency;
pub mod lease;
pub mod machine;
pub mod memory;
pub mod mm;
pub mod placement;
mod ports;
pub mod priority;
pub mod process;
pub mod queue;
pub mod reaper;
pub mod region;
mod relocation;
mod report;
pub mod schedule;
mod short;
pub mod syscall;
#[cfg(test)]
mod tests;
pub mod thread;
pub mod trace;
mod transfer;
pub mod trouble;
pub mod wheel;

pub use kernel::Kernel;
