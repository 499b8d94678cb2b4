//! Runs of the guest's system-call fuzzer, each of a seed of its own on a fresh machine.
//!
//! 1. The machine counts instructions, so a run that is repeated makes the same calls.
//! 2. A run is right where every outcome was as the model says and, after it, the kernel's audit finds every frame with
//!    who pays for it.

use crate::{Disk, Images, Result, System, system::SCRATCH};
use anyhow::{Context, ensure};
use std::{fmt, time::Duration};

/// What the fuzzer says last.
const ALL_RIGHT: &str = " us, all as the model says";

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Decides the calls.
    pub seed: u64,
    /// How many there are, but for the rest when they are shared between the processes.
    pub calls: u64,
}

/// As it is written down: `SEED:CALLS`.
impl fmt::Display for Run {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}:{}", self.seed, self.calls)
    }
}

impl Run {
    /// Makes the calls. An error has everything that was said.
    pub fn make(&self, patience: Duration) -> Result<Made> {
        let images = Images::get()?;
        let disk = Disk::scratch_with(SCRATCH, &images.hostile()?)?;
        let machine = System::builder().images(images).disk(&disk).icount().patience(patience);
        let output = machine.exec(&format!("fuzz {} {} && svc audit", self.seed, self.calls))?.success()?;
        let text = output.text();
        let made = text.lines().find_map(Made::of).filter(|made| made.calls >= self.calls);
        let made = made.with_context(|| format!("the fuzzer did not say how it went:\n{text}"))?;
        ensure!(text.contains("\ntotal "), "there was no audit:\n{text}");
        Ok(made)
    }
}

/// What a run that was right has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The calls.
    pub calls: u64,
    /// Instructions of them all, with the fuzzer's own and the waits.
    pub instructions: u64,
}

impl Made {
    fn of(line: &str) -> Option<Made> {
        let (calls, micros) = line.strip_prefix("fuzz: ")?.strip_suffix(ALL_RIGHT)?.split_once(" calls in ")?;
        Some(Made { calls: calls.parse().ok()?, instructions: micros.parse::<u64>().ok()? * 1000 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuzzers_last_line_is_understood() {
        let line = "fuzz: 1000002 calls in 5000 us, all as the model says";
        assert_eq!(Made::of(line), Some(Made { calls: 1_000_002, instructions: 5_000_000 }));
        assert_eq!(Made::of("fuzz: seed 1, 1000000 calls"), None);
    }
}
