//! The services and what becomes of them: the supervisor's decisions, without its hands.
//!
//! 1. A service is in exactly one [`State`]; only the methods here change it, and each says what is to be done about it.
//! 2. A service is started only while it is [`State::Waiting`], and then at its time.
//! 3. After [`Table::stop_all`] nothing is started any more.

use crate::{
    restart::{Failures, Policy, Verdict},
    saved::{SavedEntry, SavedState},
};
use alloc::{string::String, vec::Vec};

/// What a service is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It will be started at this time.
    Waiting(u64),
    /// It runs.
    Running,
    /// It runs and has been told to die; what comes next is not counted against it.
    Stopping,
    /// It failed too often, or could not be started, for this reason; an order starts it again.
    Held(String),
}

impl State {
    /// One word for people.
    pub fn word(&self) -> &'static str {
        match self {
            State::Waiting(_) => "waiting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Held(_) => "held",
        }
    }
}

/// How a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// What happened, in one line.
    pub what: String,
}

struct Entry {
    state: State,
    failures: Failures,
    restarts: u64,
    last: Option<String>,
}

/// All services, by their number in the system description.
pub struct Table {
    entries: Vec<Entry>,
    stopped: bool,
}

impl Table {
    /// One service for each policy, all to be started now, in this order.
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Table {
        let entry =
            |policy| Entry { state: State::Waiting(0), failures: Failures::new(policy), restarts: 0, last: None };
        Table { entries: policies.into_iter().map(entry).collect(), stopped: false }
    }

    /// What is saved.
    pub fn save(&self) -> (Vec<SavedEntry>, bool) {
        (self.entries.iter().map(Entry::save).collect(), self.stopped)
    }

    /// What was saved of services with these policies.
    pub fn restored(policies: impl IntoIterator<Item = Policy>, saved: &[SavedEntry], stopped: bool) -> Table {
        let entries = policies.into_iter().zip(saved).map(|(policy, saved)| Entry::restored(policy, saved)).collect();
        Table { entries, stopped }
    }

    /// The state of service `at`.
    pub fn state(&self, at: usize) -> Option<&State> {
        self.entries.get(at).map(|entry| &entry.state)
    }

    /// How often service `at` was started again.
    pub fn restarts(&self, at: usize) -> u64 {
        self.entries.get(at).map_or(0, |entry| entry.restarts)
    }

    /// How service `at` died last.
    pub fn last_death(&self, at: usize) -> Option<&str> {
        self.entries.get(at)?.last.as_deref()
    }

    /// The first service in start order whose time has come.
    pub fn due(&self, now: u64) -> Option<usize> {
        let is_due = |entry: &Entry| matches!(entry.state, State::Waiting(at) if at <= now);
        if self.stopped { None } else { self.entries.iter().position(is_due) }
    }

    /// When the next service is due.
    pub fn next_due(&self) -> Option<u64> {
        let at = |entry: &Entry| if let State::Waiting(at) = entry.state { Some(at) } else { None };
        if self.stopped { None } else { self.entries.iter().filter_map(at).min() }
    }

    /// Service `at` was started.
    pub fn started(&mut self, at: usize, now: u64) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        entry.state = State::Running;
        entry.failures.started(now);
    }

    /// Service `at` could not be started; it is tried again as if it had died.
    pub fn not_started(&mut self, at: usize, now: u64, reason: String) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        entry.failures.started(now);
        entry.fail(now, reason);
    }

    /// Service `at` cannot be started, for a reason that trying again does not change.
    pub fn hold(&mut self, at: usize, reason: String) {
        if let Some(entry) = self.entries.get_mut(at) {
            entry.state = State::Held(reason);
        }
    }

    /// The services that are held.
    pub fn held(&self) -> impl Iterator<Item = usize> + '_ {
        let is_held = |(_, entry): &(usize, &Entry)| matches!(entry.state, State::Held(_));
        self.entries.iter().enumerate().filter(is_held).map(|(at, _)| at)
    }

    /// Service `at` died. Does nothing where that is known already.
    pub fn died(&mut self, at: usize, now: u64, death: Death) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        match entry.state {
            State::Running => entry.fail(now, death.what),
            State::Stopping => {
                entry.last = Some(death.what);
                entry.restarts += 1;
                entry.state = State::Waiting(now);
            }
            State::Waiting(_) | State::Held(_) => {}
        }
    }

    /// Somebody ordered service `at` to be killed or restarted. Whether its process is to be ended now.
    pub fn ordered(&mut self, at: usize, now: u64) -> bool {
        let Some(entry) = self.entries.get_mut(at) else { return false };
        entry.failures.forgive();
        match entry.state {
            State::Running | State::Stopping => {
                entry.state = State::Stopping;
                true
            }
            State::Waiting(_) | State::Held(_) => {
                entry.state = State::Waiting(now);
                false
            }
        }
    }

    /// The machine goes down: nothing is started any more.
    pub fn stop_all(&mut self) {
        self.stopped = true;
    }
}

