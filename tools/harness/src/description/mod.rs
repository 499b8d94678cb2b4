//! `system.toml`: read, checked, and turned into [`manifest::System`].
//!
//! What [`parse`] returns holds all that the `manifest` crate promises of a packed system. Whatever is wrong is told
//! all at once, each with its place in the file.

mod amount;
mod device;
mod queue;
mod raw;
#[cfg(test)]
mod tests;

pub use amount::size;

use crate::diagnostic::Problem;
use manifest::{Amount, Device, Persistent, Programs, Restart, Service, System};
use queue::Queues;
use raw::text;
use std::{fmt, ops::Range};

const PRIORITIES: std::ops::RangeInclusive<i64> = 0..=31;

/// What is wrong with a description, or only strange about it.
#[derive(Debug)]
pub struct Complaints {
    file: String,
    text: String,
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

impl Complaints {
    fn new(file: &str, text: &str, mut problems: Vec<Problem>) -> Complaints {
        problems.sort_by_key(|problem| problem.at.start);
        Complaints { file: file.to_owned(), text: text.to_owned(), problems }
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.problems.iter().map(|problem| problem.render(&self.file, &self.text)).collect();
        f.write_str(shown.join("\n").trim_end())
    }
}

/// A description that cannot be used.
#[derive(Debug)]
pub struct BadDescription(pub Complaints);

impl fmt::Display for BadDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BadDescription {}

/// A description that can be used.
#[derive(Debug)]
pub struct Description {
    /// What it says.
    pub system: System,
    /// What in it is of no use.
    pub warnings: Complaints,
}

/// Reads a description. `binaries` are the programs that the boot image can hold.
pub fn parse(file: &str, text: &str, binaries: &[String]) -> Result<Description, BadDescription> {
    let fail = |problems: Vec<Problem>| BadDescription(Complaints::new(file, text, problems));
    let raw: raw::System = toml::from_str(text).map_err(|error| fail(vec![syntax(&error)]))?;
    let mut check = Check { problems: Vec::new(), warnings: Vec::new(), binaries, machine: u64::MAX };
    let system = check.system(&raw);
    if !check.problems.is_empty() {
        return Err(fail(check.problems));
    }
    Ok(Description { system, warnings: Complaints::new(file, text, check.warnings) })
}

/// What TOML or serde complains of; an unknown key gets the nearest known one.
fn syntax(error: &toml::de::Error) -> Problem {
    let problem = Problem::new(error.span().unwrap_or(0..0), error.message().replace('\n', ": "));
    let quoted: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
    match quoted.as_slice() {
        [unknown, known @ ..] if error.message().starts_with("unknown field") => {
            Problem { message: format!("unknown key `{unknown}`"), ..problem }.suggest(unknown, known.iter().copied())
        }
        [missing] if error.message().starts_with("missing field") => {
            Problem { message: format!("the key `{missing}` is missing here"), ..problem }
        }
        _ => problem,
    }
}

/// Turns raw values into checked ones. A wrong value becomes a problem and some harmless stand-in, so that the rest
/// is still looked at.
struct Check<'a> {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    binaries: &'a [String],
    /// Pages of the machine.
    machine: u64,
}

