//! The crash report of a service: how it ended, its registers, where it was called from, its last events and words.
//!
//! 1. It is made while the service's memory is still there, and reads it through the kernel: nothing in it is trusted.
//! 2. A word on the stack is a return address where the bytes before it are a call instruction of the program's code, so
//!    that it needs no frame pointers. An old one that nobody has overwritten may be among them.

use crate::report;
use abi::{ProcessState, ProcessStatus};
use alloc::{format, string::String, vec, vec::Vec};
use core::ops::Range;
use libipc::Process;

/// Bytes of the stack that are looked at.
const STACK: usize = 8 << 10;
/// Most return addresses that are told.
const MOST: usize = 24;
/// Bytes of the longest call instruction that a compiler makes.
const CALL: usize = 7;

/// Reads memory of a stopped program; whether it is there.
pub trait Peek {
    /// Fills `into` from `address`.
    fn peek(&self, address: u64, into: &mut [u8]) -> bool;
}

impl Peek for Process {
    fn peek(&self, address: u64, into: &mut [u8]) -> bool {
        self.read(address, into).is_ok()
    }
}

/// The report, `events` being the last ones of its trace and `last` the last lines that it logged.
pub fn tell(process: &impl Peek, status: &ProcessStatus, events: &[String], last: &[&str]) -> String {
    let mut text = format!("incarnation {}: {}\n", status.incarnation, report::describe(status));
    if ProcessState::from_raw(status.state) == ProcessState::Faulted {
        text.push_str(&format!("called from (image at {:#x}):", status.image));
        let registers = &status.fault.registers;
        for address in callers(process, status.image..status.image_end, registers.rip, registers.rsp) {
            text.push_str(&format!(" {address:#x}"));
        }
        text.push('\n');
    }
    if !events.is_empty() {
        text.push_str("last events:\n");
    }
    for line in events.iter().map(String::as_str).chain(last.iter().copied()) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Where execution was, and from where in its image it was called, innermost first.
pub fn callers(process: &impl Peek, image: Range<u64>, rip: u64, rsp: u64) -> Vec<u64> {
    let mut found = vec![rip];
    let returns =
        stack_words(process, rsp).into_iter().filter(|word| image.contains(word) && follows_call(process, *word));
    found.extend(returns.take(MOST));
    found
}

/// The words of the stack from `rsp` up, as far as there is stack.
fn stack_words(process: &impl Peek, rsp: u64) -> Vec<u64> {
    const PIECE: usize = 512;
    let mut words = Vec::new();
    let mut at = rsp & !7;
    while words.len() * 8 < STACK {
        // Pieces that cross no page, so that the last page of the stack is read to its end.
        let length = PIECE.min(4096 - (at % 4096) as usize);
        let mut bytes = [0; PIECE];
        if !process.peek(at, &mut bytes[..length]) {
            break;
        }
        words.extend(bytes[..length].as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)));
        at = at.saturating_add(length as u64);
    }
    words
}

/// Whether the instruction that ends at `address` is a call (Intel SDM vol. 2, CALL: E8 with 32 bits, FF /2).
fn follows_call(process: &impl Peek, address: u64) -> bool {
    let mut code = [0; CALL];
    if address < CALL as u64 || !process.peek(address - CALL as u64, &mut code) {
        return false;
    }
    let indirect = |length: usize| {
        let modrm = code[CALL - length + 1];
        let expected = match (modrm >> 6, modrm & 7) {
            (0, 5) => 6,
            (0, 4) | (1, 0..=3 | 5..=7) => 3,
            (1, 4) => 4,
            (2, 4) => 7,
            (2, _) => 6,
            _ => 2,
        };
        code[CALL - length] == 0xff && modrm >> 3 & 7 == 2 && expected == length
    };
    code[CALL - 5] == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(indirect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::{FaultKind, FaultReport, Registers};

    /// Code at the start of an image, and a stack.
    struct Memory {
        code: Vec<u8>,
        stack: Vec<u8>,
    }
    const AT: u64 = 0x0a1b_2c3d_4000;
    const END: u64 = AT + 256;
    const RSP: u64 = 0x7000_000f_ff00;

    impl Peek for Memory {
        fn peek(&self, address: u64, into: &mut [u8]) -> bool {
            let parts = [(AT, &self.code), (RSP, &self.stack)];
            let found = parts.iter().find_map(|(start, bytes)| {
                let at = usize::try_from(address.checked_sub(*start)?).ok()?;
                bytes.get(at..at.checked_add(into.len())?)
            });
            found.is_some_and(|bytes| {
                into.copy_from_slice(bytes);
                true
            })
        }
    }

    fn program() -> Memory {
        let mut code = vec![0x90; 256];
        code[20..25].copy_from_slice(&[0xe8, 1, 2, 3, 4]); // call, returns to 25
        code[40..42].copy_from_slice(&[0xff, 0xd0]); // call rax, returns to 42
        code[60..63].copy_from_slice(&[0xff, 0x50, 0x18]); // call [rax + 24], returns to 63
        code[80..86].copy_from_slice(&[0xff, 0x15, 0, 1, 0, 0]); // call [rip + 256], returns to 86
        let words = [1, AT + 25, AT + 26, u64::MAX, AT + 42, AT + 63, AT, AT + 86, 0];
        let mut stack: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
        stack.resize(256, 0);
        Memory { code, stack }
    }

    #[test]
    fn words_that_follow_a_call_are_the_callers_and_no_others() {
        assert_eq!(callers(&program(), AT..END, AT + 9, RSP), [9, 25, 42, 63, 86].map(|at| AT + at));
    }

    #[test]
    fn a_stack_pointer_anywhere_is_read_without_harm() {
        for rsp in [0, 8, AT + 255, RSP + 255, u64::MAX, u64::MAX - 7, 1 << 63] {
            assert_eq!(callers(&program(), AT..END, 5, rsp)[0], 5);
        }
    }

    #[test]
    fn the_report_has_registers_callers_and_last_words() {
        let registers = Registers { rip: AT + 9, rsp: RSP, ..Registers::default() };
        let fault = FaultReport { kind: FaultKind::Page as u64, address: 0x18, registers, ..FaultReport::default() };
        let state = ProcessState::Faulted as u64;
        let status =
            ProcessStatus { incarnation: 3, state, fault, image: AT, image_end: END, ..ProcessStatus::default() };
        let text = tell(&program(), &status, &["-0.100 ms deliver #10002".into()], &["[0.1] last words"]);
        let start = "incarnation 3: page fault at address 0x18, rip 0xa1b2c3d4009";
        assert!(text.starts_with(start) && text.contains("rsp 0x7000000fff00"), "{text}");
        assert!(
            text.ends_with(
                "called from (image at 0xa1b2c3d4000): 0xa1b2c3d4009 0xa1b2c3d4019 0xa1b2c3d402a 0xa1b2c3d403f \
                 0xa1b2c3d4056\n\
                 last events:\n-0.100 ms deliver #10002\n[0.1] last words\n"
            ),
            "{text}"
        );
    }
}
