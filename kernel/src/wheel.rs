//! The timer wheel: threads whose wait has a deadline. Adding, removing and finding the next one take the same few
//! steps however many sleep (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987).
//!
//! Invariants:
//! 1. A thread is in slot (level, n) where `level` is the highest group of six bits in which its `timer_due` (in units)
//!    differs from `now`, and n the bits of that group; so level 0 holds what is due within 64 units.
//! 2. Nothing in the wheel was due before `now`.
//! 3. Deadlines are rounded up: nobody wakes early.
//! 4. A thread that waits with a deadline is due by then, or earlier: a wait that ends before its deadline leaves the
//!    thread where it is, and so does one that begins with a later deadline. A server that waits with one between its calls
//!    is so spared the way out of the wheel and back; what is due too early is added again then.

use crate::mm::{Pool, Ref};
use crate::thread::{FOREVER, NEVER, Thread};

/// Ticks in a unit, as a shift: 16,384 ticks, 4 to 16 microseconds on real machines.
const UNIT: u32 = 14;
const LEVELS: usize = 8;
const SLOTS: usize = 64;

/// Threads by deadline.
pub struct Wheel {
    now: u64,
    bitmaps: [u64; LEVELS],
    heads: [[Option<Ref<Thread>>; SLOTS]; LEVELS],
    /// What `next` has found last.
    soonest: u64,
    /// Whether the wheel has changed since then.
    stale: bool,
}

impl Wheel {
    /// An empty wheel that starts at tick `now`.
    pub fn new(now: u64) -> Wheel {
        Wheel { now: now >> UNIT, bitmaps: [0; LEVELS], heads: [[None; SLOTS]; LEVELS], soonest: NEVER, stale: false }
    }

    /// Adds a thread by its `deadline`. One without a deadline, or beyond the wheel's 300 years, is not added. Returns
    /// whether [`Wheel::soonest`] may be another now.
    #[inline]
    pub fn add(&mut self, threads: &mut Pool<Thread>, thread: Ref<Thread>) -> bool {
        let Thread { deadline, timer_slot, timer_due, .. } = threads[thread];
        if deadline >= FOREVER || timer_slot.is_some() && timer_due <= (deadline >> UNIT) + 1 {
            return false;
        }
        self.remove(threads, thread);
        self.insert(threads, thread, ((deadline >> UNIT) + 1).max(self.now));
        true
    }

    fn insert(&mut self, threads: &mut Pool<Thread>, thread: Ref<Thread>, unit: u64) {
        let level = (unit ^ self.now | 1).ilog2() as usize / 6;
        if level >= LEVELS {
            return;
        }
        let n = (unit >> (6 * level)) as usize % SLOTS;
        let next = self.heads[level][n];
        if let Some(next) = next {
            threads[next].timer_prev = Some(thread);
        }
        let entry = &mut threads[thread];
        (entry.timer_next, entry.timer_prev, entry.timer_slot) = (next, None, Some((level * SLOTS + n) as u16));
        entry.timer_due = unit;
        self.heads[level][n] = Some(thread);
        self.bitmaps[level] |= 1 << n;
        self.stale = true;
    }

    /// Takes a thread out, if it is in.
    pub fn remove(&mut self, threads: &mut Pool<Thread>, thread: Ref<Thread>) {
        let Some(slot) = threads[thread].timer_slot.take() else { return };
        self.stale = true;
        let (level, n) = (slot as usize / SLOTS, slot as usize % SLOTS);
        let (next, prev) = (threads[thread].timer_next.take(), threads[thread].timer_prev.take());
        match prev {
            Some(prev) => threads[prev].timer_next = next,
            None => self.heads[level][n] = next,
        }
        if let Some(next) = next {
            threads[next].timer_prev = prev;
        }
        if self.heads[level][n].is_none() {
            self.bitmaps[level] &= !(1 << n);
        }
    }

    /// The tick at which `expired` is worth calling next: that of the first deadline, or an earlier one.
    #[inline(always)]
    pub fn soonest(&mut self) -> Option<u64> {
        if self.stale {
            self.soonest = self.find().unwrap_or(NEVER);
            self.stale = false;
        }
        (self.soonest != NEVER).then_some(self.soonest)
    }

    #[inline(never)]
    fn find(&self) -> Option<u64> {
        let level = self.bitmaps.iter().position(|b| *b != 0)?;
        let n = self.bitmaps[level].trailing_zeros() as u64;
        let above = self.now >> (6 * level + 6) << (6 * level + 6);
        Some((above | n << (6 * level)) << UNIT)
    }

    /// Takes one thread that is due at tick `now`. Call it until it gives none. Where its deadline has not passed, it is to be
    /// added again.
    pub fn expired(&mut self, threads: &mut Pool<Thread>, now: u64) -> Option<Ref<Thread>> {
        while let Some(due) = self.find().filter(|due| *due <= now) {
            let level = self.bitmaps.iter().position(|b| *b != 0)?;
            let n = self.bitmaps[level].trailing_zeros() as usize;
            self.now = self.now.max(due >> UNIT);
            if level == 0 {
                let thread = self.heads[0][n].expect("a set bit has a thread");
                self.remove(threads, thread);
                return Some(thread);
            }
            // Invariant 1: the slot has begun, so its threads differ from `now` in lower groups, all of them.
            self.bitmaps[level] &= !(1 << n);
            self.stale = true;
            let mut next = self.heads[level][n].take();
            while let Some(thread) = next {
                next = threads[thread].timer_next;
                threads[thread].timer_slot = None;
                self.insert(threads, thread, threads[thread].timer_due.max(self.now));
            }
        }
        if self.bitmaps.iter().all(|b| *b == 0) {
            self.now = self.now.max(now >> UNIT);
        }
        None
    }
}
