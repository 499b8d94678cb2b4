//! Sweeps: one workload, run again and again, each time with a service killed at another point of its work.
//!
//! 1. A run's work is the same each time: three clients with every operation of the filesystem, one of them behind a
//!    pipe, a shell that waits for them, the console that shows it all.
//! 2. A run is right if the kill has struck, every line of output came exactly once, the status is 0, the disk holds
//!    what the model says to the byte, and is sound.
//! 3. The session is different: its shell and all that it runs end with it. Then the run is right if that is said, nothing
//!    came twice, the disk is sound, and each client has left what it had done up to some step.
//! 4. Points are counted in kernel entries, messages and replies, never in time.

pub mod expected;

use crate::{Disk, Images, System, system::Output};
use anyhow::{Context, Result, bail, ensure};
use expected::{Expected, SESSION};
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// Clients at work at once.
const CLIENTS: u64 = 3;
/// Steps of each.
const STEPS: usize = 40;
/// Size of the disk.
const DISK: u64 = 32 << 20;
/// Name of the image in its directory.
const IMAGE: &str = "disk.img";
/// MiB of RAM. Little, so that files do not all fit into the cache, and so that it has few pages: each one that is touched
/// for the first time is an entry.
const MEMORY: u32 = 32;
/// How long a run may take; it takes a second.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the shell finds its commands.
const SCRIPT: &str = "/tmp/script";

/// Where in its work a service dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At a system call or exception, before anything is done about it.
    Entry,
    /// When it has been given a message.
    Message,
    /// Before a reply leaves.
    BeforeReply,
    /// After it has left.
    AfterReply,
}

impl Place {
    /// All of them.
    pub const ALL: [Place; 4] = [Place::Entry, Place::Message, Place::BeforeReply, Place::AfterReply];

    fn word(self) -> &'static str {
        match self {
            Place::Entry => "entry",
            Place::Message => "message",
            Place::BeforeReply => "before-reply",
            Place::AfterReply => "after-reply",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Place {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Place> {
        let found = Place::ALL.into_iter().find(|place| place.word() == text);
        found.with_context(|| format!("{text}: not one of entry, message, before-reply, after-reply"))
    }
}

/// One death: which service, where, and at which count (from the death before, for a second one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The service.
    pub service: String,
    /// Where.
    pub place: Place,
    /// At which.
    pub at: u64,
}

/// The deaths of one run, in their order; as text, the value of the kernel's `kill=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deaths(pub Vec<Point>);

impl fmt::Display for Deaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Point { service, place, at }) in self.0.iter().enumerate() {
            let (comma, plus) = if n == 0 { ("", "") } else { (",", "+") };
            write!(f, "{comma}{service}@{place}:{plus}{at}")?;
        }
        Ok(())
    }
}

/// What one service does in an undisturbed run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernel entries.
    pub entries: u64,
    /// Messages that it is given.
    pub messages: u64,
    /// Replies that it gives.
    pub replies: u64,
    /// How often it was killed.
    pub kills: u64,
}

impl Counts {
    /// Number of points of a kind.
    pub fn of(&self, place: Place) -> u64 {
        match place {
            Place::Entry => self.entries,
            Place::Message => self.messages,
            Place::BeforeReply | Place::AfterReply => self.replies,
        }
    }
}

/// What the kernel says at power-off under `count=1`.
pub(crate) fn counts_of(log: &str) -> BTreeMap<String, Counts> {
    let lines = log.lines().filter_map(|line| line.split_once("kernel: points of ")?.1.split_once(": "));
    lines
        .filter_map(|(name, numbers)| {
            let mut numbers = numbers.split(' ').filter_map(|word| word.parse().ok());
            let mut next = || numbers.next();
            let counts = Counts { entries: next()?, messages: next()?, replies: next()?, kills: next()? };
            Some((name.to_owned(), counts))
        })
        .collect()
}

/// The workload, and everything that a run needs.
#[derive(Debug)]
pub struct Sweep {
    images: Images,
    /// Holds the image that every run begins with.
    directory: tempfile::TempDir,
    steps: usize,
    expected: Expected,
}

impl Sweep {
    /// Builds the images, a disk to begin with, and the model.
    pub fn prepare() -> Result<Sweep> {
        Sweep::of_steps(STEPS)
    }

    /// The same with another number of steps for each client.
    pub fn of_steps(steps: usize) -> Result<Sweep> {
        let images = Images::get()?;
        let directory = tempfile::Builder::new().prefix("tessera-sweep-").tempdir()?;
        let disk = Disk::create(directory.path().join(IMAGE), DISK, &images.programs)?;
        // A long script has no room on the command line.
        disk.write(SCRIPT, command(steps, "").as_bytes())?;
        Ok(Sweep { images, directory, steps, expected: Expected::of(1..=CLIENTS, steps) })
    }

    /// The points of every service, from an undisturbed run.
    pub fn count(&self) -> Result<BTreeMap<String, Counts>> {
        let counts = self.run_with(None)?;
        ensure!(counts.contains_key("fs"), "the kernel told no counts");
        Ok(counts)
    }

