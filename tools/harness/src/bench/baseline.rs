//! The figures that the repository keeps: what a change may not make worse.

use super::{Figure, Row};
use crate::workspace;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

/// A median that has grown by more than so many parts in a hundred is a regression.
const TOLERANCE: u64 = 2;
/// The same for rows that wait for the disk: how many completions one interrupt tells of is up to the host.
const DISK_TOLERANCE: u64 = 15;
/// These rows.
const DISK: &[&str] = &["fsync", "uncached", "sequential", "death-block", "death-fs", "boot"];

/// The stored figures, by name of the row.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baseline(BTreeMap<String, Figure>);

/// A row that costs more than it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regression {
    /// The row's name.
    pub row: String,
    /// The stored median.
    pub old: u64,
    /// The median now.
    pub new: u64,
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grown = 100.0 * (self.new as f64 / self.old.max(1) as f64 - 1.0);
        write!(f, "{}: {} instructions, {} before ({grown:+.1} %)", self.row, self.new, self.old)
    }
}

impl Baseline {
    /// Where it lies.
    pub fn path() -> PathBuf {
        workspace::root().join("tools/harness/bench-baseline.json")
    }

    /// The one in the repository.
    pub fn load() -> Result<Baseline> {
        let path = Baseline::path();
        let missing = || format!("{}: make it with `cargo xtask bench --update`", workspace::shown(&path));
        let text = fs::read_to_string(&path).with_context(missing)?;
        serde_json::from_str(&text).with_context(|| workspace::shown(&path))
    }

    /// With these rows instead of what it had of them.
    pub fn with(mut self, rows: &[Row]) -> Baseline {
        self.0.extend(rows.iter().map(|row| (row.name.clone(), row.figure)));
        self
    }

    /// Without the rows that are not among these.
    pub fn only(mut self, rows: &[Row]) -> Baseline {
        self.0.retain(|name, _| rows.iter().any(|row| row.name == *name));
        self
    }

    /// Writes it into the repository.
    pub fn save(&self) -> Result<()> {
        let path = Baseline::path();
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n").with_context(|| workspace::shown(&path))
    }

    /// The rows that have become dearer than is tolerated.
    pub fn regressions(&self, rows: &[Row]) -> Vec<Regression> {
        let compare = |row: &Row| {
            let (old, new) = (self.0.get(&row.name)?.median, row.figure.median);
            let tolerance = if DISK.contains(&row.name.as_str()) { DISK_TOLERANCE } else { TOLERANCE };
            (new * 100 > old * (100 + tolerance)).then(|| Regression { row: row.name.clone(), old, new })
        };
        rows.iter().filter_map(compare).collect()
    }

    /// Its rows that were not measured.
    pub fn missing(&self, rows: &[Row]) -> Vec<&str> {
        self.0.keys().map(String::as_str).filter(|name| rows.iter().all(|row| row.name != *name)).collect()
    }

    /// The rows whose figures it lacks.
    pub fn unknown<'r>(&self, rows: &'r [Row]) -> Vec<&'r str> {
        rows.iter().map(|row| row.name.as_str()).filter(|name| !self.0.contains_key(*name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, median: u64) -> Row {
        Row { name: name.into(), text: String::new(), figure: Figure { median, min: median, max: median } }
    }

    #[test]
    fn two_parts_in_a_hundred_are_tolerated_and_no_more() {
        let baseline = Baseline::default().with(&[row("read", 1000), row("fsync", 1000)]);
        assert_eq!(baseline.regressions(&[row("read", 1020), row("fsync", 1150), row("new", 9)]), []);
        let worse = Regression { row: "read".into(), old: 1000, new: 1021 };
        assert_eq!(baseline.regressions(&[row("read", 1021)]), std::slice::from_ref(&worse));
        assert_eq!(worse.to_string(), "read: 1021 instructions, 1000 before (+2.1 %)");
        assert_eq!(baseline.regressions(&[row("fsync", 1151)]).len(), 1);
    }

    #[test]
    fn a_baseline_takes_new_rows_and_drops_old_ones() {
        let baseline = Baseline::default().with(&[row("a", 1), row("b", 2)]).with(&[row("a", 3)]);
        assert_eq!(baseline.regressions(&[row("a", 3)]), []);
        assert_eq!(baseline.missing(&[row("b", 2)]), ["a"]);
        assert_eq!(baseline.clone().only(&[row("b", 2)]).unknown(&[row("a", 3), row("b", 2)]), ["a"]);
    }
}
