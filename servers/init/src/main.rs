//! The first program: the supervisor.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use libipc::{Startup, sys};

libipc::entry!(main);

/// Runs for as long as the machine does; returns only where the system cannot run.
fn main(startup: Startup<'static>) -> i32 {
    let problem = match init::setup::set_up(&startup) {
        Ok(mut supervisor) => alloc::format!("cannot receive: {}", supervisor.run()),
        Err(problem) => problem,
    };
    if let Ok(machine) = startup.machine("machine") {
        // Where the kernel refuses, there is nobody to tell.
        let _ = machine.log(&alloc::format!("init: the system cannot run: {problem}\n"));
    }
    sys::exit(1)
}
