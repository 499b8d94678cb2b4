//! A workload that uses every operation of the filesystem, with a model of what it must leave behind.
//!
//! Invariants:
//! 1. What it does depends on its number alone: the same steps, in the same order, with the same results.
//! 2. Every step is checked against the model: an operation that happened twice, or not at all, is seen at once.
//! 3. The model needs no system: the host says with it what a run prints, and what it leaves on the disk.

use alloc::collections::BTreeMap;
use alloc::{format, string::String, vec::Vec};

/// Bytes of the largest file, roughly.
const LARGEST: u64 = 24 << 10;
/// Steps between two lines of output.
const STRIDE: usize = 8;
/// How often it appends to the log that all share.
const SHARED_EVERY: usize = 4;

/// One thing to do. Paths are relative to the workload's own directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a file that must not be there yet, with this content.
    Create(String, Vec<u8>),
    /// Try the same where there is one: refused.
    CreateAgain(String),
    /// Write into a file.
    Write(String, u64, Vec<u8>),
    /// Write to its end.
    Append(String, Vec<u8>),
    /// Set its size.
    Truncate(String, u64),
    /// Rename a file; one that has the new name goes.
    Rename(String, String),
    /// Remove a file.
    Unlink(String),
    /// Make a directory.
    Mkdir(String),
    /// Remove an empty directory.
    Rmdir(String),
    /// Try to remove one that is not empty: refused.
    RmdirFull(String),
    /// Read all of it, and compare.
    Read(String),
    /// Ask for its size.
    Stat(String),
    /// Compare the names in a directory (the empty path: the workload's own).
    List(String),
    /// Bring a file to the disk.
    Sync(String),
}

/// Files by path, and directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The contents.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The directories below the top.
    pub directories: Vec<String>,
}