impl Check<'_> {
    fn system(&mut self, raw: &raw::System) -> System {
        let queues = self.queue_names(raw);
        let memory_pages = match self.amount(&raw.system.memory) {
            Amount::Pages(pages) => pages,
            Amount::Percent(_) | Amount::PercentUpTo(..) => {
                self.wrong(raw.system.memory.span(), "the machine's memory is a size, such as \"32M\"", u64::MAX)
            }
        };
        self.machine = memory_pages;
        let mut devices = self.devices(raw);
        let mut services = Vec::new();
        for name in self.start_order(raw) {
            let devices = devices.remove(text(name)).unwrap_or_default();
            services.push(self.service(name, &raw.service[name], devices, &queues));
        }
        let memory = self.quota(&raw.programs.memory);
        let programs = Programs {
            memory,
            stack_pages: self.stack(&raw.programs.stack, memory),
            priority: self.priority(&raw.programs.priority),
            uses: self.uses(&raw.programs.uses, &queues),
        };
        let system = System { memory_pages, services, programs };
        self.unused_queues(raw);
        self.totals(raw, &system);
        system
    }

    fn service(&mut self, name: &raw::Text, raw: &raw::Service, devices: Vec<Device>, queues: &Queues<'_>) -> Service {
        let memory = self.quota(&raw.memory);
        Service {
            name: text(name).to_owned(),
            binary: self.binary(raw.binary.as_ref().unwrap_or(name)),
            priority: self.priority(&raw.priority),
            memory,
            stack_pages: self.stack(&raw.stack, memory),
            devices,
            dma_pages: raw.dma.as_ref().map_or(0, |dma| self.dma(dma)),
            provides: raw.provides.iter().map(|queue| self.queue(queue)).collect(),
            uses: self.uses(&raw.uses, queues),
            restart: raw.restart.as_ref().map_or_else(Restart::default, |restart| self.restart(restart)),
            persistent: self.persistent(&raw.persistent),
            heartbeat_ms: raw.heartbeat.as_ref().map(|period| self.heartbeat(period)),
        }
    }

    fn binary(&mut self, binary: &raw::Text) -> String {
        let name = text(binary);
        if !self.binaries.iter().any(|known| known == name) {
            let problem = Problem::new(binary.span(), format!("no server has a binary named `{name}`"));
            self.problems.push(problem.suggest(name, self.binaries.iter().map(String::as_str)));
        }
        name.to_owned()
    }

    fn priority(&mut self, raw: &raw::Count) -> u8 {
        let number = raw.as_ref().0;
        if PRIORITIES.contains(&number) {
            return number as u8;
        }
        self.wrong(raw.span(), format!("a priority is 0 (lowest) to 31, not {number}"), 0)
    }

    fn heartbeat(&mut self, raw: &raw::Period) -> u32 {
        match self.milliseconds(raw) {
            0 => self.wrong(raw.span(), "a heartbeat takes some time; leave the key out to switch it off", 1),
            period => period,
        }
    }

    fn restart(&mut self, raw: &raw::Restart) -> Restart {
        let default = Restart::default();
        let max_attempts = match &raw.max_attempts {
            None => default.max_attempts,
            Some(attempts) => match u8::try_from(attempts.as_ref().0) {
                Ok(attempts @ 1..) => attempts,
                _ => self.wrong(attempts.span(), "max_attempts is 1 to 255", 1),
            },
        };
        let backoff_ms = raw.backoff.as_ref().map_or(default.backoff_ms, |pause| self.milliseconds(pause));
        let longest = raw.backoff_max.as_ref().map(|pause| self.milliseconds(pause));
        Restart { max_attempts, backoff_ms, backoff_max_ms: longest.unwrap_or(default.backoff_max_ms).max(backoff_ms) }
    }

    fn persistent(&mut self, raw: &[raw::Persistent]) -> Vec<Persistent> {
        for (index, memory) in raw.iter().enumerate() {
            let name = text(&memory.name);
            if raw[..index].iter().any(|earlier| text(&earlier.name) == name) {
                self.problem(memory.name.span(), format!("the memory `{name}` is described twice"));
            }
        }
        raw.iter()
            .map(|memory| {
                let size = self.quota(&memory.size);
                Persistent { name: text(&memory.name).to_owned(), size, dma: memory.dma.unwrap_or(false) }
            })
            .collect()
    }

    fn problem(&mut self, at: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::new(at, message));
    }

    fn wrong<T>(&mut self, at: Range<usize>, message: impl Into<String>, instead: T) -> T {
        self.problem(at, message);
        instead
    }
}
