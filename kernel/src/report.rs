//! Reports: the state of processes and of the machine, as words in a caller's message page.

use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::Ref;
use crate::process::Process;
use crate::thread::{Thread, Wait};
use abi::{
    AuditReport, CapabilityStatus, MAX_PAYLOAD, MachineInfo, ProcessStatus, Registers, ThreadStatus, TraceRecord,
};
use heapless::Vec;

type Words = Vec<u64, { MAX_PAYLOAD / 8 }>;

fn register_words(r: &Registers) -> [u64; 18] {
    [
        r.rax, r.rdi, r.rsi, r.rdx, r.r8, r.r9, r.r10, r.rbx, r.r12, r.r13, r.r14, r.r15, r.rbp, r.rcx, r.r11, r.rip,
        r.rflags, r.rsp,
    ]
}

/// The words of a [`ProcessStatus`] as they lie in memory (`repr(C)`, every field a multiple of 8 bytes).
fn status_words(s: &ProcessStatus) -> Words {
    let half = |n: usize| u64::from_le_bytes(s.name[n..n + 8].try_into().unwrap_or_default());
    let head = [s.id, s.incarnation, s.state, s.exit as u64, half(0), half(8), s.threads, s.priority, s.pages];
    let tail =
        [s.cpu_time, s.waiting, s.image, s.image_end, s.fault.kind, s.fault.address, s.fault.code, s.fault.thread];
    head.into_iter().chain(tail).chain(register_words(&s.fault.registers)).collect()
}

const _: () = assert!(size_of::<ProcessStatus>() == 8 * (9 + 8 + 18));

fn machine_words(i: &MachineInfo) -> Words {
    let head = [i.rsdp, i.tsc_hz, i.frames, i.boot_ticks, i.entry_tsc, i.archive_bytes, i.cmdline_bytes];
    let text = i.cmdline.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap_or_default()));
    head.into_iter().chain(text).collect()
}

fn thread_words(s: &ThreadStatus) -> Words {
    let halves = |name: &[u8; 16]| [0, 8].map(|n| u64::from_le_bytes(name[n..n + 8].try_into().unwrap_or_default()));
    let head = [s.number, s.index, s.process].into_iter().chain(halves(&s.name));
    let tail = [s.base, s.priority, s.wait, s.age, s.queue, s.message, s.attempts, s.blamed];
    head.chain(tail).chain(halves(&s.blamed_name)).chain([s.ran]).collect()
}

fn capability_words(s: &CapabilityStatus) -> Words {
    let what = [s.handle, s.kind, s.object, s.rights, s.used, s.badge, s.first, s.size, s.granted];
    what.into_iter().chain([s.parent_process, s.parent, s.payer]).collect()
}

fn audit_words(r: &AuditReport) -> Words {
    let kinds = [r.free, r.contents, r.page_tables, r.words].into_iter().chain(r.objects).chain([r.all]);
    let lines = kinds.flat_map(|line| [line.found, line.paid]);
    let tail = [r.accounts, r.unsound, r.processes, r.capabilities];
    core::iter::once(r.total).chain(lines).chain(tail).collect()
}

const _: () = assert!(size_of::<MachineInfo>() == 8 * 7 + abi::MAX_CMDLINE);

impl<M: Machine> Kernel<M> {
    /// Ticks that a thread has run.
    pub(crate) fn ran(&self, thread: Ref<Thread>) -> u64 {
        let now = (self.current == Some(thread)).then(|| self.machine.ticks());
        self.threads[thread].ran(now)
    }

    /// What a supervisor may know of a process.
    pub(crate) fn status_of(&self, process: Ref<Process>) -> ProcessStatus {
        let entry = &self.processes[process];
        let account = &self.accounts[entry.account_ref()];
        let first = entry.threads.map(|t| &self.threads[t]);
        let mut ran = entry.ran;
        let mut at = entry.threads;
        while let Some(thread) = at {
            ran += self.ran(thread);
            at = self.threads[thread].sibling_next;
        }
        let waiting = match first.map(|t| t.wait) {
            Some(Wait::Delivery(_) | Wait::Answer(_)) => 1,
            Some(Wait::Message(_)) => 2,
            Some(Wait::Signal(..) | Wait::Clock | Wait::Teardown) => 3,
            Some(Wait::Stopped) => 4,
            Some(Wait::Nothing) | None => 0,
        };
        ProcessStatus {
            id: entry.id,
            incarnation: entry.incarnation,
            state: entry.state as u64,
            exit: entry.exit,
            name: entry.name,
            threads: entry.thread_count.into(),
            priority: first.map_or(0, |t| t.base.into()),
            pages: account.used - account.lent,
            cpu_time: self.clock.duration(ran),
            waiting,
            image: entry.image.0,
            image_end: entry.image.1,
            fault: entry.fault,
        }
    }

    pub(crate) fn report_status(&mut self, me: Ref<Thread>, status: &ProcessStatus) {
        self.report(me, &status_words(status));
    }

    pub(crate) fn report_thread(&mut self, me: Ref<Thread>, status: &ThreadStatus) {
        self.report(me, &thread_words(status));
    }

    pub(crate) fn report_capability(&mut self, me: Ref<Thread>, status: &CapabilityStatus) {
        self.report(me, &capability_words(status));
    }

    pub(crate) fn report_audit(&mut self, me: Ref<Thread>, report: &AuditReport) {
        self.report(me, &audit_words(report));
    }

    pub(crate) fn report_trace(&mut self, me: Ref<Thread>, records: &[TraceRecord]) {
        let words: Words = records.iter().flat_map(TraceRecord::words).collect();
        self.report(me, &words);
    }

    pub(crate) fn report_machine(&mut self, me: Ref<Thread>) {
        let words = machine_words(&self.info);
        self.report(me, &words);
    }
}
