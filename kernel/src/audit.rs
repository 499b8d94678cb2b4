//! The audit: every frame of the machine against what accounts have paid for.
//!
//! Invariants:
//! 1. It changes nothing, and needs nothing but the machine's capability.
//! 2. It goes on in steps of bounded length, between which interrupts are let in. Where anything was made, taken or given
//!    back between two of them it begins anew: what it finds was so at one moment.
//! 3. Every frame is looked at once and every account once, whatever the tree looks like: no recursion, no memory.

use crate::account::{Account, MAX_DEPTH};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Frame, FrameKind, Ref};
use crate::process::Process;
use abi::{AuditLine, AuditReport};

/// The kinds of frame that hold objects, in the order of [`AuditReport::OBJECTS`].
const OBJECTS: [FrameKind; 9] = [
    FrameKind::Account,
    FrameKind::Process,
    FrameKind::Thread,
    FrameKind::Memory,
    FrameKind::Queue,
    FrameKind::Event,
    FrameKind::Irq,
    FrameKind::IoPorts,
    FrameKind::Region,
];
/// Frames of a step: some 40 instructions each.
const FRAMES: u32 = 512;
/// Accounts or processes of a step: some hundred instructions each.
const ENTRIES: u32 = 32;

/// An audit on its way.
pub(crate) struct Audit {
    /// [`Kernel::changes`] when it began.
    began: u64,
    at: Stage,
    /// By depth in the tree: limits of the accounts seen so far below the account that is being looked at there.
    lent: [u64; MAX_DEPTH as usize + 2],
    report: AuditReport,
}

/// What is looked at next.
#[derive(Clone, Copy)]
enum Stage {
    Frames(u32),
    Account(Ref<Account>),
    Process(Option<Ref<Process>>),
}

impl<M: Machine> Kernel<M> {
    /// Counts a bounded part of everything. `Some` when all is counted.
    pub(crate) fn audit_step(&mut self) -> Option<AuditReport> {
        let changes = self.mm.changes();
        let mut audit = self.audit.take().filter(|audit| audit.began == changes).unwrap_or_else(|| Audit {
            began: changes,
            at: Stage::Frames(0),
            lent: [0; MAX_DEPTH as usize + 2],
            report: AuditReport { total: self.mm.total_frames(), ..AuditReport::default() },
        });
        audit.at = match audit.at {
            Stage::Frames(from) => self.find(from, &mut audit.report),
            Stage::Account(from) => self.add_accounts(from, &mut audit),
            Stage::Process(None) => return Some(self.conclude(audit.report)),
            Stage::Process(Some(from)) => self.add_processes(from, &mut audit.report),
        };
        self.audit = Some(audit);
        None
    }

    fn conclude(&self, mut report: AuditReport) -> AuditReport {
        // Paid for at boot, for threads to come.
        let unused = self.numbers.pages_paid() - self.numbers.pages_used();
        report.words.paid -= unused;
        report.all.paid -= unused;
        report.free.paid = self.mm.free_frames();
        report
    }

    /// What the frame table shows.
    fn find(&self, from: u32, report: &mut AuditReport) -> Stage {
        let end = from.saturating_add(FRAMES).min(self.mm.frames());
        for number in from..end {
            let frame = Frame(number);
            let is = |kind| self.mm.is(frame, kind);
            let line = if is(FrameKind::Free) {
                report.free.found += 1;
                continue;
            } else if is(FrameKind::Content) {
                &mut report.contents
            } else if is(FrameKind::PageTable) {
                &mut report.page_tables
            } else if is(FrameKind::CapTable) || is(FrameKind::Words) || is(FrameKind::Numbers) {
                &mut report.words
            } else if let Some(n) = OBJECTS.iter().position(|kind| is(*kind)) {
                &mut report.objects[n]
            } else {
                continue;
            };
            line.found += 1;
            report.all.found += 1;
        }
        if end == self.mm.frames() { Stage::Account(self.root) } else { Stage::Frames(end) }
    }

    fn add_processes(&self, from: Ref<Process>, report: &mut AuditReport) -> Stage {
        let mut next = Some(from);
        for _ in 0..ENTRIES {
            let Some(here) = next else { break };
            report.processes += 1;
            report.capabilities += u64::from(self.processes[here].caps_table.occupied());
            next = self.processes[here].all_next;
        }
        Stage::Process(next)
    }

    fn add_accounts(&mut self, from: Ref<Account>, audit: &mut Audit) -> Stage {
        let mut at = from;
        for _ in 0..ENTRIES {
            self.add_account(at, &mut audit.report);
            let Account { depth, limit, .. } = self.accounts[at];
            audit.lent[depth as usize] += limit;
            audit.lent[depth as usize + 1] = 0;
            match self.next_account(at, audit) {
                Some(next) => at = next,
                None => return Stage::Process(self.first_process),
            }
        }
        Stage::Account(at)
    }

    /// What one account has paid for.
    fn add_account(&mut self, account: Ref<Account>, report: &mut AuditReport) {
        let entry = &self.accounts[account];
        let (status, s) = (entry.status(), &entry.slabs);
        let lists = [s.accounts, s.processes, s.threads, s.memories, s.queues, s.events, s.irqs, s.ports, s.regions];
        for (line, list) in report.objects.iter_mut().zip(lists) {
            line.paid += u64::from(list.pages);
        }
        // Every thread has a message page; pages of regions are counted with the rest.
        let messages = u64::from(s.threads.objects);
        let add = |line: &mut AuditLine, pages: u64| line.paid += pages;
        add(&mut report.contents, status.memory + messages);
        add(&mut report.page_tables, status.page_tables);
        add(&mut report.words, status.cap_tables + status.other - messages - u64::from(s.regions.pages));
        add(&mut report.all, entry.used - entry.lent);
        report.accounts += 1;
        report.unsound += u64::from(entry.used > entry.limit);
    }

    /// The account after this one: the first below it, else the next beside it or beside one above it. An account below
    /// which all were seen must have lent what those may use.
    fn next_account(&mut self, account: Ref<Account>, audit: &mut Audit) -> Option<Ref<Account>> {
        if let Some(child) = self.child_after(account, None) {
            return Some(child);
        }
        let mut at = account;
        loop {
            let Account { depth, lent, parent, .. } = self.accounts[at];
            audit.report.unsound += u64::from(lent != audit.lent[depth as usize + 1]);
            if let Some(sibling) = self.child_after(parent?, Some(at)) {
                return Some(sibling);
            }
            at = parent?;
        }
    }

    fn child_after(&mut self, parent: Ref<Account>, child: Option<Ref<Account>>) -> Option<Ref<Account>> {
        let list = self.accounts[parent].slabs.accounts;
        let mut next = self.accounts.after(&list, child);
        while next == Some(parent) {
            next = self.accounts.after(&list, next);
        }
        next
    }
}
