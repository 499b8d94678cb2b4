//! What processes hold: capabilities as the supervisor lists them, with names in the place of numbers.
//!
//! The lines of `svc caps --raw` come from here and are read back here, by tools on the host.

use crate::table::{Align, Table};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::ops::Deref;
use libipc::{
    abi::{Kind, Rights},
    proto::svc::CapabilityInfo,
};

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub name: String,
}

/// A capability of a process, as the supervisor describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// Number of its holder.
    pub process: u64,
    /// What it is.
    pub capability: CapabilityInfo,
}

impl Deref for Holding {
    type Target = CapabilityInfo;

    fn deref(&self) -> &CapabilityInfo {
        &self.capability
    }
}

/// The index in a handle (`abi::Handle`).
pub fn slot(handle: u64) -> u32 {
    handle as u32
}

impl Holding {
    /// Kind of its object.
    pub fn kind(&self) -> Option<Kind> {
        Kind::find(self.kind)
    }
    /// Its rights.
    pub fn rights(&self) -> Rights {
        Rights::from_bits_truncate(self.rights as u16)
    }
    /// The rights that were never used.
    pub fn unused(&self) -> Rights {
        Rights::from_bits_truncate((self.rights & !self.used) as u16)
    }

    const NUMBERS: usize = 13;

    fn numbers(&self) -> [u64; Self::NUMBERS] {
        let what = [self.process, self.handle, self.kind, self.object, self.rights, self.used, self.badge];
        let rest = [self.first, self.size, self.granted.into(), self.parent_process, self.parent, self.payer];
        let mut numbers = [0; Self::NUMBERS];
        numbers[..7].copy_from_slice(&what);
        numbers[7..].copy_from_slice(&rest);
        numbers
    }
}

/// Everything that processes hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The processes, by number.
    pub holders: Vec<Holder>,
    /// Their capabilities, by process and slot.
    pub held: Vec<Holding>,
}

impl Holdings {
    /// For tools: a line for each process, and for each capability of those that `shown` chooses; numbers apart by blanks,
    /// the name last.
    pub fn raw(&self, shown: impl Fn(&Holder) -> bool) -> String {
        let mut text = String::new();
        for holder in &self.holders {
            text += &format!("process {} {}\n", holder.number, holder.name);
        }
        let chosen: Vec<u64> = self.holders.iter().filter(|holder| shown(holder)).map(|holder| holder.number).collect();
        for held in self.held.iter().filter(|held| chosen.contains(&held.process)) {
            let numbers: Vec<String> = held.numbers().iter().map(|number| format!("{number}")).collect();
            text += &format!("capability {} {}\n", numbers.join(" "), held.name);
        }
        text
    }

    /// Reads what [`Holdings::raw`] wrote. `Err` is the line that is not of this form.
    pub fn parse(text: &str) -> Result<Holdings, &str> {
        let mut holdings = Holdings::default();
        for line in text.lines() {
            holdings.parse_line(line).ok_or(line)?;
        }
        Ok(holdings)
    }

    fn parse_line(&mut self, line: &str) -> Option<()> {
        let mut words = line.splitn(2 + Holding::NUMBERS, ' ');
        if words.next()? == "process" {
            let (number, name) = line.split_once(' ')?.1.split_once(' ')?;
            self.holders.push(Holder { number: number.parse().ok()?, name: name.into() });
            return Some(());
        }
        let mut number = || words.next()?.parse::<u64>().ok();
        let (process, mut held) = (number()?, CapabilityInfo::default());
        (held.handle, held.kind) = (number()?, number()?);
        (held.object, held.rights, held.used, held.badge) = (number()?, number()?, number()?, number()?);
        (held.first, held.size, held.granted) = (number()?, number()?, number()? != 0);
        (held.parent_process, held.parent, held.payer) = (number()?, number()?, number()?);
        held.name = words.next()?.into();
        line.starts_with("capability ").then(|| self.held.push(Holding { process, capability: held }))
    }

