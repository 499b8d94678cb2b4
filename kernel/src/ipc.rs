//! Message-queue IPC: call, post, receive, reply, forward.
//!
//! Invariants:
//! 1. A caller is in the queue (`Delivery`), or taken by exactly one process (`Answer`, `holder`), until it is answered.
//! 2. A message id names one call from its start to its answer; it is a valid token exactly for the holder.
//! 3. A call goes to a waiting receiver at once and on the caller's slice; the lists are touched only if none waits.
//! 4. No wait closes a cycle of callers, each waiting for a single-threaded process.

use crate::account::Purpose;
use crate::cap::Cap;
use crate::event::Event;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::Ref;
use crate::process::Process;
use crate::queue::{Incoming, Queue};
use crate::schedule::Next;
use crate::thread::{FORWARDED, MOST_ATTEMPTS, NEVER, Thread, Tries, Wait};
use crate::trouble::Trouble;
use abi::{CallFlags, Delivery, MessageId, SysError, Tag, TraceKind, TraceRecord};

/// Message ids: 48 bits of sequence, 16 bits of thread number. At a million calls a second they last nine years.
pub(crate) const NUMBER_BITS: u32 = 16;

/// The sequence of calls.
#[derive(Default)]
pub(crate) struct CallIds {
    /// The last one, in the place where ids have it.
    last: u64,
    /// A call has begun to wait since the last sweep.
    pub(crate) made: bool,
}

impl CallIds {
    /// The id of the next call, which is by the thread of this number.
    #[inline(always)]
    pub(crate) fn issue(&mut self, number: u16) -> u64 {
        self.last += 1 << NUMBER_BITS;
        self.last | u64::from(number)
    }
}

impl<M: Machine> Kernel<M> {
    /// Gives a thread its number.
    pub(crate) fn number(&mut self, thread: Ref<Thread>) -> Result<(), SysError> {
        if self.numbers.needs_page() {
            // The root pays: the table belongs to no program.
            let paid = self.numbers.is_paid();
            if !paid {
                self.accounts[self.root].charge(Purpose::Other, 1).map_err(|_| SysError::LimitReached)?;
            }
            if self.numbers.add_page(&mut self.mm).is_none() {
                if !paid {
                    self.accounts[self.root].refund(Purpose::Other, 1);
                }
                return Err(SysError::LimitReached);
            }
        }
        let number = self.numbers.give(thread).ok_or(SysError::LimitReached)?;
        let process = self.processes[self.threads[thread].process].id;
        let entry = &mut self.threads[thread];
        (entry.number, entry.label) = (number, TraceRecord::label(number, process));
        Ok(())
    }

    /// The caller behind a token that `process` holds.
    #[inline]
    pub(crate) fn caller_of(&self, process: Ref<Process>, token: MessageId) -> Result<Ref<Thread>, SysError> {
        let thread = self.numbers.get(token.raw() as u16).ok_or(SysError::BadToken)?;
        let caller = &self.threads[thread];
        let valid = caller.call == token.raw()
            && caller.holder == Some(process)
            && matches!(caller.wait, Wait::Answer(_))
            && !token.is_none();
        valid.then_some(thread).ok_or(SysError::BadToken)
    }

    /// `Call`.
    pub(crate) fn call(&mut self, me: Ref<Thread>, cap: Cap, flags: CallFlags) -> Result<Next, Trouble> {
        let queue: Ref<Queue> = self.object(cap);
        let tag = self.threads[me].tag();
        if !tag.is_sendable() {
            return Err(SysError::BadArgument.into());
        }
        self.check_caps(me, tag)?;
        let deadline = self.deadline(me, flags)?;
        let receiver = self.pop_receiver(queue);
        if receiver.is_none() && self.would_deadlock(me, queue) {
            return Err(SysError::Deadlock.into());
        }
        self.calls.made = true;
        let caller = &mut self.threads[me];
        caller.call = self.calls.issue(caller.number);
        (caller.badge, caller.tries) = (self.slots[cap.slot].badge, Tries::none(flags.contains(CallFlags::ONCE)));
        let id = caller.call;
        self.trace(TraceKind::Call, me, id, self.queues[queue].id);
        match receiver {
            Some(receiver) => {
                self.block(me, Wait::Answer(Some(queue)), deadline);
                self.deliver_call(me, receiver, queue);
                self.unblock(receiver);
                Ok(Next::Switch(receiver))
            }
            None => {
                self.block(me, Wait::Delivery(queue), deadline);
                self.queues[queue].callers.push(&mut self.threads, me);
                self.inherit(queue, self.threads[me].priority);
                Ok(Next::Reschedule)
            }
        }
    }

