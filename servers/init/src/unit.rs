//! One service's kernel objects: made once, started as often as need be.
//!
//! 1. The process, its queues, devices and lasting memory are made once and live as long as the machine; what belongs to
//!    an incarnation (stack, startup pages, everything it makes) is paid for by the service's account and goes with it.
//! 2. Every incarnation finds the same capabilities under the same handles, those that [`Unit::hand`] has handed it.

use crate::saved::{self, SavedUnit};
use abi::{Handle, ProcessStatus, Rights};
use alloc::{format, string::String, vec::Vec};
use libipc::{
    Account, OwnedHandle, Process, Queue, SysError,
    spawn::{Command, Image, SpawnError},
};

/// What a unit is made of.
pub struct Plan<'a> {
    /// Its name.
    pub name: &'a str,
    /// Pages of its account.
    pub pages: u64,
    /// Its priority.
    pub priority: u8,
    /// Pages of its stack.
    pub stack_pages: u64,
}

/// A service's process and all that it was handed.
pub struct Unit {
    name: String,
    priority: u8,
    stack_pages: u64,
    account: OwnedHandle,
    process: OwnedHandle,
    end: OwnedHandle,
    names: Vec<(String, Handle)>,
    environment: Vec<(String, String)>,
    starts: u64,
    /// Its process is as it was made.
    untouched: bool,
    started: u64,
    lacks: Option<String>,
}

/// Why a service did not start.
#[derive(Debug)]
pub enum StartError {
    /// Its image is refused, or the kernel refused something on the way.
    Spawn(SpawnError),
    /// Something was refused while doing this.
    Sys(&'static str, SysError),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StartError::Spawn(error) => write!(f, "cannot start it: {error}"),
            StartError::Sys(what, error) => write!(f, "cannot {what}: {error}"),
        }
    }
}

/// Says what was being done when the kernel refused.
pub trait Doing<T> {
    /// While doing `what`.
    fn doing(self, what: &'static str) -> Result<T, StartError>;
}

impl<T> Doing<T> for Result<T, SysError> {
    fn doing(self, what: &'static str) -> Result<T, StartError> {
        self.map_err(|error| StartError::Sys(what, error))
    }
}

impl Unit {
    /// A process that has not started, with an account of its own below `parent`. Its end comes as an event with
    /// `badge` on `queue`.
    pub fn make(parent: Account, plan: &Plan<'_>, queue: Queue, badge: u64) -> Result<Unit, StartError> {
        let account = parent.child(plan.pages).doing("set its memory aside")?;
        let end = parent.create_event().doing("make its end event")?;
        end.event().bind(queue, badge).doing("watch its end")?;
        let process = account.account().create_process(Some((end.event(), 1)), plan.priority, plan.name);
        let process = process.doing("make its process")?;
        let mut unit = Unit {
            name: plan.name.into(),
            priority: plan.priority,
            stack_pages: plan.stack_pages,
            account,
            process,
            end,
            names: Vec::new(),
            environment: Vec::new(),
            starts: 0,
            untouched: true,
            started: 0,
            lacks: None,
        };
        // With GRANT it can keep capabilities that it was sent across its own death; it can grant only what it has.
        unit.hand("self", unit.process.handle(), Rights::MAP | Rights::INSPECT | Rights::GRANT, 0)?;
        unit.hand("account", unit.account.handle(), Rights::CREATE | Rights::INSPECT, 0)?;
        Ok(unit)
    }

    /// Hands it a capability under `name`, for good. One of the same name is replaced.
    pub fn hand(&mut self, name: &str, handle: Handle, rights: Rights, badge: u64) -> Result<(), StartError> {
        let given = self.process.process().give(handle, rights, badge).doing("hand it a capability")?;
        self.names.retain(|(known, _)| known != name);
        self.names.push((name.into(), given));
        Ok(())
    }

