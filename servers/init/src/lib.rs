//! The supervisor's logic, free of system calls.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod acpi;
pub mod archive;
pub mod cmdline;
pub mod journal;
pub mod pci;
pub mod restart;
pub mod table;
