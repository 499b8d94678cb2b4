//! What `cargo xtask test --latency` tells at its end.

use anyhow::Result;
use harness::latency::{LIMIT, noted};
use std::{collections::BTreeMap, fs, path::Path};

/// Tells the longest stretch without interrupts of each way into the kernel, with the test whose machine had it. The folder
/// has a file for each test. Whether there was any, and all were below the limit.
pub fn tell(folder: &Path) -> Result<bool> {
    let (mut worst, mut told, mut silent) = (BTreeMap::<String, (u64, String)>::new(), 0, 0);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let test = entry.file_name().to_string_lossy().into_owned();
        let (stretches, without) = noted(&fs::read_to_string(entry.path())?);
        silent += without;
        told += usize::from(!stretches.is_empty());
        for stretch in stretches {
            let longest = worst.entry(stretch.what).or_default();
            if stretch.ticks > longest.0 {
                *longest = (stretch.ticks, test.clone());
            }
        }
    }
    let mut ways: Vec<(&String, &(u64, String))> = worst.iter().collect();
    ways.sort_by_key(|(_, (ticks, _))| std::cmp::Reverse(*ticks));
    println!("longest stretches with interrupts off, instructions, of {told} tests ({silent} machines told nothing):");
    for (what, (ticks, test)) in &ways {
        println!("{ticks:>9}  {what:<20} {test}");
    }
    Ok(ways.first().is_some_and(|(_, (ticks, _))| *ticks < LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_measurement_is_no_success_and_neither_is_a_stretch_that_is_too_long() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        assert!(!tell(folder.path()).expect("it is read"));
        fs::write(folder.path().join("a test"), "70000 the reaper\n0 nothing\n").expect("it is written");
        assert!(tell(folder.path()).expect("it is read"));
        fs::write(folder.path().join("b test"), format!("{LIMIT} Revoke\n")).expect("it is written");
        assert!(!tell(folder.path()).expect("it is read"));
    }
}
