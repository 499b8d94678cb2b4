//! Scheduling: who runs next, for how long, and what wakes whom.
//!
//! Invariants:
//! 1. Object code never switches: it returns a [`Next`], and [`Kernel::choose`] alone acts on it.
//! 2. The running thread is in no list. No ready thread has a higher priority than the running one after `choose`.
//! 3. The timer is set for the first of: a deadline, the end of the slice if somebody of the same priority is ready,
//!    the next sweep of patience if there are callers; or for a moment before that, if that was the first once. When it
//!    fires it is off, so it fires for nothing once at most.

use crate::handoff::Allowed;
use crate::kernel::Kernel;
use crate::latency::Entry;
use crate::machine::{Clock, Entered, Machine, Resume};
use crate::mm::Ref;
use crate::thread::{FOREVER, NEVER, Thread, Wait};
use abi::{CallFlags, ProcessState, SysError, Sysno, TraceKind, TraceRecord};

/// How long a thread runs while others of its priority are ready, nanoseconds.
const SLICE: u64 = 10_000_000;
/// How often callers without a deadline of their own are looked at, nanoseconds.
const SWEEP: u64 = 1_000_000_000;

/// What a request says of who runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "dropping this leaves the wrong thread running"]
pub enum Next {
    /// The caller goes on, unless somebody more urgent became ready.
    Same,
    /// The caller waits or is gone.
    Reschedule,
    /// The caller waits or is gone, and this thread, which is in no list, takes over its slice.
    Switch(Ref<Thread>),
    /// The caller is ready and in the list, and this thread, which is in none, runs on a slice of its own.
    Run(Ref<Thread>),
    /// The caller makes the same system call again, after interrupts had their chance.
    Restart,
}

/// The timer's state, in ticks.
pub(crate) struct Slice {
    end: u64,
    /// How long one lasts.
    length: u64,
    pub(crate) sweep: u64,
    /// Where a sweep that was cut short goes on: a thread number.
    cursor: u16,
    /// What the timer is set for; [`NEVER`] if it is off.
    armed: u64,
}

impl Slice {
    pub(crate) fn new(clock: &Clock) -> Slice {
        Slice { end: NEVER, length: clock.ticks_of(SLICE), sweep: NEVER, cursor: 0, armed: NEVER }
    }

    /// Another one begins.
    #[inline(always)]
    pub(crate) fn restart(&mut self, now: u64) {
        self.end = now + self.length;
    }

    /// Whether the timer fires at its end or before.
    pub(crate) fn is_timed(&self) -> bool {
        self.armed <= self.end
    }
}

impl<M: Machine> Kernel<M> {
    /// Whether a thread's process lets it run.
    #[inline]
    pub(crate) fn runs(&self, thread: Ref<Thread>) -> bool {
        let process = &self.processes[self.threads[thread].process];
        process.state == ProcessState::Running && process.dying.is_none()
    }

    /// Acts on `next`: the only place where the running thread changes.
    pub(crate) fn choose(&mut self, next: Next) -> Resume {
        let resume = self.act_on(next);
        self.stretch_ends(resume)
    }

    fn act_on(&mut self, next: Next) -> Resume {
        self.strike_due();
        match (next, self.current) {
            (Next::Same | Next::Restart, Some(current)) => {
                let running = self.runs(current);
                if running && self.ready.top() <= self.threads[current].priority + 1 && !self.reaper_is_due() {
                    self.arm();
                    return Resume::Thread(&self.threads[current].context);
                }
                self.leave();
                if running {
                    self.ready.push_front(&mut self.threads, current);
                } else {
                    self.threads[current].wait = Wait::Stopped;
                }
            }
            (Next::Switch(to), _) => {
                self.leave();
                let first = self.runs(to) && self.ready.top() <= self.threads[to].priority + 1;
                if first && !self.reaper.has_jobs() {
                    return self.enter(to);
                }
                self.ready.push_front(&mut self.threads, to);
            }
            (Next::Run(to), _) => {
                self.leave();
                if self.runs(to) && self.ready.top() <= self.threads[to].priority + 1 && !self.reaper.has_jobs() {
                    return self.enter_afresh(to);
                }
                self.ready.push_front(&mut self.threads, to);
            }
            (_, _) => self.leave(),
        }
        self.pick()
    }

    /// A thread that was woken, and is in no list, may run: at once if it is more urgent than the caller.
    pub(crate) fn let_run(&mut self, me: Ref<Thread>, woken: Ref<Thread>) -> Next {
        self.changed = true;
        if self.threads[woken].priority <= self.threads[me].priority {
            self.ready.push(&mut self.threads, woken);
            return Next::Same;
        }
        self.ready.push_front(&mut self.threads, me);
        Next::Run(woken)
    }

    /// Picks the next thread when none runs.
    fn pick(&mut self) -> Resume {
        loop {
            if self.reaper_is_due() {
                self.reap();
                self.arm();
                return Resume::Again;
            }
            let Some(thread) = self.ready.pop(&mut self.threads) else {
                self.arm();
                self.trace_raw(TraceRecord::what(TraceKind::Idle, 0, 0), 0, 0);
                return Resume::Idle;
            };
            if self.runs(thread) {
                return self.enter_afresh(thread);
            }
            self.threads[thread].wait = Wait::Stopped;
        }
    }

