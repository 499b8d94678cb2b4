//! How long the kernel keeps interrupts off, on every machine of a run of tests.
//!
//! 1. Where `TESSERA_LATENCY` names a file, each machine counts instructions and measures (`latency=1`). What its kernel logs
//!    when it goes down is appended there, or that it logged nothing: a line for each machine at least.
//! 2. A session that a test drops is brought down in order then; a power cut tells nothing.

use std::{ffi::OsString, fs::OpenOptions, io::Write};

/// Names the file.
pub const FILE: &str = "TESSERA_LATENCY";
/// The word for the kernel's command line.
pub const WORD: &str = "latency=1";
/// Instructions that no stretch shall reach.
pub const LIMIT: u64 = 100_000;

/// The longest stretch of one way into the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// Instructions, where the machine counts them.
    pub ticks: u64,
    /// The way.
    pub what: String,
}

/// The file, if measuring is wanted.
pub fn file() -> Option<OsString> {
    std::env::var_os(FILE)
}

/// What the kernel has logged, longest first.
pub fn stretches(log: &str) -> Vec<Stretch> {
    let stretch = |line: &str| {
        let (ticks, what) = line.split_once("kernel: interrupts off for ")?.1.split_once(" ticks in ")?;
        Some(Stretch { ticks: ticks.parse().ok()?, what: what.trim().to_owned() })
    };
    log.lines().filter_map(stretch).collect()
}

/// A machine has ended with this log.
pub fn note(log: &str) {
    let Some(path) = file() else { return };
    let found = stretches(log);
    let lines: String = match found.as_slice() {
        [] => "0 nothing\n".to_owned(),
        found => found.iter().map(|stretch| format!("{} {}\n", stretch.ticks, stretch.what)).collect(),
    };
    // A machine that is not noted is missing in the count of those that told.
    let _ =
        OpenOptions::new().create(true).append(true).open(path).and_then(|mut file| file.write_all(lines.as_bytes()));
}

/// What a file says: stretches, and how many machines have told nothing.
pub fn noted(text: &str) -> (Vec<Stretch>, usize) {
    let all = text.lines().filter_map(|line| line.split_once(' '));
    let all = all.filter_map(|(ticks, what)| Some(Stretch { ticks: ticks.parse().ok()?, what: what.to_owned() }));
    let (silent, told): (Vec<Stretch>, Vec<Stretch>) = all.partition(|stretch| stretch.ticks == 0);
    (told, silent.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_found_among_other_lines() {
        let log = "init: bye\nkernel: interrupts off for 900 ticks in the reaper\r\nx kernel: interrupts off for 5 ticks in Post\n";
        let expected = [(900, "the reaper"), (5, "Post")].map(|(ticks, what)| Stretch { ticks, what: what.into() });
        assert_eq!(stretches(log), expected);
        assert_eq!(noted("900 the reaper\n0 nothing\n5 Post\n"), (expected.to_vec(), 1));
    }
}
