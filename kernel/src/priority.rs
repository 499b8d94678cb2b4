//! Lists of threads by priority: the ready threads, the callers of a queue.
//!
//! Invariants:
//! 1. Bit p of `bitmap` is set exactly when the ring of priority p is not empty.
//! 2. A ring is circular and doubly linked; its head was pushed first and is popped first.
//! 3. A thread stays at the priority at which it was pushed; whoever changes its priority removes it before.

use crate::mm::{Pool, Ref};
use crate::thread::Thread;
use abi::PRIORITIES;

/// Threads in order of priority (highest first), then of arrival.
#[derive(Clone, Default)]
pub struct PriorityQueue {
    bitmap: u32,
    pub(crate) heads: [Option<Ref<Thread>>; PRIORITIES as usize],
}

impl PriorityQueue {
    /// Whether it has no thread.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bitmap == 0
    }
    /// The highest priority in it plus one; 0 when it is empty.
    #[inline]
    pub fn top(&self) -> u8 {
        32 - self.bitmap.leading_zeros() as u8
    }
    /// 0 if it has no thread of this priority or a higher one, 1 if it has some of this one but no higher, else more.
    #[inline(always)]
    pub fn at_or_above(&self, priority: u8) -> u32 {
        self.bitmap >> (priority % PRIORITIES)
    }
    /// Whether it has a thread of this priority.
    #[inline]
    pub fn has(&self, priority: u8) -> bool {
        self.bitmap & 1 << priority != 0
    }
    /// The thread that `pop` would give.
    #[inline]
    pub fn first(&self) -> Option<Ref<Thread>> {
        self.heads[self.top().checked_sub(1)? as usize]
    }

    /// The first thread of this priority.
    #[inline(always)]
    pub fn head(&self, priority: u8) -> Option<Ref<Thread>> {
        self.heads[(priority % PRIORITIES) as usize]
    }

    /// Adds a thread behind those of its priority.
    pub fn push(&mut self, threads: &mut Pool<Thread>, thread: Ref<Thread>) {
        let priority = threads[thread].priority as usize;
        match self.heads[priority] {
            Some(head) => Self::link_before(threads, head, thread),
            None => self.start(threads, priority, thread),
        }
    }

    /// Adds a thread before those of its priority.
    pub fn push_front(&mut self, threads: &mut Pool<Thread>, thread: Ref<Thread>) {
        self.push(threads, thread);
        self.heads[threads[thread].priority as usize] = Some(thread);
    }

    /// Adds a caller before the first one of its priority that has called later: where it was before it was delivered.
    pub fn push_by_call(&mut self, threads: &mut Pool<Thread>, thread: Ref<Thread>) {
        let priority = threads[thread].priority as usize;
        let call = threads[thread].call >> 16;
        let Some(head) = self.heads[priority] else { return self.start(threads, priority, thread) };
        let mut at = head;
        while threads[at].call >> 16 < call {
            at = threads[at].next.expect("rings are circular");
            if at == head {
                return Self::link_before(threads, head, thread);
            }
        }
        Self::link_before(threads, at, thread);
        if at == head {
            self.heads[priority] = Some(thread);
        }
    }

    fn start(&mut self, threads: &mut Pool<Thread>, priority: usize, thread: Ref<Thread>) {
        (threads[thread].next, threads[thread].prev) = (Some(thread), Some(thread));
        self.heads[priority] = Some(thread);
        self.bitmap |= 1 << priority;
    }

    fn link_before(threads: &mut Pool<Thread>, head: Ref<Thread>, thread: Ref<Thread>) {
        let tail = threads[head].prev.expect("rings are circular");
        threads[tail].next = Some(thread);
        threads[head].prev = Some(thread);
        (threads[thread].next, threads[thread].prev) = (Some(head), Some(tail));
    }

    /// Adds a thread behind those of its priority, and takes `head`, which is the first of these.
    #[inline(always)]
    pub fn rotate(&mut self, threads: &mut Pool<Thread>, thread: Ref<Thread>, head: Ref<Thread>) {
        let priority = (threads[thread].priority % PRIORITIES) as usize;
        let first = &mut threads[head];
        let (next, prev) = (first.next.take(), first.prev.take());
        if next == Some(head) {
            let entry = &mut threads[thread];
            (entry.next, entry.prev) = (Some(thread), Some(thread));
            self.heads[priority] = Some(thread);
        } else if let (Some(next), Some(prev)) = (next, prev) {
            // The newcomer takes the place of the head, which as the ring's end is behind the others.
            let entry = &mut threads[thread];
            (entry.next, entry.prev) = (Some(next), Some(prev));
            threads[next].prev = Some(thread);
            threads[prev].next = Some(thread);
            self.heads[priority] = Some(next);
        }
    }

    /// Takes the first thread of the highest priority.
    #[inline]
    pub fn pop(&mut self, threads: &mut Pool<Thread>) -> Option<Ref<Thread>> {
        let first = self.first()?;
        self.remove(threads, first);
        Some(first)
    }

    /// Takes this thread, which is in the list.
    pub fn remove(&mut self, threads: &mut Pool<Thread>, thread: Ref<Thread>) {
        let priority = threads[thread].priority as usize;
        let next = threads[thread].next.take().expect("the thread is in a ring");
        let prev = threads[thread].prev.take().expect("the thread is in a ring");
        if next == thread {
            self.heads[priority] = None;
            self.bitmap &= !(1 << priority);
            return;
        }
        threads[prev].next = Some(next);
        threads[next].prev = Some(prev);
        if self.heads[priority] == Some(thread) {
            self.heads[priority] = Some(next);
        }
    }
}
