//! System calls with any registers, and the message page as plain memory.

use core::ptr::addr_of_mut;
use libipc::abi::{CapDescriptor, LeaseDescriptor, MessagePage, Sysno, layout};
use libipc::sys::{self, Frame};
use libipc::{Handle, SysError};

/// Makes a system call with these registers. `rax` as it is: the number in bits 0..8, flags above.
///
/// An attack that breaks its own memory breaks itself, which is what it is for.
pub fn call(rax: u64, rdi: u64, rsi: u64, r15: u64, words: [u64; 8]) -> Frame {
    // SAFETY: the attacks name as destinations only memory of their own that nothing borrows, memory that is not theirs
    //         (which the kernel must refuse), or their message page, which is reached by pointer alone.
    unsafe { sys::raw_unchecked(Frame { rax, rdi, rsi, r15, words }) }
}

/// A system call by name, and its error.
pub fn request(number: Sysno, rdi: Handle, rsi: u64, words: [u64; 8]) -> Result<Frame, SysError> {
    let frame = call(number as u64, rdi.raw(), rsi, 0, words);
    SysError::check(frame.rax).map(|()| frame)
}

/// The calling thread's message page.
pub fn page() -> *mut MessagePage {
    let rsp: u64;
    // SAFETY: reads a register, changes nothing.
    unsafe { core::arch::asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags, pure)) };
    core::ptr::with_exposed_provenance_mut((rsp & !(layout::THREAD_AREA - 1)) as usize)
}

/// Sets lease `index` of the message to be sent to any value.
pub fn set_lease(index: usize, lease: LeaseDescriptor) {
    assert!(index < 4);
    // SAFETY: the page is the thread's own, the index is in bounds, and no reference into the page exists.
    unsafe { addr_of_mut!((*page()).leases[index]).write_volatile(lease) }
}

/// Sets capability `index` of the message to be sent to any value.
pub fn set_cap(index: usize, cap: CapDescriptor) {
    assert!(index < 4);
    // SAFETY: as in `set_lease`.
    unsafe { addr_of_mut!((*page()).caps[index]).write_volatile(cap) }
}

/// Sets the deadline of the message page.
pub fn set_deadline(at: u64) {
    // SAFETY: as in `set_lease`.
    unsafe { addr_of_mut!((*page()).deadline).write_volatile(at) }
}

/// Reads the byte at `address`, whatever is there.
pub fn peek(address: u64) -> u8 {
    // SAFETY: a page that may not be read ends this program by a fault, which is what is tried; otherwise a byte is
    //         read and nothing is changed.
    unsafe { core::ptr::with_exposed_provenance::<u8>(address as usize).read_volatile() }
}

/// Writes the byte at `address`, whatever is there.
pub fn poke(address: u64, value: u8) {
    // SAFETY: only addresses are passed that this program may not write, so that the fault ends it here, or memory that
    //         it has mapped for this alone.
    unsafe { core::ptr::with_exposed_provenance_mut::<u8>(address as usize).write_volatile(value) }
}

/// Goes on executing at `address`.
pub fn jump(address: u64) -> ! {
    // SAFETY: only addresses are passed that may not be executed, so that the fault ends the program here.
    unsafe { core::arch::asm!("jmp {}", in(reg) address, options(noreturn)) }
}
