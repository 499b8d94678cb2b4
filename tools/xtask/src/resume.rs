//! A file of the runs that are done, so that long work can be cut short and goes on: each line is a run and what came of
//! it. Runs that failed are made again.

use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

/// What came of a run that failed.
pub const FAILED: &str = "FAILED";

/// The file, or nothing.
pub struct Resume {
    done: BTreeSet<String>,
    file: Option<File>,
}

impl Resume {
    /// Reads what is done, and goes on writing there.
    pub fn open(path: Option<&Path>) -> Result<Resume> {
        let Some(path) = path else { return Ok(Resume { done: BTreeSet::new(), file: None }) };
        let text = if path.exists() {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        } else {
            String::new()
        };
        let right = |line: &str| {
            let (run, outcome) = line.split_once(' ')?;
            (outcome != FAILED).then(|| run.to_owned())
        };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Resume { done: text.lines().filter_map(right).collect(), file: Some(file) })
    }

    /// Whether a run need not be made again.
    pub fn has(&self, run: &str) -> bool {
        self.done.contains(run)
    }

    /// Writes a run down.
    pub fn note(&mut self, run: &str, outcome: &str) {
        if let Some(file) = &mut self.file {
            // A run that is not written down is made again, no more.
            let _ = writeln!(file, "{run} {outcome}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_found_again_and_what_failed_is_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("done");
        let mut first = Resume::open(Some(&path)).expect("it is made");
        assert!(!first.has("1:5"));
        first.note("1:5", "ok");
        first.note("2:5", FAILED);
        drop(first);
        let second = Resume::open(Some(&path)).expect("it is read");
        assert!(second.has("1:5") && !second.has("2:5"));
    }
}
