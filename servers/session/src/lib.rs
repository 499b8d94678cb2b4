//! The user's session: waits for the filesystem, starts the shell, and brings the machine down in order.
//!
//! It does the waiting that the supervisor must not do, because it supervises those that are waited for.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod console;
pub mod session;
pub mod shell;
