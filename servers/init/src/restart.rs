//! When a dead service comes back: at once, after a pause, or not until somebody asks.
//!
//! 1. The first death after a quiet time is followed by a restart at once; each further one by a pause that doubles, up
//!    to the longest.
//! 2. More than [`BUDGET`] deaths of its own within a minute put a service on hold; only an order takes it off.
//! 3. A death that was ordered is nobody's failure: it is not counted.

use alloc::vec::Vec;
use heapless::Deque;

/// Deaths in a minute that a service may die of itself before it is held.
pub const BUDGET: usize = 20;
const MINUTE: u64 = 60_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// A life longer than this (and than the longest pause) ends a series of failures.
const QUIET: u64 = 2_000_000_000;

/// The pauses, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Before the second restart in a row.
    pub pause: u64,
    /// Never more than this.
    pub longest: u64,
}

impl Policy {
    /// From milliseconds.
    pub fn from_ms(pause: u32, longest: u32) -> Policy {
        Policy { pause: u64::from(pause) * MILLISECOND, longest: u64::from(longest) * MILLISECOND }
    }
}

/// What to do with a dead service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start it at this time (which may have come already).
    RestartAt(u64),
    /// Leave it dead until an order.
    Hold,
}

/// What is remembered of a service's deaths.
#[derive(Clone, Debug)]
pub struct Failures {
    policy: Policy,
    /// Times of the deaths within the last minute, oldest first.
    recent: Deque<u64, { BUDGET + 1 }>,
    /// Failures in a row, without a quiet life between them.
    row: u32,
    started: u64,
}

impl Failures {
    /// A service that has not failed yet.
    pub fn new(policy: Policy) -> Failures {
        Failures { policy, recent: Deque::new(), row: 0, started: 0 }
    }

    /// What is saved: times of the deaths within the last minute, failures in a row, start of its life.
    pub fn save(&self) -> (Vec<u64>, u32, u64) {
        (self.recent.iter().copied().collect(), self.row, self.started)
    }

    /// What was saved.
    pub fn restored(policy: Policy, recent: &[u64], row: u32, started: u64) -> Failures {
        let mut failures = Failures { policy, recent: Deque::new(), row, started };
        for death in &recent[recent.len().saturating_sub(BUDGET + 1)..] {
            // There is room for as many.
            let _ = failures.recent.push_back(*death);
        }
        failures
    }

    /// It was started.
    pub fn started(&mut self, now: u64) {
        self.started = now;
    }

    /// It died of itself.
    pub fn died(&mut self, now: u64) -> Verdict {
        while self.recent.front().is_some_and(|death| now.saturating_sub(*death) >= MINUTE) {
            self.recent.pop_front();
        }
        if now.saturating_sub(self.started) > QUIET.max(self.policy.longest) {
            self.row = 0;
        }
        let full = self.recent.push_back(now).is_err();
        if full || self.recent.len() > BUDGET {
            return Verdict::Hold;
        }
        self.row += 1;
        Verdict::RestartAt(now.saturating_add(self.pause()))
    }

    /// Somebody ordered a restart: what was held against it is forgotten.
    pub fn forgive(&mut self) {
        self.recent.clear();
        self.row = 0;
    }

    /// The pause after the failure that was counted last.
    fn pause(&self) -> u64 {
        match self.row {
            0 | 1 => 0,
            row => self.policy.pause.saturating_mul(1 << (row - 2).min(32)).min(self.policy.longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = MILLISECOND;

    fn service() -> Failures {
        Failures::new(Policy::from_ms(10, 100))
    }

    #[test]
    fn the_first_restart_is_immediate_and_pauses_double_up_to_the_longest() {
        let mut failures = service();
        let mut now = 1000 * MS;
        let mut pauses = alloc::vec::Vec::new();
        for _ in 0..7 {
            failures.started(now);
            let Verdict::RestartAt(at) = failures.died(now) else { panic!("held too early") };
            pauses.push((at - now) / MS);
            now = at;
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80, 100, 100]);
    }

    #[test]
    fn a_long_life_ends_the_series() {
        let mut failures = service();
        failures.started(0);
        assert_eq!(failures.died(MS), Verdict::RestartAt(MS));
        failures.started(MS);
        assert_eq!(failures.died(2 * MS), Verdict::RestartAt(12 * MS));
        failures.started(12 * MS);
        assert_eq!(failures.died(5000 * MS), Verdict::RestartAt(5000 * MS));
    }

    #[test]
    fn a_crash_loop_is_held_when_the_budget_of_a_minute_is_spent() {
        let mut failures = service();
        for death in 0..BUDGET as u64 {
            assert!(matches!(failures.died(death * MS), Verdict::RestartAt(_)), "death {death}");
        }
        assert_eq!(failures.died(100 * MS), Verdict::Hold);
        assert_eq!(failures.died(101 * MS), Verdict::Hold, "it stays so");
        failures.forgive();
        assert_eq!(failures.died(200 * MS), Verdict::RestartAt(200 * MS));
    }

    #[test]
    fn deaths_more_than_a_minute_ago_do_not_count() {
        let mut failures = service();
        for death in 0..1000u64 {
            failures.started(death * 4000 * MS);
            let now = death * 4000 * MS + 3500 * MS;
            assert_eq!(failures.died(now), Verdict::RestartAt(now), "death {death}");
        }
    }

    #[test]
    fn a_long_series_overflows_nothing() {
        let mut failures = Failures::new(Policy { pause: u64::MAX / 2, longest: u64::MAX });
        for _ in 0..BUDGET {
            let _ = failures.died(u64::MAX - 1);
        }
        assert_eq!(failures.died(u64::MAX), Verdict::Hold);
    }
}
