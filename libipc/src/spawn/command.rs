//! What to start, and with what.

use super::{Child, Image};
use crate::object::{Account, Event, Memory, Process};
use crate::owned::OwnedHandle;
use crate::startup::{StartupBuilder, TooLong};
use crate::sys::{LoadError, Loaded, ThreadStart};
use abi::layout::{self, Places};
use abi::{Handle, ImageDefect, PAGE_SIZE, Rights, SysError};
use alloc::string::String;
use alloc::vec::Vec;

/// Why a program was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnError {
    /// Its file is no program.
    Image(Option<ImageDefect>),
    /// Arguments and environment are longer than startup pages hold.
    TooLong,
    /// The kernel refused something.
    Sys(SysError),
}

impl core::fmt::Display for SpawnError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SpawnError::Image(Some(defect)) => write!(f, "cannot execute: {}", defect.text()),
            SpawnError::Image(None) => f.write_str("cannot execute: not a loadable ELF image"),
            SpawnError::TooLong => f.write_str("argument list too long"),
            SpawnError::Sys(error) => f.write_str(error.text()),
        }
    }
}
impl core::error::Error for SpawnError {}
impl From<SysError> for SpawnError {
    fn from(e: SysError) -> Self {
        SpawnError::Sys(e)
    }
}
impl From<TooLong> for SpawnError {
    fn from(_: TooLong) -> Self {
        SpawnError::TooLong
    }
}
impl From<LoadError> for SpawnError {
    fn from(e: LoadError) -> Self {
        match e {
            LoadError::Image(defect) => SpawnError::Image(defect),
            LoadError::Sys(error) => SpawnError::Sys(error),
        }
    }
}

struct Grant {
    name: String,
    handle: Handle,
    rights: Rights,
    badge: u64,
}

/// A program to be started, with what it gets: arguments, texts and capabilities, and nothing else.
pub struct Command {
    name: String,
    startup: StartupBuilder,
    grants: Vec<Grant>,
    pages: u64,
    stack_pages: u64,
    priority: u8,
    end: Option<(Event, u64)>,
    own_rights: Rights,
    /// `self` and `account` are in its table already.
    in_place: bool,
}

