//! `cargo xtask sweep`.
//!
//! Runs are numbered in the order in which they are made, so that a file of those that are done is all that resuming
//! needs; each line is one run: its deaths, and `ok`, `missed` (the point was not reached) or `FAILED`.

use crate::{
    pool,
    progress::Progress,
    resume::{FAILED, Resume},
};
use anyhow::Result;
use clap::Args;
use harness::sweep::{Counts, Deaths, Dice, Place, Point, SERVICES, Sweep};
use std::{collections::BTreeMap, io::Stderr, path::PathBuf, process::ExitCode};

/// Kills services at every point of a fixed workload, one point a run, and compares what comes of it with a model.
#[derive(Args)]
pub struct Options {
    /// Only this service; may be given more than once [default: all]
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Only this kind: entry, message, before-reply or after-reply; may be given more than once
    #[arg(long, value_name = "KIND")]
    kind: Vec<Place>,
    /// Every how many points one is tried
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Instead: this many pairs of deaths, the second during the recovery from the first
    #[arg(long, value_name = "N")]
    pairs: Option<u64>,
    /// Decides which pairs, and at which point `--every` begins
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Instead: one run with these deaths, such as `fs@entry:12,block@entry:+3`
    #[arg(long, value_name = "DEATHS")]
    only: Option<Deaths>,
    /// Keep what is done in this file, and go on from there
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Runs at a time [default: the number of processors]
    #[arg(short, long)]
    jobs: Option<usize>,
}

/// What came of the runs.
#[derive(Debug, Default)]
struct Totals {
    right: u64,
    missed: u64,
    failed: u64,
}

impl Options {
    /// Runs it.
    pub fn run(&self) -> Result<ExitCode> {
        let sweep = Sweep::prepare()?;
        let runs = match &self.only {
            Some(deaths) => vec![deaths.clone()],
            None => self.plan(&sweep.count()?),
        };
        let resume = Resume::open(self.resume.as_deref())?;
        let left: Vec<Deaths> = runs.iter().filter(|run| !resume.has(&run.to_string())).cloned().collect();
        println!("{} runs, {} of them left", runs.len(), left.len());
        let totals = self.work(&sweep, left, resume);
        println!("{} right, {} not reached, {} wrong", totals.right, totals.missed, totals.failed);
        Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn plan(&self, counts: &BTreeMap<String, Counts>) -> Vec<Deaths> {
        if let Some(pairs) = self.pairs {
            let mut dice = Dice::new(self.seed);
            return (0..pairs).map(|_| Deaths::pair(&mut dice, counts)).collect();
        }
        let services = match self.service.is_empty() {
            true => SERVICES.map(str::to_owned).to_vec(),
            false => self.service.clone(),
        };
        let kinds = if self.kind.is_empty() { Place::ALL.to_vec() } else { self.kind.clone() };
        let mut runs = Vec::new();
        for service in services {
            let counts = counts.get(&service).copied().unwrap_or_default();
            println!("{service}: {} entries, {} messages, {} replies", counts.entries, counts.messages, counts.replies);
            for place in &kinds {
                let points = (1 + self.seed % self.every..=counts.of(*place)).step_by(self.every as usize);
                runs.extend(points.map(|at| Deaths(vec![Point { service: service.clone(), place: *place, at }])));
            }
        }
        runs
    }

    fn work(&self, sweep: &Sweep, left: Vec<Deaths>, resume: Resume) -> Totals {
        let progress = Progress::new("runs", left.len());
        let mut state = State { totals: Totals::default(), resume, progress };
        let run = |deaths: &Deaths| sweep.run(deaths);
        pool::run(left, pool::jobs(self.jobs), run, |deaths, outcome| state.note(&deaths, outcome));
        state.totals
    }
}

/// What is kept of the runs.
struct State {
    totals: Totals,
    resume: Resume,
    progress: Progress<Stderr>,
}

impl State {
    /// Counts a run, writes it down, and says how it went if it failed.
    fn note(&mut self, deaths: &Deaths, outcome: Result<bool>) {
        let word = match &outcome {
            Ok(true) => "ok",
            Ok(false) => "missed",
            Err(_) => FAILED,
        };
        match &outcome {
            Ok(true) => self.totals.right += 1,
            Ok(false) => self.totals.missed += 1,
            Err(error) => {
                self.totals.failed += 1;
                self.progress.hide();
                println!("FAILED {deaths}: {error:#}\n");
            }
        }
        self.resume.note(&deaths.to_string(), word);
        self.progress.step(&deaths.to_string(), outcome.is_err());
    }
}
