//! Touches one address that it must not touch.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::{Given, Verdict, raw};
use libipc::abi::layout;

hostile::attack!(run);

static DATA: [u8; 16] = [0xc3; 16];
/// Where a linker puts programs that may not be moved.
const IMAGE: u64 = 0x20_0000;
const KERNEL: u64 = 0xffff_8000_0010_0000;

fn run(given: &Given) -> Verdict {
    let page = raw::page() as u64;
    let text = run as *const () as u64;
    match given.argument() {
        "read-image" => raw::poke(page + 4000, raw::peek(IMAGE)),
        "run-image" => raw::jump(IMAGE),
        "read-null" => raw::poke(0, raw::peek(8)),
        "read-kernel" => raw::poke(page + 4000, raw::peek(KERNEL)),
        "write-kernel" => raw::poke(KERNEL, 1),
        "run-kernel" => raw::jump(KERNEL),
        "write-text" => raw::poke(text, 0xc3),
        "run-data" => raw::jump(DATA.as_ptr() as u64),
        "run-stack" => raw::jump(core::hint::black_box(&[0xc3u8; 16]).as_ptr() as u64),
        "run-message" => raw::jump(page),
        "write-startup" => raw::poke(startup(page), 0),
        "below-stack" => raw::poke(below_stack(page), 1),
        "run-gap" => raw::jump(0x0000_8000_0000_0000),
        "read-gap" => raw::poke(page + 4000, raw::peek(0x0000_8000_0000_0000)),
        _ => return Err("no such address".into()),
    }
    Err("it was not stopped".into())
}

/// The startup pages lie two pages above the message page.
fn startup(page: u64) -> u64 {
    page + 2 * libipc::PAGE_SIZE
}

/// The page below the stack of 16 pages that `hostile` gives.
fn below_stack(page: u64) -> u64 {
    page + layout::THREAD_AREA - 16 * libipc::PAGE_SIZE - 8
}
