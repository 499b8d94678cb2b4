//! Where system calls go on the host, and each thread's message page.

use crate::sys::Frame;
use abi::{MessagePage, SysError};
use std::boxed::Box;

std::thread_local! {
    // Leaked: a thread's page is used until its last instruction.
    static PAGE: *mut MessagePage = {
        // SAFETY: every field is plain old data, for which zero is valid.
        Box::into_raw(unsafe { Box::<MessagePage>::new_zeroed().assume_init() })
    };
}

/// The calling thread's message page.
pub(crate) fn page() -> *mut MessagePage {
    PAGE.with(|page| *page)
}

/// As `sys::trap::message`.
pub(crate) fn message(f: Frame) -> Frame {
    Frame { rax: SysError::BadSyscall as u64, ..f }
}

/// As `sys::trap::short`.
pub(crate) fn short(rax: u64, rdi: u64, rsi: u64, r15: u64, w: [u64; 4]) -> (u64, [u64; 4]) {
    wide(rax, rdi, rsi, r15, [w[0], w[1], w[2], w[3], 0, 0, 0, 0])
}

/// As `sys::trap::wide`.
pub(crate) fn wide(rax: u64, rdi: u64, rsi: u64, r15: u64, words: [u64; 8]) -> (u64, [u64; 4]) {
    let f = message(Frame { rax, rdi, rsi, r15, words });
    (f.rax, [f.words[0], f.words[1], f.words[2], f.words[3]])
}
