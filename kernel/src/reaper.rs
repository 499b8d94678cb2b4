//! The reaper: tears down processes, accounts, memory objects and queues in bounded steps, with interrupts in between.
//!
//! Invariants:
//! 1. What is in the job list is marked (`dying` or `doomed`), is in it once, and leaves it only when it is gone.
//! 2. A step takes at most [`BUDGET`] units, each of a few hundred instructions at most.
//! 3. Teardown never needs the victim's help, and nobody but the reaper frees what is marked.

use crate::account::{Account, Purpose};
use crate::event::Event;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::mm::Ref;
use crate::priority::PriorityQueue;
use crate::process::Process;
use crate::queue::Queue;
use crate::schedule::Next;
use crate::thread::{NEVER, Thread, Wait};
use abi::{FaultReport, Kind, ProcessState};

/// Units of a step.
const BUDGET: u32 = 64;

/// Something to tear down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// A process: its end, or its reset.
    Process(Ref<Process>),
    /// An account with all that it paid for.
    Account(Ref<Account>),
    /// A memory object without capabilities and mappings.
    Memory(Ref<Memory>),
    /// A queue without capabilities.
    Queue(Ref<Queue>),
}

/// How far the teardown of a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Threads are being removed.
    Threads,
    /// Calls that it held go back, from this thread number on.
    Calls(u16),
    /// Capabilities go, from this slot on.
    Caps(u32),
    /// Mappings go.
    Regions,
    /// Page tables go.
    Tables,
    /// For a reset: what its account paid for goes.
    Objects,
    /// It has exited and nobody knows it any more: the rest of its capabilities goes, from this slot on, and itself.
    Burial(u32),
}

/// The teardown of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dying {
    /// It gets a next incarnation.
    pub reset: bool,
    /// How far it is.
    pub phase: Phase,
}

/// The reaper's list.
pub(crate) struct Reaper {
    first: Option<Job>,
    last: Option<Job>,
    /// Threads that wait for a teardown.
    pub(crate) waiting: PriorityQueue,
    /// The highest priority on whose behalf it works.
    pub(crate) priority: u8,
}

impl Reaper {
    pub(crate) fn new() -> Reaper {
        Reaper { first: None, last: None, waiting: PriorityQueue::default(), priority: 0 }
    }
    /// Whether anything is left to tear down.
    #[inline]
    pub(crate) fn has_jobs(&self) -> bool {
        self.first.is_some()
    }
}

enum Progress {
    Done,
    More,
    /// Something else in the list must go first.
    After,
}

impl<M: Machine> Kernel<M> {
    fn next_job(&mut self, job: Job) -> &mut Option<Job> {
        match job {
            Job::Process(p) => &mut self.processes[p].next_job,
            Job::Account(a) => &mut self.accounts[a].next_job,
            Job::Memory(m) => &mut self.memories[m].next_job,
            Job::Queue(q) => &mut self.queues[q].next_job,
        }
    }

    fn submit(&mut self, job: Job) {
        self.changed = true;
        match self.reaper.last.replace(job) {
            Some(last) => *self.next_job(last) = Some(job),
            None => self.reaper.first = Some(job),
        }
        let by = self.current.map_or(0, |c| self.threads[c].priority);
        self.reaper.priority = self.reaper.priority.max(by);
    }

    fn take_job(&mut self) -> Option<Job> {
        let job = self.reaper.first?;
        self.reaper.first = self.next_job(job).take();
        if self.reaper.first.is_none() {
            self.reaper.last = None;
        }
        Some(job)
    }

    /// Whether the reaper has work that is at least as urgent as the most urgent ready thread.
    #[inline]
    pub(crate) fn reaper_is_due(&self) -> bool {
        self.reaper.first.is_some() && self.reaper.priority + 1 >= self.ready.top()
    }

    /// One step of work.
    pub(crate) fn reap(&mut self) {
        let Some(job) = self.take_job() else { return };
        let mut budget = BUDGET;
        let progress = match job {
            Job::Process(process) => self.reap_process(process, &mut budget),
            Job::Account(account) => self.reap_account(account, &mut budget),
            Job::Memory(memory) => self.reap_memory(memory, &mut budget),
            Job::Queue(queue) => self.reap_queue(queue, &mut budget),
        };
        match progress {
            Progress::Done => {
                while let Some(thread) = self.reaper.waiting.pop(&mut self.threads) {
                    self.release(thread);
                }
            }
            Progress::More => {
                *self.next_job(job) = self.reaper.first;
                self.reaper.last = self.reaper.last.or(Some(job));
                self.reaper.first = Some(job);
            }
            Progress::After => {
                let priority = self.reaper.priority;
                self.submit(job);
                self.reaper.priority = priority;
            }
        }
        if self.reaper.first.is_none() {
            self.reaper.priority = 0;
        }
    }

