//! The pipe server's logic, free of system calls.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod badge;
#[cfg(test)]
mod model;
pub mod pipes;
pub mod record;
