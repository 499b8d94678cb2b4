//! The one door out of a kernel that has found itself broken.
//!
//! Invariants:
//! 1. It uses neither GS, nor the kernel value, nor any lock: nothing that the defect could have spoilt or held.
//! 2. A second panic while the first is being told stops at once.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::instructions::port::Port;
use x86_64::registers::control::Cr2;

use super::log::LastWords;
use super::{cpu, paging};

static DYING: AtomicBool = AtomicBool::new(false);

/// QEMU's `isa-debug-exit`: a value v ends it with status 2v + 1.
const DEBUG_EXIT: u16 = 0xf4;
/// Most frames of a backtrace.
const MAX_FRAMES: usize = 16;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if !DYING.swap(true, Ordering::SeqCst) {
        let mut log = LastWords::take_over();
        let _ = write!(log, "\nkernel panic: {}", info.message());
        if let Some(location) = info.location() {
            let _ = write!(log, " at {}:{}", location.file(), location.line());
        }
        let _ = writeln!(log);
        backtrace(&mut log, frame_pointer());
    }
    stop()
}

/// Says why the machine stops, and stops it. The kernel itself is in order.
pub fn halt(reason: &str) -> ! {
    let mut log = LastWords::take_over();
    let _ = writeln!(log, "\nkernel: {reason}; the machine stops");
    stop()
}

/// Ends the emulator if there is one around, and waits for ever otherwise.
pub fn stop() -> ! {
    x86_64::instructions::interrupts::disable();
    // SAFETY: on a machine without the device nobody listens at this port.
    unsafe { Port::<u32>::new(DEBUG_EXIT).write(1) };
    loop {
        x86_64::instructions::hlt();
    }
}

/// The registers at an exception in the kernel, as `entry` pushes them.
#[repr(C)]
pub struct KernelFault {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rcx: u64,
    rax: u64,
    vector: u64,
    code: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// An exception in ring 0, a double fault or a machine check.
///
/// # Safety
/// `fault` must point to what the entry code has pushed.
pub unsafe extern "C" fn on_kernel_fault(fault: *const KernelFault) -> ! {
    // SAFETY: the caller's promise.
    let f = unsafe { &*fault };
    let address = Cr2::read_raw();
    if !DYING.swap(true, Ordering::SeqCst) {
        let mut log = LastWords::take_over();
        let _ = writeln!(log, "\nkernel panic: {} at {:#x}", name(f.vector, address), f.rip);
        let _ = writeln!(
            log,
            "  vector {} code {:#x} cr2 {address:#x} cs {:#x} rflags {:#x} ss {:#x} rsp {:#x} rbp {:#x}",
            f.vector, f.code, f.cs, f.rflags, f.ss, f.rsp, f.rbp
        );
        let _ = writeln!(
            log,
            "  rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x} rsi {:#x} rdi {:#x} r8 {:#x} r9 {:#x}",
            f.rax, f.rbx, f.rcx, f.rdx, f.rsi, f.rdi, f.r8, f.r9
        );
        let _ = writeln!(
            log,
            "  r10 {:#x} r11 {:#x} r12 {:#x} r13 {:#x} r14 {:#x} r15 {:#x}",
            f.r10, f.r11, f.r12, f.r13, f.r14, f.r15
        );
        backtrace(&mut log, f.rbp);
    }
    stop()
}

/// What happened, for people.
fn name(vector: u64, address: u64) -> &'static str {
    match vector {
        2 => "non-maskable interrupt",
        6 => "invalid instruction in the kernel",
        8 if cpu::in_guard_page(address) => "kernel stack overflow",
        8 => "double fault",
        13 => "general protection fault in the kernel",
        14 => "page fault in the kernel",
        18 => "machine check",
        0..32 => "exception in the kernel",
        _ => "interrupt in the kernel",
    }
}

/// The frame pointer of the caller.
#[inline(always)]
fn frame_pointer() -> u64 {
    let rbp;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}

/// Writes the return addresses from frame `rbp` up. Stops at the first thing that is no frame of the kernel's stack.
fn backtrace(log: &mut LastWords, mut rbp: u64) {
    let (stacks, code) = (cpu::stack_addresses(), paging::code());
    let _ = write!(log, "  called from:");
    for _ in 0..MAX_FRAMES {
        if !rbp.is_multiple_of(8) || rbp < stacks.start || rbp > stacks.end - 16 {
            break;
        }
        // SAFETY: two aligned words within the kernel's stacks, which are always mapped.
        let [next, from] = unsafe { (rbp as *const [u64; 2]).read() };
        if !code.contains(&from) {
            break;
        }
        let _ = write!(log, " {from:#x}");
        if next <= rbp {
            break;
        }
        rbp = next;
    }
    let _ = writeln!(log);
}