    /// The running thread waits until some teardown is finished, and then makes its system call again.
    pub(crate) fn await_teardown(&mut self, me: Ref<Thread>) -> Next {
        self.block(me, Wait::Teardown, NEVER);
        self.reaper.priority = self.reaper.priority.max(self.threads[me].priority);
        self.reaper.waiting.push(&mut self.threads, me);
        Next::Restart
    }

    /// Begins to tear a process down, to its end or for a reset. Nothing of it runs from here on.
    pub(crate) fn kill(&mut self, process: Ref<Process>, reset: bool, status: i64) {
        let entry = &mut self.processes[process];
        if let Some(dying) = &mut entry.dying {
            dying.reset |= reset;
            return;
        }
        entry.dying = Some(Dying { reset, phase: Phase::Threads });
        entry.handoff_root = 0;
        if entry.state != ProcessState::Exited {
            entry.exit = status;
        }
        self.trace_death(process);
        self.submit(Job::Process(process));
    }

    fn reap_process(&mut self, process: Ref<Process>, budget: &mut u32) -> Progress {
        let dying = self.processes[process].dying.expect("invariant 1: a process in the list is dying");
        let next = match dying.phase {
            Phase::Threads => self.reap_threads(process, budget).then_some(Phase::Calls(0)),
            Phase::Calls(from) => match self.give_calls_back(process, from, budget) {
                Some(at) => Some(Phase::Calls(at)),
                None if self.is_first(process) => Some(Phase::Regions),
                None => Some(Phase::Caps(0)),
            },
            Phase::Caps(mut cursor) => {
                let done = self.clear_table(process, true, &mut cursor, budget);
                Some(if done { Phase::Regions } else { Phase::Caps(cursor) })
            }
            Phase::Regions => self.reap_regions(process, budget).then_some(Phase::Tables),
            Phase::Tables => self.reap_tables(process, budget).then_some(Phase::Objects),
            Phase::Objects if self.is_first(process) => {
                self.revive_first();
                return Progress::Done;
            }
            Phase::Objects if self.processes[process].dying.is_some_and(|d| d.reset) => {
                let account = self.processes[process].account_ref();
                return match self.reap_objects(account, Some(process), budget) {
                    Progress::Done => self.finish_reset(process),
                    progress => progress,
                };
            }
            Phase::Objects => return self.finish_exit(process),
            Phase::Burial(mut cursor) => {
                if self.clear_table(process, false, &mut cursor, budget) {
                    return self.bury(process, budget);
                }
                Some(Phase::Burial(cursor))
            }
        };
        if let (Some(phase), Some(dying)) = (next, &mut self.processes[process].dying) {
            dying.phase = phase;
        }
        Progress::More
    }

    fn finish_reset(&mut self, process: Ref<Process>) -> Progress {
        let entry = &mut self.processes[process];
        entry.dying = None;
        entry.state = ProcessState::Empty;
        entry.incarnation += 1;
        entry.fault = FaultReport::default();
        entry.image = (0, 0);
        entry.next_index = 0;
        entry.ports.clear();
        Progress::Done
    }

    fn finish_exit(&mut self, process: Ref<Process>) -> Progress {
        let entry = &mut self.processes[process];
        entry.dying = None;
        entry.state = ProcessState::Exited;
        entry.ports.clear();
        let (event, bits) = (entry.event, entry.event_bits);
        if let Some(event) = event {
            self.signal(event, bits);
        }
        if self.processes[process].caps == 0 {
            self.unreferenced(Kind::Process, process.raw());
        }
        Progress::Done
    }

    fn bury(&mut self, process: Ref<Process>, budget: &mut u32) -> Progress {
        let account = self.processes[process].account_ref();
        if !self.free_table(process, account, budget) {
            return Progress::More;
        }
        self.unwatch(process);
        let Process { all_next, all_prev, .. } = self.processes[process];
        match all_prev {
            Some(prev) => self.processes[prev].all_next = all_next,
            None => self.first_process = all_next,
        }
        match all_next {
            Some(next) => self.processes[next].all_prev = all_prev,
            None => self.last_process = all_prev,
        }
        self.destroy(account, process);
        Progress::Done
    }

    fn reap_threads(&mut self, process: Ref<Process>, budget: &mut u32) -> bool {
        while let Some(thread) = self.processes[process].threads {
            if *budget == 0 || !self.revoke_object(Kind::Thread, thread.raw(), budget) {
                return false;
            }
            *budget = budget.saturating_sub(4);
            self.remove_thread(thread);
        }
        true
    }

