//! The handoff: a call whose receiver waits already, the reply of a server that has nothing else to do, a call that it
//! passes on, a yield, and a signal to somebody more urgent, each as one function from the one thread's registers to the
//! other's.
//!
//! Nothing is special here but the speed: every effect is that of the general path ([`Kernel::call`],
//! [`Kernel::reply_receive`] and so on), and whenever one of the stated conditions does not hold, these functions change
//! nothing and the general path serves the call. A test runs the IPC tests both ways. The words stay where they are: the
//! way out takes them from the sender's registers, where a redelivery finds them again.
//!
//! The functions for calls and replies are generic in two things. `FULL`: the message may have a payload and capabilities,
//! and the wait that begins a deadline; without it only words and leases (these stay in the caller's message page) and no
//! flags, which is what the entry code tries first. `TRACED`: the trace notes what happens, if there is one; the entry code
//! leads to functions without it where there is none.
//!
//! Conditions of all:
//! 1. The other thread's process may be entered by loading its address space ([`Process::handoff_root`]).
//! 2. The kernel has no work of its own waiting ([`Kernel::handoff_allowed`]), and the timer is set for the end of the
//!    slice if the thread that goes on shares it with a ready one.
//! 3. The capability is in the first page of its table.
//!
//! Of a call: exactly one thread, the one that received last, waits to receive from the queue ([`Queue::ready`]).
//! Of a reply: the queue has nothing to receive, nobody else receives from it, its callers wait for this thread, and
//! no more urgent thread is ready. Of a forward: both, at the one queue and the other.
//! Of a yield: the next thread of the same priority was not preempted, and nobody is more urgent. Of a signal: a thread
//! waits for one of these bits that is more urgent than the caller and than everybody ready.

use crate::kernel::Kernel;
use crate::machine::{Entered, Machine};
use crate::mm::{Ref, SlotRef};
use crate::process::Process;
use crate::queue::Queue;
use crate::thread::{FORWARDED, NEVER, Thread, Tries, Wait};
use abi::{CallFlags, Handle, Kind, MAX_LEASES, Rights, Sysno, Tag, TraceKind};

/// The thread that runs next, out of its system call: what a handoff leaves to the way out of the kernel. It finds 0 in
/// `rax`, the sender's tag in `rsi` and the sender's words; of a call also the sender's `badge` in `rdi` and `call` in
/// `r15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "dropping this loses a message"]
pub struct Handover(pub Ref<Thread>);

/// What may be done without a look at what else there is to do.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Nothing: the reaper has work, ports are open, or the kernel sees every call.
    Nothing,
    /// Everything but calls: nothing would end a call that nobody answers, as the sweep of patience is not armed.
    AllButCalls,
    /// Handoffs and short calls of all kinds.
    Everything,
}

/// Whether only words and leases belong to the message: no count of payload or capabilities, no bit that is not a
/// sender's, and no more leases than a message may have.
#[inline(always)]
pub(crate) fn is_bare(tag: u64, most_leases: usize) -> bool {
    const LEASES: u32 = Tag::new(0, 0).with_leases(1).raw().trailing_zeros() - 32;
    // The counts below that of the leases come to stand above it, so only zeroes there leave a small number.
    ((tag >> 32) as u32).rotate_right(LEASES) <= most_leases as u32
}

impl<M: Machine> Kernel<M> {
    /// What comes before the general path: the thread that runs next, whose registers are ready, if that was all.
    #[inline(always)]
    pub(crate) fn hand_on(&mut self, me: Ref<Thread>) -> Option<Ref<Thread>> {
        const YIELD: u64 = Sysno::Yield as u64;
        const EVENT_SIGNAL: u64 = Sysno::EventSignal as u64;
        match self.threads[me].context.registers.rax {
            YIELD => self.hand_yield(me),
            EVENT_SIGNAL => self.hand_signal(me),
            _ => None,
        }
    }

    /// [`Kernel::hand_call`] of a message of any kind, which waits until a deadline if it is `TIMED`.
    #[inline(always)]
    pub fn hand_full_call<const TIMED: bool, const TRACED: bool>(&mut self) -> Option<Handover> {
        let deadline = if TIMED { self.deadline(self.current?, CallFlags::DEADLINE).ok()? } else { NEVER };
        self.hand_call::<true, TRACED>(deadline)
    }

