//! The `syscall` instruction.
//!
//! Invariants:
//! 1. Every register that the system-call ABI destroys is declared; `rbx`, which the compiler keeps to itself, is saved
//!    on the stack around the instruction. So no block here may claim `nostack`.

use super::Frame;
use core::arch::asm;

/// The instruction, with `r11` and the vector registers, which every system call destroys.
macro_rules! trap {
    ($($operands:tt)*) => {
        asm!(
            $($operands)*
            lateout("r11") _,
            lateout("xmm0") _, lateout("xmm1") _, lateout("xmm2") _, lateout("xmm3") _, lateout("xmm4") _,
            lateout("xmm5") _, lateout("xmm6") _, lateout("xmm7") _, lateout("xmm8") _, lateout("xmm9") _,
            lateout("xmm10") _, lateout("xmm11") _, lateout("xmm12") _, lateout("xmm13") _, lateout("xmm14") _,
            lateout("xmm15") _,
            lateout("st(0)") _, lateout("st(1)") _, lateout("st(2)") _, lateout("st(3)") _,
            lateout("st(4)") _, lateout("st(5)") _, lateout("st(6)") _, lateout("st(7)") _,
        )
    };
}

/// A call that carries a message: all registers both ways.
#[inline(always)]
pub(crate) fn message(f: Frame) -> Frame {
    let (rax, rdi, rsi, r15);
    let (w0, w1, w2, w3, w4, w5, w6, w7);
    // SAFETY: 1. The kernel changes only the registers declared here (abi, the table of registers), the flags, and the
    //            calling thread's memory: its message page, and what it leases for writing or names as a destination,
    //            all of which the safe wrappers take as exclusive borrows or reach as raw memory.
    //         2. rbx is pushed and popped around the call, with the stack pointer as found.
    unsafe {
        trap!(
            "push rbx", "mov rbx, rcx", "syscall", "mov rcx, rbx", "pop rbx",
            inlateout("rax") f.rax => rax, inlateout("rdi") f.rdi => rdi, inlateout("rsi") f.rsi => rsi,
            inlateout("r15") f.r15 => r15,
            inlateout("rdx") f.words[0] => w0, inlateout("r8") f.words[1] => w1, inlateout("r9") f.words[2] => w2,
            inlateout("r10") f.words[3] => w3, inlateout("rcx") f.words[4] => w4, inlateout("r12") f.words[5] => w5,
            inlateout("r13") f.words[6] => w6, inlateout("r14") f.words[7] => w7,
        );
    }
    Frame { rax, rdi, rsi, r15, words: [w0, w1, w2, w3, w4, w5, w6, w7] }
}

/// A call that sends no message and gets one: `Recv`.
#[inline(always)]
pub(crate) fn receive(rax: u64, rdi: u64) -> Frame {
    let (result, badge, tag, id);
    let (w0, w1, w2, w3, w4, w5, w6, w7);
    // SAFETY: as in `message`.
    unsafe {
        trap!(
            "push rbx", "syscall", "mov rcx, rbx", "pop rbx",
            inlateout("rax") rax => result, inlateout("rdi") rdi => badge, lateout("rsi") tag, lateout("r15") id,
            lateout("rdx") w0, lateout("r8") w1, lateout("r9") w2, lateout("r10") w3, lateout("rcx") w4,
            lateout("r12") w5, lateout("r13") w6, lateout("r14") w7,
        );
    }
    Frame { rax: result, rdi: badge, rsi: tag, r15: id, words: [w0, w1, w2, w3, w4, w5, w6, w7] }
}

/// A call that names a message and gets one: `ForwardRecv`.
#[inline(always)]
pub(crate) fn forward(rax: u64, rdi: u64, rsi: u64, r15: u64) -> Frame {
    let (result, badge, tag, id);
    let (w0, w1, w2, w3, w4, w5, w6, w7);
    // SAFETY: as in `message`.
    unsafe {
        trap!(
            "push rbx", "syscall", "mov rcx, rbx", "pop rbx",
            inlateout("rax") rax => result, inlateout("rdi") rdi => badge, inlateout("rsi") rsi => tag,
            inlateout("r15") r15 => id,
            lateout("rdx") w0, lateout("r8") w1, lateout("r9") w2, lateout("r10") w3, lateout("rcx") w4,
            lateout("r12") w5, lateout("r13") w6, lateout("r14") w7,
        );
    }
    Frame { rax: result, rdi: badge, rsi: tag, r15: id, words: [w0, w1, w2, w3, w4, w5, w6, w7] }
}

