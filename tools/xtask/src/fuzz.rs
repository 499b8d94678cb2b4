//! `cargo xtask fuzz`.

use crate::{
    pool,
    progress::Progress,
    resume::{FAILED, Resume},
};
use anyhow::{Result, ensure};
use clap::Args;
use harness::fuzz::{Made, Run};
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// Makes random system calls in QEMU, and compares what comes of each with a model.
#[derive(Args)]
pub struct Options {
    /// How many, such as 300000 or 100M
    #[arg(long, value_name = "CALLS", default_value = "1M", value_parser = number)]
    calls: u64,
    /// How many in one run: each is a fresh machine, with the next seed
    #[arg(long, value_name = "CALLS", default_value = "1M", value_parser = number)]
    each: u64,
    /// The seed of the first run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep what is done in this file, and go on from there
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Runs at a time [default: the number of processors]
    #[arg(short, long)]
    jobs: Option<usize>,
}

/// How long a run may take: a slow host makes some 5,000 calls a second.
fn patience(run: &Run) -> Duration {
    Duration::from_secs(300 + run.calls / 2000)
}

/// A number, or one of thousands or millions.
fn number(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|number| *number > 0);
    number.ok_or_else(|| "it is a number above 0, or one with k or M behind it".to_owned())
}

/// What came of the runs.
#[derive(Default)]
struct Totals {
    calls: u64,
    failed: usize,
}

impl Options {
    /// Runs it.
    pub fn run(&self) -> Result<ExitCode> {
        harness::Images::get()?;
        let runs = self.plan()?;
        let mut resume = Resume::open(self.resume.as_deref())?;
        let left: Vec<Run> = runs.iter().filter(|run| !resume.has(&run.to_string())).copied().collect();
        println!("{} runs, {} of them left", runs.len(), left.len());
        let (mut progress, mut totals) = (Progress::new("runs", left.len()), Totals::default());
        let made = left.len();
        pool::run(
            left,
            pool::jobs(self.jobs),
            |run| run.make(patience(run)),
            |run, outcome| {
                progress.hide();
                resume.note(&run.to_string(), if outcome.is_ok() { "ok" } else { FAILED });
                let failed = outcome.is_err();
                totals.add(&run, outcome);
                progress.step(&format!("seed {}", run.seed), failed);
            },
        );
        progress.hide();
        println!(
            "{} calls in {} runs as the model says, {} runs wrong",
            totals.calls,
            made - totals.failed,
            totals.failed
        );
        Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn plan(&self) -> Result<Vec<Run>> {
        let count = self.calls.div_ceil(self.each);
        ensure!(self.seed.checked_add(count).is_some(), "there are not so many seeds");
        let calls = |n| self.each.min(self.calls - n * self.each);
        Ok((0..count).map(|n| Run { seed: self.seed + n, calls: calls(n) }).collect())
    }
}

impl Totals {
    /// Counts a run, and says how it went if it failed.
    fn add(&mut self, run: &Run, outcome: Result<Made>) {
        match outcome {
            Ok(made) => self.calls += made.calls,
            Err(error) => {
                self.failed += 1;
                println!("FAILED seed {}: {error:#}", run.seed);
                println!("repeat it with: cargo xtask fuzz --seed {} --calls {1} --each {1}\n", run.seed, run.calls);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(calls: u64, each: u64, seed: u64) -> Options {
        Options { calls, each, seed, resume: None, jobs: None }
    }

    #[test]
    fn numbers_have_units() {
        assert_eq!(["7", "3k", "3K", "100M"].map(number), [Ok(7), Ok(3000), Ok(3000), Ok(100_000_000)]);
        for text in ["", "0", "k", "-1", "1G", "99999999999999999M"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_calls_are_shared_out_to_runs_with_one_seed_after_the_other() {
        let runs = options(2_500, 1_000, 7).plan().expect("there are seeds");
        assert_eq!(runs, [(7, 1000), (8, 1000), (9, 500)].map(|(seed, calls)| Run { seed, calls }));
        assert!(options(2_500, 1_000, u64::MAX).plan().is_err());
    }
}
