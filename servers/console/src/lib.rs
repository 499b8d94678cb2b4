//! The console server: COM1, line discipline, many writers.
//!
//! Everything that decides lives in this library, which runs on the host as well; the program around it (`main.rs`)
//! joins it to the UART and to the message queue.
//!
//! | module | what it is |
//! |---|---|
//! | [`badge`] | what a capability on the console's queue is for |
//! | [`frame`] | the frames of exec mode |
//! | [`line`](mod@line) | the line discipline: echo, editing, control characters |
//! | [`vault`] | state in memory that survives the server, committed in one step |
//! | [`state`] | what the vault keeps |
//! | [`fair`] | whose bytes go out next |
//! | [`terminal`] | the whole: bytes and calls in, bytes and answers out |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod badge;
pub mod fair;
pub mod frame;
pub mod line;
pub mod state;
pub mod terminal;
pub mod vault;
