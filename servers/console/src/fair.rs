//! Whose bytes go out next: calls that wait to write, served in turn.
//!
//! Always true:
//! 1. Writes with the same badge are served in the order of their arrival.
//! 2. A badge that waits is served before any other badge is served twice, except by a writer in the middle of a line.
//! 3. A write that stopped in the middle of a line goes on before any other begins.

use alloc::collections::VecDeque;

/// A write that is not yet done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The call, by the id that survives a restart.
    pub call: u64,
    /// Who.
    pub badge: u64,
    /// Bytes in all.
    pub length: u64,
    /// Bytes that have been accepted.
    pub done: u64,
}

/// The writes that wait.
#[derive(Debug, Default)]
pub struct Turns {
    waiting: VecDeque<Write>,
    /// The badge that was served last.
    last: u64,
    /// The call that stopped in the middle of a line.
    holder: Option<u64>,
}

impl Turns {
    /// Adds a write at the end of its badge's line. `in_line`: it comes again after the server's death, and what was
    /// accepted of it stops in the middle of a line.
    pub fn push(&mut self, write: Write, in_line: bool) {
        self.waiting.push_back(write);
        if in_line {
            self.holder = Some(write.call);
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether `call` waits.
    pub fn contains(&self, call: u64) -> bool {
        self.waiting.iter().any(|w| w.call == call)
    }

    /// Whose turn it is.
    pub fn next(&self) -> Option<Write> {
        let holder = self.waiting.iter().find(|w| Some(w.call) == self.holder);
        // The next badge after the last one, going round; of equal badges the first that came.
        let distance = |w: &Write| w.badge.wrapping_sub(self.last).wrapping_sub(1);
        holder.or_else(|| self.waiting.iter().min_by_key(|w| distance(w))).copied()
    }

    /// Notes that `call` has had `done` bytes accepted; `in_line` says that they stop in the middle of a line.
    pub fn progress(&mut self, call: u64, done: u64, in_line: bool) {
        let Some(at) = self.waiting.iter().position(|w| w.call == call) else { return };
        let Some(write) = self.waiting.get_mut(at) else { return };
        write.done = done;
        self.last = write.badge;
        let finished = write.done >= write.length;
        self.holder = (in_line && !finished).then_some(call);
        if finished {
            self.waiting.remove(at);
        }
    }

    /// Forgets `call`: its caller has gone.
    pub fn remove(&mut self, call: u64) {
        self.waiting.retain(|w| w.call != call);
        self.holder = self.holder.filter(|h| *h != call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(call: u64, badge: u64, length: u64) -> Write {
        Write { call, badge, length, done: 0 }
    }

    /// Serves everything, `chunk` bytes at a turn, and tells the order of the calls served.
    fn serve(turns: &mut Turns, chunk: u64, in_line: bool) -> Vec<u64> {
        let mut order = Vec::new();
        while let Some(w) = turns.next() {
            order.push(w.call);
            turns.progress(w.call, (w.done + chunk).min(w.length), in_line);
        }
        order
    }

    #[test]
    fn writes_of_one_badge_keep_their_order() {
        let mut turns = Turns::default();
        for call in [5, 3, 9, 1] {
            turns.push(write(call, 7, 1), false);
        }
        assert_eq!(serve(&mut turns, 1, false), [5, 3, 9, 1]);
    }

    #[test]
    fn a_busy_badge_does_not_keep_the_others_waiting() {
        let mut turns = Turns::default();
        for call in 0..4 {
            turns.push(write(call, 1, 1), false);
        }
        turns.push(write(10, 2, 1), false);
        turns.push(write(20, 3, 1), false);
        assert_eq!(serve(&mut turns, 1, false), [0, 10, 20, 1, 2, 3]);
    }

    #[test]
    fn long_writes_of_several_badges_take_turns_between_lines() {
        let mut turns = Turns::default();
        turns.push(write(1, 1, 3), false);
        turns.push(write(2, 2, 3), false);
        assert_eq!(serve(&mut turns, 1, false), [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn a_write_in_the_middle_of_a_line_is_not_interrupted() {
        let mut turns = Turns::default();
        turns.push(write(1, 1, 3), false);
        turns.push(write(2, 2, 3), false);
        assert_eq!(serve(&mut turns, 1, true), [1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn a_writer_that_goes_in_the_middle_of_a_line_does_not_block_the_others() {
        let mut turns = Turns::default();
        turns.push(write(1, 1, 3), false);
        turns.push(write(2, 2, 1), false);
        turns.progress(1, 1, true);
        turns.remove(1);
        assert_eq!(turns.next().map(|w| w.call), Some(2));
    }

    #[test]
    fn no_badge_is_served_twice_while_another_waits() {
        let mut turns = Turns::default();
        for call in 0..60 {
            turns.push(write(call, [0, 3, 5, u64::MAX][call as usize % 4], 1), false);
        }
        let order = serve(&mut turns, 1, false);
        for round in order.chunks(4) {
            let mut badges: Vec<u64> = round.iter().map(|call| call % 4).collect();
            badges.sort();
            assert_eq!(badges, [0, 1, 2, 3]);
        }
    }
}