    /// The same of [`Kernel::hand_reply`].
    #[inline(always)]
    pub fn hand_full_reply<const TIMED: bool, const TRACED: bool>(&mut self) -> Option<Handover> {
        let deadline = if TIMED { self.deadline(self.current?, CallFlags::DEADLINE).ok()? } else { NEVER };
        self.hand_reply::<true, TRACED>(deadline)
    }

    /// `Yield`: see [`Kernel::pause`].
    #[inline(never)]
    fn hand_yield(&mut self, me: Ref<Thread>) -> Option<Ref<Thread>> {
        let priority = self.threads[me].priority;
        let alike = self.ready.at_or_above(priority) == 1;
        let next = self.ready.head(priority)?;
        let target = &self.threads[next];
        let root = self.processes[target.process].handoff_root;
        let fine = alike && root != 0 && target.context.entered == Entered::Syscall;
        if self.handoff_allowed == Allowed::Nothing || !fine || !self.slice.is_timed() {
            return None;
        }
        self.ready.rotate(&mut self.threads, me, next);
        self.hand_slice(me, next, root);
        Some(next)
    }

    /// `EventSignal`: see [`Kernel::set_bits`].
    #[inline(never)]
    fn hand_signal(&mut self, me: Ref<Thread>) -> Option<Ref<Thread>> {
        let caller = &self.threads[me];
        let (process, handle, bits) = (caller.process, caller.context.registers.rdi, caller.words()[0]);
        let slot = self.hand_slot(process, handle)?;
        let event = self.slots[slot].object(Handle::from_raw(handle), Kind::Event, Rights::SIGNAL)?;
        let entry = &self.events[event];
        let waiter = entry.waiter?;
        let target = &self.threads[waiter];
        let Wait::Signal(_, mask) = target.wait else { return None };
        let bits = entry.bits | bits;
        let root = self.processes[target.process].handoff_root;
        let first = target.priority > caller.priority && self.ready.at_or_above(target.priority) == 0;
        if self.handoff_allowed == Allowed::Nothing || root == 0 || bits & mask == 0 || !first {
            return None;
        }
        let entry = &mut self.events[event];
        (entry.bits, entry.waiter) = (bits & !mask, None);
        self.unblock(waiter);
        let registers = &mut self.threads[waiter].context.registers;
        (registers.rax, registers.rdx) = (0, bits & mask);
        self.ready.push_front(&mut self.threads, me);
        self.hand_slice(me, waiter, root);
        Some(waiter)
    }

    /// The processor goes from thread `me`, which is ready and done with its system call, to `thread` on a slice of its own.
    #[inline(always)]
    fn hand_slice(&mut self, me: Ref<Thread>, thread: Ref<Thread>, root: u64) {
        let now = self.machine.ticks();
        self.threads[me].context.registers.rax = 0;
        self.slice.restart(now);
        self.hand_over::<true>(me, thread, root, now);
    }

    /// `ForwardRecv`, with the conditions of the call at the one queue and of the reply at the other; the call that is
    /// passed on has no body. The effects are those of [`Kernel::forward_receive`]. Returns the caller, too, whose message
    /// it is.
    #[inline(always)]
    pub fn hand_forward<const TRACED: bool>(&mut self) -> Option<(Handover, Ref<Thread>)> {
        let me = self.current?;
        let server = &self.threads[me];
        let (process, r) = (server.process, &server.context.registers);
        let (next, badge) = self.hand_queue(process, r.rdi, Rights::SEND)?;
        let (own, _) = self.hand_queue(process, r.rsi, Rights::RECEIVE)?;
        let caller = self.numbers.get(r.r15 as u16)?;
        let client = &self.threads[caller];
        let owed = client.call == r.r15 && client.holder == Some(process) && is_bare(client.tag().raw(), MAX_LEASES);
        let receiver = self.queues[next].ready?;
        let holder = self.threads[receiver].process;
        let root = self.processes[holder].handoff_root;
        let priority = client.priority.max(self.threads[receiver].priority);
        let quiet = self.queues[own].is_quiet() && self.queues[own].server == Some(me);
        if self.handoff_allowed == Allowed::Nothing || !owed || root == 0 || !quiet || !self.may_go_on_at(priority) {
            return None;
        }

        let now = self.machine.ticks();
        let client = &mut self.threads[caller];
        (client.badge, client.holder, client.wait) = (badge, Some(holder), Wait::Answer(Some(next)));
        (client.tries.attempts, client.tries.strikes) = (FORWARDED + 1, 0);
        let id = client.call;
        self.call_leaves_queue(next, receiver, holder, id, priority);
        self.server_waits(me, own, now);
        if TRACED {
            self.trace_at(now, TraceKind::Deliver, receiver, id, 0);
        }
        self.hand_over::<TRACED>(me, receiver, root, now);
        Some((Handover(receiver), caller))
    }

