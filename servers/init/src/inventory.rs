//! What each process holds, with the names that the supervisor has given capabilities.
//!
//! 1. A name is told only to whom the kernel tells the capability.

use crate::supervisor::Supervisor;
use abi::{CapabilityStatus, Handle, Rights, layout};
use alloc::{format, string::String, vec::Vec};
use libipc::{OwnedHandle, Process, Startup, proto::svc::CapabilityInfo};

type Names = Vec<(String, Handle)>;

impl Supervisor {
    /// The capabilities of process number `process` in its slots from `from` on.
    pub(crate) fn held_by(&self, process: u64, from: u64) -> impl Iterator<Item = CapabilityInfo> {
        let names = self.names(process);
        self.statuses(process, from).map(move |status| {
            let named = names.iter().find(|(_, handle)| handle.raw() == status.handle);
            info(named.map_or_else(String::new, |(name, _)| name.clone()), &status)
        })
    }

    fn statuses(&self, process: u64, from: u64) -> impl Iterator<Item = CapabilityStatus> {
        let (account, mut at) = (self.account(), Some(from));
        core::iter::from_fn(move || {
            loop {
                let (status, next) = account.capability_from(process, at?).ok()?;
                at = next;
                if status.is_some() {
                    return status;
                }
            }
        })
    }

    /// The names of what a process was handed; of the supervisor's own capabilities, what they are for.
    fn names(&self, process: u64) -> Names {
        let number = |process: Process| process.status().map(|status| status.id).ok();
        if number(Process::new(layout::INIT_SELF)) == Some(process) {
            return self.own_names();
        }
        let unit = self.units.iter().flatten().find(|unit| number(unit.process()) == Some(process));
        unit.map_or_else(Vec::new, |unit| unit.names().to_vec())
    }

    fn own_names(&self) -> Names {
        let named = |name: String, owned: &OwnedHandle| (name, owned.handle());
        let mut names: Names = Startup::FIRST_PROGRAM.handles().map(|(name, handle)| (name.into(), handle)).collect();
        names.push(named("queue".into(), &self.queue));
        names.extend(self.programs.iter().map(|account| named("programs".into(), account)));
        names.extend(self.queues.iter().map(|provided| named(format!("queue:{}", provided.name), &provided.queue)));
        for unit in self.units.iter().flatten() {
            let parts = [("account", unit.account()), ("process", unit.own()), ("end", unit.end())];
            names.extend(parts.map(|(what, owned)| named(format!("{what}:{}", unit.name()), owned)));
        }
        let services = self.boot.system.services.iter();
        let memories: Vec<String> = services
            .flat_map(|service| service.persistent.iter().map(|memory| format!("{}:{}", service.name, memory.name)))
            .collect();
        if memories.len() == self.boot.memories.len() {
            names.extend(memories.into_iter().zip(&self.boot.memories).map(|(name, owned)| named(name, owned)));
        }
        names
    }

    /// One line for each capability that a service was handed and has rights of that it never used. Nothing where the
    /// kernel does not note uses.
    pub(crate) fn coverage(&self) -> Vec<String> {
        if !self.boot.options.coverage {
            return Vec::new();
        }
        let mut lines = Vec::new();
        for unit in self.units.iter().flatten() {
            let Ok(status) = unit.process().status() else { continue };
            let held = self.held_by(status.id, 0).filter(|held| !held.name.is_empty());
            let unused = |held: &CapabilityInfo| Rights::from_bits_truncate((held.rights & !held.used) as u16);
            lines.extend(
                held.filter(|held| !unused(held).is_empty())
                    .map(|held| format!("{COVERAGE}: {} never used {} of {}", unit.name(), unused(&held), held.name)),
            );
        }
        lines
    }
}

/// How the lines of the coverage begin in the kernel's log.
const COVERAGE: &str = "coverage";

fn info(name: String, status: &CapabilityStatus) -> CapabilityInfo {
    CapabilityInfo {
        name,
        handle: status.handle,
        kind: status.kind,
        object: status.object,
        rights: status.rights,
        used: status.used,
        badge: status.badge,
        first: status.first,
        size: status.size,
        granted: status.granted != 0,
        parent_process: status.parent_process,
        parent: status.parent,
        payer: status.payer,
    }
}

/// Bytes that an answer takes for a capability: numbers as varints of postcard, and the name with its length.
pub(crate) fn encoded(info: &CapabilityInfo) -> usize {
    let varint = |number: &u64| (64 - number.leading_zeros() as usize).div_ceil(7).max(1);
    let what = [info.handle, info.kind, info.object, info.rights, info.used, info.badge, info.first, info.size];
    let rest = [info.parent_process, info.parent, info.payer, info.name.len() as u64];
    what.iter().chain(&rest).map(varint).sum::<usize>() + info.name.len() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_an_answer_is_foretold() {
        let small = info("self".into(), &CapabilityStatus { handle: 1 << 32 | 3, kind: 2, ..Default::default() });
        let largest = CapabilityInfo { badge: u64::MAX, first: u64::MAX, handle: 1 << 63, ..small.clone() };
        for info in [&small, &largest] {
            assert_eq!(encoded(info), postcard::to_allocvec(info).expect("it encodes").len(), "{info:?}");
        }
    }
}
