//! Looks for other programs' data in all memory that it can get.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, holds, raw};
use libipc::abi::{PAGE_SIZE, layout};

hostile::attack!(run, "writer" => write);

/// Pages that are filled, and looked at.
const PAGES: u64 = 64;

fn run(given: &Given) -> Verdict {
    // The rest of the message page, and the stack below what this program has used.
    let page = raw::page() as u64;
    holds("the message page is zero at its end", (2048..4096).all(|at| raw::peek(page + at) == 0))?;
    let stack = page + layout::THREAD_AREA - 16 * PAGE_SIZE;
    holds("the stack is zero", (0..8 * PAGE_SIZE).step_by(8).all(|at| raw::peek(stack + at) == 0))?;
    for round in 0..4 {
        let writer = given.start("writer", &[])?;
        works("wait", writer.wait())?;
        let memory = works(
            "memory",
            match round % 2 {
                0 => given.account.create_memory(PAGES),
                _ => given.account.create_contiguous(PAGES),
            },
        )?;
        let mapping = works("map", memory.memory().map(false))?;
        holds("what is got is zero", mapping.bytes().iter().all(|byte| *byte == 0))?;
    }
    Ok(())
}

/// Fills memory, its stack among it, and leaves it.
fn write(given: &Given) -> Verdict {
    let memory = works("memory", given.account.create_memory(PAGES))?;
    let mut mapping = works("map", memory.memory().map(true))?;
    works("bytes", mapping.bytes_mut().ok_or("none"))?.fill(0xa7);
    let on_stack = core::hint::black_box([0xa7u8; 16 << 10]);
    holds("filled", on_stack[7] == 0xa7)
}
