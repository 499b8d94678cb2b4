//! The handoff: a call whose receiver waits already, and the reply of a server that has nothing else to do, each as one
//! function from the sender's registers to the receiver's.
//!
//! Nothing is special here but the speed: every effect is that of [`Kernel::call`] and [`Kernel::reply_receive`], and
//! whenever one of the stated conditions does not hold, these functions change nothing and the general path serves the
//! call. A test runs the IPC tests both ways. The words stay where they are: the way out takes them from the sender's
//! registers, where a redelivery finds them again.
//!
//! Conditions of both:
//! 1. No flags but that for a deadline, which has not passed; no payload and no capabilities. Leases are allowed in a
//!    call: they stay in the caller's message page.
//! 2. The other thread's process may be entered by loading its address space ([`Process::handoff_root`]).
//! 3. The kernel has no work of its own waiting ([`Kernel::handoff_allowed`]).
//!
//! Of the call: exactly one thread, the one that received last, waits to receive from the queue.
//! Of the reply: the queue has nothing to receive, nobody else receives from it, and no more urgent thread is ready.

use crate::kernel::Kernel;
use crate::machine::{Handover, Machine};
use crate::mm::Ref;
use crate::process::Process;
use crate::queue::Queue;
use crate::thread::{FOREVER, Thread, Wait};
use abi::{CallFlags, Delivery, Handle, MAX_LEASES, Rights, Sysno, Tag};

/// Whether only words and leases belong to the message: no count of payload or capabilities, no bit that is not a
/// sender's, and no more leases than a message may have.
#[inline(always)]
fn is_bare(tag: Tag, most_leases: usize) -> bool {
    let counts = (tag.raw() >> 32) as u32;
    let no_body = counts & (Tag::BODY_MASK >> 32) as u32 == 0;
    no_body && counts <= (Tag::default().with_leases(most_leases).raw() >> 32) as u32
}

impl<M: Machine> Kernel<M> {
    /// Serves the running thread's `Call` here, if it can.
    #[inline(always)]
    pub fn hand_call(&mut self) -> Option<Handover> {
        let me = self.current?;
        let caller = &self.threads[me];
        let (from, tag, priority, number) = (&raw const caller.context, caller.tag(), caller.priority, caller.number);
        let (queue, badge) = self.hand_queue(caller.process?, caller.context.registers.rdi, Rights::SEND)?;
        let entry = &self.queues[queue];
        let receiver = entry.receiver?;
        let only = entry.last_receiver == Some(receiver) && entry.server == Some(receiver);
        let target = &self.threads[receiver];
        let (to, timed) = (&raw const target.context, target.timer_slot.is_some());
        let raised = target.priority.max(priority);
        let holder = target.process?;
        let root = self.processes[holder].handoff_root;
        if !self.handoff_allowed || !only || root == 0 || !is_bare(tag, MAX_LEASES) {
            return None;
        }
        let deadline = self.hand_deadline(me, Sysno::Call)?;

        let now = self.machine.ticks();
        let entry = &mut self.queues[queue];
        (entry.receiver, entry.last_receiver) = (None, None);
        self.processes[holder].held += 1;
        self.calls.next += 1;
        let id = self.calls.next << crate::ipc::NUMBER_BITS | u64::from(number);
        let target = &mut self.threads[receiver];
        (target.latest, target.wait, target.priority) = (id, Wait::Nothing, raised);
        let caller = &mut self.threads[me];
        (caller.call, caller.badge, caller.attempts, caller.strikes, caller.once) = (id, badge, 1, 0, false);
        (caller.wait, caller.since, caller.deadline) = (Wait::Answer(Some(queue)), now, deadline);
        caller.holder = Some(holder);
        self.hand_over(me, receiver, holder, root, now);
        if timed || deadline < FOREVER {
            self.change_timers(me, deadline, receiver);
        }
        Some(Handover { from, to, badge, tag: tag.delivered(Delivery::Call, 0).raw(), id })
    }

