//! From the doors to the object logic and back.
//!
//! Invariants:
//! 1. There is one [`Kernel`], made before the first thread runs.
//! 2. It is reached from the functions of this file only, which the entry code calls; one at a time, because
//!    interrupts are off in the kernel and the entry code never calls them while one of them runs.

use core::mem::MaybeUninit;

use abi::Sysno;
use kernel::Kernel;
use kernel::handoff::Handover;
use kernel::machine::{Clock, Context, Exception, IrqLine, Resume};
use kernel::thread::NEVER;
use x86_64::registers::control::Cr2;

use super::cpu::{PerCpu, Shared};
use super::{X86, entry};

/// First vector of the interrupt objects.
pub const FIRST_IRQ: u64 = 32;
/// The timer's vector, the first after those of the interrupt objects.
pub const TIMER: u64 = FIRST_IRQ + kernel::machine::MAX_IRQS as u64;
/// Where the old interrupt controller's spurious interrupts would go.
pub const LEGACY: u8 = 240;
/// Vector of the local APIC's spurious interrupts, which are not acknowledged.
pub const SPURIOUS: u64 = 255;

/// What the entry code needs for reading the clock; set before the first thread runs and constant from then on.
pub static CLOCK: Shared<MaybeUninit<Clock>> = Shared::new(MaybeUninit::uninit());

static KERNEL: Shared<MaybeUninit<Kernel<X86>>> = Shared::new(MaybeUninit::uninit());

/// Puts `kernel` in its place and starts its first thread.
pub fn run(kernel: Kernel<X86>) -> ! {
    // SAFETY: `main` calls this once, and no thread has run: nobody else reaches the static.
    unsafe {
        let kernel = (*KERNEL.get()).write(kernel);
        (*CLOCK.get()).write(kernel.clock());
        if kernel.sees_every_call() {
            super::cpu::enter_through(entry::general_entry);
        } else if kernel.traces() {
            super::cpu::enter_through(entry::traced_entry);
        }
        go(kernel.start())
    }
}

/// The kernel.
///
/// # Safety
/// To be called once by each function that the entry code calls, and by nothing else.
#[inline(always)]
unsafe fn the_kernel() -> &'static mut Kernel<X86> {
    // SAFETY: 1. It was made before the first thread ran, and only threads and the idle loop lead here.
    //         2. No other reference is alive: the entry code calls one function at a time, with interrupts off, from
    //            user mode or an empty stack, where the reference of the call before is gone (its stack is).
    //         3. NMI, debug exceptions, double faults, machine checks and panics do not use it.
    unsafe { (*KERNEL.get()).assume_init_mut() }
}

/// Does what object logic has decided. It leaves from here and does not return through the entry code, which saves a
/// system call the epilogues.
#[inline(always)]
fn go(resume: Resume) -> ! {
    // SAFETY: 1. Object logic gives the context of the thread that it has made current, in the thread's own object,
    //            and has entered its address space.
    //         2. Nothing on the stack is needed: the callers hold nothing but the reference to the kernel.
    unsafe {
        match resume {
            Resume::Thread(context) => entry::leave(context),
            Resume::Idle => entry::idle(),
            Resume::Again => entry::breathe(),
        }
    }
}

/// A `Call` without flags, whose registers are in the context: the context to leave through if there was a handoff;
/// else it does not return. `TRACED`: handoffs are noted in the trace.
pub extern "C" fn on_call<const TRACED: bool>() -> *const Context {
    // SAFETY: called by the entry code. The reference is not used any more when `on_syscall` makes its own.
    let kernel = unsafe { the_kernel() };
    match kernel.hand_call::<false, TRACED>(NEVER) {
        Some(Handover(to)) => kernel.context_of(to),
        None => on_full_call::<false, TRACED>(),
    }
}

/// The same of one with a message of any kind, and `TIMED`: with a deadline.
#[inline(never)]
pub extern "C" fn on_full_call<const TIMED: bool, const TRACED: bool>() -> *const Context {
    // SAFETY: as in `on_call`.
    let kernel = unsafe { the_kernel() };
    match kernel.hand_full_call::<TIMED, TRACED>() {
        Some(Handover(to)) => kernel.context_of(to),
        None => on_syscall(),
    }
}

