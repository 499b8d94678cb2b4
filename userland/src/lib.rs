//! What the small programs share. Everything here is a pure function of its input and is tested on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod args;
pub mod counts;
pub mod digest;
pub mod heads;
pub mod hexdump;
pub mod paths;
pub mod table;
pub mod units;
