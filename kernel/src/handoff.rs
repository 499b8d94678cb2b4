//! The handoff: a call whose receiver waits already, and the reply of a server that has nothing else to do, each as one
//! function from the decoded registers to the thread that runs next.
//!
//! Nothing is special here but the speed: every effect is that of [`Kernel::call`] and [`Kernel::reply_receive`], and
//! whenever one of the stated conditions does not hold, these functions change nothing and the general path serves the
//! call. A test runs the IPC tests both ways.
//!
//! Conditions of both:
//! 1. No flags but that for a deadline, which has not passed; no payload and no capabilities. Leases are allowed: they
//!    stay in the caller's message page.
//! 2. The other thread is of another process, which runs, and neither process has I/O ports open.
//! 3. The kernel has no work of its own waiting, and the sweep of patience is armed.
//!
//! Of the call: exactly one thread, the one that received last, waits to receive from the queue.
//! Of the reply: the queue has nothing to receive, nobody else receives from it, no more urgent thread is ready, and the
//! server owes no other answer.

use crate::kernel::Kernel;
use crate::machine::{Context, Machine, Resume};
use crate::mm::{Ref, Space};
use crate::process::Process;
use crate::thread::{FOREVER, NEVER, Thread, Wait};
use abi::{CallFlags, Delivery, Handle, MAX_LEASES, ProcessState, Rights, Sysno, Tag};

/// The tags that are all in registers.
#[inline(always)]
fn is_bare(tag: Tag, most_leases: usize) -> bool {
    tag.raw() & !(Tag::SENDER_MASK & !Tag::BODY_MASK) == 0 && tag.leases() <= most_leases
}

impl Process {
    /// Whether entering it is no more than loading its address space (condition 2).
    #[inline(always)]
    fn enters_quickly(&self) -> bool {
        self.state == ProcessState::Running && self.dying.is_none() && self.ports.is_empty() && self.space.is_some()
    }
}

impl<M: Machine> Kernel<M> {
    /// Serves the running thread's system call here, if it can.
    #[inline(never)]
    pub(crate) fn handoff(&mut self, me: Ref<Thread>, rax: u64) -> Option<Resume> {
        let number = rax & 0xff;
        if number != CALL && number != REPLY_RECV || self.has_work() {
            return None;
        }
        let deadline = if rax == number { NEVER } else { self.plain_deadline(me, rax >> 8)? };
        if number == CALL { self.hand_call(me, deadline) } else { self.hand_reply(me, deadline) }
    }

    /// The deadline of a call whose only flag is that for it, if it has not passed.
    fn plain_deadline(&self, me: Ref<Thread>, flags: u64) -> Option<u64> {
        let flags = CallFlags::from_bits(u8::try_from(flags).ok()?)?;
        if flags == CallFlags::DEADLINE { self.deadline(me, flags).ok() } else { None }
    }

    /// Whether something must be looked at before a handoff (condition 3, and the ports of condition 2).
    #[inline(always)]
    fn has_work(&self) -> bool {
        self.reaper.has_jobs() || self.slice.sweep == NEVER || self.ports_open
    }

    #[inline(always)]
    fn hand_call(&mut self, me: Ref<Thread>, deadline: u64) -> Option<Resume> {
        let Kernel { threads, processes, queues, slots, mm, calls, slice, .. } = self;
        let caller = &threads[me];
        let tag = caller.tag();
        let handle = Handle::from_raw(caller.context.registers.rdi);
        let slot = processes[caller.process?].caps_table.slot(mm, handle.index())?;
        let (queue, badge) = slots[slot].queue(handle, Rights::SEND)?;
        let entry = &mut queues[queue];
        let receiver = entry.receiver?;
        let (caller, target) = threads.pair(me, receiver)?;
        let holder = target.process?;
        let process = &mut processes[holder];
        let only = entry.last_receiver == Some(receiver) && entry.server == Some(receiver);
        if !is_bare(tag, MAX_LEASES) || !process.enters_quickly() || !only {
            return None;
        }

        let now = self.machine.ticks();
        (entry.receiver, entry.last_receiver) = (None, None);
        process.held += 1;
        calls.next += 1;
        let id = calls.next << crate::ipc::NUMBER_BITS | caller.number as u64;
        (caller.call, caller.badge, caller.attempts, caller.strikes, caller.once) = (id, badge, 1, 0, false);
        target.latest = id;
        (caller.wait, caller.since, caller.deadline) = (Wait::Answer(Some(queue)), now, deadline);
        caller.holder = Some(holder);
        caller.ran += now.wrapping_sub(slice.started);
        target.wait = Wait::Nothing;
        target.priority = target.priority.max(caller.priority);
        target.set_words(caller.words());
        let registers = &mut target.context.registers;
        (registers.rax, registers.rdi) = (0, badge);
        (registers.rsi, registers.r15) = (tag.delivered(Delivery::Call, 0).raw(), id);
        let (context, space, timed) = (&raw const target.context, process.space?, target.timer_slot.is_some());
        self.change_timers(me, deadline, receiver, timed);
        Some(self.hand_over(receiver, holder, space, context, now))
    }