    /// One run with these deaths. Whether all of them struck; an error says all that is wrong.
    pub fn run(&self, deaths: &Deaths) -> Result<bool> {
        let counts = self.run_with(Some(deaths)).with_context(|| repeat_with(deaths))?;
        Ok(counts.values().map(|counts| counts.kills).sum::<u64>() == deaths.0.len() as u64)
    }

    fn run_with(&self, deaths: Option<&Deaths>) -> Result<BTreeMap<String, Counts>> {
        let word = deaths.map(|deaths| format!("kill={deaths}"));
        Ok(counts_of(&self.run_words(word.as_slice(), "")?.log))
    }

    /// One run with these words on the kernel's command line, and with `meanwhile` (commands that print nothing, each
    /// with its `;`) in the shell while the clients work. What came of it is right, or this is an error.
    pub fn run_words(&self, words: &[String], meanwhile: &str) -> Result<Output> {
        let directory = tempfile::Builder::new().prefix("tessera-sweep-").tempdir()?;
        let image = directory.path().join(IMAGE);
        crate::disk::copy_sparse(&self.directory.path().join(IMAGE), &image)?;
        let disk = Disk::open(&image)?;
        let builder = System::builder().images(self.images.clone()).disk(&disk).memory(MEMORY);
        let mut builder = builder.patience(PATIENCE).word("count=1");
        for word in words {
            builder = builder.word(word);
        }
        if !meanwhile.is_empty() {
            disk.write(SCRIPT, command(self.steps, meanwhile).as_bytes())?;
        }
        let output = builder.exec(&format!("sh {SCRIPT}"))?;
        if output.status != 0 && output.kills(SESSION) > 0 {
            self.expected.check_interrupted(&output, &disk, directory.path())?;
        } else {
            self.expected.check_output(&output)?;
            self.expected.check_files(&disk, directory.path())?;
        }
        disk.assert_sound()?;
        Ok(output)
    }
}

/// The shell's command; `meanwhile` is run while the clients work.
fn command(steps: usize, meanwhile: &str) -> String {
    let work = |number| format!("workload {number} {steps}");
    let (first, second, last) = (work(1), work(2), work(3));
    format!(
        "{first} & a=$!; {second} & b=$!; {last} | cat & c=$!; {meanwhile} \
         wait $a && wait $b && wait $c && echo all ended with $?"
    )
}

/// The command that repeats a run.
fn repeat_with(deaths: &Deaths) -> String {
    format!("repeat it with: cargo xtask sweep --only '{deaths}'")
}

/// The services that a sweep kills unless said otherwise.
pub const SERVICES: [&str; 6] = ["fs", "block", "console", "pipe", "init", SESSION];
/// Kernel entries within which a second death follows, at most; at most a sixth of all that the service makes, too.
const SOON: u64 = 150;

impl Deaths {
    /// Two deaths: one anywhere, the other soon after it, of any service, while the first is recovered from.
    pub fn pair(dice: &mut Dice, counts: &BTreeMap<String, Counts>) -> Deaths {
        let mut service = || SERVICES[dice.up_to(SERVICES.len() as u64) as usize - 1].to_owned();
        let (first, second) = (service(), service());
        let place = Place::ALL[dice.up_to(Place::ALL.len() as u64) as usize - 1];
        let at = dice.up_to(counts.get(&first).map_or(1, |counts| counts.of(place)));
        let first = Point { service: first, place, at };
        let soon = counts.get(&second).map_or(1, |counts| SOON.min(counts.entries / 6));
        Deaths(vec![first, Point { service: second, place: Place::Entry, at: dice.up_to(soon) }])
    }
}

impl FromStr for Deaths {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Deaths> {
        let point = |text: &str| {
            let (service, rest) = text.split_once('@')?;
            let (place, at) = rest.split_once(':')?;
            let at = at.trim_start_matches('+').parse().ok()?;
            Some(Point { service: service.to_owned(), place: place.parse().ok()?, at })
        };
        let points: Option<Vec<Point>> = text.split(',').map(point).collect();
        match points {
            Some(points) => Ok(Deaths(points)),
            None => bail!("{text}: not of the form NAME@WHERE:N[,NAME@WHERE:+N]"),
        }
    }
}

/// Numbers for sampling: the same for the same seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// With this seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
    /// From 1 to `limit`.
    pub fn up_to(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_written_as_they_are_read() {
        let text = "fs@entry:12,block@before-reply:+3";
        let deaths: Deaths = text.parse().expect("it is well formed");
        assert_eq!(deaths.to_string(), text);
        for bad in ["", "fs", "fs@x:1", "fs@entry:", "fs@entry:1,"] {
            assert!(bad.parse::<Deaths>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_kernel_s_counts_are_read() {
        let log = "x\nkernel: points of fs: 12 3 2 kills 1\nkernel: points of a: 1\n";
        let counts = counts_of(log);
        assert_eq!(counts.len(), 1);
        assert_eq!(counts["fs"], Counts { entries: 12, messages: 3, replies: 2, kills: 1 });
    }
}