    /// Removes a thread that has no capabilities.
    pub(crate) fn remove_thread(&mut self, thread: Ref<Thread>) {
        self.detach(thread);
        self.retire_server(thread);
        let Thread { process, account, number, sibling_next, sibling_prev, message, message_at, .. } =
            self.threads[thread];
        let Some(account) = account else { return };
        self.wheel.remove(&mut self.threads, thread);
        self.numbers.take_back(number);
        match sibling_prev {
            Some(prev) => self.threads[prev].sibling_next = sibling_next,
            None => self.processes[process].threads = sibling_next,
        }
        if let Some(next) = sibling_next {
            self.threads[next].sibling_prev = sibling_prev;
        }
        self.processes[process].thread_count -= 1;
        self.processes[process].ran += self.threads[thread].ran(None);
        if let Some(frame) = message {
            if let Some(space) = self.processes[process].space
                && self.mm.translate(space, message_at).is_some_and(|t| t.0 == frame.address())
                && let Some(stale) = self.mm.unmap_page(space, message_at)
            {
                self.flush(process, stale);
            }
            self.sell(account, frame, Purpose::Other);
        }
        self.destroy(account, thread);
    }

    /// Gives back calls from thread number `from` on; `Some` is where to go on.
    fn give_calls_back(&mut self, process: Ref<Process>, from: u16, budget: &mut u32) -> Option<u16> {
        for number in from..self.numbers.count() {
            if self.processes[process].held == 0 {
                return None;
            }
            if *budget == 0 {
                return Some(number);
            }
            *budget -= 1;
            let Some(thread) = self.numbers.get(number) else { continue };
            if self.threads[thread].holder == Some(process) {
                self.redeliver(thread);
            }
        }
        None
    }

    fn reap_regions(&mut self, process: Ref<Process>, budget: &mut u32) -> bool {
        while let Some(region) = self.processes[process].regions {
            if *budget == 0 || !self.remove_region(region, budget) {
                return false;
            }
        }
        true
    }

    fn reap_tables(&mut self, process: Ref<Process>, budget: &mut u32) -> bool {
        let Some(space) = self.processes[process].space else { return true };
        let account = self.processes[process].account_ref();
        if self.loaded() == Some(process) {
            self.machine.enter_space(self.kernel_root);
            self.machine.open_ports(&[]);
            self.ports_open = false;
            self.left = None;
        }
        let mut freed = 0;
        let walks = &mut self.processes[process].walks;
        let done = self.mm.free_tables(space, walks, budget, &mut freed);
        self.accounts[account].refund(Purpose::PageTables, freed.into());
        self.processes[process].tables -= freed;
        if done {
            self.sell(account, space.0, Purpose::PageTables);
            self.processes[process].space = None;
        }
        done
    }

    /// Begins to destroy an account. Nothing more is paid by it or below it.
    pub(crate) fn doom_account(&mut self, account: Ref<Account>) {
        if !core::mem::replace(&mut self.accounts[account].dying, true) {
            self.submit(Job::Account(account));
        }
    }

    fn reap_account(&mut self, account: Ref<Account>, budget: &mut u32) -> Progress {
        match self.reap_objects(account, None, budget) {
            Progress::Done => {}
            progress => return progress,
        }
        if !self.revoke_object(Kind::Account, account.raw(), budget) {
            return Progress::More;
        }
        let Account { parent, limit, .. } = self.accounts[account];
        let parent = parent.expect("the root account is never destroyed");
        self.destroy(parent, account);
        self.accounts[parent].unlend(limit);
        Progress::Done
    }

    /// Destroys what `account` paid for, but for the process `spare`.
    fn reap_objects(&mut self, account: Ref<Account>, spare: Option<Ref<Process>>, budget: &mut u32) -> Progress {
        while *budget > 0 {
            let slabs = self.accounts[account].slabs;
            if let Some(child) = self.accounts.any(&slabs.accounts) {
                self.doom_account(child);
                return Progress::After;
            }
            let mut victim = None;
            self.processes.for_each(&slabs.processes, |p, _| victim = if Some(p) == spare { victim } else { Some(p) });
            if let Some(victim) = victim {
                return self.reap_paid_process(victim, budget);
            }
            if let Some(queue) = self.queues.any(&slabs.queues) {
                if self.queues[queue].doomed {
                    return Progress::After;
                }
                self.revoke_object(Kind::Queue, queue.raw(), budget);
            } else if let Some(event) = self.events.any(&slabs.events) {
                self.reap_event(event, budget);
            } else if let Some(irq) = self.irqs.any(&slabs.irqs) {
                self.revoke_object(Kind::Irq, irq.raw(), budget);
            } else if let Some(ports) = self.ports.any(&slabs.ports) {
                self.revoke_object(Kind::IoPorts, ports.raw(), budget);
            } else if let Some(memory) = self.memories.any(&slabs.memories) {
                if self.memories[memory].doomed {
                    return Progress::After;
                }
                self.reap_mapped_memory(memory, budget);
            } else {
                return Progress::Done;
            }
            *budget = budget.saturating_sub(1);
        }
        Progress::More
    }