    /// The name of a process; its number where it is not known.
    pub fn process_name(&self, number: u64) -> String {
        let known = self.holders.iter().find(|holder| holder.number == number);
        known.map_or_else(|| format!("{number}"), |holder| holder.name.clone())
    }

    /// Names of objects: of accounts the process that they pay, of queues the name under which the supervisor has them.
    pub fn names(&self) -> Names {
        let mut names = Names::default();
        for held in &self.held {
            let made = held.name.strip_prefix("queue:");
            match held.kind() {
                Some(Kind::Queue) if held.process == SUPERVISOR => {
                    made.map(|name| names.queues.insert(held.object, name.into()));
                }
                // Whoever is paid by the account first has given it its name.
                Some(Kind::Process) => {
                    let name = self.process_name(held.object);
                    names.accounts.entry(held.payer).or_insert(name);
                }
                _ => {}
            }
        }
        for held in self.held.iter().filter(|held| held.kind() == Some(Kind::Account)) {
            let name = if held.name.is_empty() { format!("#{:x}", held.object) } else { held.name.clone() };
            names.accounts.entry(held.object).or_insert(name);
        }
        names
    }

    /// What a capability is about, for people.
    pub fn object(&self, held: &Holding, names: &Names) -> String {
        match held.kind() {
            Some(Kind::Process) => self.process_name(held.object),
            Some(Kind::Account) => names.account(held.object),
            Some(Kind::Queue) => names.queues.get(&held.object).cloned().unwrap_or_else(|| format!("{}", held.object)),
            Some(Kind::Thread) => format!("{}", held.object),
            Some(Kind::Memory) if held.first != 0 => format!("{:#x}, {}", held.first, pages(held.size)),
            Some(Kind::Memory) => pages(held.size),
            Some(Kind::IoPorts) if held.size == 1 => format!("{:#x}", held.first),
            Some(Kind::IoPorts) => format!("{:#x}-{:#x}", held.first, held.first.saturating_add(held.size) - 1),
            Some(Kind::Irq) if held.first == u64::MAX => "MSI".into(),
            Some(Kind::Irq) => format!("line {}", held.first),
            Some(Kind::Event) => format!("#{:x}", held.object),
            Some(Kind::Machine) | None => "-".into(),
        }
    }

    /// Which capability a capability was derived from.
    pub fn origin(&self, held: &Holding) -> String {
        match held.parent_process {
            0 => "-".into(),
            holder => format!("{}:{}", self.process_name(holder), slot(held.parent)),
        }
    }

    /// The capabilities of the processes that `shown` chooses as a table; with `unused` only those that have rights
    /// without a use, and those rights.
    pub fn table(&self, shown: impl Fn(&Holder) -> bool, unused: bool) -> String {
        use Align::{Left, Right};
        let names = self.names();
        let mut table = Table::new(&[Left, Right, Left, Left, Left, Left, Left, Left, Left]);
        let rights = if unused { "NEVER USED" } else { "RIGHTS" };
        table.row(["HOLDER", "SLOT", "NAME", "KIND", "OBJECT", rights, "BADGE", "FROM", "PAID BY"]);
        for holder in self.holders.iter().filter(|holder| shown(holder)) {
            for held in self.held.iter().filter(|held| held.process == holder.number) {
                if unused && held.unused().is_empty() {
                    continue;
                }
                table.row([
                    &holder.name,
                    &format!("{}", slot(held.handle)),
                    if held.name.is_empty() { "-" } else { &held.name },
                    held.kind().map_or("?", Kind::text),
                    &self.object(held, &names),
                    &format!("{}", if unused { held.unused() } else { held.rights() }),
                    &if held.badge == 0 { "-".into() } else { format!("{:#x}", held.badge) },
                    &self.origin(held),
                    &if held.payer == 0 { "-".into() } else { names.account(held.payer) },
                ]);
            }
        }
        table.show()
    }
}

/// The process that the kernel starts: the supervisor.
pub const SUPERVISOR: u64 = 1;