/// The same of a `ReplyRecv`.
pub extern "C" fn on_reply_recv<const TRACED: bool>() -> *const Context {
    // SAFETY: as in `on_call`.
    let kernel = unsafe { the_kernel() };
    match kernel.hand_reply::<false, TRACED>(NEVER) {
        Some(Handover(to)) => kernel.context_of(to),
        None => on_full_reply_recv::<false, TRACED>(),
    }
}

/// The same of one with a message of any kind, and `TIMED`: with a deadline.
#[inline(never)]
pub extern "C" fn on_full_reply_recv<const TIMED: bool, const TRACED: bool>() -> *const Context {
    // SAFETY: as in `on_call`.
    let kernel = unsafe { the_kernel() };
    match kernel.hand_full_reply::<TIMED, TRACED>() {
        Some(Handover(to)) => kernel.context_of(to),
        None => on_syscall(),
    }
}

/// The contexts of a handoff of a call that is passed on.
#[repr(C)]
pub struct Forwarded {
    /// The one to leave through.
    receiver: *const Context,
    /// The one with the message.
    sender: *const Context,
}

/// The same of a `ForwardRecv`.
pub extern "C" fn on_forward_recv<const TRACED: bool>() -> Forwarded {
    // SAFETY: as in `on_call`.
    let kernel = unsafe { the_kernel() };
    match kernel.hand_forward::<TRACED>() {
        Some((Handover(to), sender)) => {
            Forwarded { receiver: kernel.context_of(to), sender: kernel.context_of(sender) }
        }
        None => on_syscall(),
    }
}

/// A short call of this [`Sysno`], the registers for which are in the context: whether it was served.
pub extern "C" fn on_short<const NUMBER: u8>() -> bool {
    // SAFETY: as in `on_call`, with `on_long`.
    let kernel = unsafe { the_kernel() };
    Sysno::try_from(u64::from(NUMBER)).is_ok_and(|number| kernel.short(number))
}

/// A short call that was not served; all its registers are in the context now.
pub extern "C" fn on_long() -> ! {
    // SAFETY: called by the entry code.
    go(unsafe { the_kernel() }.syscall())
}

/// Any other system call, or one of these that is no handoff; its registers are in the context.
pub extern "C" fn on_syscall() -> ! {
    // SAFETY: called by the entry code.
    let kernel = unsafe { the_kernel() };
    match kernel.syscall_at_once() {
        // SAFETY: as in `go`.
        Some(context) => unsafe { entry::leave(context) },
        None => go(kernel.syscall()),
    }
}

/// The end of a moment in which interrupts were let in and none came.
pub extern "C" fn on_wake() -> ! {
    // SAFETY: called by the entry code.
    go(unsafe { the_kernel() }.start())
}

/// An exception in user mode, or an interrupt. `interrupted` is the running thread's context, null where none ran.
pub extern "C" fn on_interrupt(vector: u64, code: u64, interrupted: *const Context) -> ! {
    // SAFETY: called by the entry code.
    let kernel = unsafe { the_kernel() };
    if vector < FIRST_IRQ {
        let address = if vector == 14 { Cr2::read_raw() } else { 0 };
        go(kernel.exception(Exception { vector: vector as u8, code, address }))
    }
    // SAFETY: this processor's own, and nothing else refers to its APIC now: the object logic has not been called.
    let apic = unsafe { &mut (*PerCpu::this()).apic };
    let resume = match vector {
        SPURIOUS => go_on(kernel, interrupted),
        TIMER => {
            apic.timer_fired();
            apic.end_of_interrupt();
            kernel.timer()
        }
        FIRST_IRQ..TIMER => {
            let resume = kernel.irq(IrqLine((vector - FIRST_IRQ) as u8));
            // A level-triggered line has been masked by now, so it does not come again at once.
            // SAFETY: as above; the object logic has returned.
            unsafe { (*PerCpu::this()).apic.end_of_interrupt() };
            resume
        }
        _ => {
            apic.end_of_interrupt();
            go_on(kernel, interrupted)
        }
    };
    go(resume)
}

/// Goes on with what was interrupted.
fn go_on(kernel: &mut Kernel<X86>, interrupted: *const Context) -> ! {
    go(if interrupted.is_null() { kernel.start() } else { Resume::Thread(interrupted) })
}