    /// A process that goes with its account.
    fn reap_paid_process(&mut self, process: Ref<Process>, budget: &mut u32) -> Progress {
        let Process { dying, state, .. } = &mut self.processes[process];
        if let Some(dying) = dying {
            // Two processes of one account, both being reset, would wait for each other: this one goes.
            dying.reset = false;
            return Progress::After;
        }
        let state = *state;
        if state != ProcessState::Exited {
            self.kill(process, false, -1);
            return Progress::After;
        }
        // With its last capability an exited process goes by itself.
        self.revoke_object(Kind::Process, process.raw(), budget);
        Progress::More
    }

    fn reap_event(&mut self, event: Ref<Event>, budget: &mut u32) {
        if self.events[event].caps == 0 {
            self.destroy_event(event, budget);
            return;
        }
        self.unbind(event);
        self.revoke_object(Kind::Event, event.raw(), budget);
    }

    fn reap_mapped_memory(&mut self, memory: Ref<Memory>, budget: &mut u32) {
        if self.memories[memory].caps != 0 {
            self.revoke_object(Kind::Memory, memory.raw(), budget);
        } else if let Some(region) = self.memories[memory].regions {
            self.remove_region(region, budget);
        } else {
            self.memory_unreferenced(memory);
        }
    }

    /// An object lost its last capability.
    pub(crate) fn unreferenced(&mut self, kind: Kind, object: u32) {
        match kind {
            // These live on without: they are ended, not forgotten.
            Kind::Account | Kind::Thread | Kind::Machine => {}
            Kind::Process => {
                let process = Ref::from_raw(object).expect("a slot's object is never 0");
                let Process { state, dying, .. } = &mut self.processes[process];
                if *state == ProcessState::Exited && dying.is_none() {
                    *dying = Some(Dying { reset: false, phase: Phase::Burial(0) });
                    self.submit(Job::Process(process));
                }
            }
            Kind::Memory => self.memory_unreferenced(Ref::from_raw(object).expect("a slot's object is never 0")),
            Kind::Queue => {
                let queue: Ref<Queue> = Ref::from_raw(object).expect("a slot's object is never 0");
                if !core::mem::replace(&mut self.queues[queue].doomed, true) {
                    self.submit(Job::Queue(queue));
                }
            }
            Kind::Event => self.event_unreferenced(Ref::from_raw(object).expect("a slot's object is never 0")),
            Kind::Irq => {
                let irq: Ref<crate::irq::Irq> = Ref::from_raw(object).expect("a slot's object is never 0");
                self.unbind_irq(irq);
                self.irq_table[self.irqs[irq].slot as usize] = None;
                let account = self.irqs[irq].account.expect("an object in use has an account");
                self.destroy(account, irq);
            }
            Kind::IoPorts => {
                let ports: Ref<crate::ports::IoPorts> = Ref::from_raw(object).expect("a slot's object is never 0");
                let account = self.ports[ports].account.expect("an object in use has an account");
                self.destroy(account, ports);
            }
        }
    }

    /// A memory object lost a capability or a mapping: it goes when it has neither.
    pub(crate) fn memory_unreferenced(&mut self, memory: Ref<Memory>) {
        let object = &mut self.memories[memory];
        if object.caps != 0 || object.regions.is_some() || core::mem::replace(&mut object.doomed, true) {
            return;
        }
        // Small objects go at once; what is left is the reaper's.
        if !self.free_contents(memory, &mut 16) {
            return self.submit(Job::Memory(memory));
        }
        let account = self.memories[memory].account.expect("an object in use has an account");
        self.destroy(account, memory);
    }

    fn reap_memory(&mut self, memory: Ref<Memory>, budget: &mut u32) -> Progress {
        if !self.free_contents(memory, budget) {
            return Progress::More;
        }
        let account = self.memories[memory].account.expect("an object in use has an account");
        self.destroy(account, memory);
        Progress::Done
    }

    fn reap_queue(&mut self, queue: Ref<Queue>, budget: &mut u32) -> Progress {
        if !self.close_queue(queue, budget) {
            return Progress::More;
        }
        self.orphan_callers(queue);
        self.free_ring(queue);
        let account = self.queues[queue].account.expect("an object in use has an account");
        self.destroy(account, queue);
        Progress::Done
    }
}
