//! The handoff: a call whose receiver waits already, and the reply of a server that has nothing else to do, each as one
//! function from the sender's registers to the receiver's.
//!
//! Nothing is special here but the speed: every effect is that of [`Kernel::call`] and [`Kernel::reply_receive`], and
//! whenever one of the stated conditions does not hold, these functions change nothing and the general path serves the
//! call. A test runs the IPC tests both ways. The words stay where they are: the way out takes them from the sender's
//! registers, where a redelivery finds them again.
//!
//! Conditions of both:
//! 1. No flags, so no deadline either; no payload and no capabilities. Leases are allowed in a call: they stay in the
//!    caller's message page.
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
use crate::machine::Machine;
use crate::mm::Ref;
use crate::process::Process;
use crate::queue::Queue;
use crate::thread::{NEVER, Thread, Tries, Wait};
use abi::{Handle, MAX_LEASES, Rights, Tag};

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

impl<M: Machine> Kernel<M> {
    /// Serves the running thread's `Call`, which has no flags, if it can.
    #[inline(always)]
    pub fn hand_call(&mut self) -> Option<Handover> {
        let now = self.machine.ticks();
        let me = self.current?;
        let caller = &self.threads[me];
        if !self.handoff_allowed || !is_bare(caller.tag().raw(), MAX_LEASES) {
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

        let entry = &mut self.queues[queue];
        (entry.receiver, entry.last_receiver, entry.ready) = (None, None, None);
        self.processes[holder].held += 1;
        let id = self.calls.issue(self.threads[me].number);
        let target = &mut self.threads[receiver];
        (target.latest, target.wait) = (id, Wait::Nothing);
        let priority = self.threads[me].priority;
        let target = &mut self.threads[receiver];
        if target.priority < priority {
            target.priority = priority;
        }
        let caller = &mut self.threads[me];
        (caller.call, caller.badge, caller.tries, caller.holder) = (id, badge, Tries::FIRST, Some(holder));
        caller.wait = Wait::Answer(Some(queue));
        self.hand_over(me, receiver, root, now);
        Some(Handover(receiver))
    }

    /// Serves the running thread's `ReplyRecv`, which has no flags, if it can.
    #[inline(always)]
    pub fn hand_reply(&mut self) -> Option<Handover> {
        let me = self.current?;
        let server = &self.threads[me];
        if !self.handoff_allowed || !is_bare(server.tag().raw(), 0) {
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
        let target = &mut self.threads[caller];
        (target.holder, target.wait) = (None, Wait::Nothing);
        let entry = &mut self.queues[queue];
        (entry.receiver, entry.last_receiver, entry.ready) = (Some(me), Some(me), Some(me));
        let server = &mut self.threads[me];
        server.wait = Wait::Message(queue);
        let held = &mut self.processes[process].held;
        *held -= 1;
        if *held == 0 {
            server.priority = server.base;
        }
        self.hand_over(me, caller, root, now);
        Some(Handover(caller))
    }

    /// The queue behind `handle` of `process`, and the badge, if the capability has `right`.
    #[inline(always)]
    fn hand_queue(&self, process: Ref<Process>, handle: u64, right: Rights) -> Option<(Ref<Queue>, u64)> {
        let handle = Handle::from_raw(handle);
        let slot = self.processes[process].caps_table.near_slot(handle.index())?;
        self.slots[slot].queue(handle, right)
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
    fn hand_over(&mut self, me: Ref<Thread>, thread: Ref<Thread>, root: u64, now: u64) {
        self.threads[me].since = now;
        self.threads[me].stop(now);
        self.threads[thread].start(now);
        self.current = Some(thread);
        self.machine.enter_space(root);
        self.machine.reset_vectors();
    }
}
