//! Queues: blocked callers, a ring of posted messages, bound events, and the threads that wait to receive.
//!
//! Invariants, between two system calls:
//! 1. A queue with a waiting receiver has no caller, no posted message and no pending event.
//! 2. A caller in `callers` waits with `Wait::Delivery` of this queue.
//! 3. Queues outlive their receivers: the death of a server changes nothing here but that its callers come back.

use crate::account::{Account, Purpose};
use crate::event::Event;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Frame, FrameKind, Object, Ref};
use crate::priority::PriorityQueue;
use crate::reaper::Job;
use crate::thread::{NEVER, Thread, Wait};
use abi::{Delivery, MAX_ATTEMPTS, SysError, Tag};

/// Most posted messages that a ring holds.
pub const MAX_RING: u64 = 1024;
/// Words of a posted message: badge, tag, eight words.
const ENTRY: usize = 10;
/// From the one to the next: a power of two, so that no division is needed to find one.
const STRIDE: usize = ENTRY.next_power_of_two();
const ENTRIES_PER_PAGE: usize = 512 / STRIDE;
const RING_PAGES: usize = (MAX_RING as usize).div_ceil(ENTRIES_PER_PAGE);

/// One queue.
pub struct Queue {
    /// No other queue since power-on has it.
    pub id: u64,
    /// Callers that wait for delivery.
    pub callers: PriorityQueue,
    /// First thread that waits to receive.
    pub receiver: Option<Ref<Thread>>,
    /// Last thread that waits to receive.
    pub last_receiver: Option<Ref<Thread>>,
    /// The thread to which a call may be handed: it alone waits to receive, and is the one that received last.
    pub ready: Option<Ref<Thread>>,
    /// The thread that received from it last: it is the one that callers wait for.
    pub server: Option<Ref<Thread>>,
    /// Events with bits to deliver, first and last.
    pub pending: Option<Ref<Event>>,
    /// See `pending`.
    pub last_pending: Option<Ref<Event>>,
    /// Any event that is bound to it: head of their list.
    pub bound: Option<Ref<Event>>,
    /// Frames of the ring's pages in a page of words, or the only page itself.
    ring: Option<Frame>,
    capacity: u16,
    head: u16,
    pub(crate) count: u16,
    /// Deaths of a server at a call of it after which the call is answered `ServerDied`.
    pub(crate) attempts: u8,
    /// Whether the next message comes from the ring, where both have one.
    ring_first: bool,
    /// The account that pays.
    pub account: Option<Ref<Account>>,
    /// First capability to it.
    pub caps: u32,
    /// Given to the reaper.
    pub doomed: bool,
    /// Next job of the reaper.
    pub next_job: Option<Job>,
}

impl Object for Queue {
    const FRAME: FrameKind = FrameKind::Queue;
    fn vacant() -> Queue {
        Queue {
            id: 0,
            callers: PriorityQueue::default(),
            receiver: None,
            last_receiver: None,
            ready: None,
            server: None,
            pending: None,
            last_pending: None,
            bound: None,
            ring: None,
            capacity: 0,
            head: 0,
            count: 0,
            attempts: MAX_ATTEMPTS,
            ring_first: false,
            account: None,
            caps: 0,
            doomed: false,
            next_job: None,
        }
    }
}

impl Queue {
    /// Whether there is nothing to receive, and nobody waits to.
    #[inline(always)]
    pub(crate) fn is_quiet(&self) -> bool {
        let threads = self.callers.is_empty() & self.receiver.is_none();
        threads & self.pending.is_none() & (self.count == 0)
    }
}

impl Queue {
    /// Whether the ring has more than one page.
    #[inline(always)]
    fn has_directory(&self) -> bool {
        self.capacity as usize > ENTRIES_PER_PAGE
    }

    /// Whether a receiver gets a posted message next.
    #[inline(always)]
    pub(crate) fn is_ring_next(&self) -> bool {
        self.pending.is_none() && self.count > 0 && (self.ring_first || self.callers.is_empty())
    }
}

#[cfg(test)]
impl Queue {
    /// Frames that its ring takes.
    pub(crate) fn ring_frames(&self) -> u64 {
        let pages = (self.capacity as usize).div_ceil(ENTRIES_PER_PAGE) as u64;
        self.ring.map_or(0, |_| pages + u64::from(self.has_directory()))
    }
}