    /// Serves the running thread's `Call`, if it can; it waits for its answer until `deadline`.
    #[inline(always)]
    pub fn hand_call<const FULL: bool, const TRACED: bool>(&mut self, deadline: u64) -> Option<Handover> {
        let now = self.machine.ticks();
        let me = self.current?;
        let caller = &self.threads[me];
        let tag = caller.tag();
        let fits = if FULL { tag.is_sendable() } else { is_bare(tag.raw(), MAX_LEASES) };
        if self.handoff_allowed != Allowed::Everything || !fits {
            return None;
        }
        let (queue, badge) = self.hand_queue(caller.process, caller.context.registers.rdi, Rights::SEND)?;
        let entry = &self.queues[queue];
        let receiver = entry.ready?;
        let target = &self.threads[receiver];
        let holder = target.process;
        let root = self.processes[holder].handoff_root;
        if root == 0 || !self.may_go_on_at(caller.priority.max(target.priority)) {
            return None;
        }

        if FULL {
            self.hand_body(me, receiver, tag)?;
        }
        let id = self.calls.issue(self.threads[me].number);
        self.call_leaves_queue(queue, receiver, holder, id, self.threads[me].priority);
        let caller = &mut self.threads[me];
        (caller.call, caller.badge, caller.tries, caller.holder) = (id, badge, Tries::FIRST, Some(holder));
        (caller.wait, caller.since) = (Wait::Answer(Some(queue)), now);
        if TRACED {
            self.trace_at(now, TraceKind::Call, me, id, self.queues[queue].id);
            self.trace_at(now, TraceKind::Deliver, receiver, id, 0);
        }
        self.hand_over::<TRACED>(me, receiver, root, now);
        if FULL {
            self.expect(me, deadline);
        }
        Some(Handover(receiver))
    }

    /// The same of `ReplyRecv`; it waits for the next message until `deadline`.
    #[inline(always)]
    pub fn hand_reply<const FULL: bool, const TRACED: bool>(&mut self, deadline: u64) -> Option<Handover> {
        let me = self.current?;
        let server = &self.threads[me];
        let tag = server.tag();
        let fits = if FULL { tag.is_sendable() && tag.leases() == 0 } else { is_bare(tag.raw(), 0) };
        if self.handoff_allowed == Allowed::Nothing || !fits {
            return None;
        }
        let (process, token) = (server.process, server.context.registers.r15);
        let (queue, _) = self.hand_queue(process, server.context.registers.rdi, Rights::RECEIVE)?;
        let caller = self.numbers.get(token as u16)?;
        let target = &self.threads[caller];
        // Who is owed an answer waits for it (thread invariant 3).
        if target.call != token || target.holder != Some(process) {
            return None;
        }
        let root = self.processes[target.process].handoff_root;
        if root == 0 || !self.may_go_on_at(target.priority) {
            return None;
        }
        if !self.queues[queue].is_quiet() || self.queues[queue].server != Some(me) {
            return None;
        }

        let now = self.machine.ticks();
        if FULL {
            self.hand_body(me, caller, tag)?;
        }
        let target = &mut self.threads[caller];
        (target.holder, target.wait, target.deadline) = (None, Wait::Nothing, NEVER);
        self.server_waits(me, queue, now);
        if TRACED {
            self.trace_at(now, TraceKind::Reply, me, token, 0);
        }
        self.hand_over::<TRACED>(me, caller, root, now);
        if FULL {
            self.expect(me, deadline);
        }
        Some(Handover(caller))
    }

