//! `system.toml`: read, checked, and turned into [`manifest::System`].
//!
//! What [`parse`] returns holds all that the `manifest` crate promises of a packed system. Whatever is wrong is told
//! all at once, each with its place in the file.

use crate::diagnostic::Problem;
use manifest::{
    Amount, Device, INIT_QUEUE, MAX_DMA_PAGES, PAGE_SIZE, PciId, Persistent, Programs, Queue, Restart, Rights, Service,
    System, Use,
};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, ops::Range};
use toml::Spanned;

const DEFAULT_RING: u32 = 32;
const PRIORITIES: std::ops::RangeInclusive<i64> = 0..=31;

/// The description with all its faults.
#[derive(Debug)]
pub struct BadDescription {
    file: String,
    text: String,
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for BadDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.problems.iter().map(|problem| problem.render(&self.file, &self.text)).collect();
        f.write_str(shown.join("\n").trim_end())
    }
}

impl std::error::Error for BadDescription {}

/// Reads a description. `binaries` are the programs that the boot image can hold.
pub fn parse(file: &str, text: &str, binaries: &[String]) -> Result<System, BadDescription> {
    let fail = |mut problems: Vec<Problem>| {
        problems.sort_by_key(|problem| problem.at.start);
        BadDescription { file: file.to_owned(), text: text.to_owned(), problems }
    };
    let raw: RawSystem = toml::from_str(text).map_err(|error| fail(vec![syntax(&error)]))?;
    let mut check = Check { problems: Vec::new(), binaries };
    let system = check.system(&raw);
    if check.problems.is_empty() { Ok(system) } else { Err(fail(check.problems)) }
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

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSystem {
    system: RawMachine,
    programs: RawPrograms,
    #[serde(default)]
    service: BTreeMap<Text, RawService>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMachine {
    memory: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrograms {
    memory: Text,
    stack: Text,
    priority: Spanned<i64>,
    #[serde(default)]
    uses: Vec<Spanned<RawUse>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawService {
    binary: Option<Text>,
    priority: Spanned<i64>,
    memory: Text,
    stack: Text,
    dma: Option<Text>,
    heartbeat: Option<Text>,
    restart: Option<RawRestart>,
    #[serde(default)]
    devices: Vec<Spanned<RawDevice>>,
    #[serde(default)]
    provides: Vec<Spanned<RawQueue>>,
    #[serde(default)]
    uses: Vec<Spanned<RawUse>>,
    #[serde(default)]
    persistent: Vec<RawPersistent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRestart {
    max_attempts: Option<Spanned<i64>>,
    backoff: Option<Text>,
    backoff_max: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPersistent {
    name: Text,
    size: Text,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected the name of a queue, or { name = \"...\", ring = 32 }")]
enum RawQueue {
    Name(String),
    #[serde(rename_all = "lowercase")]
    Table {
        name: String,
        ring: i64,
    },
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected the name of a queue, or { queue = \"...\", rights = [\"send\"] }")]
enum RawUse {
    Name(String),
    Table { queue: String, rights: Vec<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    uart: Option<Text>,
    ports: Option<Text>,
    irq: Option<Spanned<i64>>,
    pci: Option<Spanned<OneOrMore>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a PCI id such as \"1af4:1042\", or a list of them")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Turns raw values into checked ones. A wrong value becomes a problem and some harmless stand-in, so that the rest
/// is still looked at.
struct Check<'a> {
    problems: Vec<Problem>,
    binaries: &'a [String],
}

impl Check<'_> {
    fn system(&mut self, raw: &RawSystem) -> System {
        let queues = self.queue_names(raw);
        let memory_pages = match self.amount(&raw.system.memory) {
            Amount::Pages(pages) => pages,
            Amount::Percent(_) => {
                self.wrong(raw.system.memory.span(), "the machine's memory is a size, such as \"32M\"", 0)
            }
        };
        let mut services = Vec::new();
        for name in self.start_order(raw) {
            let service = self.service(name, &raw.service[name], &queues);
            services.push(service);
        }
        let programs = Programs {
            memory: self.amount(&raw.programs.memory),
            stack_pages: self.pages(&raw.programs.stack),
            priority: self.priority(&raw.programs.priority),
            uses: self.uses(&raw.programs.uses, &queues),
        };
        let system = System { memory_pages, services, programs };
        self.totals(raw, &system);
        system
    }

    /// Every queue's name with its provider; init's own has none.
    fn queue_names<'r>(&mut self, raw: &'r RawSystem) -> BTreeMap<&'r str, Option<&'r Text>> {
        let mut queues = BTreeMap::from([(INIT_QUEUE, None)]);
        for (service, body) in &raw.service {
            if service.as_ref() == INIT_QUEUE {
                self.problem(service.span(), "`init` is the supervisor itself and is not described here");
            }
            for queue in &body.provides {
                let (RawQueue::Name(name) | RawQueue::Table { name, .. }) = queue.as_ref();
                let message = match queues.insert(name, Some(service)) {
                    None => continue,
                    Some(None) => format!("the queue `{name}` is init's own"),
                    Some(Some(first)) => format!("the queue `{name}` is already provided by `{}`", first.as_ref()),
                };
                self.problem(queue.span(), message);
            }
        }
        queues
    }

    fn service(&mut self, name: &Text, raw: &RawService, queues: &BTreeMap<&str, Option<&Text>>) -> Service {
        Service {
            name: name.as_ref().clone(),
            binary: self.binary(raw.binary.as_ref().unwrap_or(name)),
            priority: self.priority(&raw.priority),
            memory: self.amount(&raw.memory),
            stack_pages: self.pages(&raw.stack),
            devices: raw.devices.iter().filter_map(|device| self.device(device)).collect(),
            dma_pages: raw.dma.as_ref().map_or(0, |dma| self.dma(dma)),
            provides: raw.provides.iter().map(|queue| self.queue(queue)).collect(),
            uses: self.uses(&raw.uses, queues),
            restart: raw.restart.as_ref().map_or_else(Restart::default, |restart| self.restart(restart)),
            persistent: self.persistent(&raw.persistent),
            heartbeat_ms: raw.heartbeat.as_ref().map(|period| self.milliseconds(period)),
        }
    }

    fn binary(&mut self, binary: &Text) -> String {
        if !self.binaries.iter().any(|known| known == binary.as_ref()) {
            let problem = Problem::new(binary.span(), format!("no server has a binary named `{}`", binary.as_ref()));
            self.problems.push(problem.suggest(binary.as_ref(), self.binaries.iter().map(String::as_str)));
        }
        binary.as_ref().clone()
    }

    fn priority(&mut self, raw: &Spanned<i64>) -> u8 {
        if PRIORITIES.contains(raw.as_ref()) {
            return *raw.as_ref() as u8;
        }
        self.wrong(raw.span(), format!("a priority is 0 (lowest) to 31, not {}", raw.as_ref()), 0)
    }

    fn queue(&mut self, raw: &Spanned<RawQueue>) -> Queue {
        let (name, ring) = match raw.as_ref() {
            RawQueue::Name(name) => (name, DEFAULT_RING),
            RawQueue::Table { name, ring } => match u32::try_from(*ring) {
                Ok(ring @ 1..=1024) => (name, ring),
                _ => (name, self.wrong(raw.span(), format!("a ring has 1 to 1024 places, not {ring}"), DEFAULT_RING)),
            },
        };
        Queue { name: name.clone(), ring }
    }

    fn uses(&mut self, raw: &[Spanned<RawUse>], queues: &BTreeMap<&str, Option<&Text>>) -> Vec<Use> {
        let mut uses: Vec<Use> = Vec::new();
        for used in raw {
            let (queue, rights) = match used.as_ref() {
                RawUse::Name(name) => (name, Rights { send: true, mint: false }),
                RawUse::Table { queue, rights } => (queue, self.rights(used.span(), rights)),
            };
            if !queues.contains_key(queue.as_str()) {
                let problem = Problem::new(used.span(), format!("no service provides a queue named `{queue}`"));
                self.problems.push(problem.suggest(queue, queues.keys().copied()));
            }
            if uses.iter().any(|earlier| earlier.queue == *queue) {
                self.problem(used.span(), format!("the queue `{queue}` is listed twice"));
            }
            uses.push(Use { queue: queue.clone(), rights });
        }
        uses
    }

    fn rights(&mut self, at: Range<usize>, names: &[String]) -> Rights {
        let mut rights = Rights { send: false, mint: false };
        for name in names {
            match name.as_str() {
                "send" => rights.send = true,
                "mint" => rights.mint = true,
                other => {
                    let problem = Problem::new(at.clone(), format!("no right on a used queue is named `{other}`"));
                    self.problems.push(problem.suggest(other, ["send", "mint"]));
                }
            }
        }
        rights
    }

    fn restart(&mut self, raw: &RawRestart) -> Restart {
        let default = Restart::default();
        let max_attempts = match &raw.max_attempts {
            None => default.max_attempts,
            Some(attempts) => match u8::try_from(*attempts.as_ref()) {
                Ok(attempts @ 1..) => attempts,
                _ => self.wrong(attempts.span(), "max_attempts is 1 to 255", 1),
            },
        };
        let backoff_ms = raw.backoff.as_ref().map_or(default.backoff_ms, |pause| self.milliseconds(pause));
        let longest = raw.backoff_max.as_ref().map(|pause| self.milliseconds(pause));
        Restart { max_attempts, backoff_ms, backoff_max_ms: longest.unwrap_or(default.backoff_max_ms).max(backoff_ms) }
    }

    fn persistent(&mut self, raw: &[RawPersistent]) -> Vec<Persistent> {
        for (index, memory) in raw.iter().enumerate() {
            if raw[..index].iter().any(|earlier| earlier.name.as_ref() == memory.name.as_ref()) {
                self.problem(memory.name.span(), format!("the memory `{}` is described twice", memory.name.as_ref()));
            }
        }
        raw.iter()
            .map(|memory| Persistent { name: memory.name.as_ref().clone(), size: self.amount(&memory.size) })
            .collect()
    }

    fn device(&mut self, raw: &Spanned<RawDevice>) -> Option<Device> {
        let irq = raw.as_ref().irq.as_ref().and_then(|irq| match u8::try_from(*irq.as_ref()) {
            Ok(line @ 0..=15) => Some(line),
            _ => self.wrong(irq.span(), format!("an ISA interrupt line is 0 to 15, not {}", irq.as_ref()), None),
        });
        match raw.as_ref() {
            RawDevice { uart: Some(port), ports: None, irq: None, pci: None } => self.uart(port),
            RawDevice { uart: None, ports: Some(range), pci: None, .. } => self.ports(range, irq),
            RawDevice { uart: None, ports: None, irq: None, pci: Some(ids) } => Some(self.pci(ids)),
            _ => {
                let problem = Problem::new(raw.span(), "a device is one of three kinds");
                let kinds = "{ uart = \"com1\" }, { ports = \"0x60-0x64\", irq = 1 } or { pci = \"1af4:1042\" }";
                self.problems.push(problem.help(kinds));
                None
            }
        }
    }

    fn uart(&mut self, name: &Text) -> Option<Device> {
        const PORTS: [(&str, u16, u8); 4] =
            [("com1", 0x3f8, 4), ("com2", 0x2f8, 3), ("com3", 0x3e8, 4), ("com4", 0x2e8, 3)];
        if let Some((_, first, irq)) = PORTS.iter().find(|(known, ..)| known == name.as_ref()) {
            return Some(Device::Ports { first: *first, count: 8, irq: Some(*irq) });
        }
        let problem = Problem::new(name.span(), format!("no serial port is named `{}`", name.as_ref()));
        self.problems.push(problem.suggest(name.as_ref(), PORTS.map(|(known, ..)| known)));
        None
    }

    fn ports(&mut self, range: &Text, irq: Option<u8>) -> Option<Device> {
        let (first, last) = range.as_ref().split_once('-').unwrap_or((range.as_ref(), range.as_ref()));
        match (hex(first), hex(last)) {
            (Some(first), Some(last)) if first <= last && last - first < u16::MAX => {
                Some(Device::Ports { first, count: last - first + 1, irq })
            }
            _ => self.wrong(range.span(), "ports are a range such as \"0x3f8-0x3ff\"", None),
        }
    }

    fn pci(&mut self, raw: &Spanned<OneOrMore>) -> Device {
        let texts = match raw.as_ref() {
            OneOrMore::One(text) => std::slice::from_ref(text),
            OneOrMore::More(texts) => texts,
        };
        let id = |text: &String| {
            let (vendor, device) = text.split_once(':')?;
            Some(PciId { vendor: hex(vendor)?, device: hex(device)? })
        };
        let ids: Vec<PciId> = texts.iter().filter_map(id).collect();
        if ids.len() != texts.len() || ids.is_empty() {
            self.problem(raw.span(), "a PCI id is written \"1af4:1042\", vendor and device in hexadecimal");
        }
        Device::Pci { ids }
    }

    /// Services in start order: depth first along `uses`.
    fn start_order<'r>(&mut self, raw: &'r RawSystem) -> Vec<&'r Text> {
        let mut order = Vec::new();
        let mut services: Vec<&Text> = raw.service.keys().collect();
        services.sort_by_key(|name| name.span().start);
        for name in services {
            self.visit(raw, name, &mut Vec::new(), &mut order);
        }
        order
    }

    fn visit<'r>(&mut self, raw: &'r RawSystem, name: &'r Text, path: &mut Vec<&'r Text>, order: &mut Vec<&'r Text>) {
        if order.contains(&name) {
            return;
        }
        path.push(name);
        for used in &raw.service[name].uses {
            let (RawUse::Name(queue) | RawUse::Table { queue, .. }) = used.as_ref();
            let Some((provider, _)) = raw.service.iter().find(|(_, body)| provides(body, queue)) else { continue };
            match path.iter().position(|earlier| *earlier == provider) {
                None => self.visit(raw, provider, path, order),
                Some(from) => {
                    let chain: Vec<&str> =
                        path[from..].iter().chain([&provider]).map(|name| name.as_ref().as_str()).collect();
                    let message = format!("services wait for each other in a circle: {}", chain.join(" -> "));
                    self.problems
                        .push(Problem::new(used.span(), message).help("one of them must do without the other"));
                }
            }
        }
        path.pop();
        order.push(name);
    }

    /// The whole must fit.
    fn totals(&mut self, raw: &RawSystem, system: &System) {
        let (fixed, total) = (system.fixed_pages(), system.memory_pages);
        if fixed > total && self.problems.is_empty() {
            let message = format!(
                "the fixed amounts of memory add up to {} KiB, and the machine has {} KiB",
                fixed.saturating_mul(4),
                total.saturating_mul(4)
            );
            self.problem(raw.system.memory.span(), message);
        }
        let percent = system.percent_total();
        if percent > 100 {
            self.problem(raw.programs.memory.span(), format!("the shares of memory add up to {percent} %"));
        }
    }

    /// `"64K"`, `"1M"`, `"4096"` (bytes), `"10%"`.
    fn amount(&mut self, raw: &Text) -> Amount {
        let text = raw.as_ref().trim();
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.trim().parse() {
                Ok(percent @ 1..=100) => Amount::Percent(percent),
                _ => self.wrong(raw.span(), format!("`{text}` is not a share of 1% to 100%"), Amount::Percent(1)),
            };
        }
        match size(text) {
            Some(0) => self.wrong(raw.span(), "an amount of memory is at least one byte", Amount::Pages(1)),
            Some(bytes) => Amount::Pages(bytes.div_ceil(PAGE_SIZE)),
            None => {
                let problem = Problem::new(raw.span(), format!("`{text}` is not an amount of memory"));
                self.problems.push(
                    problem.help("write \"64K\", \"1M\", \"1G\", bytes such as \"8192\", or a share such as \"10%\""),
                );
                Amount::Pages(1)
            }
        }
    }

    fn pages(&mut self, raw: &Text) -> u32 {
        match self.amount(raw) {
            Amount::Percent(_) => self.wrong(raw.span(), "this amount is a size, such as \"64K\", and no share", 1),
            Amount::Pages(pages) => {
                u32::try_from(pages).unwrap_or_else(|_| self.wrong(raw.span(), "this is too much memory", 1))
            }
        }
    }

    fn dma(&mut self, raw: &Text) -> u32 {
        match self.pages(raw) {
            pages if pages > MAX_DMA_PAGES => {
                let most = u64::from(MAX_DMA_PAGES) * PAGE_SIZE / 1024;
                self.wrong(raw.span(), format!("DMA memory has at most {most}K: the kernel clears it in one go"), 1)
            }
            pages => pages,
        }
    }

    fn milliseconds(&mut self, raw: &Text) -> u32 {
        let text = raw.as_ref().trim();
        let (number, scale) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => (number, 1),
            (None, Some(number)) => (number, 1000),
            (None, None) => ("", 1),
        };
        match number.trim().parse::<u32>().ok().and_then(|number| number.checked_mul(scale)) {
            Some(time) => time,
            None => self.wrong(raw.span(), format!("`{text}` is not a time such as \"50ms\" or \"2s\""), 1),
        }
    }

    fn problem(&mut self, at: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::new(at, message));
    }

    fn wrong<T>(&mut self, at: Range<usize>, message: impl Into<String>, instead: T) -> T {
        self.problem(at, message);
        instead
    }
}