fn pages(count: u64) -> String {
    format!("{count} page{}", if count == 1 { "" } else { "s" })
}

/// Names of objects that have none of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    accounts: BTreeMap<u64, String>,
    queues: BTreeMap<u64, String>,
}

impl Names {
    /// An account, by whom it pays for.
    pub fn account(&self, number: u64) -> String {
        self.accounts.get(&number).cloned().unwrap_or_else(|| format!("#{number:x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Holdings {
        let holder = |number, name: &str| Holder { number, name: name.into() };
        let rights = |rights: Rights| u64::from(rights.bits());
        let held = |process, capability| Holding { process, capability };
        let queue = CapabilityInfo {
            name: "queue:block".into(),
            handle: 1 << 32 | 7,
            kind: Kind::Queue as u64,
            object: 3,
            rights: rights(Rights::SEND | Rights::RECEIVE | Rights::MINT),
            payer: 100,
            ..CapabilityInfo::default()
        };
        let account = |name: &str, object| CapabilityInfo {
            name: name.into(),
            handle: 2,
            kind: Kind::Account as u64,
            object,
            payer: 100,
            ..CapabilityInfo::default()
        };
        let own = CapabilityInfo {
            name: "self".into(),
            handle: 1,
            kind: Kind::Process as u64,
            object: 4,
            rights: rights(Rights::MAP),
            used: rights(Rights::MAP),
            granted: true,
            payer: 200,
            ..CapabilityInfo::default()
        };
        let used = CapabilityInfo {
            name: "block".into(),
            handle: 5 << 32 | 9,
            badge: 0x20,
            rights: rights(Rights::SEND | Rights::MINT),
            used: rights(Rights::SEND),
            granted: true,
            parent_process: 1,
            parent: queue.handle,
            ..queue.clone()
        };
        Holdings {
            holders: vec![holder(1, "init"), holder(4, "fs"), holder(9, "a b")],
            held: vec![
                held(1, queue),
                held(1, account("account", 100)),
                held(1, account("programs", 300)),
                held(4, own),
                held(4, used),
            ],
        }
    }

    #[test]
    fn objects_origins_and_payers_are_shown_by_name() {
        let text = sample().table(|holder| holder.name == "fs", false);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["fs", "1", "self", "process", "fs", "map", "-", "-", "fs"]);
        assert_eq!(lines[2], ["fs", "9", "block", "queue", "block", "send,mint", "0x20", "init:7", "account"]);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn of_unused_rights_only_those_are_shown() {
        let text = sample().table(|holder| holder.name == "fs", true);
        assert!(text.lines().nth(1).is_some_and(|line| line.contains(" mint ")) && !text.contains("self"), "{text}");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn raw_lines_come_back_as_they_were_and_others_are_named() {
        let holdings = sample();
        assert_eq!(Holdings::parse(&holdings.raw(|_| true)), Ok(holdings.clone()));
        for line in ["", "x", "process", "process x fs", "capability 1 2", "capacity 1 2 3 4 5 6 7 8 9 10 11 12 13 "] {
            assert_eq!(Holdings::parse(&format!("process 1 init\n{line}\n")), Err(line), "{line}");
        }
    }

    #[test]
    fn hardware_is_shown_by_its_place() {
        let held = |kind: Kind, first, size| {
            let capability = CapabilityInfo { kind: kind as u64, first, size, ..CapabilityInfo::default() };
            Holding { process: 0, capability }
        };
        let shown = |held: &Holding| Holdings::default().object(held, &Names::default());
        assert_eq!(shown(&held(Kind::IoPorts, 0x3f8, 8)), "0x3f8-0x3ff");
        assert_eq!(shown(&held(Kind::Irq, 4, 0)), "line 4");
        assert_eq!(shown(&held(Kind::Irq, u64::MAX, 0)), "MSI");
        assert_eq!(shown(&held(Kind::Memory, 0xfeb0_0000, 1)), "0xfeb00000, 1 page");
        assert_eq!(shown(&held(Kind::Memory, 0, 16)), "16 pages");
    }
}