/// What a receiver takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// An event's bits.
    Event(Ref<Event>),
    /// A call.
    Call(Ref<Thread>),
    /// The posted message that waits longest.
    Post,
}

impl<M: Machine> Kernel<M> {
    /// Makes a queue whose ring holds `capacity` messages, and whose calls a server may die at `attempts` times (0: the
    /// usual number).
    pub(crate) fn create_queue(
        &mut self,
        account: Ref<Account>,
        capacity: u64,
        attempts: u64,
    ) -> Result<Ref<Queue>, SysError> {
        let attempts = match u8::try_from(attempts).map_err(|_| SysError::BadArgument)? {
            0 => MAX_ATTEMPTS,
            attempts => attempts,
        };
        if capacity > MAX_RING {
            return Err(SysError::BadArgument);
        }
        self.next_queue += 1;
        let id = self.next_queue;
        let queue = Queue { id, account: Some(account), capacity: capacity as u16, attempts, ..Queue::vacant() };
        let queue = self.create(account, queue)?;
        let pages = (capacity as usize).div_ceil(ENTRIES_PER_PAGE);
        debug_assert!(pages <= RING_PAGES);
        if let Err(error) = self.buy_ring(account, queue, pages) {
            self.free_ring(queue);
            self.destroy(account, queue);
            return Err(error);
        }
        Ok(queue)
    }

    fn buy_ring(&mut self, account: Ref<Account>, queue: Ref<Queue>, pages: usize) -> Result<(), SysError> {
        if pages == 0 {
            return Ok(());
        }
        if pages == 1 {
            self.queues[queue].ring = Some(self.buy(account, FrameKind::Words, Purpose::Other)?);
            return Ok(());
        }
        let directory = self.buy(account, FrameKind::Words, Purpose::Other)?;
        self.queues[queue].ring = Some(directory);
        for page in 0..pages {
            let frame = self.buy(account, FrameKind::Words, Purpose::Other)?;
            self.mm.set_word(directory, page, frame.0.into());
        }
        Ok(())
    }

    /// Frees the ring with what is in it.
    pub(crate) fn free_ring(&mut self, queue: Ref<Queue>) {
        let account = self.queues[queue].account.expect("a queue in use has an account");
        let Some(directory) = self.queues[queue].ring.take() else { return };
        let pages = if self.queues[queue].has_directory() { RING_PAGES } else { 0 };
        for page in 0..pages {
            match self.mm.word(directory, page) {
                0 => break,
                frame => self.sell(account, Frame(frame as u32), Purpose::Other),
            }
        }
        self.sell(account, directory, Purpose::Other);
    }

    #[inline(always)]
    fn ring_place(&self, queue: Ref<Queue>, n: u16) -> (Frame, usize) {
        let n = n as usize;
        let queue = &self.queues[queue];
        let directory = queue.ring.expect("a ring with capacity has pages");
        if !queue.has_directory() {
            return (directory, n * STRIDE);
        }
        (Frame(self.mm.word(directory, n / ENTRIES_PER_PAGE) as u32), n % ENTRIES_PER_PAGE * STRIDE)
    }

    /// Puts the message in the registers of `sender` into the ring. Word by word: held all at once, they would take more
    /// registers than there are.
    #[inline(always)]
    pub(crate) fn ring_push(&mut self, queue: Ref<Queue>, badge: u64, sender: Ref<Thread>) -> Result<(), SysError> {
        let Queue { capacity, head, count, .. } = self.queues[queue];
        if count == capacity {
            return Err(SysError::WouldBlock);
        }
        let behind = head + count;
        let (frame, at) = self.ring_place(queue, if behind < capacity { behind } else { behind - capacity });
        let r = &self.threads[sender].context.registers;
        let entry = self.mm.words_at_mut::<ENTRY>(frame, at);
        entry[0] = badge;
        entry[1] = r.rsi;
        entry[2] = r.rdx;
        entry[3] = r.r8;
        entry[4] = r.r9;
        entry[5] = r.r10;
        entry[6] = r.rbx;
        entry[7] = r.r12;
        entry[8] = r.r13;
        entry[9] = r.r14;
        self.queues[queue].count += 1;
        Ok(())
    }