    /// Serves the running thread's `ReplyRecv` here, if it can.
    #[inline(always)]
    pub fn hand_reply(&mut self) -> Option<Handover> {
        let me = self.current?;
        let server = &self.threads[me];
        let (from, tag, token) = (&raw const server.context, server.tag(), server.context.registers.r15);
        let process = server.process?;
        let base = server.base;
        let (queue, _) = self.hand_queue(process, server.context.registers.rdi, Rights::RECEIVE)?;
        let caller = self.numbers.get(token as u16)?;
        let target = &self.threads[caller];
        // Who is owed an answer waits for it (thread invariant 3).
        let owed = target.call == token && target.holder == Some(process);
        let (to, timed) = (&raw const target.context, target.timer_slot.is_some());
        let urgent = self.ready.has_above(target.priority);
        let client = target.process?;
        let root = self.processes[client].handoff_root;
        let quiet = self.queues[queue].is_quiet();
        if !self.handoff_allowed || !owed || urgent || !quiet || root == 0 || !is_bare(tag, 0) {
            return None;
        }
        let deadline = self.hand_deadline(me, Sysno::ReplyRecv)?;

        let now = self.machine.ticks();
        let target = &mut self.threads[caller];
        (target.holder, target.wait) = (None, Wait::Nothing);
        let entry = &mut self.queues[queue];
        (entry.receiver, entry.last_receiver) = (Some(me), Some(me));
        let held = &mut self.processes[process].held;
        *held -= 1;
        let free = *held == 0;
        let server = &mut self.threads[me];
        if free {
            server.priority = base;
        }
        (server.wait, server.since, server.deadline) = (Wait::Message(queue), now, deadline);
        let Thread { context, .. } = &self.threads[caller];
        let (badge, id) = (context.registers.rdi, context.registers.r15);
        self.hand_over(me, caller, client, root, now);
        if timed || deadline < FOREVER {
            self.change_timers(me, deadline, caller);
        }
        Some(Handover { from, to, badge, tag: tag.raw(), id })
    }

    /// The queue behind `handle` of `process`, and the badge, if the capability has `right`.
    #[inline(always)]
    fn hand_queue(&self, process: Ref<Process>, handle: u64, right: Rights) -> Option<(Ref<Queue>, u64)> {
        let handle = Handle::from_raw(handle);
        let slot = self.processes[process].caps_table.slot(&self.mm, handle.index())?;
        self.slots[slot].queue(handle, right)
    }

    /// The deadline of the running thread's system call, whose only flag is that for it, if it has not passed.
    #[inline(always)]
    fn hand_deadline(&self, me: Ref<Thread>, call: Sysno) -> Option<u64> {
        let raw = self.threads[me].context.registers.rax;
        if raw == call as u64 { Some(crate::thread::NEVER) } else { self.named_deadline(me, raw) }
    }

    #[inline(never)]
    fn named_deadline(&self, me: Ref<Thread>, raw: u64) -> Option<u64> {
        let flags = CallFlags::from_bits(u8::try_from(raw >> 8).ok()?)?;
        if flags == CallFlags::DEADLINE { self.deadline(me, flags).ok() } else { None }
    }

    /// Who begins to wait enters the timer wheel if its deadline can come; who goes on leaves it if it is in. The timer
    /// may be left too early, which it may always be, but not too late.
    #[inline(never)]
    fn change_timers(&mut self, waits: Ref<Thread>, deadline: u64, goes_on: Ref<Thread>) {
        self.wheel.remove(&mut self.threads, goes_on);
        if deadline < FOREVER {
            self.wheel.add(&mut self.threads, waits);
            self.arm();
        }
    }

    /// The processor goes from thread `me` to `thread` of `process`, on the slice of the first.
    #[inline(always)]
    fn hand_over(&mut self, me: Ref<Thread>, thread: Ref<Thread>, process: Ref<Process>, root: u64, now: u64) {
        self.threads[me].ran += now.wrapping_sub(self.slice.started);
        self.slice.started = now;
        self.current = Some(thread);
        self.loaded = Some(process);
        self.machine.enter_space(root);
        self.machine.reset_vectors();
        if !self.ready.is_empty() {
            self.arm();
        }
    }
}
