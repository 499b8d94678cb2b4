//! The counter as a program, with its crashes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;
use flaky::Crash;
use libipc::{Failure, Startup, log};

libipc::entry!(start);

fn start(startup: Startup<'static>) -> Result<(), Failure> {
    let memory = startup.memory("persistent")?.map(true)?.leak().unwrap_or_default();
    flaky::run(startup.queue("queue:flaky")?, memory, crash)
}

fn crash(way: Crash) {
    log!(Warning, "crashes on purpose: {way:?}");
    match way {
        Crash::Panic => panic!("on purpose"),
        Crash::StackOverflow => {
            black_box(deeper(black_box(0)));
        }
        Crash::Hang => loop {
            core::hint::spin_loop();
        },
    }
}

/// Uses 512 bytes of stack on each level, for ever.
fn deeper(level: u64) -> u64 {
    let frame = black_box([level; 64]);
    if black_box(false) { 0 } else { deeper(level + 1) + black_box(frame)[0] }
}
