//! Threads: registers, a priority, a message page, and what they wait for.
//!
//! Invariants:
//! 1. A thread is in at most one list (ready, callers of a queue, receivers of a queue, waiters), and `wait` names it.
//! 2. `priority >= base`; it is above `base` only while the thread serves a caller of that priority.
//! 3. `holder` is set exactly while it waits for an answer (`Wait::Answer`) that some process owes it.
//! 4. A caller's message stays in its own `context` and message page until it is answered: a redelivery takes it from
//!    there again.

use crate::account::Account;
use crate::event::Event;
use crate::machine::{Context, VectorState};
use crate::mm::{Frame, FrameKind, Object, Ref};
use crate::process::Process;
use crate::queue::Queue;
use abi::{MESSAGE_WORDS, Registers, Tag};

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it runs or is ready.
    Nothing,
    /// That a receiver takes its call from this queue.
    Delivery(Ref<Queue>),
    /// The answer to its call, which was taken from this queue (`None`: the queue is gone meanwhile).
    Answer(Option<Ref<Queue>>),
    /// A message in this queue.
    Message(Ref<Queue>),
    /// One of these bits of an event.
    Signal(Ref<Event>, u64),
    /// Its deadline alone.
    Clock,
    /// The end of a teardown that it asked for; then it makes its system call again.
    Teardown,
    /// Nothing any more: it faulted or its process is being torn down.
    Stopped,
}

/// No deadline, as a tick.
pub const NEVER: u64 = u64::MAX;
/// A deadline that does not come, as a tick: the patience of calls without any does not apply.
pub const FOREVER: u64 = NEVER - 1;

/// Most deliveries that `attempts` counts, as many as a tag can tell.
pub const MOST_ATTEMPTS: u8 = 63;
/// In `attempts`: the call was passed on from the queue that it was first sent to. Above the bits that a tag tells.
pub const FORWARDED: u8 = 0x80;

/// How a call has fared.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// How often it was delivered by its queue, and [`FORWARDED`].
    pub attempts: u8,
    /// How many servers ended by themselves while they were at it.
    pub strikes: u8,
    /// Whether it may not be delivered again.
    pub once: bool,
    unused: u8,
}

impl Tries {
    /// Of a call that has just been delivered for the first time.
    pub const FIRST: Tries = Tries { attempts: 1, strikes: 0, once: false, unused: 0 };
    /// Of a call that was not delivered yet.
    pub fn none(once: bool) -> Tries {
        Tries { once, ..Tries::default() }
    }
}

/// One thread. What the way of a message touches stands first; the entry code knows the place of `context` and `badge`.
#[repr(C)]
pub struct Thread {
    /// Its registers while it is in the kernel.
    pub context: Context,
    /// What it waits for.
    pub wait: Wait,
    /// The id of its present or last call.
    pub call: u64,
    /// The badge of that call.
    pub badge: u64,
    /// How that call has fared.
    pub tries: Tries,
    /// The process that owes it an answer.
    pub holder: Option<Ref<Process>>,
    /// The call that it was given last, if it has received nothing else and not waited since: what it is at.
    pub latest: u64,
    /// When its wait ends, in ticks; [`NEVER`] without a deadline, and while it does not wait.
    pub deadline: u64,
    /// When it began to wait, in ticks.
    pub since: u64,
    /// Ticks that it has run; while it runs, less those at which it began to.
    pub(crate) ran: u64,
    /// Its process; nowhere in a vacant slot of the pool.
    pub process: Ref<Process>,
    /// Who it is, as the trace has it: the thread and process of a [`abi::TraceRecord::what`].
    pub(crate) label: u64,
    /// Its number in the system, part of the ids of its calls.
    pub number: u16,
    /// The priority that it was given.
    pub base: u8,
    /// The priority that it has now.
    pub priority: u8,
    /// Neighbours in the list that `wait` names; `None` while it is in none.
    pub next: Option<Ref<Thread>>,
    /// See `next`.
    pub prev: Option<Ref<Thread>>,
    /// The queue whose `server` it is: the one that it received from last.
    pub serves: Option<Ref<Queue>>,
    /// Its message page.
    pub message: Option<Frame>,
    /// Where the program has it.
    pub message_at: u64,
    /// Neighbours in its slot of the timer wheel.
    pub timer_next: Option<Ref<Thread>>,
    /// See `timer_next`.
    pub timer_prev: Option<Ref<Thread>>,
    /// The slot of the timer wheel that it is in.
    pub timer_slot: Option<u16>,
    /// When it is due there, in the wheel's units.
    pub timer_due: u64,
    /// Its number in its process.
    pub index: u16,
    /// Of a search for memory that goes on when it makes its system call again: where from.
    pub searched: u32,
    /// It asked for a teardown and makes its system call again when that is done.
    pub teardown: bool,
    /// The account that pays.
    pub account: Option<Ref<Account>>,
    /// Neighbours in the list of its process.
    pub sibling_next: Option<Ref<Thread>>,
    /// See `sibling_next`.
    pub sibling_prev: Option<Ref<Thread>>,
    /// First capability to it.
    pub caps: u32,
    /// Its vector registers while it is preempted.
    pub vectors: VectorState,
}

impl Object for Thread {
    const FRAME: FrameKind = FrameKind::Thread;
    fn vacant() -> Thread {
        Thread {
            context: Context::default(),
            vectors: VectorState::INITIAL,
            process: Ref::NOWHERE,
            account: None,
            label: 0,
            number: 0,
            index: 0,
            base: 0,
            priority: 0,
            wait: Wait::Nothing,
            next: None,
            prev: None,
            sibling_next: None,
            sibling_prev: None,
            caps: 0,
            call: 0,
            badge: 0,
            tries: Tries::none(false),
            latest: 0,
            holder: None,
            serves: None,
            message: None,
            message_at: 0,
            deadline: NEVER,
            timer_next: None,
            timer_prev: None,
            timer_slot: None,
            timer_due: 0,
            since: 0,
            ran: 0,
            searched: 0,
            teardown: false,
        }
    }
}

impl Thread {
    /// Ticks that it has run. `now`: the time, if it runs.
    pub fn ran(&self, now: Option<u64>) -> u64 {
        self.ran.wrapping_add(now.unwrap_or(0))
    }
    /// It begins to run.
    #[inline(always)]
    pub(crate) fn start(&mut self, now: u64) {
        self.ran = self.ran.wrapping_sub(now);
    }
    /// It stops running.
    #[inline(always)]
    pub(crate) fn stop(&mut self, now: u64) {
        self.ran = self.ran.wrapping_add(now);
    }
    /// The message that it sends, or has received.
    #[inline]
    pub fn words(&self) -> [u64; MESSAGE_WORDS] {
        words(&self.context.registers)
    }
    /// Sets the words that it finds in its registers.
    #[inline]
    pub fn set_words(&mut self, words: [u64; MESSAGE_WORDS]) {
        let r = &mut self.context.registers;
        [r.rdx, r.r8, r.r9, r.r10, r.rbx, r.r12, r.r13, r.r14] = words;
    }
    /// The tag of the message that it sends.
    #[inline]
    pub fn tag(&self) -> Tag {
        Tag::from_raw(self.context.registers.rsi)
    }
    /// Whether it has a call out that is not answered.
    pub fn is_calling(&self) -> bool {
        matches!(self.wait, Wait::Delivery(_) | Wait::Answer(_))
    }
}

/// The word registers.
#[inline]
pub fn words(r: &Registers) -> [u64; MESSAGE_WORDS] {
    [r.rdx, r.r8, r.r9, r.r10, r.rbx, r.r12, r.r13, r.r14]
}
