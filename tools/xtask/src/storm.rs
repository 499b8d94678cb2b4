//! `cargo xtask storm`.

use anyhow::Result;
use clap::Args;
use harness::storm;
use std::{process::ExitCode, time::Duration};

/// Kills services at random while clients work, and compares what comes of it with a model.
#[derive(Args)]
pub struct Options {
    /// How long, of the guest's time, which is the host's
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    minutes: f64,
    /// How long undisturbed work is measured before
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    calm: u64,
    /// Decides which services are killed, and when
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Options {
    /// Runs it.
    pub fn run(&self) -> Result<ExitCode> {
        let report =
            storm::run(Duration::from_secs(self.calm), Duration::from_secs_f64(self.minutes * 60.0), self.seed)?;
        let kills: Vec<String> = report.kills.iter().map(|(service, count)| format!("{service} {count}")).collect();
        println!("killed in {:.0} s: {}", report.storm.time.as_secs_f64(), kills.join(", "));
        println!(
            "steps a second: {:.0} undisturbed, {:.0} in the storm ({} steps)",
            report.calm.rate(),
            report.storm.rate(),
            report.storm.steps
        );
        println!(
            "nothing lost, nothing doubled, nothing leaked: at rest {} pages are in use, each accounted for as before",
            report.pages
        );
        Ok(ExitCode::SUCCESS)
    }
}