impl Command {
    /// A program with this name (of which the kernel keeps 16 bytes), which is its first argument too.
    pub fn new(name: &str) -> Command {
        let mut startup = StartupBuilder::new();
        startup.arg(name);
        Command {
            name: String::from(name.rsplit('/').next().unwrap_or(name)),
            startup,
            grants: Vec::new(),
            pages: 1024,
            stack_pages: 64,
            priority: 8,
            end: None,
            own_rights: Rights::MAP.union(Rights::INSPECT),
            in_place: false,
        }
    }
    /// Adds an argument.
    pub fn arg(&mut self, arg: &str) -> &mut Self {
        self.startup.arg(arg);
        self
    }
    /// Adds arguments.
    pub fn args<'a>(&mut self, args: impl IntoIterator<Item = &'a str>) -> &mut Self {
        args.into_iter().for_each(|arg| {
            self.startup.arg(arg);
        });
        self
    }
    /// Adds a pair to its environment.
    pub fn env(&mut self, key: &str, value: &str) -> &mut Self {
        self.startup.env(key, value);
        self
    }
    /// Hands it a capability: a copy of `handle` with `rights`.
    pub fn grant(&mut self, name: &str, handle: Handle, rights: Rights) -> &mut Self {
        self.grant_minted(name, handle, rights, 0)
    }
    /// Hands it a capability: a copy of queue `handle` with `rights` and `badge`.
    pub fn grant_minted(&mut self, name: &str, handle: Handle, rights: Rights, badge: u64) -> &mut Self {
        self.grants.push(Grant { name: name.into(), handle, rights, badge });
        self
    }
    /// The quota of its account, pages; 1024 unless set.
    pub fn memory(&mut self, pages: u64) -> &mut Self {
        self.pages = pages;
        self
    }
    /// The size of its stack, pages; 64 unless set.
    pub fn stack(&mut self, pages: u64) -> &mut Self {
        self.stack_pages = pages.clamp(1, layout::STACK_MAX / PAGE_SIZE);
        self
    }
    /// The priority of its threads; 8 unless set.
    pub fn priority(&mut self, priority: u8) -> &mut Self {
        self.priority = priority;
        self
    }
    /// The event, and its bits, that tell of its end. Without, the child has one of its own.
    pub fn on_end(&mut self, event: Event, bits: u64) -> &mut Self {
        self.end = Some((event, bits));
        self
    }

    /// Starts it; its account is a child of `account`.
    pub fn spawn(&self, image: &Image, account: Account) -> Result<Child, SpawnError> {
        let own_event = match self.end {
            Some(_) => None,
            None => Some(account.create_event()?),
        };
        let (event, bits) = match (&own_event, self.end) {
            (Some(own), _) => (own.event(), 1),
            (None, Some(end)) => end,
            (None, None) => return Err(SpawnError::Sys(SysError::BadState)),
        };
        let quota = account.child(self.pages)?;
        let mut child = Child {
            process: OwnedHandle::new(Handle::NONE),
            account: quota,
            event,
            own_event,
            bits,
            places: Places::default(),
            running: true,
        };
        // From here on, an error drops `child`, which destroys the account and all that was made with it.
        let paid_by = child.account.account();
        child.process = paid_by.create_process(Some((event, bits)), self.priority, &self.name)?;
        self.start_at(child.process.process(), paid_by, image, &mut child.places)?;
        Ok(child)
    }

    /// Loads `image` into the empty `process`, gives it what it gets, and starts its first thread. `account` pays.
    ///
    /// For a supervisor that restarts in place: what is already in the process's table (granted before a reset) is named
    /// in `startup` beforehand, by [`Command::known`].
    pub fn start(&self, process: Process, account: Account, image: &Image) -> Result<OwnedHandle, SpawnError> {
        self.start_at(process, account, image, &mut Places::default())
    }

    /// The same; says at which places.
    fn start_at(
        &self,
        process: Process,
        account: Account,
        image: &Image,
        at: &mut Places,
    ) -> Result<OwnedHandle, SpawnError> {
        let Loaded { entry, places } = process.load(image.memory(), image.offset(), image.length())?;
        *at = places;
        let startup = self.startup_pages(process, account, places)?;
        let startup_pages = (startup.len() as u64).div_ceil(PAGE_SIZE);
        let memory = account.create_memory(startup_pages + self.stack_pages)?;
        write(memory.memory(), &startup)?;
        let page = places.thread_area(0);
        let end = page + layout::THREAD_AREA;
        let stack = end - self.stack_pages * PAGE_SIZE;
        let argument = startup_address(places, startup_pages, stack);
        process.map(memory.memory(), argument, 0, startup_pages, Rights::READ)?;
        process.map(memory.memory(), stack, startup_pages, self.stack_pages, Rights::READ | Rights::WRITE)?;
        Ok(process.start(ThreadStart { entry, stack: end, page, argument, priority: self.priority })?)
    }

    /// Names a capability that is in the process's table already. Once `self` is named so, neither it nor `account` is
    /// given again.
    pub fn known(&mut self, name: &str, handle: Handle) -> &mut Self {
        self.in_place |= name == "self";
        self.startup.handle(name, handle);
        self
    }

    fn startup_pages(&self, process: Process, account: Account, places: Places) -> Result<Vec<u8>, SpawnError> {
        let mut startup = self.startup.clone();
        startup.places(places);
        if !self.in_place {
            let own = process.give(process.handle(), self.own_rights, 0)?;
            let quota = process.give(account.handle(), Rights::CREATE | Rights::INSPECT, 0)?;
            startup.handle("self", own).handle("account", quota);
        }
        for grant in &self.grants {
            let there = process.give(grant.handle, grant.rights, grant.badge)?;
            startup.handle(&grant.name, there);
        }
        Ok(startup.finish()?)
    }
}

/// Where the startup pages go: between the message page and the stack, a guard page from either, which saves the page
/// tables of a place of their own; there where the stack leaves no room.
fn startup_address(places: Places, pages: u64, stack: u64) -> u64 {
    let near = places.thread_area(0) + 2 * PAGE_SIZE;
    if near + (pages + 1) * PAGE_SIZE <= stack { near } else { places.startup() }
}

/// Writes the startup pages at the start of `memory`.
fn write(memory: Memory, startup: &[u8]) -> Result<(), SysError> {
    let pages = (startup.len() as u64).div_ceil(PAGE_SIZE);
    let mut mapping = memory.map_range(0, pages, true)?;
    mapping.write(0, startup)
}
