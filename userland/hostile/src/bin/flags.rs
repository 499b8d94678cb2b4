//! Makes system calls with every flag set that a program can set.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::{Given, Verdict, cpu, holds};
use libipc::SysError;

hostile::attack!(run);

/// Direction, nested task, alignment check, identification, and the arithmetic flags.
const FLAGS: [u64; 8] = [1 << 10, 1 << 14, 1 << 18, 1 << 21, 1 << 11, 1 << 7, 0x8d5, 1 << 10 | 1 << 14 | 1 << 21];
/// What a program cannot set: I/O privilege, virtual-8086 mode, virtual interrupts.
const FORBIDDEN: u64 = 0x3000 | 1 << 17 | 1 << 19 | 1 << 20;

fn run(_: &Given) -> Verdict {
    for flags in FLAGS {
        let (rax, after) = cpu::clock_with_flags(flags);
        works("the clock", SysError::check(rax))?;
        holds("interrupts are on", after & 1 << 9 != 0)?;
        same("nothing forbidden", after & FORBIDDEN, 0)?;
    }
    let (rax, after) = cpu::clock_with_flags(FORBIDDEN);
    works("the clock", SysError::check(rax))?;
    same("nothing forbidden", after & FORBIDDEN, 0)?;
    for _ in 0..1000 {
        same("after a load of the stack segment", cpu::clock_after_stack_segment(), 0)?;
    }
    Ok(())
}
