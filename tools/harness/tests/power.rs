//! The power is cut at random moments: the disk mounts, is sound, and shows what was acknowledged.

use harness::{Disk, Result, System, sweep::Dice, system::SCRATCH};
use std::time::Duration;

const CUTS: u64 = 8;
/// Versions that are written in one boot, at most.
const VERSIONS: u64 = 60;
const SEED: u64 = 5;

/// Writes versions from `first` on: each beside the old one, safely, and then in its place.
fn script(first: u64) -> String {
    let version = |n| format!("echo version {n} > /home/new; sync; mv /home/new /home/file; sync; echo synced {n}\n");
    (first..first + VERSIONS).map(version).collect()
}

/// The number at the end of the last line of `text` that begins so.
fn last(text: &str, beginning: &str) -> Option<u64> {
    text.lines().rev().find_map(|line| line.trim_end().strip_prefix(beginning)?.parse().ok())
}

#[test]
fn what_was_synced_or_renamed_and_synced_is_there_whenever_the_power_is_cut() -> Result<()> {
    let (disk, mut dice) = (Disk::scratch(SCRATCH)?, Dice::new(SEED));
    for cut in 0..CUTS {
        disk.write(&format!("/home/script{cut}"), script(cut * VERSIONS + 1).as_bytes())?;
    }
    let mut acknowledged = 0;
    for cut in 0..CUTS {
        // The machine itself plays the journal that the cut before has left.
        let mut system = System::builder().disk(&disk).boot()?;
        system.type_line(&format!("sh /home/script{cut}"))?;
        system.expect(&format!("synced {}\r\n", cut * VERSIONS + dice.up_to(VERSIONS / 2)))?;
        std::thread::sleep(Duration::from_micros(dice.up_to(40_000)));
        let log = system.kill();
        acknowledged = last(&log, "synced ").unwrap_or(acknowledged);
        disk.assert_sound()?;
        let content = String::from_utf8_lossy(&disk.read("/home/file")?).into_owned();
        let found = last(&content, "version ").unwrap_or(0);
        assert_eq!(content, format!("version {found}\n"), "a version is there as a whole");
        assert!(found >= acknowledged, "version {found}, though {acknowledged} was acknowledged");
    }
    // What the cuts have left is of use.
    System::builder().disk(&disk).exec("cp /home/file /home/copy")?.success()?;
    assert_eq!(disk.read("/home/copy")?, disk.read("/home/file")?);
    disk.assert_sound()
}
