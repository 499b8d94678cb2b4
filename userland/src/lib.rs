//! What the small programs share. Whatever can be a pure function of its input is one, and is tested on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod args;
pub mod bench;
pub mod catalogue;
pub mod counts;
pub mod digest;
pub mod files;
pub mod heads;
pub mod hexdump;
pub mod holdings;
pub mod listing;
pub mod paths;
pub mod program;
pub mod table;
pub mod top;
pub mod units;
pub mod workload;

pub use args::{Accepts, Given};
pub use files::{Files, reason};
pub use program::{Input, Piece, Program, Stop};
