//! The audit: every frame of the machine against what accounts have paid for.
//!
//! Invariants:
//! 1. It changes nothing, and needs nothing but the machine's capability.
//! 2. Every frame is looked at once and every account once, whatever the tree looks like: no recursion, no memory.

use crate::account::Account;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Frame, FrameKind, Ref};
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

impl<M: Machine> Kernel<M> {
    /// Counts everything.
    pub(crate) fn audit_frames(&mut self) -> AuditReport {
        let mut report = AuditReport { total: self.mm.total_frames(), ..AuditReport::default() };
        self.find(&mut report);
        let mut at = Some(self.root);
        while let Some(account) = at {
            self.add_account(account, &mut report);
            at = self.next_account(account);
        }
        let mut process = self.first_process;
        while let Some(here) = process {
            report.processes += 1;
            report.capabilities += u64::from(self.processes[here].caps_table.occupied());
            process = self.processes[here].all_next;
        }
        // Paid for at boot, for threads to come.
        let unused = self.numbers.pages_paid() - self.numbers.pages_used();
        report.words.paid -= unused;
        report.all.paid -= unused;
        report.free.paid = self.mm.free_frames();
        report
    }

    /// What the frame table shows.
    fn find(&self, report: &mut AuditReport) {
        for number in 0..self.mm.frames() {
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
    }

    /// What one account has paid for.
    fn add_account(&mut self, account: Ref<Account>, report: &mut AuditReport) {
        let lent = self.lent_below(account);
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
        report.unsound += u64::from(entry.used > entry.limit || entry.lent != lent);
    }

    /// The limits of the accounts right below this one.
    fn lent_below(&mut self, account: Ref<Account>) -> u64 {
        let list = self.accounts[account].slabs.accounts;
        let mut sum = 0;
        let mut at = self.accounts.after(&list, None);
        while let Some(child) = at {
            // The root is in its own list, as it has no parent to pay for it.
            sum += if child == account { 0 } else { self.accounts[child].limit };
            at = self.accounts.after(&list, Some(child));
        }
        sum
    }

    /// The account after this one: the first below it, else the next beside it or beside one above it.
    fn next_account(&mut self, account: Ref<Account>) -> Option<Ref<Account>> {
        if let Some(child) = self.child_after(account, None) {
            return Some(child);
        }
        let mut at = account;
        while let Some(parent) = self.accounts[at].parent {
            if let Some(sibling) = self.child_after(parent, Some(at)) {
                return Some(sibling);
            }
            at = parent;
        }
        None
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
