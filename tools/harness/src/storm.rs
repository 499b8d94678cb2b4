//! A storm: services are killed at random every few hundred milliseconds while clients work.
//!
//! 1. Rounds of the [`workload`](userland::workload), three clients each, follow each other; every line that they print and
//!    the records and files at the end must be what the model says.
//! 2. The same work is done undisturbed first, so that the rates can be compared, and then in a short storm, so that the
//!    memory audits before and after the long one can.
//! 3. The machine does not count instructions: its time is that of the host.

use crate::{
    Disk, Images, System,
    sweep::{
        Dice,
        expected::{Expected, LAST, beyond},
    },
};
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The services that are killed.
pub const SERVICES: [&str; 5] = ["fs", "block", "console", "pipe", "init"];
/// Steps of each client in a round.
const STEPS: usize = 200;
/// Clients of a round.
const CLIENTS: u64 = 3;
/// Milliseconds between two kills, at least and at most.
const PAUSE: (u64, u64) = (100, 500);
/// Size of the disk.
const DISK: u64 = 64 << 20;
/// The commands that kill.
const SCRIPT: &str = "/tmp/storm";
/// Rows of the audit that say what only holds for the moment; the filesystem's cache fills up, for one.
const MOMENTARY: [&str; 3] = ["free ", "contents ", "all "];
/// Rows that may differ by a few, as tables have room for more than is in them.
const TABLES: [&str; 3] = ["page tables ", "words ", "capabilities "];
/// This many. Were one lost with each death, it would be hundreds.
const SLACK: i64 = 12;

/// How much was done in what time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Steps of clients.
    pub steps: u64,
    /// The time.
    pub time: Duration,
}