    /// Hands a call over: the caller waits for its answer from now on.
    fn deliver_call(&mut self, caller: Ref<Thread>, receiver: Ref<Thread>, queue: Ref<Queue>) {
        let holder = self.threads[receiver].process;
        let sender = &mut self.threads[caller];
        let (id, badge, priority) = (sender.call, sender.badge, sender.priority);
        let (tag, words) = (sender.tag(), sender.words());
        sender.wait = Wait::Answer(Some(queue));
        sender.holder = Some(holder);
        let attempt = sender.tries.attempts;
        self.trace(TraceKind::Deliver, receiver, id, u64::from(attempt & !FORWARDED));
        let sender = &mut self.threads[caller];
        if attempt & !FORWARDED < MOST_ATTEMPTS {
            sender.tries.attempts += 1;
        }
        self.processes[holder].held += 1;
        self.become_server(receiver, queue);
        self.transfer(caller, receiver, tag);
        let target = &mut self.threads[receiver];
        target.priority = target.priority.max(priority);
        target.latest = id;
        target.set_words(words);
        let registers = &mut target.context.registers;
        (registers.rax, registers.rdi) = (0, badge);
        (registers.rsi, registers.r15) = (tag.delivered(Delivery::Call, attempt).raw(), id);
        self.delivered(receiver);
    }

    /// A thread received from `queue`: callers that wait there wait for it.
    pub(crate) fn become_server(&mut self, thread: Ref<Thread>, queue: Ref<Queue>) {
        if self.queues[queue].server == Some(thread) {
            return;
        }
        self.queues[queue].ready = None;
        self.retire_server(thread);
        if let Some(old) = self.queues[queue].server.replace(thread) {
            self.threads[old].serves = None;
        }
        self.threads[thread].serves = Some(queue);
    }

    /// Nobody waits for this thread any more.
    pub(crate) fn retire_server(&mut self, thread: Ref<Thread>) {
        if let Some(queue) = self.threads[thread].serves.take() {
            (self.queues[queue].server, self.queues[queue].ready) = (None, None);
        }
    }

    /// Raises the server of `queue`, and whoever it waits for in turn, to `priority`.
    fn inherit(&mut self, queue: Ref<Queue>, priority: u8) {
        let mut next = self.queues[queue].server;
        for _ in 0..MAX_CHAIN {
            let Some(server) = next.filter(|s| self.threads[*s].priority < priority) else { return };
            self.set_priority(server, priority);
            next = match self.threads[server].wait {
                Wait::Delivery(queue) | Wait::Answer(Some(queue)) => self.queues[queue].server,
                _ => None,
            };
        }
    }

    /// Whether a call by `caller` to `queue` would wait for the caller itself.
    fn would_deadlock(&self, caller: Ref<Thread>, queue: Ref<Queue>) -> bool {
        let mut queue = queue;
        for _ in 0..MAX_CHAIN {
            let Some(server) = self.queues[queue].server else { return false };
            let alone = self.threads[server].process;
            let alone = self.processes[alone].thread_count == 1;
            if !alone {
                return false;
            }
            if server == caller {
                return true;
            }
            match self.threads[server].wait {
                Wait::Delivery(next) | Wait::Answer(Some(next)) => queue = next,
                _ => return false,
            }
        }
        true
    }

    /// `Post`.
    pub(crate) fn post(&mut self, me: Ref<Thread>, cap: Cap) -> Result<Next, Trouble> {
        let queue: Ref<Queue> = self.object(cap);
        let tag = self.threads[me].tag();
        if !tag.is_sendable() || tag.leases() > 0 || tag.raw() & Tag::BODY_MASK != 0 {
            return Err(SysError::BadArgument.into());
        }
        match self.pop_receiver(queue) {
            Some(receiver) => {
                self.deliver_post(me, receiver, self.slots[cap.slot].badge);
                self.unblock(receiver);
                Ok(self.let_run(me, receiver))
            }
            None => {
                self.ring_push(queue, self.slots[cap.slot].badge, me)?;
                Ok(Next::Same)
            }
        }
    }

    /// A posted message goes from its sender to a receiver at once.
    fn deliver_post(&mut self, sender: Ref<Thread>, receiver: Ref<Thread>, badge: u64) {
        let (tag, words) = (self.threads[sender].tag(), self.threads[sender].words());
        let target = &mut self.threads[receiver];
        target.set_words(words);
        let registers = &mut target.context.registers;
        (registers.rdi, registers.rsi) = (badge, tag.delivered(Delivery::Post, 0).raw());
        self.posted(receiver);
    }

    /// The first message of the ring of `queue`, which is not empty, goes to a receiver.
    #[inline(always)]
    pub(crate) fn deliver_posted(&mut self, queue: Ref<Queue>, receiver: Ref<Thread>) {
        self.ring_pop(queue, receiver);
        self.posted(receiver);
    }

