//! The handoff: a call whose receiver waits already, the reply of a server that has nothing else to do, and a call that
//! it passes on, each as one function from the sender's registers to the receiver's.
//!
//! Nothing is special here but the speed: every effect is that of [`Kernel::call`] and [`Kernel::reply_receive`], and
//! whenever one of the stated conditions does not hold, these functions change nothing and the general path serves the
//! call. A test runs the IPC tests both ways. The words stay where they are: the way out takes them from the sender's
//! registers, where a redelivery finds them again.
//!
//! The functions are generic in whether the trace notes what they do, so that without a trace they pay nothing for it; the
//! entry code leads to the ones or the others.
//!
//! Conditions of both:
//! 1. No flags, so no deadline either, and no capabilities. Leases are allowed in a call: they stay in the caller's
//!    message page. A payload is allowed if the kernel was entered the general way, which the entry code cannot tell and
//!    so the functions for it are generic in that.
//! 2. The other thread's process may be entered by loading its address space ([`Process::handoff_root`]), and its wait
//!    has no deadline.
//! 3. The kernel has no work of its own waiting ([`Kernel::handoff_allowed`]), and the timer is set for the end of the
//!    slice if the thread that goes on shares it with a ready one.
//! 4. The queue's capability is in the first page of its table.
//!
//! Of the call: exactly one thread, the one that received last, waits to receive from the queue ([`Queue::ready`]).
//! Of the reply: the queue has nothing to receive, nobody else receives from it, its callers wait for this thread, and
//! no more urgent thread is ready.

use crate::kernel::Kernel;
use crate::machine::{Machine, Resume};
use crate::mm::Ref;
use crate::process::Process;
use crate::queue::Queue;
use crate::thread::{FORWARDED, NEVER, Thread, Tries, Wait};
use abi::{Handle, Kind, MAX_LEASES, MAX_PAYLOAD, Rights, Sysno, Tag, TraceKind};

/// The thread that runs next, out of its system call: what a handoff leaves to the way out of the kernel. It finds 0 in
/// `rax`, the sender's tag in `rsi` and the sender's words; of a call also the sender's `badge` in `rdi` and `call` in
/// `r15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "dropping this loses a message"]
pub struct Handover(pub Ref<Thread>);

/// Whether only words and leases belong to the message: no count of payload or capabilities, no bit that is not a
/// sender's, and no more leases than a message may have.
#[inline(always)]
fn is_bare(tag: u64, most_leases: usize) -> bool {
    const LEASES: u32 = Tag::new(0, 0).with_leases(1).raw().trailing_zeros() - 32;
    // The counts below that of the leases come to stand above it, so only zeroes there leave a small number.
    ((tag >> 32) as u32).rotate_right(LEASES) <= most_leases as u32
}

/// The same, with a payload.
#[inline(always)]
fn is_padded(tag: u64, most_leases: usize) -> bool {
    let tag = Tag::from_raw(tag);
    let bytes = tag.payload();
    (1..=MAX_PAYLOAD).contains(&bytes) && is_bare(tag.with_payload(0).raw(), most_leases)
}

impl<M: Machine> Kernel<M> {
    /// What the general path tries first: a `Call` or `ReplyRecv` with a payload, and `ForwardRecv`.
    #[inline(always)]
    pub(crate) fn hand_on(&mut self, me: Ref<Thread>, rax: u64) -> Option<Resume> {
        const CALL: u64 = Sysno::Call as u64;
        const REPLY_RECV: u64 = Sysno::ReplyRecv as u64;
        const FORWARD_RECV: u64 = Sysno::ForwardRecv as u64;
        match rax {
            CALL => self.hand_padded_call(me),
            REPLY_RECV => self.hand_padded_reply(me),
            FORWARD_RECV => self.hand_forward(me),
            _ => None,
        }
    }

    #[inline(never)]
    fn hand_padded_call(&mut self, me: Ref<Thread>) -> Option<Resume> {
        let handover = self.hand_call::<true, true>()?;
        Some(self.complete(me, handover))
    }

    #[inline(never)]
    fn hand_padded_reply(&mut self, me: Ref<Thread>) -> Option<Resume> {
        let handover = self.hand_reply::<true, true>()?;
        Some(self.complete(me, handover))
    }

    /// The handoff of `ForwardRecv`, with the conditions of the call at the one queue and of the reply at the other; the
    /// call that is passed on has no body. The effects are those of [`Kernel::forward_receive`].
    #[inline(never)]
    fn hand_forward(&mut self, me: Ref<Thread>) -> Option<Resume> {
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
        if !self.handoff_allowed || !owed || root == 0 || !quiet || !self.may_go_on_at(priority) {
            return None;
        }

        let client = &mut self.threads[caller];
        (client.badge, client.holder, client.wait) = (badge, Some(holder), Wait::Answer(Some(next)));
        (client.tries.attempts, client.tries.strikes) = (FORWARDED + 1, 0);
        let id = client.call;
        self.call_leaves_queue(next, receiver, holder, id, priority);
        self.server_waits(me, own);
        let now = self.machine.ticks();
        self.trace_at(now, TraceKind::Deliver, receiver, id, 0);
        self.hand_over::<true>(me, receiver, root, now);
        Some(self.complete(caller, Handover(receiver)))
    }