    /// Lets it find what it was handed as `known` also under `name`.
    pub fn alias(&mut self, name: &str, known: &str) {
        let handle = self.names.iter().find(|(other, _)| other == known).map(|(_, handle)| *handle);
        self.names.extend(handle.map(|handle| (name.into(), handle)));
    }

    /// It cannot run on this machine, for this reason.
    pub fn set_lacking(&mut self, reason: String) {
        self.lacks = Some(reason);
    }

    /// Why it cannot run on this machine.
    pub fn lacks(&self) -> Option<&str> {
        self.lacks.as_deref()
    }

    /// Sets a text of its environment.
    pub fn tell(&mut self, key: &str, value: String) {
        self.environment.retain(|(known, _)| known != key);
        self.environment.push((key.into(), value));
    }

    /// Makes it ready for its next incarnation: what the last one had, except what it was handed, is gone.
    pub fn clear(&mut self) -> Result<(), StartError> {
        if !core::mem::replace(&mut self.untouched, false) {
            self.process.process().reset().doing("clear its process")?;
        }
        Ok(())
    }

    /// Starts the incarnation that [`Unit::clear`] has prepared.
    pub fn start(&mut self, image: &Image, now: u64) -> Result<(), StartError> {
        let process = self.process.process();
        let mut command = Command::new(&self.name);
        command.stack(self.stack_pages).priority(self.priority);
        command.env("incarnation", &format!("{}", self.starts + 1));
        for (key, value) in &self.environment {
            command.env(key, value);
        }
        for (name, handle) in &self.names {
            command.known(name, *handle);
        }
        command.start(process, self.account.account(), image).map_err(StartError::Spawn)?;
        self.adopt(now);
        Ok(())
    }

    /// What it was handed: names, and handles in its table.
    pub fn names(&self) -> &[(String, Handle)] {
        &self.names
    }

    /// Its account.
    pub fn account(&self) -> &OwnedHandle {
        &self.account
    }

    /// The supervisor's capability to its process.
    pub fn own(&self) -> &OwnedHandle {
        &self.process
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// It runs: it has been started, if not by this incarnation of the supervisor.
    pub fn adopt(&mut self, now: u64) {
        self.starts += 1;
        self.started = now;
    }

    /// What is saved.
    pub fn save(&self) -> SavedUnit {
        SavedUnit {
            account: saved::raw(&self.account),
            process: saved::raw(&self.process),
            end: saved::raw(&self.end),
            names: self.names.iter().map(|(name, handle)| (name.clone(), handle.raw())).collect(),
            environment: self.environment.clone(),
            starts: self.starts,
            started: self.started,
            lacks: self.lacks.clone(),
        }
    }

    /// What was saved of a unit after this plan. How far its process has come since is not known.
    pub fn restored(plan: &Plan<'_>, saved: SavedUnit) -> Unit {
        let names = saved.names.into_iter().map(|(name, handle)| (name, Handle::from_raw(handle))).collect();
        Unit {
            name: plan.name.into(),
            priority: plan.priority,
            stack_pages: plan.stack_pages,
            account: saved::owned(saved.account),
            process: saved::owned(saved.process),
            end: saved::owned(saved.end),
            names,
            environment: saved.environment,
            starts: saved.starts,
            untouched: false,
            started: saved.started,
            lacks: saved.lacks,
        }
    }

    /// When it was started last.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// The state of its process.
    pub fn status(&self) -> Result<ProcessStatus, SysError> {
        self.process.process().status()
    }

    /// Pages that its account has paid for.
    pub fn used(&self) -> u64 {
        self.account.account().status().map_or(0, |status| status.used)
    }

    /// Its process.
    pub fn process(&self) -> Process {
        self.process.process()
    }

    /// Ends its process.
    pub fn kill(&self) -> Result<(), SysError> {
        const KILLED: i32 = 137;
        self.process.process().kill(KILLED)
    }

    /// The event of its end, whose bits are bound to init's queue.
    pub fn end(&self) -> &OwnedHandle {
        &self.end
    }
}
