//! The handoff: a call whose receiver waits already, and the reply of a server that has nothing else to do, each as one
//! function from the decoded registers to the thread that runs next.
//!
//! Nothing is special here but the speed: every effect is that of [`Kernel::call`] and [`Kernel::reply_receive`], and
//! whenever one of the stated conditions does not hold, these functions change nothing and the general path serves the
//! call. A test runs the IPC tests both ways.
//!
//! Conditions of both:
//! 1. No flags (so no deadline, and redelivery as usual); no payload and no capabilities. Leases are allowed: they stay
//!    in the caller's message page.
//! 2. The other thread's process runs, and neither process has I/O ports open.
//! 3. The kernel has no work of its own waiting, and the sweep of patience is armed.
//!
//! Of the call: the queue has a waiting receiver without a deadline.
//! Of the reply: the queue has nothing to receive, nobody else receives from it, no more urgent thread is ready, the
//! server owes no other answer, and the caller waits without a deadline.

use crate::kernel::Kernel;
use crate::machine::{Machine, Resume};
use crate::mm::Ref;
use crate::process::Process;
use crate::thread::{NEVER, Thread, Wait};
use abi::{Delivery, Handle, MAX_LEASES, MessageId, ProcessState, Rights, Sysno, Tag};

/// The tags that are all in registers.
#[inline(always)]
fn is_bare(tag: Tag, most_leases: usize) -> bool {
    tag.raw() & !(Tag::SENDER_MASK & !Tag::BODY_MASK) == 0 && tag.leases() <= most_leases
}

impl<M: Machine> Kernel<M> {
    /// Serves the running thread's system call here, if it can.
    #[inline(always)]
    pub(crate) fn handoff(&mut self, me: Ref<Thread>, rax: u64) -> Option<Resume> {
        if self.has_work() {
            return None;
        }
        match rax {
            CALL => self.hand_call(me),
            REPLY_RECV => self.hand_reply(me),
            _ => None,
        }
    }

    /// Whether something must be looked at before a handoff (condition 3, and the ports of condition 2).
    #[inline(always)]
    fn has_work(&self) -> bool {
        self.reaper.has_jobs() || self.slice.sweep == NEVER || self.ports_open
    }

    /// Whether entering `process` is no more than loading its address space (condition 2).
    #[inline(always)]
    fn enters_quickly(&self, process: Ref<Process>) -> bool {
        let entry = &self.processes[process];
        entry.state == ProcessState::Running && entry.dying.is_none() && entry.ports.is_empty()
    }

    #[inline(always)]
    fn hand_call(&mut self, me: Ref<Thread>) -> Option<Resume> {
        let caller = &self.threads[me];
        let tag = caller.tag();
        let handle = Handle::from_raw(caller.context.registers.rdi);
        let (queue, badge) = self.queue_behind(caller.process?, handle, Rights::SEND)?;
        let receiver = self.queues[queue].receiver?;
        let holder = self.threads[receiver].process?;
        if !is_bare(tag, MAX_LEASES) || self.threads[receiver].deadline != NEVER || !self.enters_quickly(holder) {
            return None;
        }

        let now = self.machine.ticks();
        self.calls.next += 1;
        let sequence = self.calls.next;
        let entry = &mut self.queues[queue];
        let is_server = entry.server == Some(receiver);
        if entry.last_receiver == Some(receiver) {
            (entry.receiver, entry.last_receiver) = (None, None);
        } else {
            self.remove_receiver(queue, receiver);
        }
        if !is_server {
            self.become_server(receiver, queue);
        }
        self.processes[holder].held += 1;

        let (caller, target) = self.threads.pair(me, receiver)?;
        let id = sequence << crate::ipc::NUMBER_BITS | caller.number as u64;
        (caller.call, caller.badge, caller.attempts, caller.once) = (id, badge, 1, false);
        (caller.wait, caller.since, caller.deadline) = (Wait::Answer(Some(queue)), now, NEVER);
        caller.holder = Some(holder);
        caller.ran += now.wrapping_sub(self.slice.started);
        target.wait = Wait::Nothing;
        target.priority = target.base.max(caller.priority);
        target.set_words(caller.words());
        let registers = &mut target.context.registers;
        (registers.rax, registers.rdi) = (0, badge);
        (registers.rsi, registers.r15) = (tag.delivered(Delivery::Call, 0).raw(), id);
        Some(self.hand_over(receiver, holder, now))
    }

    #[inline(always)]
    fn hand_reply(&mut self, me: Ref<Thread>) -> Option<Resume> {
        let server = &self.threads[me];
        let process = server.process?;
        let (tag, registers) = (server.tag(), &server.context.registers);
        let token = MessageId::from_raw(registers.r15);
        let handle = Handle::from_raw(registers.rdi);
        let (queue, _) = self.queue_behind(process, handle, Rights::RECEIVE)?;
        let caller = self.caller_of(process, token).ok()?;
        let client = self.threads[caller].process?;
        let urgent = self.ready.top() > self.threads[caller].priority + 1;
        let alone = self.queues[queue].is_quiet() && self.processes[process].held == 1;
        let patient = self.threads[caller].deadline == NEVER;
        if !is_bare(tag, 0) || urgent || !alone || !patient || !self.enters_quickly(client) {
            return None;
        }

        let now = self.machine.ticks();
        self.processes[process].held = 0;
        let (server, target) = self.threads.pair(me, caller)?;
        target.set_words(server.words());
        let registers = &mut target.context.registers;
        (registers.rax, registers.rsi) = (0, tag.raw());
        (target.holder, target.wait) = (None, Wait::Nothing);
        server.priority = server.base;
        (server.wait, server.since, server.deadline) = (Wait::Message(queue), now, NEVER);
        server.ran += now.wrapping_sub(self.slice.started);
        (server.next, server.prev) = (None, None);
        let entry = &mut self.queues[queue];
        (entry.receiver, entry.last_receiver) = (Some(me), Some(me));
        Some(self.hand_over(caller, client, now))
    }

    /// The processor goes to `thread` of `process`, on the slice of the thread that ran.
    #[inline(always)]
    fn hand_over(&mut self, thread: Ref<Thread>, process: Ref<Process>, now: u64) -> Resume {
        self.current = Some(thread);
        self.slice.started = now;
        if self.loaded != Some(process) {
            if let Some(space) = self.processes[process].space {
                self.machine.enter_space(space.0.address());
            }
            self.loaded = Some(process);
        }
        self.machine.reset_vectors();
        if !self.ready.is_empty() {
            self.arm();
        }
        Resume::Thread(&self.threads[thread].context)
    }
}

const CALL: u64 = Sysno::Call as u64;
const REPLY_RECV: u64 = Sysno::ReplyRecv as u64;