    /// Nobody waits for an answer to what a receiver has got.
    #[inline(always)]
    fn posted(&mut self, receiver: Ref<Thread>) {
        let target = &mut self.threads[receiver];
        target.latest = 0;
        (target.context.registers.rax, target.context.registers.r15) = (0, 0);
        self.delivered(receiver);
    }

    /// Gives a receiver the bits of a bound event.
    pub(crate) fn deliver_event(&mut self, event: Ref<Event>, receiver: Ref<Thread>) {
        let bits = core::mem::take(&mut self.events[event].bits);
        let badge = self.events[event].badge;
        let target = &mut self.threads[receiver];
        target.latest = 0;
        target.set_words([bits, 0, 0, 0, 0, 0, 0, 0]);
        let registers = &mut target.context.registers;
        (registers.rax, registers.rdi) = (0, badge);
        (registers.rsi, registers.r15) = (Tag::default().delivered(Delivery::Event, 0).raw(), 0);
        self.delivered(receiver);
    }

    /// `Recv`.
    pub(crate) fn receive(&mut self, me: Ref<Thread>, queue: Ref<Queue>, flags: CallFlags) -> Result<Next, Trouble> {
        self.settle_priority(me);
        match self.take_incoming(queue) {
            Some(Incoming::Call(caller)) => self.deliver_call(caller, me, queue),
            Some(Incoming::Post) => self.deliver_posted(queue, me),
            Some(Incoming::Event(event)) => self.deliver_event(event, me),
            None => {
                let deadline = self.deadline(me, flags)?;
                self.block(me, Wait::Message(queue), deadline);
                self.threads[me].latest = 0;
                self.push_receiver(queue, me);
                return Ok(Next::Reschedule);
            }
        }
        Ok(Next::Same)
    }

    /// A server that owes no answer falls back to its own priority.
    fn settle_priority(&mut self, me: Ref<Thread>) {
        let process = self.threads[me].process;
        let thread = &mut self.threads[me];
        if self.processes[process].held == 0 && thread.priority != thread.base {
            thread.priority = thread.base;
            self.changed = true;
        }
    }

    /// `Reply`, without making the caller ready: it is returned, in no list.
    fn answer(&mut self, me: Ref<Thread>, token: MessageId) -> Result<Ref<Thread>, Trouble> {
        let process = self.threads[me].process;
        let tag = self.threads[me].tag();
        if !tag.is_sendable() || tag.leases() > 0 {
            return Err(SysError::BadArgument.into());
        }
        let caller = self.caller_of(process, token)?;
        self.check_caps(me, tag)?;
        self.transfer(me, caller, tag);
        let words = self.threads[me].words();
        let target = &mut self.threads[caller];
        target.set_words(words);
        target.holder = None;
        (target.context.registers.rax, target.context.registers.rsi) = (0, tag.raw());
        self.processes[process].held -= 1;
        self.trace(TraceKind::Reply, me, token.raw(), 0);
        self.unblock(caller);
        Ok(caller)
    }

    /// `Reply`.
    pub(crate) fn reply(&mut self, me: Ref<Thread>, token: MessageId) -> Result<Next, Trouble> {
        let caller = self.answer(me, token)?;
        self.settle_priority(me);
        self.release(caller);
        Ok(Next::Same)
    }

    /// `ReplyRecv`.
    pub(crate) fn reply_receive(
        &mut self,
        me: Ref<Thread>,
        token: MessageId,
        queue: Ref<Queue>,
        flags: CallFlags,
    ) -> Result<Next, Trouble> {
        let answered = match self.answer(me, token) {
            Ok(caller) => Some(caller),
            Err(Trouble::Refuse(SysError::BadToken)) => None,
            Err(trouble) => return Err(trouble),
        };
        self.receive_after(me, queue, flags, answered)
    }

    /// Receives, and lets `woken` (in no list) run: at once if the receive waits.
    fn receive_after(
        &mut self,
        me: Ref<Thread>,
        queue: Ref<Queue>,
        flags: CallFlags,
        woken: Option<Ref<Thread>>,
    ) -> Result<Next, Trouble> {
        let next = self.receive(me, queue, flags);
        match (next, woken) {
            (Ok(Next::Reschedule), Some(woken)) => Ok(Next::Switch(woken)),
            (next, Some(woken)) => {
                self.release(woken);
                next
            }
            (next, None) => next,
        }
    }

