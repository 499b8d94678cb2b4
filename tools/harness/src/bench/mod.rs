//! What the system costs, counted in guest instructions: `cargo xtask bench`.
//!
//! 1. The guest's `bench` measures; QEMU's `-icount shift=0` makes a tick of its time-stamp counter one executed
//!    instruction. What it prints, row by row, is read here.
//! 2. The figures are compared with the [`aims`] of the project and with the [`baseline`] in the repository.

pub mod aims;
pub mod baseline;
pub mod boot;
pub mod recoverability;

use crate::{
    Disk, Images,
    machine::{Machine, Streams},
    qemu::{Config, FIXED_LAYOUT, Serial, exec_word},
    system::POWER_OFF,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub use baseline::Baseline;

/// The size of the disk.
const DISK: u64 = 128 << 20;
/// The size of the files that the guest reads from it, see `userland::bench::file`.
const LARGE: usize = 16 << 20;
/// The kernel's word for a system without a trace.
const NO_TRACE: &str = "trace=0";

/// What a row came to, guest instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// Half of the rounds cost no more.
    pub median: u64,
    /// The cheapest round.
    pub min: u64,
    /// The dearest round.
    pub max: u64,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What was measured.
    pub text: String,
    /// What it came to.
    #[serde(flatten)]
    pub figure: Figure,
}

/// A machine to measure.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// MiB of RAM.
    pub memory: u32,
    /// The kernel notes events in its trace.
    pub traced: bool,
    /// How long a row may take.
    pub timeout: Duration,
}

/// Boots a fresh system and measures the rows of these names, or all; each is passed to `seen` as it comes.
pub fn measure(names: &[String], setting: Setting, mut seen: impl FnMut(&Row)) -> Result<Vec<Row>> {
    let (compared, rest): (Vec<_>, Vec<_>) =
        names.iter().cloned().partition(|name| recoverability::COSTS.iter().any(|cost| cost.row == *name));
    let (host, guest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|name| aims::HOST.contains(&name.as_str()));
    let mut rows = Vec::new();
    if names.is_empty() || !guest.is_empty() {
        rows = measure_in_guest(&guest, &[], setting, &mut seen)?;
    }
    if names.is_empty() || !compared.is_empty() {
        rows.extend(recoverability::measure(&compared, setting, &mut seen)?);
    }
    if names.is_empty() || !host.is_empty() {
        let text = "power-on to the shell's prompt, with the firmware".into();
        let row = Row { name: "boot".into(), text, figure: boot::measure(setting)? };
        seen(&row);
        rows.push(row);
    }
    Ok(rows)
}

/// Boots with these further words on the kernel's command line and has the guest measure.
fn measure_in_guest(
    names: &[String],
    words: &[&str],
    setting: Setting,
    seen: &mut impl FnMut(&Row),
) -> Result<Vec<Row>> {
    let Setting { memory, traced, timeout } = setting;
    let images = Images::get()?;
    let disk = Disk::scratch(DISK)?;
    let large: Vec<u8> = (0..LARGE as u32).map(|n| (n.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect();
    for n in 0..4 {
        disk.write(&format!("/home/bench-{n}"), &large)?;
    }
    let command = ["bench"].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let config = Config {
        qemu: None,
        boot: (&images).into(),
        disk: Some(disk.path().to_owned()),
        disk_speed: None,
        memory,
        words: [exec_word(&command), FIXED_LAYOUT.into()]
            .into_iter()
            .chain((!traced).then(|| NO_TRACE.into()))
            .chain(words.iter().map(|word| (*word).to_owned()))
            .collect(),
        icount: true,
        reboot: false,
        serial: Serial::Pipes,
        gdb: None,
        monitor: None,
    };
    let mut machine = Machine::start(&config, Streams { framed: true, ..Streams::default() })?;
    machine.feed(std::io::empty())?;
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let (mut found, status) = machine.wait("the next row of `bench`", timeout, |state| {
            let found = parse(&String::from_utf8_lossy(&state.stdout));
            (found.len() > rows.len() || state.status.is_some()).then_some((found, state.status))
        })?;
        found.drain(..rows.len());
        found.iter().for_each(&mut *seen);
        rows.extend(found);
        if let Some(status) = status {
            let errors = String::from_utf8_lossy(&machine.state().stderr).into_owned();
            ensure!(status == 0, "the guest's bench ended with status {status}\n{}", errors.trim_end());
            machine.wait_end(POWER_OFF)?;
            return Ok(rows);
        }
    }
}

/// The rows in what the guest's `bench` has printed so far: whole lines of a name, three numbers, and a text.
fn parse(text: &str) -> Vec<Row> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(parse_row).collect()
}

fn parse_row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let mut number = || words.next()?.parse().ok();
    let figure = Figure { median: number()?, min: number()?, max: number()? };
    Some(Row { name, figure, text: words.collect::<Vec<_>>().join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_rows_are_read_and_nothing_else() {
        let text = "         median  min  max\nnull   223  220  300  null system call\ncall-0  859  859  8";
        let figure = Figure { median: 223, min: 220, max: 300 };
        assert_eq!(parse(text), [Row { name: "null".into(), text: "null system call".into(), figure }]);
    }

    #[test]
    fn each_row_with_an_aim_is_one_that_the_guest_measures() {
        let known: Vec<&str> = userland::bench::ROWS.iter().map(|row| row.name).collect();
        let unknown =
            aims::AIMS.iter().map(|aim| aim.row).filter(|row| !known.contains(row) && !aims::HOST.contains(row));
        assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