    /// What a message has beside its words goes from thread `me` to another; `None`, and nothing is changed, where it cannot
    /// be sent. One capability alone, which most often is all, does without the questions for more.
    #[inline(always)]
    fn hand_body(&mut self, me: Ref<Thread>, to: Ref<Thread>, tag: Tag) -> Option<()> {
        const ONE_CAPABILITY: u64 = Tag::new(0, 0).with_caps(1).raw();
        match tag.raw() & Tag::BODY_MASK {
            0 => Some(()),
            ONE_CAPABILITY => self.transfer_one(me, to),
            _ => {
                self.check_caps(me, tag).ok()?;
                self.transfer(me, to, tag);
                Some(())
            }
        }
    }

    /// The wait that thread `me` has begun ends at `deadline`.
    #[inline]
    fn expect(&mut self, me: Ref<Thread>, deadline: u64) {
        if deadline != NEVER {
            self.threads[me].deadline = deadline;
            if self.wheel.add(&mut self.threads, me) {
                self.arm();
            }
        }
    }

    /// The waiting receiver of `queue`, a thread of `holder`, takes call `id` of a caller of this priority.
    #[inline(always)]
    fn call_leaves_queue(
        &mut self,
        queue: Ref<Queue>,
        receiver: Ref<Thread>,
        holder: Ref<Process>,
        id: u64,
        priority: u8,
    ) {
        let entry = &mut self.queues[queue];
        (entry.receiver, entry.last_receiver, entry.ready) = (None, None, None);
        self.processes[holder].held += 1;
        let receiver = &mut self.threads[receiver];
        (receiver.latest, receiver.wait, receiver.deadline) = (id, Wait::Nothing, NEVER);
        if receiver.priority < priority {
            receiver.priority = priority;
        }
    }

    /// Thread `me`, which owes one answer less, waits to receive from `queue`, where it is alone.
    #[inline(always)]
    fn server_waits(&mut self, me: Ref<Thread>, queue: Ref<Queue>, now: u64) {
        let entry = &mut self.queues[queue];
        (entry.receiver, entry.last_receiver, entry.ready) = (Some(me), Some(me), Some(me));
        let server = &mut self.threads[me];
        (server.wait, server.since) = (Wait::Message(queue), now);
        let held = &mut self.processes[server.process].held;
        *held -= 1;
        if *held == 0 {
            server.priority = server.base;
        }
    }

    /// The queue behind `handle` of `process`, and the badge, if the capability has `right`.
    #[inline(always)]
    pub(crate) fn hand_queue(&self, process: Ref<Process>, handle: u64, right: Rights) -> Option<(Ref<Queue>, u64)> {
        let slot = &self.slots[self.hand_slot(process, handle)?];
        Some((slot.object(Handle::from_raw(handle), Kind::Queue, right)?, slot.badge))
    }

    #[inline(always)]
    fn hand_slot(&self, process: Ref<Process>, handle: u64) -> Option<SlotRef> {
        self.processes[process].caps_table.near_slot(Handle::from_raw(handle).index())
    }

    /// Whether a thread of this priority may run now: nobody more urgent is ready, and if somebody of the same priority
    /// is, the timer ends the slice.
    #[inline(always)]
    fn may_go_on_at(&self, priority: u8) -> bool {
        self.ready.is_empty()
            || match self.ready.at_or_above(priority) {
                0 => true,
                1 => self.slice.is_timed(),
                _ => false,
            }
    }

    /// The processor goes from thread `me` to `thread`, in the address space at `root`.
    #[inline(always)]
    fn hand_over<const TRACED: bool>(&mut self, me: Ref<Thread>, thread: Ref<Thread>, root: u64, now: u64) {
        self.threads[me].stop(now);
        self.threads[thread].start(now);
        self.current = Some(thread);
        if TRACED {
            self.trace_at(now, TraceKind::Switch, thread, 0, 0);
        }
        self.machine.enter_space(root);
        self.machine.reset_vectors();
    }
}