fn provides(service: &RawService, queue: &str) -> bool {
    service.provides.iter().any(|provided| {
        let (RawQueue::Name(name) | RawQueue::Table { name, .. }) = provided.as_ref();
        name == queue
    })
}

fn hex(text: &str) -> Option<u16> {
    let text = text.trim();
    u16::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// Bytes in `"64K"`, `"64KiB"`, `"1M"`, `"2G"`, `"512"`.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let scale: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "m" | "MiB" => 1 << 20,
        "G" | "g" | "GiB" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[system]\nmemory = \"32M\"\n[programs]\nmemory = \"80%\"\nstack = \"64K\"\npriority = 8\n";

    fn with(services: &str) -> Result<System, BadDescription> {
        let binaries = ["console", "block", "fs"].map(String::from);
        parse("system.toml", &format!("{HEAD}{services}"), &binaries)
    }

    fn service(name: &str, more: &str) -> String {
        format!("[service.{name}]\npriority = 9\nmemory = \"1M\"\nstack = \"64K\"\n{more}\n")
    }

    fn complaint(services: &str) -> String {
        with(services).expect_err("it must be refused").to_string()
    }

    #[test]
    fn services_start_after_those_whose_queues_they_use() {
        let text = service("fs", "provides=['fs']\nuses=['block', 'init']") + &service("block", "provides=['block']");
        let system = with(&text).expect("it is sound");
        let names: Vec<&str> = system.services.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(names, ["block", "fs"]);
        assert_eq!(system.provider("block").map(|service| service.name.as_str()), Some("block"));
    }

    #[test]
    fn everything_that_can_be_said_arrives() {
        let more = "binary='fs'\ndma='64K'\nheartbeat='2s'\nrestart={max_attempts=5, backoff='20ms'}\n\
            devices=[{uart='com1'}, {pci=['1af4:1042','1af4:1001']}, {ports='0x60-0x64', irq=1}]\n\
            provides=[{name='block', ring=64}]\nuses=[{queue='init', rights=['send','mint']}]\n\
            persistent=[{name='cache', size='10%'}]";
        let system = with(&service("block", more)).expect("it is sound");
        let block = &system.services[0];
        assert_eq!((block.binary.as_str(), block.dma_pages, block.heartbeat_ms), ("fs", 16, Some(2000)));
        assert_eq!(block.restart, Restart { max_attempts: 5, backoff_ms: 20, backoff_max_ms: 1000 });
        assert_eq!(block.devices[0], Device::Ports { first: 0x3f8, count: 8, irq: Some(4) });
        assert!(matches!(&block.devices[1], Device::Pci { ids } if ids.len() == 2 && ids[0].device == 0x1042));
        assert_eq!(block.devices[2], Device::Ports { first: 0x60, count: 5, irq: Some(1) });
        assert_eq!(block.provides[0].ring, 64);
        assert_eq!(block.uses[0].rights, Rights { send: true, mint: true });
        assert_eq!(block.persistent[0].size, Amount::Percent(10));
        assert_eq!(system.memory_pages, 8192);
    }

    #[test]
    fn a_misspelt_queue_is_shown_with_its_place_and_the_nearest_name() {
        let shown = complaint(&(service("block", "provides=['block']") + &service("fs", "uses = ['blok']")));
        assert!(shown.contains("error: no service provides a queue named `blok`"), "{shown}");
        assert!(shown.contains("--> system.toml:16:9\n"), "{shown}");
        assert!(shown.contains("16 | uses = ['blok']\n   |         ^^^^^^\n"), "{shown}");
        assert!(shown.contains("= help: did you mean `block`?"), "{shown}");
    }

    #[test]
    fn a_misspelt_key_is_shown_with_the_nearest_one() {
        let shown = complaint(&service("fs", "prorvides = ['fs']"));
        assert!(shown.contains("unknown key `prorvides`") && shown.contains("did you mean `provides`?"), "{shown}");
        assert!(shown.contains("--> system.toml:11:1\n"), "{shown}");
    }

    #[test]
    fn a_misspelt_key_of_a_device_is_pointed_at() {
        let shown = complaint(&service("fs", "devices = [{ urat = 'com1' }]"));
        assert!(shown.contains("unknown key `urat`") && shown.contains("did you mean `uart`?"), "{shown}");
        assert!(shown.contains("--> system.toml:11:14\n"), "{shown}");
    }

    #[test]
    fn services_that_use_each_other_are_refused_with_the_circle() {
        let shown = complaint(
            &(service("fs", "provides=['fs']\nuses=['block']") + &service("block", "provides=['block']\nuses=['fs']")),
        );
        assert!(shown.contains("in a circle: fs -> block -> fs"), "{shown}");
        assert!(complaint(&service("fs", "provides=['fs']\nuses=['fs']")).contains("fs -> fs"));
    }

    #[test]
    fn two_providers_of_one_queue_are_refused() {
        let shown = complaint(&(service("fs", "provides=['disk']") + &service("block", "provides=['disk']")));
        assert!(shown.contains("the queue `disk` is already provided by"), "{shown}");
        assert!(complaint(&service("fs", "provides=['init']")).contains("is init's own"));
    }

    #[test]
    fn a_service_described_twice_is_refused() {
        let shown = complaint(&(service("fs", "") + &service("fs", "")));
        assert!(shown.contains("duplicate key"), "{shown}");
        assert!(shown.contains("--> system.toml:12:"), "{shown}");
    }

    #[test]
    fn a_binary_that_nobody_builds_is_refused() {
        let shown = complaint(&service("bloc", ""));
        assert!(
            shown.contains("no server has a binary named `bloc`") && shown.contains("did you mean `block`?"),
            "{shown}"
        );
    }

    #[test]
    fn quotas_above_the_machine_are_refused() {
        let shown = complaint(&service("fs", "persistent=[{name='cache', size='40M'}]"));
        assert!(shown.contains("add up to 41984 KiB, and the machine has 32768 KiB"), "{shown}");
        let shown = complaint(&service("fs", "persistent=[{name='cache', size='30%'}]"));
        assert!(shown.contains("the shares of memory add up to 110 %"), "{shown}");
    }

    #[test]
    fn all_problems_are_told_at_once_in_order_of_the_file() {
        let problems = with(&service("fs", "uses=['x']\nheartbeat='soon'\ndma='lots'")).expect_err("bad").problems;
        let starts: Vec<usize> = problems.iter().map(|problem| problem.at.start).collect();
        assert_eq!(problems.len(), 3);
        assert!(starts.is_sorted());
    }

    #[test]
    fn wrong_values_say_what_is_right() {
        for (line, said) in [
            ("heartbeat = '5'", "not a time"),
            ("dma = '10%'", "no share"),
            ("dma = '513K'", "at most 512K"),
            ("devices = [{ uart = 'com9' }]", "no serial port is named `com9`"),
            ("devices = [{ pci = '1af4' }]", "written \"1af4:1042\""),
            ("devices = [{ irq = 3 }]", "one of three kinds"),
            ("devices = [{ ports = '9-3' }]", "\"0x3f8-0x3ff\""),
            ("provides = [7]", "expected the name of a queue"),
            ("provides = [{ name = 'fs', ring = 0 }]", "1 to 1024"),
            ("uses = [{ queue = 'init', rights = ['receive'] }]", "no right on a used queue"),
            ("restart = { max_attempts = 0 }", "1 to 255"),
            ("restart = { max_attempts = 256 }", "1 to 255"),
            ("uses = ['init', 'init']", "listed twice"),
        ] {
            let shown = complaint(&service("fs", line));
            assert!(shown.contains(said), "{line}: {shown}");
        }
        assert!(
            complaint("[service.fs]\nmemory='1M'\nstack='4K'\npriority = 32\n").contains("0 (lowest) to 31, not 32")
        );
        assert!(complaint("[service.fs]\nstack='4K'\npriority = 3\n").contains("the key `memory` is missing"));
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("64M"), Some(64 << 20));
        assert_eq!(size("64 MiB"), Some(64 << 20));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!((size("M"), size("1T"), size("99999999999G"), size("-1")), (None, None, None, None));
    }
}
