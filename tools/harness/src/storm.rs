//! A storm: services are killed at random every few hundred milliseconds while clients work.
//!
//! 1. Rounds of the [`workload`](userland::workload), three clients each, follow each other; every line that they print and
//!    the records and files at the end must be what the model says.
//! 2. The same work is done undisturbed first, so that the rates can be compared, and then in a short storm, so that the
//!    memory audits before and after the long one can.
//! 3. Both audits are taken at rest: every service is in a fresh incarnation, the shell is new, and the log is full of the
//!    same lines. Then nothing is a cache that may fill up: every object, every capability and every page of every account
//!    must be there again, and only init's heap may differ, by a few pages.
//! 4. The machine does not count instructions: its time is that of the host.

use crate::{
    Disk, Images, System,
    sweep::{
        Dice,
        expected::{Expected, LAST, beyond},
    },
    system::PROMPT,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use userland::holdings::{Holder, Holdings};

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
/// The commands that fill the log.
const FILL: &str = "/tmp/fill";
/// More than the lines that the log keeps.
const LINES: usize = 500;
/// After so many deaths the number of init's incarnation has four digits in every line that is kept.
const FILLS_AT_FIRST: usize = 3;
/// A file that does not fit into the filesystem's cache: who reads it has every page of the cache in use.
const LARGE: &str = "/large";
/// Its size.
const LARGE_BYTES: usize = 24 << 20;
/// Rows of the audit in which the heap of a program shows; those of all but init are compared account by account.
const OF_HEAPS: [&str; 6] = ["all", "free", "contents", "page tables", "words", "capabilities"];
/// Pages by which the heap of an incarnation of init may differ from that of another: the state that it saves has numbers
/// of no fixed length. A page lost in every sixty of its deaths would be more, as an audit has [`LINES`] of them before it.
const HEAP: u64 = 8;
/// Audits until two in a row are the same.
const SETTLING: u32 = 8;

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
    /// Pages in use, at rest: as many before the storm as after it.
    pub pages: u64,
}

/// Works for `calm`, then for `storm` with kills, and checks everything.
pub fn run(calm: Duration, storm: Duration, seed: u64) -> Result<Report> {
    let images = Images::get()?;
    let directory = tempfile::Builder::new().prefix("tessera-storm-").tempdir()?;
    let disk = Disk::create(directory.path().join("disk.img"), DISK, &images.programs)?;
    disk.write(SCRIPT, kills(&mut Dice::new(seed), storm).as_bytes())?;
    disk.write(FILL, "svc kill init\n".repeat(LINES).as_bytes())?;
    disk.write(LARGE, &vec![b'\n'; LARGE_BYTES])?;
    let mut storming = Storm { system: System::builder().images(images).disk(&disk).boot()?, rounds: 0 };
    for _ in 1..FILLS_AT_FIRST {
        storming.fill_log()?;
    }
    let calm = storming.work(calm)?;
    // The first deaths grow what servers keep for good.
    storming.disturbed_work(storm / 10)?;
    let before = storming.audit_at_rest()?;
    let deaths = storming.deaths()?;
    let work = storming.disturbed_work(storm)?;
    let mut kills = storming.deaths()?;
    kills.iter_mut().for_each(|(service, count)| *count -= deaths.get(service).copied().unwrap_or(0));
    let after = storming.audit_at_rest()?;
    ensure!(before.is_like(&after), "the audit has drifted; before the storm:\n{before}\nafter it:\n{after}");
    let rounds = storming.rounds;
    storming.system.poweroff()?;
    check_disk(&disk, rounds, directory.path())?;
    Ok(Report { calm, storm: work, kills, pages: after.pages() })
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

    /// The audit once everything that may fill up is empty, or full of the same.
    fn audit_at_rest(&mut self) -> Result<Audit> {
        self.fill_log()?;
        // The second one empties the journal of all that the first one has brought there.
        self.system.run("sync; touch /tmp/rest; sync")?.success()?;
        for service in ["block", "fs", "console", "pipe"] {
            self.system.run(&format!("svc restart {service}"))?.success()?;
        }
        // Takes the shell along, and with it the lines that it remembers and the images that it keeps.
        self.system.type_line("svc restart session")?;
        self.system.expect("\n")?;
        self.system.expect(PROMPT)?;
        self.system.run(&format!("wc -l {LARGE}; svc kill init"))?.success()?;
        // The first ones have the shell keep the images of both programs.
        let mut last = self.audit()?;
        for _ in 0..SETTLING {
            let next = self.audit()?;
            if last.is_like(&next) {
                return Ok(last);
            }
            last = next;
        }
        bail!("the machine does not come to rest: {last:?}")
    }

    /// Has every line of the log be one of init's.
    fn fill_log(&mut self) -> Result<()> {
        self.system.run(&format!("sh {FILL}"))?.success()?;
        Ok(())
    }

    fn audit(&mut self) -> Result<Audit> {
        let processes = self.system.run("ps")?.success()?.text();
        let holdings = self.system.run("svc caps --raw")?.success()?.text();
        let rows = self.system.run("svc audit")?.success()?.text();
        Audit::of(&rows, &processes, &holdings)
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

/// What there is of each kind, and what each process has paid for and holds.
#[derive(Debug, PartialEq, Eq)]
struct Audit {
    found: BTreeMap<String, u64>,
    kib: Vec<(String, u64)>,
    capabilities: BTreeMap<String, usize>,
    /// What each process holds, as `svc caps --raw` tells it.
    holdings: String,
}

impl Audit {
    /// Out of what `svc audit`, `ps` and `svc caps --raw` print.
    fn of(rows: &str, processes: &str, holdings: &str) -> Result<Audit> {
        let found = |row: &str| {
            let mut words: Vec<&str> = row.split_whitespace().collect();
            words.pop()?;
            let count = words.pop()?.parse().ok()?;
            Some((words.join(" "), count))
        };
        // PID NAME STATE THREADS PRIO KIB TIME STARTS
        let kib = |row: &str| {
            let words: Vec<&str> = row.split_whitespace().collect();
            Some(((*words.get(1)?).to_owned(), words.get(5)?.parse().ok()?))
        };
        let parsed = Holdings::parse(holdings).map_err(|line| anyhow!("`svc caps --raw` printed {line:?}"))?;
        let held = |holder: &Holder| {
            (holder.name.clone(), parsed.held.iter().filter(|held| held.process == holder.number).count())
        };
        Ok(Audit {
            found: rows.lines().filter_map(found).collect(),
            kib: processes.lines().filter_map(kib).collect(),
            capabilities: parsed.holders.iter().map(held).collect(),
            holdings: holdings.to_owned(),
        })
    }

    /// Pages in use.
    fn pages(&self) -> u64 {
        self.found.get("all").copied().unwrap_or(0)
    }

    /// Pages that init has paid for.
    fn init(&self) -> u64 {
        self.kib.iter().find(|(name, _)| name == "init").map_or(0, |(_, kib)| kib * 1024 / abi::PAGE_SIZE)
    }

    /// Everything in which init's heap has no part.
    fn lasting(&self) -> impl PartialEq {
        let found = self.found.iter().filter(|(kind, _)| !OF_HEAPS.contains(&kind.as_str()));
        let kib = self.kib.iter().filter(|(name, _)| name != "init");
        let others = self.pages() - self.init();
        (found.collect::<Vec<_>>(), kib.collect::<Vec<_>>(), &self.capabilities, others)
    }

    /// Whether nothing has become more or less.
    fn is_like(&self, other: &Audit) -> bool {
        self.lasting() == other.lasting() && self.init().abs_diff(other.init()) <= HEAP
    }
}

impl std::fmt::Display for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:?}\n{:?}\n{:?}\n{}", self.found, self.kib, self.capabilities, self.holdings.trim_end())
    }
}