    #[inline(always)]
    fn hand_reply(&mut self, me: Ref<Thread>, deadline: u64) -> Option<Resume> {
        let Kernel { threads, processes, queues, slots, mm, calls, slice, ready, .. } = self;
        let server = &threads[me];
        let process = server.process?;
        let tag = server.tag();
        let token = server.context.registers.r15;
        let handle = Handle::from_raw(server.context.registers.rdi);
        let (own, client) = {
            let caller = calls.thread(mm, token as u16)?;
            let (server, target) = threads.pair(me, caller)?;
            let answers = target.call == token && target.holder == Some(process);
            let urgent = ready.top() > target.priority + 1;
            if !answers || urgent || !matches!(target.wait, Wait::Answer(_)) || !is_bare(tag, 0) {
                return None;
            }
            (server, (caller, target))
        };
        let (caller, target) = client;
        let client = target.process?;
        let (mine, theirs) = processes.pair(process, client)?;
        let slot = mine.caps_table.slot(mm, handle.index())?;
        let (queue, _) = slots[slot].queue(handle, Rights::RECEIVE)?;
        let entry = &mut queues[queue];
        if !entry.is_quiet() || mine.held != 1 || !theirs.enters_quickly() {
            return None;
        }

        let now = self.machine.ticks();
        mine.held = 0;
        target.set_words(own.words());
        let registers = &mut target.context.registers;
        (registers.rax, registers.rsi) = (0, tag.raw());
        (target.holder, target.wait) = (None, Wait::Nothing);
        own.priority = own.base;
        (own.wait, own.since, own.deadline) = (Wait::Message(queue), now, deadline);
        own.ran += now.wrapping_sub(slice.started);
        (own.next, own.prev) = (None, None);
        (entry.receiver, entry.last_receiver) = (Some(me), Some(me));
        let (context, space, timed) = (&raw const target.context, theirs.space?, target.timer_slot.is_some());
        self.change_timers(me, deadline, caller, timed);
        Some(self.hand_over(caller, client, space, context, now))
    }

    /// Who begins to wait enters the timer wheel if its deadline can come; who goes on leaves it if it is in (`timed`).
    /// The timer may be left too early, which it may always be, but not too late.
    #[inline(always)]
    fn change_timers(&mut self, waits: Ref<Thread>, deadline: u64, goes_on: Ref<Thread>, timed: bool) {
        if timed {
            self.wheel.remove(&mut self.threads, goes_on);
        }
        if deadline < FOREVER {
            self.wheel.add(&mut self.threads, waits);
            self.arm();
        }
    }

    /// The processor goes to `thread` of `process`, on the slice of the thread that ran.
    #[inline(always)]
    fn hand_over(
        &mut self,
        thread: Ref<Thread>,
        process: Ref<Process>,
        space: Space,
        context: *const Context,
        now: u64,
    ) -> Resume {
        self.current = Some(thread);
        self.slice.started = now;
        self.loaded = Some(process);
        self.machine.enter_space(space.0.address());
        self.machine.reset_vectors();
        if !self.ready.is_empty() {
            self.arm();
        }
        Resume::Thread(context)
    }
}

const CALL: u64 = Sysno::Call as u64;
const REPLY_RECV: u64 = Sysno::ReplyRecv as u64;