    /// Takes the first message out of the ring, which is not empty, into the registers of `receiver`.
    #[inline(always)]
    pub(crate) fn ring_pop(&mut self, queue: Ref<Queue>, receiver: Ref<Thread>) {
        let Queue { capacity, head, .. } = self.queues[queue];
        let (frame, at) = self.ring_place(queue, head);
        let r = &mut self.threads[receiver].context.registers;
        let entry = self.mm.words_at::<ENTRY>(frame, at);
        r.rdi = entry[0];
        r.rsi = Tag::from_raw(entry[1]).delivered(Delivery::Post, 0).raw();
        r.rdx = entry[2];
        r.r8 = entry[3];
        r.r9 = entry[4];
        r.r10 = entry[5];
        r.rbx = entry[6];
        r.r12 = entry[7];
        r.r13 = entry[8];
        r.r14 = entry[9];
        self.queues[queue].head = if head + 1 < capacity { head + 1 } else { 0 };
        self.queues[queue].count -= 1;
        self.queues[queue].ring_first = false;
    }

    /// Takes what a receiver gets next: events first, then calls turn about with posted messages.
    pub(crate) fn take_incoming(&mut self, queue: Ref<Queue>) -> Option<Incoming> {
        if let Some(event) = self.queues[queue].pending {
            self.unpend(event);
            return Some(Incoming::Event(event));
        }
        if self.queues[queue].is_ring_next() {
            return Some(Incoming::Post);
        }
        let q = &mut self.queues[queue];
        let caller = q.callers.pop(&mut self.threads)?;
        q.ring_first = true;
        Some(Incoming::Call(caller))
    }

    /// Adds a thread behind the others that wait to receive.
    pub(crate) fn push_receiver(&mut self, queue: Ref<Queue>, thread: Ref<Thread>) {
        let last = self.queues[queue].last_receiver.replace(thread);
        (self.threads[thread].next, self.threads[thread].prev) = (None, last);
        let alone = last.is_none() && self.queues[queue].server == Some(thread);
        self.queues[queue].ready = alone.then_some(thread);
        match last {
            Some(last) => self.threads[last].next = Some(thread),
            None => self.queues[queue].receiver = Some(thread),
        }
    }

    /// Takes the thread that has waited longest to receive. Threads of processes that do not run any more are stopped
    /// on the way: what they would receive stays for the next incarnation.
    pub(crate) fn pop_receiver(&mut self, queue: Ref<Queue>) -> Option<Ref<Thread>> {
        loop {
            let first = self.queues[queue].receiver?;
            self.remove_receiver(queue, first);
            if self.runs(first) {
                return Some(first);
            }
            (self.threads[first].wait, self.threads[first].deadline) = (Wait::Stopped, NEVER);
        }
    }

    /// Takes this thread out of those that wait to receive.
    pub(crate) fn remove_receiver(&mut self, queue: Ref<Queue>, thread: Ref<Thread>) {
        self.queues[queue].ready = None;
        let (next, prev) = (self.threads[thread].next.take(), self.threads[thread].prev.take());
        match prev {
            Some(prev) => self.threads[prev].next = next,
            None => self.queues[queue].receiver = next,
        }
        match next {
            Some(next) => self.threads[next].prev = prev,
            None => self.queues[queue].last_receiver = prev,
        }
    }

    /// Ends every wait at a queue that is about to go, and unbinds its events. Up to `budget` steps; `true` when done.
    pub(crate) fn close_queue(&mut self, queue: Ref<Queue>, budget: &mut u32) -> bool {
        loop {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            if let Some(thread) = self.queues[queue].callers.pop(&mut self.threads) {
                self.wake(thread, Err(self.undelivered(thread, SysError::Closed)));
            } else if let Some(thread) = self.pop_receiver(queue) {
                self.wake(thread, Err(SysError::Closed));
            } else if let Some(event) = self.queues[queue].bound {
                self.unbind(event);
                self.event_unreferenced(event);
            } else {
                return true;
            }
        }
    }
}