    /// The running thread stops running; its context is complete already.
    fn leave(&mut self) {
        let Some(current) = self.current.take() else { return };
        self.left = Some(self.threads[current].process);
        let now = self.machine.ticks();
        let thread = &mut self.threads[current];
        thread.stop(now);
        if thread.context.entered == Entered::Interrupt {
            self.machine.save_vectors(&mut thread.vectors);
        }
    }

    /// A thread goes on with a slice of its own.
    fn enter_afresh(&mut self, thread: Ref<Thread>) -> Resume {
        self.slice.restart(self.machine.ticks());
        self.enter(thread)
    }

    fn enter(&mut self, thread: Ref<Thread>) -> Resume {
        let loaded = self.loaded();
        self.current = Some(thread);
        let now = self.machine.ticks();
        self.threads[thread].start(now);
        self.trace(TraceKind::Switch, thread, 0, 0);
        let process = self.threads[thread].process;
        if loaded != Some(process) {
            let space = self.processes[process].space.expect("a process that runs has an address space");
            self.machine.enter_space(space.0.address());
            if self.ports_open || !self.processes[process].ports.is_empty() {
                self.machine.open_ports(&self.processes[process].ports);
            }
            self.ports_open = !self.processes[process].ports.is_empty();
            if !self.ports_open {
                self.processes[process].handoff_root = space.0.address();
            }
        }
        match self.threads[thread].context.entered {
            Entered::Interrupt => self.machine.load_vectors(&self.threads[thread].vectors),
            Entered::Syscall => self.machine.reset_vectors(),
        }
        self.arm();
        Resume::Thread(&self.threads[thread].context)
    }

    /// Sets the timer for the next thing that time brings.
    pub(crate) fn arm(&mut self) {
        let mut at = self.wheel.soonest().unwrap_or(NEVER);
        if self.current.is_some_and(|c| self.ready.has(self.threads[c].priority)) {
            at = at.min(self.slice.end);
        }
        if self.calls.made && self.slice.sweep == NEVER {
            self.slice.sweep = self.machine.ticks() + self.clock.ticks_of(SWEEP);
        }
        at = at.min(self.slice.sweep);
        // Where it is set for earlier it stays: it fires then once for nothing, which is cheaper than setting it anew
        // with every change of the running thread.
        if at < self.slice.armed {
            self.slice.armed = at;
            self.machine.set_timer(Some(at));
        }
        self.handoff_allowed = match self.slice.sweep {
            _ if self.reaper.has_jobs() || self.ports_open || self.sees_every_call() => Allowed::Nothing,
            NEVER => Allowed::AllButCalls,
            _ => Allowed::Everything,
        };
    }

    /// The timer fired, perhaps early.
    pub fn timer(&mut self) -> Resume {
        self.stretch_begins(Entry::Timer);
        let resume = self.serve_timer();
        self.stretch_ends(resume)
    }

    fn serve_timer(&mut self) -> Resume {
        self.slice.armed = NEVER;
        let now = self.machine.ticks();
        // As many as a bounded stretch allows; the timer fires again at once for the rest.
        for _ in 0..64 {
            let Some(thread) = self.wheel.expired(&mut self.threads, now) else { break };
            if self.threads[thread].deadline <= now {
                self.expire(thread);
            } else {
                self.wheel.add(&mut self.threads, thread);
            }
        }
        if now >= self.slice.sweep {
            self.sweep(now);
        }
        if let Some(current) = self.current.filter(|_| now >= self.slice.end)
            && self.ready.has(self.threads[current].priority)
            && self.runs(current)
        {
            self.leave();
            self.ready.push(&mut self.threads, current);
            return self.pick();
        }
        self.resume()
    }

    /// An interrupt arrived.
    pub fn irq(&mut self, line: crate::machine::IrqLine) -> Resume {
        self.stretch_begins(Entry::Interrupt);
        self.raise(line);
        let resume = self.resume();
        self.stretch_ends(resume)
    }

    /// Goes on after the kernel did something that no thread asked for.
    fn resume(&mut self) -> Resume {
        self.choose(if self.current.is_some() { Next::Same } else { Next::Reschedule })
    }

    /// Starts, or goes on after [`Resume::Again`].
    pub fn start(&mut self) -> Resume {
        self.stretch_begins(Entry::Own);
        let resume = self.resume();
        self.stretch_ends(resume)
    }

    /// Ends the waits of callers that have been patient for long enough, 256 thread numbers at a time.
    fn sweep(&mut self, now: u64) {
        let patience = self.clock.ticks_of(Sysno::CALL_PATIENCE);
        let mut last = self.slice.cursor == 0;
        if last {
            self.calls.made = false;
        }
        let end = self.slice.cursor.saturating_add(256).min(self.numbers.count());
        for number in self.slice.cursor..end {
            let Some(thread) = self.numbers.get(number).filter(|t| self.threads[*t].is_calling()) else { continue };
            self.calls.made = true;
            if self.threads[thread].deadline == NEVER && now.saturating_sub(self.threads[thread].since) > patience {
                self.expire(thread);
            }
        }
        last = end == self.numbers.count();
        self.slice.cursor = if last { 0 } else { end };
        self.slice.sweep = if last { NEVER } else { now };
    }

