//! What the hostile programs share. Each of them is one attack on the kernel or on another program: it states what must
//! happen, tries, and ends with status 0 only where the kernel refused exactly as it must. Those that the kernel must
//! end do not end by themselves. `hostile` runs them all, with a well-behaved server and its client beside. Servers that
//! do not serve (`server_dies`, `server_deaf`, `server_mute`), and a client that says what it is told then (`outcomes`), are no attacks.
//!
//! Invariants:
//! 1. `unsafe` stands in [`raw`] and [`cpu`] alone: the system call with wild registers, and single instructions.
//! 2. An attack has what any program has (its account, its streams) and the victim's queue, nothing else. The driver
//!    `storm` has what a driver has: its ports and its interrupt.
#![no_std]
#![deny(unsafe_code)]
extern crate alloc;

pub mod bad_server;
pub mod cases;
pub mod check;
#[allow(unsafe_code)]
pub mod cpu;
pub mod given;
pub mod model;
pub mod operations;
pub mod puppet;
#[allow(unsafe_code)]
pub mod raw;
pub mod victim;

pub use check::{Verdict, holds, refused};
pub use given::{Given, perform};

/// Says which function a hostile program starts with: `fn(&Given) -> Verdict`. Further parts of the attack, played by
/// other processes that the program starts from its own file, are named beside.
#[macro_export]
macro_rules! attack {
    ($run:path $(, $part:literal => $play:path)* $(,)?) => {
        libipc::entry!(main);
        fn main(startup: libipc::Startup<'static>) -> i32 {
            $crate::perform(startup, $run, &[$(($part, $play)),*])
        }
    };
}