/// A call that sends a message and gets none: `Post`.
#[inline(always)]
pub(crate) fn post(rax: u64, rdi: u64, rsi: u64, w: [u64; 8]) -> u64 {
    let result;
    // SAFETY: as in `message`; the kernel gives registers that are no results back as they were (abi).
    unsafe {
        trap!(
            "push rbx", "mov rbx, rcx", "syscall", "pop rbx",
            inlateout("rax") rax => result, in("rdi") rdi, in("rsi") rsi,
            in("rdx") w[0], in("r8") w[1], in("r9") w[2], in("r10") w[3], inlateout("rcx") w[4] => _,
            in("r12") w[5], in("r13") w[6], in("r14") w[7],
        );
    }
    result
}

/// A call without operands, with a result in `w0`.
#[inline(always)]
pub(crate) fn bare(rax: u64) -> (u64, u64) {
    let (result, w0);
    // SAFETY: as in `post`.
    unsafe {
        trap!(
            "syscall",
            inlateout("rax") rax => result, lateout("rdx") w0, lateout("rcx") _,
        );
    }
    (result, w0)
}

/// A call with operands in `rdi`, `w0` and `w1` and a result in `w0`.
#[inline(always)]
pub(crate) fn single(rax: u64, rdi: u64, w: [u64; 2]) -> (u64, u64) {
    let (result, w0);
    // SAFETY: as in `post`.
    unsafe {
        trap!(
            "syscall",
            inlateout("rax") rax => result, in("rdi") rdi,
            inlateout("rdx") w[0] => w0, in("r8") w[1], lateout("rcx") _,
        );
    }
    (result, w0)
}

/// A call with operands in `rdi`, `rsi` and `w0..w3` and no result.
#[inline(always)]
pub(crate) fn double(rax: u64, rdi: u64, rsi: u64, w: [u64; 4]) -> u64 {
    let result;
    // SAFETY: as in `post`.
    unsafe {
        trap!(
            "syscall",
            inlateout("rax") rax => result, in("rdi") rdi, in("rsi") rsi,
            in("rdx") w[0], in("r8") w[1], in("r9") w[2], in("r10") w[3], lateout("rcx") _,
        );
    }
    result
}

/// A call with operands in `rsi`, `r15` and `w0..w2` and no result.
#[inline(always)]
pub(crate) fn copy(rax: u64, rsi: u64, r15: u64, w: [u64; 3]) -> u64 {
    let result;
    // SAFETY: as in `post`.
    unsafe {
        trap!(
            "syscall",
            inlateout("rax") rax => result, in("rsi") rsi, in("r15") r15,
            in("rdx") w[0], in("r8") w[1], in("r9") w[2], lateout("rcx") _,
        );
    }
    result
}

/// A call with operands in `rdi`, `rsi`, `r15` and `w0..w3` and results in `w0..w3`; the other words are not set.
#[inline(always)]
pub(crate) fn narrow(rax: u64, rdi: u64, rsi: u64, r15: u64, w: [u64; 4]) -> (u64, [u64; 4]) {
    let result;
    let (w0, w1, w2, w3);
    // SAFETY: as in `message`; the words not set here are declared as destroyed.
    unsafe {
        trap!(
            "push rbx", "syscall", "pop rbx",
            inlateout("rax") rax => result, inlateout("rdi") rdi => _, inlateout("rsi") rsi => _,
            inlateout("r15") r15 => _,
            inlateout("rdx") w[0] => w0, inlateout("r8") w[1] => w1, inlateout("r9") w[2] => w2,
            inlateout("r10") w[3] => w3,
            lateout("rcx") _, lateout("r12") _, lateout("r13") _, lateout("r14") _,
        );
    }
    (result, [w0, w1, w2, w3])
}

/// A call that needs more operand words than [`narrow`] has.
#[inline(always)]
pub(crate) fn wide(rax: u64, rdi: u64, rsi: u64, r15: u64, words: [u64; 8]) -> (u64, [u64; 4]) {
    let f = message(Frame { rax, rdi, rsi, r15, words });
    (f.rax, [f.words[0], f.words[1], f.words[2], f.words[3]])
}