    /// A thread begins to wait, at most until `deadline`. It is the caller's to put it into the list of `wait`.
    pub(crate) fn block(&mut self, thread: Ref<Thread>, wait: Wait, deadline: u64) {
        let now = self.machine.ticks();
        let entry = &mut self.threads[thread];
        (entry.wait, entry.since, entry.deadline) = (wait, now, deadline);
        self.wheel.add(&mut self.threads, thread);
    }

    /// A thread that is in no list becomes ready; its registers are set.
    pub(crate) fn release(&mut self, thread: Ref<Thread>) {
        self.unblock(thread);
        self.ready.push(&mut self.threads, thread);
        self.changed = true;
    }

    /// A thread that is in no list stops waiting and runs next.
    pub(crate) fn unblock(&mut self, thread: Ref<Thread>) {
        let thread = &mut self.threads[thread];
        (thread.wait, thread.deadline) = (Wait::Nothing, NEVER);
    }

    /// Ends a wait with a result: `Ok` gives word 0. The thread is in no list.
    pub(crate) fn wake(&mut self, thread: Ref<Thread>, result: Result<u64, SysError>) {
        let registers = &mut self.threads[thread].context.registers;
        match result {
            Ok(word) => (registers.rax, registers.rdx) = (0, word),
            Err(error) => {
                registers.rax = error as u64;
                let call = self.threads[thread].call;
                self.trace(TraceKind::Fail, thread, call, error as u64);
            }
        }
        self.release(thread);
    }

    /// Takes a thread out of the list that it waits in, and undoes what its wait meant to others.
    pub(crate) fn detach(&mut self, thread: Ref<Thread>) {
        self.changed = true;
        self.wheel.remove(&mut self.threads, thread);
        match core::mem::replace(&mut self.threads[thread].wait, Wait::Stopped) {
            Wait::Nothing if self.current == Some(thread) => {
                self.leave();
            }
            Wait::Nothing if self.threads[thread].next.is_some() => self.ready.remove(&mut self.threads, thread),
            Wait::Delivery(queue) => self.queues[queue].callers.remove(&mut self.threads, thread),
            Wait::Message(queue) => self.remove_receiver(queue, thread),
            Wait::Signal(event, _) => self.events[event].waiter = None,
            Wait::Answer(_) => self.forget_holder(thread),
            Wait::Teardown => self.reaper.waiting.remove(&mut self.threads, thread),
            Wait::Nothing | Wait::Clock | Wait::Stopped => {}
        }
    }

    /// A wait has lasted to its deadline.
    fn expire(&mut self, thread: Ref<Thread>) {
        let wait = self.threads[thread].wait;
        self.detach(thread);
        match wait {
            Wait::Answer(_) => self.wake(thread, Err(SysError::OutcomeUnknown)),
            Wait::Delivery(_) => self.wake(thread, Err(self.undelivered(thread, SysError::TimedOut))),
            Wait::Clock => {
                self.threads[thread].context.registers.rax = 0;
                self.release(thread);
            }
            _ => self.wake(thread, Err(SysError::TimedOut)),
        }
    }

    /// The deadline that a system call names, in ticks: `Err(TimedOut)` if it has passed.
    pub(crate) fn deadline(&self, thread: Ref<Thread>, flags: CallFlags) -> Result<u64, SysError> {
        if !flags.contains(CallFlags::DEADLINE) {
            return Ok(NEVER);
        }
        let at = self.clock.ticks(self.message_word(thread, crate::transfer::DEADLINE_WORD));
        // A deadline that never comes is one all the same: the patience of a call without any does not apply.
        if at <= self.machine.ticks() { Err(SysError::TimedOut) } else { Ok(at.min(FOREVER)) }
    }

    /// Changes a thread's priority, wherever it waits.
    pub(crate) fn set_priority(&mut self, thread: Ref<Thread>, priority: u8) {
        self.changed = true;
        match self.threads[thread].wait {
            Wait::Nothing if self.current != Some(thread) => {
                self.ready.remove(&mut self.threads, thread);
                self.threads[thread].priority = priority;
                self.ready.push(&mut self.threads, thread);
            }
            Wait::Delivery(queue) => {
                self.queues[queue].callers.remove(&mut self.threads, thread);
                self.threads[thread].priority = priority;
                self.queues[queue].callers.push_by_call(&mut self.threads, thread);
            }
            Wait::Teardown => {
                self.reaper.waiting.remove(&mut self.threads, thread);
                self.threads[thread].priority = priority;
                self.reaper.waiting.push(&mut self.threads, thread);
            }
            _ => self.threads[thread].priority = priority,
        }
    }
}
