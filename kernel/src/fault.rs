//! Faults of programs: resolved where memory is committed lazily, else reported to the supervisor.
//!
//! Invariants:
//! 1. A fault stops its process and nobody else; the kernel goes on.
//! 2. A stopped process keeps its memory and registers until its supervisor kills or resets it; without a supervisor
//!    it is killed at once.

use crate::kernel::Kernel;
use crate::machine::{Exception, Machine, Resume};
use crate::mm::Ref;
use crate::process::Process;
use crate::schedule::Next;
use crate::thread::Thread;
use core::fmt::Write;

use abi::{FaultKind, FaultReport, ProcessState, SysError, TraceKind};

/// Page-fault error code bits (Intel SDM vol. 3, section 4.7).
const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const FETCH: u64 = 16;

/// The exit status of a process that is killed because nobody watches it when it faults.
pub const UNWATCHED: i64 = -2;

fn kind_of(vector: u8) -> FaultKind {
    match vector {
        0 => FaultKind::Divide,
        1 | 3 => FaultKind::Debug,
        6 => FaultKind::InvalidInstruction,
        13 => FaultKind::Protection,
        14 => FaultKind::Page,
        16 | 19 => FaultKind::FloatingPoint,
        _ => FaultKind::Other,
    }
}

impl<M: Machine> Kernel<M> {
    /// The running thread raised an exception.
    pub fn exception(&mut self, exception: Exception) -> Resume {
        let Some(me) = self.current else { return self.start() };
        if self.watched
            && let Some(next) = self.entered(me, None)
        {
            return self.choose(next);
        }
        let kind = match self.resolve(me, exception) {
            Ok(()) => return self.choose(Next::Same),
            Err(SysError::NoMemory) => FaultKind::NoMemory,
            Err(_) => kind_of(exception.vector),
        };
        let Exception { code, address, .. } = exception;
        let next = self.fault(me, FaultReport { kind: kind as u64, address, code, ..FaultReport::default() });
        self.choose(next)
    }

    /// Commits the page of a first touch.
    fn resolve(&mut self, me: Ref<Thread>, exception: Exception) -> Result<(), SysError> {
        let Exception { vector, code, address } = exception;
        if vector != 14 || code & PRESENT != 0 {
            return Err(SysError::BadAddress);
        }
        let process = self.threads[me].process;
        self.touch(process, address, code & WRITE != 0, code & FETCH != 0).map(|_| ())
    }

    /// Stops the process of a thread that cannot go on, and tells its supervisor.
    pub(crate) fn fault(&mut self, me: Ref<Thread>, report: FaultReport) -> Next {
        let Thread { process, index, context, latest, .. } = self.threads[me];
        self.trace(TraceKind::Fault, me, report.address, latest);
        self.blame(me);
        let entry = &mut self.processes[process];
        entry.fault = FaultReport { thread: index.into(), registers: context.registers, ..report };
        match entry.event {
            Some(event) => {
                entry.state = ProcessState::Faulted;
                entry.handoff_root = 0;
                let bits = entry.event_bits;
                self.signal(event, bits);
            }
            None => {
                self.log_unwatched(process);
                self.kill(process, false, UNWATCHED);
            }
        }
        Next::Same
    }

    /// Nobody else will say why this process ended.
    fn log_unwatched(&mut self, process: Ref<Process>) {
        let Process { name, fault, image, .. } = &self.processes[process];
        let name = core::str::from_utf8(name).unwrap_or("?").trim_end_matches('\0');
        let mut line: heapless::String<128> = heapless::String::new();
        let kind = FaultKind::from_raw(fault.kind).text();
        // A line that does not fit is cut.
        let (address, rip) = (fault.address, fault.registers.rip);
        let _ = writeln!(line, "kernel: {name}: {kind} at {address:#x} (rip {rip:#x}, image at {:#x})", image.0);
        self.machine.log(line.as_bytes());
    }
}
