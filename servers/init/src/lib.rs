//! The supervisor: starts services with exactly their capabilities, restarts what dies, answers `svc`, takes the log.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod acpi;
pub mod archive;
pub mod cmdline;
pub mod crash;
pub mod devices;
pub mod hardware;
mod inspect;
mod inventory;
pub mod journal;
pub mod lasting;
pub mod pci;
pub mod report;
mod requests;
pub mod restart;
pub mod saved;
pub mod setup;
pub mod successor;
pub mod supervisor;
pub mod table;
mod trace;
pub mod unit;
pub mod upgrade;
pub mod watch;
pub mod watchdog;
