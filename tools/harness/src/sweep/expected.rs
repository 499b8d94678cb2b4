//! What a run of the workload must show and leave behind, by its model.

use crate::{Disk, system::Output};
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
};
use userland::workload::{Model, Script, Step};

/// What the shell says at the end.
pub const LAST: &str = "all ended with 0\n";
/// The service with which the running command ends.
pub const SESSION: &str = "session";
/// What is said then.
const NOT_KNOWN: &str = "died while the command ran; how far it came is not known";
/// Status of a command that is given up because its session died.
const GIVEN_UP: i32 = 125;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The output, files and records of some workloads.
#[derive(Debug)]
pub struct Expected {
    numbers: RangeInclusive<u64>,
    steps: usize,
    /// Every line that must come, sorted; [`LAST`] is one.
    pub lines: Vec<String>,
    /// Every file that must be there, relative to `/home`.
    pub files: Files,
    /// Every record of the shared log, sorted.
    pub records: Vec<String>,
}

impl Expected {
    /// Of the workloads with these numbers, of so many steps each.
    pub fn of(numbers: RangeInclusive<u64>, steps: usize) -> Expected {
        let (mut lines, mut records, mut files) = (vec![LAST.to_owned()], Vec::new(), Files::new());
        for number in numbers.clone() {
            let script = Script::new(number, steps);
            let directory = script.directory();
            let (model, said, noted) = script.run();
            lines.extend(said);
            records.extend(noted);
            files.extend(placed(&directory, model));
        }
        lines.sort();
        records.sort();
        Expected { numbers, steps, lines, files, records }
    }

    /// Whether all came, each line once, and no error. A session that dies when it has told the status may say that it
    /// died; the status stands.
    pub fn check_output(&self, output: &Output) -> Result<()> {
        let mut errors = output.error_text();
        if output.kills(SESSION) > 0 {
            errors = errors.lines().filter(|line| !line.ends_with(NOT_KNOWN)).collect();
        }
        let lines = sorted_lines(&output.text());
        ensure!(
            output.status == 0 && lines == self.lines && errors.is_empty(),
            "status {}\nmissing lines: {:?}\nlines too many: {:?}\nerrors: {errors}\nlog: {}",
            output.status,
            beyond(&self.lines, &lines),
            beyond(&lines, &self.lines),
            output.log
        );
        Ok(())
    }

    /// Whether the disk holds these files and records, to the byte, and no others. `directory` is for copies.
    pub fn check_files(&self, disk: &Disk, directory: &Path) -> Result<()> {
        let mut found = read_tree(disk, directory)?;
        let log = found.remove(Path::new("log")).context("the shared log is missing")?;
        let records = sorted_lines(&String::from_utf8_lossy(&log));
        let (less, more) = (beyond(&self.records, &records), beyond(&records, &self.records));
        ensure!(records == self.records, "the shared log lacks {less:?} and has {more:?} too many");
        let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
        let (is, should) = (names(&found), names(&self.files));
        ensure!(is == should, "missing files: {:?}; files too many: {:?}", beyond(&should, &is), beyond(&is, &should));
        for (path, content) in &found {
            ensure!(*content == self.files[path], "{} has other bytes than it must", path.display());
        }
        Ok(())
    }

