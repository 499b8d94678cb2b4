//! What was measured, round by round, and what it comes to.

use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter};

/// The cost of each round.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<u64>);

/// What a row comes to, ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Half of the rounds cost no more.
    pub median: u64,
    /// The cheapest round.
    pub min: u64,
    /// The dearest round.
    pub max: u64,
}

impl Samples {
    /// None yet, with room for `count`, so that adding one allocates nothing.
    pub fn with_room(count: u64) -> Samples {
        Samples(Vec::with_capacity(count as usize))
    }
    /// Adds a round.
    pub fn add(&mut self, cost: u64) {
        self.0.push(cost);
    }
    /// Each round's cost by `change`.
    pub fn each(mut self, change: impl Fn(u64) -> u64) -> Samples {
        self.0.iter_mut().for_each(|cost| *cost = change(*cost));
        self
    }
    /// What they come to; zeros where there are none.
    pub fn figure(mut self) -> Figure {
        self.0.sort_unstable();
        let at = |index: usize| self.0.get(index).copied().unwrap_or(0);
        Figure { median: at(self.0.len() / 2), min: at(0), max: at(self.0.len().saturating_sub(1)) }
    }
}

impl Display for Figure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}{:>10}{:>10}", self.median, self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_middle_and_the_ends() {
        let mut samples = Samples::with_room(3);
        [9, 1, 5].into_iter().for_each(|cost| samples.add(cost));
        assert_eq!(samples.clone().figure(), Figure { median: 5, min: 1, max: 9 });
        assert_eq!(samples.each(|cost| cost / 2).figure(), Figure { median: 2, min: 0, max: 4 });
        assert_eq!(Samples::default().figure(), Figure { median: 0, min: 0, max: 0 });
    }
}
