//! The first instructions of a program.

use crate::object::Process;
use crate::startup::{self, Startup};
use abi::Handle;
use abi::layout::{self, Places};
use core::arch::global_asm;

// The kernel starts a thread with rsp as the parent chose it and rdi = the address of the startup pages. The first program
// has no parent: its rdi has its places, and a mark.
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start,
);

unsafe extern "Rust" {
    /// The program's `main`, as [`crate::entry!`] defines it.
    safe fn tessera_main(startup: Startup<'static>) -> i32;
}

extern "C" fn start(argument: u64) -> ! {
    // The first program has no startup pages: it finds fixed handles.
    let is_first = argument & Places::FIRST_PROGRAM != 0;
    let startup = if is_first { Startup::FIRST_PROGRAM } else { read(argument) };
    let places = if is_first { Places::from_raw(argument) } else { startup.places() };
    crate::memory::set_own_places(places);
    let (process, account) = match is_first {
        true => (layout::INIT_SELF, layout::INIT_ACCOUNT),
        false => ["self", "account"].map(|name| startup.handle(name).unwrap_or(Handle::NONE)).into(),
    };
    crate::memory::set_own_process(Process::new(process));
    super::heap::set_account(account, process);
    crate::print::set_streams(startup.handle("stdout"), startup.handle("stderr"));
    crate::log::set_log(startup.handle("log"));
    crate::entry::exit(tessera_main(startup))
}

/// The startup pages at address `pages`, none where they are malformed.
fn read(pages: u64) -> Startup<'static> {
    let first: *const u8 = core::ptr::with_exposed_provenance(pages as usize);
    // SAFETY: the parent has mapped the startup pages here before the first instruction, at least one page, readable,
    //         and for as long as the program runs; nobody writes them any more.
    let head = unsafe { first.cast::<[u8; 12]>().read() };
    let Some(length) = startup::claimed_length(&head) else { return Startup::EMPTY };
    // SAFETY: as above; a parent that claims more than it has mapped makes its own child fault, nothing else.
    let bytes = unsafe { core::slice::from_raw_parts(first, length) };
    Startup::parse(bytes).unwrap_or(Startup::EMPTY)
}
