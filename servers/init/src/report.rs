//! How a process ended, in a line for people.

use abi::{FaultKind, ProcessState, ProcessStatus};
use alloc::{format, string::String};

/// What stands first in [`describe`]'s line, and in `svc list`: short and without registers.
pub fn summary(status: &ProcessStatus) -> String {
    let fault = &status.fault;
    match (ProcessState::from_raw(status.state), FaultKind::from_raw(fault.kind)) {
        (ProcessState::Faulted, kind @ (FaultKind::Page | FaultKind::NoMemory)) => {
            format!("{} at address {:#x}, rip {:#x}", kind.text(), fault.address, fault.registers.rip)
        }
        (ProcessState::Faulted, kind) => format!("{} at rip {:#x}", kind.text(), fault.registers.rip),
        (ProcessState::Exited, _) => format!("exited with status {}", status.exit),
        (ProcessState::Running, _) => String::from("running"),
        (ProcessState::Empty, _) => String::from("not started"),
    }
}

/// The crash report: the summary, and of a fault the error code and all registers. One line, so that it stays whole in
/// the log.
pub fn describe(status: &ProcessStatus) -> String {
    let summary = summary(status);
    if ProcessState::from_raw(status.state) != ProcessState::Faulted {
        return summary;
    }
    let (f, r) = (&status.fault, &status.fault.registers);
    format!(
        "{summary}, code {:#x}, thread {}, rsp {:#x} rbp {:#x} rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x} rsi {:#x} \
         rdi {:#x} r8 {:#x} r9 {:#x} r10 {:#x} r11 {:#x} r12 {:#x} r13 {:#x} r14 {:#x} r15 {:#x} rflags {:#x}",
        f.code,
        f.thread,
        r.rsp,
        r.rbp,
        r.rax,
        r.rbx,
        r.rcx,
        r.rdx,
        r.rsi,
        r.rdi,
        r.r8,
        r.r9,
        r.r10,
        r.r11,
        r.r12,
        r.r13,
        r.r14,
        r.r15,
        r.rflags,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::{FaultReport, Registers};

    fn faulted(kind: FaultKind) -> ProcessStatus {
        let registers = Registers { rip: 0x401000, rsp: 0x7000_0010_0000, r9: 9, ..Registers::default() };
        let fault = FaultReport { kind: kind as u64, address: 0x18, code: 6, thread: 1, registers };
        ProcessStatus { state: ProcessState::Faulted as u64, fault, ..ProcessStatus::default() }
    }

    #[test]
    fn a_page_fault_names_the_address_and_every_register_in_one_line() {
        let line = describe(&faulted(FaultKind::Page));
        assert!(line.starts_with("page fault at address 0x18, rip 0x401000, code 0x6, thread 1, rsp 0x700000100000"));
        assert!(line.contains("r9 0x9 ") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn other_faults_name_only_where_they_happened() {
        assert_eq!(summary(&faulted(FaultKind::Divide)), "divide error at rip 0x401000");
    }

    #[test]
    fn an_exit_tells_its_status() {
        let status = ProcessStatus { state: ProcessState::Exited as u64, exit: -3, ..ProcessStatus::default() };
        assert_eq!(describe(&status), "exited with status -3");
    }
}