    /// Passes a call on, without making its receiver ready: that is returned, in no list, if one waited.
    fn pass_on(&mut self, me: Ref<Thread>, token: MessageId, cap: Cap) -> Result<Option<Ref<Thread>>, Trouble> {
        let queue: Ref<Queue> = self.object(cap);
        let process = self.threads[me].process;
        let caller = self.caller_of(process, token)?;
        let receiver = self.pop_receiver(queue);
        if receiver.is_none() && self.would_deadlock(caller, queue) {
            return Err(SysError::Deadlock.into());
        }
        self.processes[process].held -= 1;
        let entry = &mut self.threads[caller];
        (entry.badge, entry.holder) = (self.slots[cap.slot].badge, None);
        (entry.tries.attempts, entry.tries.strikes) = (FORWARDED, 0);
        match receiver {
            Some(receiver) => {
                self.deliver_call(caller, receiver, queue);
                self.unblock(receiver);
                Ok(Some(receiver))
            }
            None => {
                self.threads[caller].wait = Wait::Delivery(queue);
                self.queues[queue].callers.push(&mut self.threads, caller);
                self.inherit(queue, self.threads[caller].priority);
                Ok(None)
            }
        }
    }

    /// `Forward`.
    pub(crate) fn forward(&mut self, me: Ref<Thread>, token: MessageId, cap: Cap) -> Result<Next, Trouble> {
        if let Some(receiver) = self.pass_on(me, token, cap)? {
            self.release(receiver);
        }
        self.settle_priority(me);
        Ok(Next::Same)
    }

    /// `ForwardRecv`.
    pub(crate) fn forward_receive(
        &mut self,
        me: Ref<Thread>,
        token: MessageId,
        cap: Cap,
        queue: Ref<Queue>,
        flags: CallFlags,
    ) -> Result<Next, Trouble> {
        let receiver = self.pass_on(me, token, cap)?;
        self.receive_after(me, queue, flags, receiver)
    }

    /// What a caller is told whose wait for delivery ends with `error`: if some server had the call before, nobody
    /// knows what that has done.
    pub(crate) fn undelivered(&self, caller: Ref<Thread>, error: SysError) -> SysError {
        if self.threads[caller].tries.attempts == 0 { error } else { SysError::OutcomeUnknown }
    }

    /// A caller stops waiting for its answer other than by getting it.
    pub(crate) fn forget_holder(&mut self, caller: Ref<Thread>) {
        if let Some(holder) = self.threads[caller].holder.take() {
            self.processes[holder].held -= 1;
        }
    }

    /// A thread faulted or ends its process: the call that it is at, if any, may be why. Calls that it merely holds are
    /// not to blame, and nobody is for an end that another process orders.
    pub(crate) fn blame(&mut self, server: Ref<Thread>) {
        let Thread { process, latest, .. } = self.threads[server];
        let Ok(caller) = self.caller_of(process, MessageId::from_raw(latest)) else { return };
        self.threads[caller].tries.strikes += 1;
    }

    /// The process that held this call died: it goes back to its queue, in its old place, or is answered `ServerDied`.
    pub(crate) fn redeliver(&mut self, caller: Ref<Thread>) {
        let Wait::Answer(queue) = self.threads[caller].wait else { return };
        self.forget_holder(caller);
        let Tries { strikes, once, .. } = self.threads[caller].tries;
        let again = self.redelivers && !once;
        let queue = queue.filter(|q| again && !self.queues[*q].doomed && strikes < self.queues[*q].attempts);
        let Some(queue) = queue else {
            self.unblock(caller);
            return self.wake(caller, Err(SysError::ServerDied));
        };
        if let Some(receiver) = self.pop_receiver(queue) {
            self.deliver_call(caller, receiver, queue);
            return self.release(receiver);
        }
        self.threads[caller].wait = Wait::Delivery(queue);
        self.queues[queue].callers.push_by_call(&mut self.threads, caller);
    }

    /// Callers whose call was taken from `queue`, which is about to go, will not be delivered again.
    pub(crate) fn orphan_callers(&mut self, queue: Ref<Queue>) {
        for number in 0..self.numbers.count() {
            let Some(thread) = self.numbers.get(number) else { continue };
            if self.threads[thread].wait == Wait::Answer(Some(queue)) {
                self.threads[thread].wait = Wait::Answer(None);
            }
        }
        if let Some(server) = self.queues[queue].server {
            self.retire_server(server);
        }
    }

    /// `Yield`, or a sleep.
    pub(crate) fn pause(&mut self, me: Ref<Thread>, flags: CallFlags) -> Result<Next, Trouble> {
        match self.deadline(me, flags) {
            Ok(NEVER) => {
                let Some(next) = self.ready.head(self.threads[me].priority) else { return Ok(Next::Same) };
                self.ready.rotate(&mut self.threads, me, next);
                Ok(Next::Run(next))
            }
            Err(_) => Ok(Next::Same),
            Ok(deadline) => {
                self.block(me, Wait::Clock, deadline);
                Ok(Next::Reschedule)
            }
        }
    }
}

/// Longest chain of callers that is followed.
const MAX_CHAIN: usize = 64;