    /// What the entry code does on the way out of a handoff by `sender`, for the general way out.
    pub(crate) fn complete(&mut self, sender: Ref<Thread>, handover: Handover) -> Resume {
        let Handover(to) = handover;
        let from = &self.threads[sender];
        let (words, tag, call) = (from.words(), from.tag(), from.is_calling().then_some((from.badge, from.call)));
        let receiver = &mut self.threads[to];
        receiver.set_words(words);
        let registers = &mut receiver.context.registers;
        (registers.rax, registers.rsi) = (0, tag.raw());
        if let Some((badge, id)) = call {
            (registers.rdi, registers.r15) = (badge, id);
        }
        Resume::Thread(&receiver.context)
    }

    /// Serves the running thread's `Call`, which has no flags, if it can. `PAYLOAD`: only one with a payload; else only
    /// one without. `TRACED`: it is noted in the trace, if there is one.
    #[inline(always)]
    pub fn hand_call<const PAYLOAD: bool, const TRACED: bool>(&mut self) -> Option<Handover> {
        let now = self.machine.ticks();
        let me = self.current?;
        let caller = &self.threads[me];
        let tag = caller.tag().raw();
        let fits = if PAYLOAD { is_padded(tag, MAX_LEASES) } else { is_bare(tag, MAX_LEASES) };
        if !self.handoff_allowed || !fits {
            return None;
        }
        let (queue, badge) = self.hand_queue(caller.process, caller.context.registers.rdi, Rights::SEND)?;
        let receiver = self.queues[queue].ready?;
        let target = &self.threads[receiver];
        let holder = target.process;
        let root = self.processes[holder].handoff_root;
        if root == 0 || !self.may_go_on_at(caller.priority.max(target.priority)) {
            return None;
        }

        if PAYLOAD {
            self.transfer(me, receiver, Tag::from_raw(tag));
        }
        let id = self.calls.issue(self.threads[me].number);
        self.call_leaves_queue(queue, receiver, holder, id, self.threads[me].priority);
        let caller = &mut self.threads[me];
        (caller.call, caller.badge, caller.tries, caller.holder) = (id, badge, Tries::FIRST, Some(holder));
        caller.wait = Wait::Answer(Some(queue));
        if TRACED {
            self.trace_at(now, TraceKind::Call, me, id, self.queues[queue].id);
            self.trace_at(now, TraceKind::Deliver, receiver, id, 0);
        }
        self.hand_over::<TRACED>(me, receiver, root, now);
        Some(Handover(receiver))
    }

    /// The same of `ReplyRecv`.
    #[inline(always)]
    pub fn hand_reply<const PAYLOAD: bool, const TRACED: bool>(&mut self) -> Option<Handover> {
        let me = self.current?;
        let server = &self.threads[me];
        let tag = server.tag().raw();
        let fits = if PAYLOAD { is_padded(tag, 0) } else { is_bare(tag, 0) };
        if !self.handoff_allowed || !fits {
            return None;
        }
        let (process, token) = (server.process, server.context.registers.r15);
        let (queue, _) = self.hand_queue(process, server.context.registers.rdi, Rights::RECEIVE)?;
        let caller = self.numbers.get(token as u16)?;
        let target = &self.threads[caller];
        // Who is owed an answer waits for it (thread invariant 3).
        if target.call != token || target.holder != Some(process) || target.deadline != NEVER {
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
        if PAYLOAD {
            self.transfer(me, caller, Tag::from_raw(tag));
        }
        let target = &mut self.threads[caller];
        (target.holder, target.wait) = (None, Wait::Nothing);
        self.server_waits(me, queue);
        if TRACED {
            self.trace_at(now, TraceKind::Reply, me, token, 0);
        }
        self.hand_over::<TRACED>(me, caller, root, now);
        Some(Handover(caller))
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
        (receiver.latest, receiver.wait) = (id, Wait::Nothing);
        if receiver.priority < priority {
            receiver.priority = priority;
        }
    }

    /// Thread `me`, which owes one answer less, waits to receive from `queue`, where it is alone.
    #[inline(always)]
    fn server_waits(&mut self, me: Ref<Thread>, queue: Ref<Queue>) {
        let entry = &mut self.queues[queue];
        (entry.receiver, entry.last_receiver, entry.ready) = (Some(me), Some(me), Some(me));
        let server = &mut self.threads[me];
        server.wait = Wait::Message(queue);
        let held = &mut self.processes[server.process].held;
        *held -= 1;
        if *held == 0 {
            server.priority = server.base;
        }
    }

    /// The queue behind `handle` of `process`, and the badge, if the capability has `right`.
    #[inline(always)]
    fn hand_queue(&self, process: Ref<Process>, handle: u64, right: Rights) -> Option<(Ref<Queue>, u64)> {
        let handle = Handle::from_raw(handle);
        let slot = self.processes[process].caps_table.near_slot(handle.index())?;
        let slot = &self.slots[slot];
        Some((slot.object(handle, Kind::Queue, right)?, slot.badge))
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

    /// The processor goes from thread `me` to `thread`, in the address space at `root`, on the slice of the first.
    #[inline(always)]
    fn hand_over<const TRACED: bool>(&mut self, me: Ref<Thread>, thread: Ref<Thread>, root: u64, now: u64) {
        self.threads[me].since = now;
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
