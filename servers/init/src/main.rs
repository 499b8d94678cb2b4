//! The first program: the supervisor.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use init::watchdog;
use libipc::{Startup, sys};

libipc::entry!(main);

/// Runs for as long as the machine does; returns only where the system cannot run.
fn main(startup: Startup<'static>) -> i32 {
    let watched = startup.account().map_err(|_| libipc::SysError::BadHandle).and_then(watchdog::start);
    let problem = match (watched, init::setup::set_up(&startup)) {
        (Err(error), _) => alloc::format!("cannot start its watchdog: {error}"),
        (_, Ok(mut supervisor)) => alloc::format!("cannot receive: {}", supervisor.run()),
        (_, Err(problem)) => problem,
    };
    if let Ok(machine) = startup.machine("machine") {
        // Where the kernel refuses, there is nobody to tell.
        let _ = machine.log(&alloc::format!("init: the system cannot run: {problem}\n"));
    }
    sys::exit(1)
}