/// The files of the last round, and the records of all.
fn check_disk(disk: &Disk, rounds: u64, directory: &std::path::Path) -> Result<()> {
    let mut last = Expected::of(numbers(rounds - 1), STEPS);
    last.records = Expected::of(1..=rounds * CLIENTS, STEPS).records;
    last.check_files(disk, directory)?;
    disk.assert_sound()
}

#[cfg(test)]
mod tests {
    use super::{Audit, HEAP};

    const ROWS: &str = "WHAT FOUND ACCOUNTED\nevents 5 5\npage tables 103 103\nall 5539 5539\n";
    const PROCESSES: &str = "PID NAME STATE THREADS PRIO KIB TIME STARTS\n  1 init event 2 31 1564 0:00.02 1\n  \
                             2 fs message 1 20 564 0:00.02 1\n";
    const HOLDINGS: &str = "process 1 init\nprocess 2 fs\ncapability 2 4294967297 2 1 28928 0 0 0 0 1 0 0 7 self\n";

    fn audit(change: impl Fn(&str) -> String) -> Audit {
        Audit::of(&change(ROWS), &change(PROCESSES), &change(HOLDINGS)).expect("they are well formed")
    }

    #[test]
    fn what_becomes_more_anywhere_is_a_drift() {
        let before = audit(str::to_owned);
        assert_eq!((before.pages(), before.init()), (5539, 391));
        assert!(before.is_like(&audit(|text| text.replace("0:00.02 1", "0:17.00 31"))), "time is no drift");
        let one_line_more = |text: &str| match text == HOLDINGS {
            true => format!("{text}{}", HOLDINGS.lines().last().unwrap_or_default()),
            false => text.to_owned(),
        };
        assert!(!before.is_like(&audit(one_line_more)), "a capability");
        for (what, from, to) in [
            ("an object", "events 5 5", "events 6 6"),
            ("a page of a service", "20 564 ", "20 568 "),
            ("a page in an account without a process", "all 5539 5539", "all 5540 5540"),
        ] {
            assert!(!before.is_like(&audit(|text| text.replace(from, to))), "{what}");
        }
    }

    #[test]
    fn the_heap_of_init_may_differ_by_a_few_pages_and_no_more() {
        let more = |pages: u64| {
            let (all, init) = (5539 + pages, 1564 + 4 * pages);
            audit(|text| text.replace("5539", &all.to_string()).replace("1564", &init.to_string()))
        };
        assert!(more(0).is_like(&more(HEAP)));
        assert!(!more(0).is_like(&more(HEAP + 1)));
    }
}
