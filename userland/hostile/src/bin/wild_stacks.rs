//! Makes system calls with stack pointers that lead nowhere, or into the kernel.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::same;
use hostile::{Given, Verdict, cpu};

hostile::attack!(run);

fn run(_: &Given) -> Verdict {
    for stack in [
        0,
        1,
        8,
        0x7fff_ffff_ffff,
        0x8000_0000_0000,
        0xffff_8000_0000_0000,
        0xffff_ffff_8010_0000,
        u64::MAX,
        u64::MAX - 7,
    ] {
        for _ in 0..50 {
            same("the clock", cpu::clock_on_stack(stack), 0)?;
        }
    }
    Ok(())
}