impl Work {
    /// Steps a second.
    pub fn rate(&self) -> f64 {
        self.steps as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

/// What came of a storm in which all was right.
#[derive(Debug)]
pub struct Report {
    /// Undisturbed.
    pub calm: Work,
    /// During the storm.
    pub storm: Work,
    /// How often each service was killed.
    pub kills: BTreeMap<String, u64>,
    /// Pages by which the contents of memory objects have grown.
    pub growth: i64,
}

/// Works for `calm`, then for `storm` with kills, and checks everything.
pub fn run(calm: Duration, storm: Duration, seed: u64) -> Result<Report> {
    let images = Images::get()?;
    let directory = tempfile::Builder::new().prefix("tessera-storm-").tempdir()?;
    let disk = Disk::create(directory.path().join("disk.img"), DISK, &images.programs)?;
    disk.write(SCRIPT, kills(&mut Dice::new(seed), storm).as_bytes())?;
    let mut storming = Storm { system: System::builder().images(images).disk(&disk).boot()?, rounds: 0 };
    let calm = storming.work(calm)?;
    // The first deaths grow what servers keep for good.
    storming.disturbed_work(storm / 10)?;
    let before = storming.audit()?;
    let deaths = storming.deaths()?;
    let work = storming.disturbed_work(storm)?;
    let mut kills = storming.deaths()?;
    kills.iter_mut().for_each(|(service, count)| *count -= deaths.get(service).copied().unwrap_or(0));
    let growth = compare(&before, &storming.audit()?)?;
    let rounds = storming.rounds;
    storming.system.poweroff()?;
    check_disk(&disk, rounds, directory.path())?;
    Ok(Report { calm, storm: work, kills, growth })
}

/// Commands that kill for longer than `time`.
fn kills(dice: &mut Dice, time: Duration) -> String {
    let (least, most) = PAUSE;
    let count = 2 * time.as_millis() as u64 / (least + most) * 2 + 10;
    let kill = |_| {
        let service = SERVICES[dice.up_to(SERVICES.len() as u64) as usize - 1];
        format!("svc kill {service}; sleep 0.{:03}\n", least + dice.up_to(most - least))
    };
    (0..count).map(kill).collect()
}

struct Storm {
    system: System,
    rounds: u64,
}

impl Storm {
    /// Rounds for at least `time`.
    fn work(&mut self, time: Duration) -> Result<Work> {
        let (started, before) = (Instant::now(), self.rounds);
        while started.elapsed() < time {
            self.round()?;
        }
        Ok(Work { steps: (self.rounds - before) * CLIENTS * STEPS as u64, time: started.elapsed() })
    }

    /// The same, while services are killed.
    fn disturbed_work(&mut self, time: Duration) -> Result<Work> {
        self.system.run(&format!("sh {SCRIPT} > /tmp/killed & killer=$!"))?.success()?;
        let work = self.work(time)?;
        self.system.run("kill $killer; wait $killer")?;
        Ok(work)
    }

    /// Three clients, checked; only the files of the last round stay.
    fn round(&mut self) -> Result<()> {
        let numbers = numbers(self.rounds);
        let [first, second, third] = [0, 1, 2].map(|n| format!("workload {} {STEPS}", numbers.start() + n));
        let work = format!(
            "sh -c '{first} & a=$!; {second} & b=$!; {third} | cat & c=$!; \
             wait $a && wait $b && wait $c && echo {}'",
            LAST.trim_end().replace('0', "$?")
        );
        let text = self.system.run(&work).with_context(|| format!("in round {}", self.rounds))?.success()?.text();
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        lines.sort();
        let expected = Expected::of(numbers, STEPS).lines;
        let (less, more) = (beyond(&expected, &lines), beyond(&lines, &expected));
        ensure!(less.is_empty() && more.is_empty(), "round {}: missing {less:?}, too many {more:?}", self.rounds);
        if let Some(last) = self.rounds.checked_sub(1) {
            let old: Vec<String> = self::numbers(last).map(|number| format!("/home/w{number}")).collect();
            self.system.run(&format!("rm -r {}", old.join(" ")))?.success()?;
        }
        self.rounds += 1;
        Ok(())
    }

    fn audit(&mut self) -> Result<Vec<String>> {
        // The first one makes room for its own rows.
        self.system.run("svc audit")?.success()?;
        let text = self.system.run("svc audit")?.success()?.text();
        Ok(text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
    }

    /// How often each service has died: its incarnation, as `ps` shows it last.
    fn deaths(&mut self) -> Result<BTreeMap<String, u64>> {
        let text = self.system.run("ps")?.success()?.text();
        let row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = *words.get(1)?;
            Some((SERVICES.contains(&name).then(|| name.to_owned())?, words.last()?.parse().ok()?))
        };
        Ok(text.lines().filter_map(row).collect())
    }
}

/// The numbers of the workloads of a round.
fn numbers(round: u64) -> std::ops::RangeInclusive<u64> {
    1 + round * CLIENTS..=(round + 1) * CLIENTS
}

/// The growth of contents in pages; an error where objects have become more or fewer.
fn compare(before: &[String], after: &[String]) -> Result<i64> {
    let lasting = |rows: &[String]| -> Vec<String> {
        let is_lasting = |row: &&String| !MOMENTARY.iter().chain(&TABLES).any(|name| row.starts_with(name));
        rows.iter().filter(is_lasting).cloned().collect()
    };
    let of = |rows: &[String], name: &str| -> i64 {
        let row = rows.iter().find_map(|row| row.strip_prefix(name));
        row.and_then(|row| row.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let grown = |name: &str| of(after, name) - of(before, name);
    let balanced = lasting(before) == lasting(after) && TABLES.iter().all(|name| grown(name).abs() <= SLACK);
    ensure!(balanced, "the audit has drifted:\n{before:#?}\n{after:#?}");
    Ok(grown("contents "))
}

/// The files of the last round, and the records of all.
fn check_disk(disk: &Disk, rounds: u64, directory: &std::path::Path) -> Result<()> {
    let mut last = Expected::of(numbers(rounds - 1), STEPS);
    last.records = Expected::of(1..=rounds * CLIENTS, STEPS).records;
    last.check_files(disk, directory)?;
    disk.assert_sound()
}
