//! Who waits for whom.
//!
//! Invariants:
//! 1. It changes nothing.
//! 2. One call looks at no more than [`STEP`] numbers of threads.

use crate::account::Account;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::Ref;
use crate::process::Process;
use crate::queue::Queue;
use crate::thread::{Thread, Wait};
use abi::{ThreadStatus, ThreadWait};

/// Numbers that one call looks at.
const STEP: u64 = 256;

impl<M: Machine> Kernel<M> {
    /// The first thread below `account` with a number of at least `from`, and the number to go on from; 0: no more.
    pub(crate) fn next_thread_below(&self, account: Ref<Account>, from: u64) -> (Option<ThreadStatus>, u64) {
        let count = u64::from(self.numbers.count());
        let end = from.saturating_add(STEP).min(count);
        for number in from..end {
            let Some(thread) = self.numbers.get(number as u16) else { continue };
            let Some(payer) = self.threads[thread].account else { continue };
            if self.is_below(payer, account) {
                return (self.wait_of(thread), if number + 1 < count { number + 1 } else { 0 });
            }
        }
        (None, if end < count { end } else { 0 })
    }

    /// What a thread waits for.
    fn wait_of(&self, thread: Ref<Thread>) -> Option<ThreadStatus> {
        let t = &self.threads[thread];
        let process = &self.processes[t.process];
        let (wait, queue) = match t.wait {
            Wait::Nothing => (ThreadWait::Nothing, None),
            Wait::Delivery(queue) => (ThreadWait::Delivery, Some(queue)),
            Wait::Answer(queue) => (ThreadWait::Answer, queue),
            Wait::Message(queue) => (ThreadWait::Message, Some(queue)),
            Wait::Signal(..) => (ThreadWait::Event, None),
            Wait::Clock => (ThreadWait::Clock, None),
            Wait::Teardown => (ThreadWait::Teardown, None),
            Wait::Stopped => (ThreadWait::Stopped, None),
        };
        let blamed = self.blamed(t, queue);
        let age = match t.wait {
            Wait::Nothing | Wait::Stopped => 0,
            _ => self.clock.duration(self.machine.ticks().saturating_sub(t.since)),
        };
        Some(ThreadStatus {
            number: t.number.into(),
            index: t.index.into(),
            process: process.id,
            name: process.name,
            base: t.base.into(),
            priority: t.priority.into(),
            wait: wait as u64,
            age,
            queue: queue.map_or(0, |q| self.queues[q].id),
            message: if t.is_calling() { t.call } else { 0 },
            attempts: if t.is_calling() { t.tries.attempts.into() } else { 0 },
            blamed: blamed.map_or(0, |p| self.processes[p].id),
            blamed_name: blamed.map_or([0; 16], |p| self.processes[p].name),
            ran: self.clock.duration(self.ran(thread)),
        })
    }

    /// The process that a caller waits for: that holds its call, or that serves the queue where the call lies.
    fn blamed(&self, caller: &Thread, queue: Option<Ref<Queue>>) -> Option<Ref<Process>> {
        match caller.wait {
            Wait::Delivery(_) => Some(self.threads[self.queues[queue?].server?].process),
            Wait::Answer(_) => caller.holder,
            _ => None,
        }
    }
}