    /// The session died, and the command with it: whether it is said so, no line or record came twice, and each workload
    /// has left what it had done up to some step.
    pub fn check_interrupted(&self, output: &Output, disk: &Disk, directory: &Path) -> Result<()> {
        let (lines, said) = (sorted_lines(&output.text()), output.error_text());
        let more = beyond(&lines, &self.lines);
        ensure!(
            output.status == GIVEN_UP && more.is_empty() && said.contains(NOT_KNOWN),
            "status {}\nlines too many: {more:?}\nerrors: {said}\nlog: {}",
            output.status,
            output.log
        );
        let mut found = read_tree(disk, directory)?;
        let log = found.remove(Path::new("log")).unwrap_or_default();
        let records = sorted_lines(&String::from_utf8_lossy(&log));
        let more = beyond(&records, &self.records);
        ensure!(more.is_empty(), "the shared log has {more:?} too many");
        for number in self.numbers.clone() {
            let script = Script::new(number, self.steps);
            let own = Path::new(&script.directory()).to_owned();
            let is: Files = found.extract_if(.., |path, _| path.starts_with(&own)).collect();
            let noted = records.iter().filter(|record| record.starts_with(&format!("record {number} "))).count();
            let at = reached(script, &is).with_context(|| format!("{} is as after no step: {is:?}", own.display()))?;
            ensure!(at.1 >= noted && at.0 <= noted, "{} is as after {at:?} records, not {noted}", own.display());
        }
        ensure!(found.is_empty(), "files too many: {:?}", found.keys());
        Ok(())
    }
}

/// A workload's files, relative to `/home`.
fn placed(directory: &str, model: Model) -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    model.files.into_iter().map(move |(path, content)| (Path::new(directory).join(path), content))
}

/// How many records a workload may have noted that has left these files: least and most. `None`: it leaves others after
/// every step.
fn reached(mut script: Script, is: &Files) -> Option<(usize, usize)> {
    let directory = script.directory();
    let mut range: Option<(usize, usize)> = None;
    let mut noted = 0;
    loop {
        let now: Files = placed(&directory, script.model.clone()).collect();
        if now == *is {
            // The record of this step may be there or not.
            let least = noted - usize::from(script.record().is_some() && noted > 0);
            range = Some((range.map_or(least, |range| range.0), noted));
        }
        let Some(step) = script.next() else { return range };
        // A file is made, and then written: between the two it is empty.
        if let Step::Create(path, _) = &step {
            let mut half = now;
            half.insert(Path::new(&directory).join(path), Vec::new());
            if half == *is {
                range = Some((range.map_or(noted, |range| range.0), noted));
            }
        }
        noted += usize::from(script.record().is_some());
    }
}

fn sorted_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The elements of `some` that are not in `others`, as often as they are there more often. Both are sorted.
pub fn beyond<T: Ord + Clone>(some: &[T], others: &[T]) -> Vec<T> {
    let mut rest = others.to_vec();
    let gone = |one: &&T| match rest.binary_search(one) {
        Ok(at) => {
            rest.remove(at);
            false
        }
        Err(_) => true,
    };
    some.iter().filter(gone).cloned().collect()
}

/// All files below `/home`.
fn read_tree(disk: &Disk, directory: &Path) -> Result<Files> {
    let disk = disk.readable()?;
    let target = directory.join("tree");
    std::fs::create_dir(&target)?;
    let request = format!("rdump /home {}", target.display());
    let output = Command::new("debugfs").args(["-R", &request]).arg(disk.path()).output()?;
    ensure!(output.status.success(), "debugfs cannot read the disk");
    let mut files = BTreeMap::new();
    let base = target.join("home");
    let mut open = vec![base.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(path.strip_prefix(&base)?.to_owned(), std::fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_double_is_found() {
        assert_eq!(beyond(&[1, 2, 2, 3], &[2, 3, 4]), [1, 2]);
        assert_eq!(beyond(&[2, 3, 4], &[1, 2, 2, 3]), [4]);
    }

    #[test]
    fn what_a_workload_has_left_tells_how_far_it_came() {
        let (mut script, mut noted) = (Script::new(1, 40), 0);
        let directory = script.directory();
        while script.next().is_some() {
            noted += usize::from(script.record().is_some());
            let left: Files = placed(&directory, script.model.clone()).collect();
            let (least, most) = reached(Script::new(1, 40), &left).expect("it was so after this step");
            assert!(least <= noted && noted <= most);
        }
        let strange = Files::from([(Path::new(&directory).join("strange"), vec![1])]);
        assert_eq!(reached(Script::new(1, 40), &strange), None);
        assert_eq!(reached(Script::new(1, 40), &Files::new()).map(|range| range.0), Some(0));
    }
}
