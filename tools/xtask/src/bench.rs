//! `cargo xtask bench`.

use anyhow::{Result, ensure};
use clap::Args;
use harness::bench::{Baseline, Row, Setting, aims, measure};
use std::{
    io::{IsTerminal, stderr},
    process::ExitCode,
    time::Duration,
};

/// Boots a fresh system under `-icount shift=0`, where a tick of the time-stamp counter is a guest instruction, and runs
/// `bench`. The figures of other systems were counted on the same emulator.
#[derive(Args)]
pub struct Options {
    /// Rows to measure, by name [default: all]
    names: Vec<String>,
    /// Fail where a row costs more than the baseline in the repository tolerates
    #[arg(long, conflicts_with = "update")]
    check: bool,
    /// Make these figures the baseline
    #[arg(long)]
    update: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Measure with the trace on, as the system runs unless told otherwise
    #[arg(long, conflicts_with_all = ["check", "update"])]
    traced: bool,
    /// MiB of RAM
    #[arg(long, default_value_t = 128)]
    memory: u32,
    /// How long a row may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

impl Options {
    /// Runs it.
    pub fn run(&self) -> Result<ExitCode> {
        let timeout = Duration::from_secs(self.timeout);
        let setting = Setting { memory: self.memory, traced: self.traced, timeout };
        let shown = stderr().is_terminal();
        let progress = |row: &Row| {
            if shown {
                eprintln!("{:<14}{:>12}", row.name, row.figure.median);
            }
        };
        let rows = measure(&self.names, setting, progress)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&rows)?);
        } else {
            print(&rows);
        }
        if self.update {
            self.store(&rows)?;
        }
        if self.check { check(&rows) } else { Ok(ExitCode::SUCCESS) }
    }

    fn store(&self, rows: &[Row]) -> Result<()> {
        let old = Baseline::load().unwrap_or_default();
        let new = old.with(rows);
        // A run of all rows is all there is.
        if self.names.is_empty() { new.only(rows).save() } else { new.save() }
    }
}

fn check(rows: &[Row]) -> Result<ExitCode> {
    let baseline = Baseline::load()?;
    let unknown = baseline.unknown(rows);
    ensure!(unknown.is_empty(), "not in the baseline: {}; add them with --update", unknown.join(", "));
    let regressions = baseline.regressions(rows);
    regressions.iter().for_each(|regression| eprintln!("worse: {regression}"));
    ensure!(regressions.is_empty(), "{} of {} rows cost more than before", regressions.len(), rows.len());
    Ok(ExitCode::SUCCESS)
}

/// `12345` as `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn print(rows: &[Row]) {
    println!(
        "{:<14}{:>12}{:>12}{:>12}  {:<16}{:<8}{:<14}{:<17}{:<13}what",
        "row", "median", "min", "max", "aim", "seL4", "Redox", "Linux 6.1", "bare metal"
    );
    for row in rows {
        let [median, min, max] = [row.figure.median, row.figure.min, row.figure.max].map(grouped);
        let aim = aims::of(&row.name);
        let below = aim.map_or(String::new(), |aim| {
            let mark = if row.figure.median < aim.below { "met" } else { "not met" };
            format!("{} {mark}", grouped(aim.below))
        });
        let [sel4, redox, linux, floor] = aim.map_or([""; 4], |aim| [aim.sel4, aim.redox, aim.linux, aim.floor]);
        println!(
            "{:<14}{median:>12}{min:>12}{max:>12}  {below:<16}{sel4:<8}{redox:<14}{linux:<17}{floor:<13}{}",
            row.name, row.text
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
