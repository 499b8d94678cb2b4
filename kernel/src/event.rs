//! Events: words of signal bits, waited for by one thread or bound to a queue.
//!
//! Invariants:
//! 1. An event has a waiting thread or a bound queue or neither, never both.
//! 2. An event is in the `pending` list of its queue exactly when it is bound, has bits, and no receiver has taken them.
//! 3. Bits are lost only when the event dies: a signal is OR-ed in and stays until it is received.

use crate::account::Account;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{FrameKind, Object, Ref};
use crate::process::Process;
use crate::queue::Queue;
use crate::thread::{Thread, Wait};
use abi::SysError;

/// One event.
#[derive(Default)]
pub struct Event {
    /// Signalled and not received.
    pub bits: u64,
    /// The thread that waits.
    pub waiter: Option<Ref<Thread>>,
    /// The queue it is bound to.
    pub queue: Option<Ref<Queue>>,
    /// The badge of its messages.
    pub badge: u64,
    pending: bool,
    pub(crate) pending_next: Option<Ref<Event>>,
    pending_prev: Option<Ref<Event>>,
    bound_next: Option<Ref<Event>>,
    bound_prev: Option<Ref<Event>>,
    /// First process that signals it at its end.
    pub watched: Option<Ref<Process>>,
    /// The account that pays.
    pub account: Option<Ref<Account>>,
    /// First capability to it.
    pub caps: u32,
}

impl Object for Event {
    const FRAME: FrameKind = FrameKind::Event;
    fn vacant() -> Event {
        Event::default()
    }
}

impl Event {
    /// An event without bits.
    pub fn new(account: Ref<Account>) -> Event {
        Event { account: Some(account), ..Event::default() }
    }
}

impl<M: Machine> Kernel<M> {
    /// Sets bits and delivers them if somebody waits, who becomes ready.
    pub(crate) fn signal(&mut self, event: Ref<Event>, bits: u64) {
        if let Some(woken) = self.set_bits(event, bits) {
            self.release(woken);
        }
    }

    /// Sets bits and delivers them. Returns who was waiting, in no list.
    pub(crate) fn set_bits(&mut self, event: Ref<Event>, bits: u64) -> Option<Ref<Thread>> {
        let entry = &mut self.events[event];
        entry.bits |= bits;
        let Some(thread) = entry.waiter else {
            if let Some(queue) = entry.queue {
                self.pend(event, queue);
            }
            return None;
        };
        let Wait::Signal(_, mask) = self.threads[thread].wait else { return None };
        let hit = entry.bits & mask;
        // What a thread that is stopped would get stays for the next incarnation.
        if hit == 0 || !self.runs(thread) {
            return None;
        }
        let entry = &mut self.events[event];
        entry.bits &= !hit;
        entry.waiter = None;
        let registers = &mut self.threads[thread].context.registers;
        (registers.rax, registers.rdx) = (0, hit);
        self.unblock(thread);
        Some(thread)
    }

    /// Delivers the bits of a bound event, or marks it pending.
    fn pend(&mut self, event: Ref<Event>, queue: Ref<Queue>) {
        if self.events[event].bits == 0 || self.events[event].pending {
            return;
        }
        if let Some(receiver) = self.pop_receiver(queue) {
            self.deliver_event(event, receiver);
            self.release(receiver);
            return;
        }
        let last = self.queues[queue].last_pending.replace(event);
        let entry = &mut self.events[event];
        (entry.pending, entry.pending_prev, entry.pending_next) = (true, last, None);
        match last {
            Some(last) => self.events[last].pending_next = Some(event),
            None => self.queues[queue].pending = Some(event),
        }
    }

    /// Takes an event out of its queue's pending list.
    pub(crate) fn unpend(&mut self, event: Ref<Event>) {
        let entry = &mut self.events[event];
        if !core::mem::take(&mut entry.pending) {
            return;
        }
        let (next, prev) = (entry.pending_next.take(), entry.pending_prev.take());
        let queue = entry.queue.expect("invariant 2: a pending event is bound");
        match prev {
            Some(prev) => self.events[prev].pending_next = next,
            None => self.queues[queue].pending = next,
        }
        match next {
            Some(next) => self.events[next].pending_prev = prev,
            None => self.queues[queue].last_pending = prev,
        }
    }

    /// Binds an event to a queue, in place of any binding before.
    pub(crate) fn bind(&mut self, event: Ref<Event>, queue: Ref<Queue>, badge: u64) -> Result<(), SysError> {
        if self.events[event].waiter.is_some() {
            return Err(SysError::BadState);
        }
        self.unbind(event);
        let first = self.queues[queue].bound.replace(event);
        let entry = &mut self.events[event];
        (entry.queue, entry.badge, entry.bound_next) = (Some(queue), badge, first);
        if let Some(first) = first {
            self.events[first].bound_prev = Some(event);
        }
        self.pend(event, queue);
        Ok(())
    }

    /// Ends the binding of an event, if it has one.
    pub(crate) fn unbind(&mut self, event: Ref<Event>) {
        self.unpend(event);
        let entry = &mut self.events[event];
        let Some(queue) = entry.queue.take() else { return };
        let (next, prev) = (entry.bound_next.take(), entry.bound_prev.take());
        match prev {
            Some(prev) => self.events[prev].bound_next = next,
            None => self.queues[queue].bound = next,
        }
        if let Some(next) = next {
            self.events[next].bound_prev = prev;
        }
    }

    /// From now on the end of `process` signals `event`.
    pub(crate) fn watch(&mut self, process: Ref<Process>, event: Ref<Event>, bits: u64) {
        let first = self.events[event].watched.replace(process);
        let entry = &mut self.processes[process];
        (entry.event, entry.event_bits, entry.watch_next) = (Some(event), bits, first);
        if let Some(first) = first {
            self.processes[first].watch_prev = Some(process);
        }
    }

    /// The end of `process` signals nothing any more.
    pub(crate) fn unwatch(&mut self, process: Ref<Process>) {
        let entry = &mut self.processes[process];
        let Some(event) = entry.event.take() else { return };
        let (next, prev) = (entry.watch_next.take(), entry.watch_prev.take());
        match prev {
            Some(prev) => self.processes[prev].watch_next = next,
            None => self.events[event].watched = next,
        }
        if let Some(next) = next {
            self.processes[next].watch_prev = prev;
        }
    }

    /// An event lost a capability or its queue: it goes when it has neither.
    pub(crate) fn event_unreferenced(&mut self, event: Ref<Event>) {
        if self.events[event].caps == 0 && self.events[event].queue.is_none() {
            while !self.destroy_event(event, &mut 64) {}
        }
    }

    /// Ends everything that knows an event without capabilities, up to `budget` steps, and the event itself; `true`
    /// when it is gone.
    pub(crate) fn destroy_event(&mut self, event: Ref<Event>, budget: &mut u32) -> bool {
        while let Some(process) = self.events[event].watched {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            self.unwatch(process);
        }
        for slot in 0..self.irq_table.len() {
            if let Some(irq) = self.irq_table[slot].filter(|i| self.irqs[*i].event == Some(event)) {
                self.unbind_irq(irq);
            }
        }
        if let Some(waiter) = self.events[event].waiter.take() {
            self.wake(waiter, Err(SysError::Closed));
        }
        self.unbind(event);
        let account = self.events[event].account.expect("an object in use has an account");
        self.destroy(account, event);
        true
    }
}