impl Entry {
    fn save(&self) -> SavedEntry {
        let (recent, row, started) = self.failures.save();
        let state = match &self.state {
            State::Waiting(at) => SavedState::Waiting(*at),
            State::Running => SavedState::Running,
            State::Stopping => SavedState::Stopping,
            State::Held(reason) => SavedState::Held(reason.clone()),
        };
        SavedEntry { state, restarts: self.restarts, last: self.last.clone(), recent, row, started }
    }

    fn restored(policy: Policy, saved: &SavedEntry) -> Entry {
        let state = match &saved.state {
            SavedState::Waiting(at) => State::Waiting(*at),
            SavedState::Running => State::Running,
            SavedState::Stopping => State::Stopping,
            SavedState::Held(reason) => State::Held(reason.clone()),
        };
        let failures = Failures::restored(policy, &saved.recent, saved.row, saved.started);
        Entry { state, failures, restarts: saved.restarts, last: saved.last.clone() }
    }

    fn fail(&mut self, now: u64, what: String) {
        self.state = match self.failures.died(now) {
            Verdict::RestartAt(at) => {
                self.restarts += 1;
                State::Waiting(at)
            }
            Verdict::Hold => State::Held(alloc::format!("failed too often; last: {what}")),
        };
        self.last = Some(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::BUDGET;
    use alloc::string::ToString;

    fn table(services: usize) -> Table {
        let mut table = Table::new((0..services).map(|_| Policy::from_ms(10, 1000)));
        while let Some(at) = table.due(0) {
            table.started(at, 0);
        }
        table
    }

    fn crash() -> Death {
        Death { what: "page fault".to_string() }
    }

    #[test]
    fn what_is_saved_goes_on_as_if_nothing_had_happened() {
        let mut table = table(4);
        for now in 1..=BUDGET as u64 + 1 {
            table.died(0, now, crash());
            table.started(0, now);
        }
        table.died(0, 50, crash());
        table.died(1, 60, crash());
        assert!(table.ordered(2, 70));
        let (saved, stopped) = table.save();
        let policies = (0..4).map(|_| Policy::from_ms(10, 1000));
        let mut after = Table::restored(policies, &saved, stopped);
        assert_eq!(after.save(), (saved, stopped));
        assert!(matches!(after.state(0), Some(State::Held(_))));
        assert_eq!((after.restarts(1), after.due(60)), (1, Some(1)));
        after.started(1, 60);
        after.died(1, 61, crash());
        assert_eq!(after.next_due(), Some(61 + 10_000_000), "the row of failures goes on");
    }

    #[test]
    fn services_start_in_their_order() {
        let mut table = Table::new((0..3).map(|_| Policy::from_ms(10, 1000)));
        for expected in 0..3 {
            assert_eq!(table.due(0), Some(expected));
            table.started(expected, 0);
        }
        assert_eq!((table.due(0), table.next_due()), (None, None));
    }

    #[test]
    fn a_crashed_service_is_due_at_once_and_later_the_second_time() {
        let mut table = table(2);
        table.died(1, 500, crash());
        assert_eq!((table.due(500), table.last_death(1)), (Some(1), Some("page fault")));
        table.started(1, 600);
        table.died(1, 700, crash());
        assert_eq!((table.due(700), table.next_due()), (None, Some(700 + 10_000_000)));
        assert_eq!(table.restarts(1), 2);
    }

    #[test]
    fn a_crash_loop_ends_held_and_an_order_starts_it_again() {
        let mut table = table(1);
        let mut now = 0;
        for _ in 0..=BUDGET {
            table.died(0, now, crash());
            now += 1;
            table.started(0, now);
        }
        table.died(0, now, crash());
        assert!(matches!(table.state(0), Some(State::Held(reason)) if reason.contains("page fault")));
        assert_eq!(table.next_due(), None);
        assert!(!table.ordered(0, now), "there is no process to kill");
        assert_eq!(table.due(now), Some(0));
    }

    #[test]
    fn ordered_kills_are_never_held_against_a_service() {
        let mut table = table(1);
        for now in 0..10 * BUDGET as u64 {
            assert!(table.ordered(0, now));
            table.died(0, now, crash());
            assert_eq!(table.due(now), Some(0), "kill {now}");
            table.started(0, now);
        }
        assert_eq!(table.restarts(0), 10 * BUDGET as u64);
    }

    #[test]
    fn a_death_reported_twice_counts_once() {
        let mut table = table(1);
        table.died(0, 5, crash());
        table.died(0, 6, crash());
        assert_eq!((table.restarts(0), table.due(5)), (1, Some(0)));
    }

    #[test]
    fn nothing_is_started_once_the_machine_goes_down() {
        let mut table = table(2);
        table.stop_all();
        table.died(0, 5, crash());
        assert_eq!((table.due(1000), table.next_due()), (None, None));
    }

    #[test]
    fn a_number_that_names_no_service_does_nothing() {
        let mut table = table(1);
        table.died(7, 5, crash());
        assert!(!table.ordered(7, 5));
        assert_eq!((table.state(7), table.restarts(7)), (None, 0));
    }
}