impl Model {
    /// The names in a directory, sorted.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let all = self.files.keys().chain(&self.directories);
        let mut names: Vec<String> = all
            .filter_map(|path| match (directory, path.rsplit_once('/')) {
                ("", None) => Some(path.clone()),
                (directory, Some((parent, name))) if parent == directory => Some(name.into()),
                _ => None,
            })
            .collect();
        names.sort();
        names
    }

    /// What a step does.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(path, bytes) => {
                self.files.insert(path.clone(), bytes.clone());
            }
            Step::Write(path, at, bytes) => self.write(path, *at as usize, bytes),
            Step::Append(path, bytes) => self.write(path, self.files.get(path).map_or(0, Vec::len), bytes),
            Step::Truncate(path, size) => {
                self.files.entry(path.clone()).or_default().resize(*size as usize, 0);
            }
            Step::Rename(from, to) => {
                let content = self.files.remove(from).unwrap_or_default();
                self.files.insert(to.clone(), content);
            }
            Step::Unlink(path) => {
                self.files.remove(path);
            }
            Step::Mkdir(path) => self.directories.push(path.clone()),
            Step::Rmdir(path) => self.directories.retain(|directory| directory != path),
            Step::CreateAgain(_) | Step::RmdirFull(_) | Step::Read(_) => {}
            Step::Stat(_) | Step::List(_) | Step::Sync(_) => {}
        }
    }

    fn write(&mut self, path: &str, at: usize, bytes: &[u8]) {
        let file = self.files.entry(path.into()).or_default();
        file.resize(file.len().max(at + bytes.len()), 0);
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A number that says it all.
    pub fn digest(&self) -> u64 {
        let mut digest = 0xcbf2_9ce4_8422_2325u64;
        let mut feed = |bytes: &[u8]| {
            for byte in bytes {
                digest = (digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
        };
        for (path, content) in &self.files {
            feed(path.as_bytes());
            feed(&(content.len() as u64).to_le_bytes());
            feed(content);
        }
        self.directories.iter().for_each(|directory| feed(directory.as_bytes()));
        digest
    }
}

/// The steps of one workload, and the model after those that were given out.
#[derive(Clone, Debug)]
pub struct Script {
    number: u64,
    state: u64,
    left: usize,
    done: usize,
    /// What must be there now.
    pub model: Model,
}

impl Script {
    /// Workload `number` of `steps` steps.
    pub fn new(number: u64, steps: usize) -> Script {
        let state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Script { number, state, left: steps, done: 0, model: Model::default() }
    }

    /// Its directory's name.
    pub fn directory(&self) -> String {
        format!("w{}", self.number)
    }

    /// The line that it prints now, if it does.
    pub fn line(&self) -> Option<String> {
        let due = self.done.is_multiple_of(STRIDE) || self.left == 0;
        due.then(|| format!("workload {}: {} steps, {:016x}\n", self.number, self.done, self.model.digest()))
    }

    /// The record that it appends to the shared log now, if it does.
    pub fn record(&self) -> Option<String> {
        let due = self.done.is_multiple_of(SHARED_EVERY);
        due.then(|| format!("record {} {:04} {:016x}\n", self.number, self.done, self.model.digest()))
    }

    /// All that the run leaves: the model at its end, its output, its records.
    pub fn run(mut self) -> (Model, Vec<String>, Vec<String>) {
        let (mut lines, mut records) = (Vec::new(), Vec::new());
        while self.next().is_some() {
            lines.extend(self.line());
            records.extend(self.record());
        }
        (self.model, lines, records)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % limit.max(1)
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = 1 + self.below(most);
        let first = self.below(256);
        (0..length).map(|n| (first + n + (n >> 8)) as u8).collect()
    }

    fn file(&mut self) -> Option<String> {
        let at = self.below(self.model.files.len() as u64) as usize;
        self.model.files.keys().nth(at).cloned()
    }

    /// A path that nothing has yet, most of the time in some directory.
    fn fresh(&mut self, kind: char) -> String {
        let number = self.done;
        let at = self.below(self.model.directories.len() as u64 + 1) as usize;
        match self.model.directories.get(at).filter(|_| kind == 'f') {
            Some(directory) => format!("{directory}/{kind}{number}"),
            None => format!("{kind}{number}"),
        }
    }

    fn directory_that(&self, empty: bool) -> Option<String> {
        self.model.directories.iter().find(|directory| self.model.names(directory).is_empty() == empty).cloned()
    }

    fn choose(&mut self) -> Option<Step> {
        Some(match self.below(16) {
            0 | 1 => Step::Create(self.fresh('f'), self.bytes(6000)),
            2 => Step::CreateAgain(self.file()?),
            3 | 4 => {
                let path = self.file()?;
                let size = self.model.files.get(&path).map_or(0, Vec::len) as u64;
                Step::Write(path, self.below(LARGEST.min(size + 5000)), self.bytes(9000))
            }
            5 | 6 => Step::Append(self.file()?, self.bytes(5000)),
            7 => Step::Truncate(self.file()?, self.below(LARGEST / 2)),
            8 => Step::Rename(self.file()?, self.fresh('f')),
            9 => {
                let (from, to) = (self.file()?, self.file()?);
                if from == to { Step::Stat(from) } else { Step::Rename(from, to) }
            }
            10 => Step::Unlink(self.file()?),
            11 if self.model.directories.len() < 3 => Step::Mkdir(self.fresh('d')),
            11 => Step::Rmdir(self.directory_that(true)?),
            12 => Step::RmdirFull(self.directory_that(false)?),
            13 => Step::Read(self.file()?),
            14 => Step::List(self.model.directories.last().cloned().unwrap_or_default()),
            _ => Step::Sync(self.file()?),
        })
    }
}

impl Iterator for Script {
    type Item = Step;

    /// The next step; the model has made it already.
    fn next(&mut self) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        self.done += 1;
        let step = match self.choose() {
            Some(step) => step,
            None => Step::Create(self.fresh('f'), self.bytes(6000)),
        };
        self.model.apply(&step);
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::discriminant;

    #[test]
    fn a_workload_is_the_same_each_time_and_another_one_is_different() {
        let run = |number| Script::new(number, 60).run();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).0, run(2).0);
    }

    #[test]
    fn three_workloads_use_every_operation() {
        let steps: Vec<Step> = (1..=3).flat_map(|number| Script::new(number, 60)).collect();
        let mut kinds = Vec::new();
        for step in &steps {
            if !kinds.contains(&discriminant(step)) {
                kinds.push(discriminant(step));
            }
        }
        assert_eq!(kinds.len(), 14, "{steps:?}");
    }

    #[test]
    fn steps_that_must_succeed_find_what_they_need() {
        for number in 0..50 {
            let mut script = Script::new(number, 100);
            loop {
                let before = script.model.clone();
                let Some(step) = script.next() else { break };
                let there = |path: &String| before.files.contains_key(path);
                let fits = match &step {
                    Step::Create(path, _) => !there(path) && !before.directories.contains(path),
                    Step::Rename(from, to) => there(from) && from != to,
                    Step::Mkdir(path) => !before.directories.contains(path),
                    Step::Rmdir(path) => before.directories.contains(path) && before.names(path).is_empty(),
                    Step::RmdirFull(path) => !before.names(path).is_empty(),
                    Step::List(path) => path.is_empty() || before.directories.contains(path),
                    Step::CreateAgain(path) | Step::Unlink(path) | Step::Read(path) | Step::Stat(path) => there(path),
                    Step::Sync(path) | Step::Truncate(path, _) | Step::Append(path, _) => there(path),
                    Step::Write(path, ..) => there(path),
                };
                assert!(fits, "{step:?} on {before:?}");
            }
        }
    }
}
