//! The supervisor at work: starts what is due, hears of what died, answers `svc` and takes the log.
//!
//! 1. It waits in one place, its own queue. The only call that it makes is the question whether a service still answers,
//!    which takes no longer than [`PATIENCE`]: a server that hangs cannot hang it.
//! 2. A service is touched only through its [`Unit`], and what becomes of it is decided by the [`Table`] alone.
//! 3. A request is answered only to a capability whose badge allows it.
//! 4. Calls to a service that is held are refused, so that no client waits for it in vain.

use crate::{
    acpi::Power,
    crash,
    hardware::{self, Exit},
    journal::{self, Journal},
    lasting::Lasting,
    report,
    requests::Goodbye,
    setup::Boot,
    table::{Death, State, Table},
    trace,
    unit::{StartError, Unit},
    upgrade::{OwnImage, Trial},
    watch::Watch,
    watchdog,
};
use abi::{Delivery, Message, MessageId, ProcessState, ProcessStatus, Rights, Tag};
use alloc::{format, string::String, vec::Vec};
use libipc::{
    Account, Machine, OwnedHandle, Queue, Service, SysError,
    answer::Answer,
    error::{Refusal, SYS_STATUS},
    proto::svc::{Allowed, SvcError, SvcRestartOp},
    server, sys, wire,
};

/// How often calls to held services are looked for, nanoseconds.
const REFUSE_EVERY: u64 = 100_000_000;
/// How long the session may take to bring everything to the disk before the machine goes down all the same.
const FAREWELL: u64 = 20_000_000_000;

/// How long a service has to answer that it is there, each time it is asked, nanoseconds.
const PATIENCE: u64 = 100_000_000;
/// How long the machine has to go down once it was told, nanoseconds.
const LAST_MOMENT: u64 = 1_000_000_000;

/// Posted messages between init and the session, not part of any protocol.
pub mod notice {
    /// The protocol number in their tags.
    pub const PROTOCOL: u16 = 0xfffe;
    /// init to session: bring everything to the disk; word 0 is what comes then.
    pub const PREPARE: u16 = 1;
    /// Session to init: done; word 0 is what comes now.
    pub const READY: u16 = 2;
    /// Session to init: the terminal is the shell's from now on.
    pub const QUIET: u16 = 3;
    /// In word 0: switch off.
    pub const POWER_OFF: u64 = 1;
    /// In word 0: restart.
    pub const REBOOT: u64 = 2;
}

/// A queue that a service provides.
pub struct Provided {
    /// Its name.
    pub name: String,
    /// The queue, with all rights.
    pub queue: OwnedHandle,
    /// Number of the service that receives from it; `None` for init's own.
    pub provider: Option<usize>,
}

/// The supervisor.
pub struct Supervisor {
    pub(crate) boot: Boot,
    pub(crate) table: Table,
    pub(crate) units: Vec<Option<Unit>>,
    watches: Vec<Watch>,
    pub(crate) queues: Vec<Provided>,
    pub(crate) journals: Vec<Journal>,
    pub(crate) programs: Option<OwnedHandle>,
    pub(crate) programs_pages: u64,
    pub(crate) power: Power,
    /// Restarts that somebody waits for.
    pub(crate) waiting: Vec<(usize, libipc::Pending<SvcRestartOp>)>,
    /// Such calls that came to an earlier incarnation and will come again.
    pub(crate) expected: Vec<(usize, MessageId)>,
    pub(crate) goodbyes: Vec<Goodbye>,
    /// The services' images, where they are not those of the boot archive.
    pub(crate) images: Vec<Option<OwnImage>>,
    pub(crate) trials: Vec<Trial>,
    /// How the services crashed last.
    pub(crate) crashes: Vec<Option<String>>,
    /// What it receives from.
    pub(crate) queue: OwnedHandle,
    pub(crate) lasting: Lasting<'static>,
    lines: u64,
    pub(crate) echo: bool,
    pub(crate) leaving: Option<(Exit, u64)>,
    refuse_at: u64,
}

impl Supervisor {
    /// Of a system that has been set up. It finds the lines of the log that `lasting` holds.
    pub fn new(
        boot: Boot,
        table: Table,
        units: Vec<Option<Unit>>,
        queues: Vec<Provided>,
        queue: OwnedHandle,
        lasting: Lasting<'static>,
    ) -> Supervisor {
        let watches = boot.system.services.iter().map(|service| Watch::new(service.heartbeat_ms)).collect();
        let mut journals: Vec<Journal> = (0..=units.len()).map(|_| Journal::default()).collect();
        let images = units.iter().map(|_| None).collect();
        let crashes = units.iter().map(|_| None).collect();
        let mut lines = 0;
        for (number, who, text) in lasting.lines() {
            lines = number;
            if let Some(journal) = journals.get_mut(who) {
                journal.push(number, text.into());
            }
        }
        Supervisor {
            boot,
            table,
            units,
            watches,
            queues,
            journals,
            programs: None,
            programs_pages: 0,
            power: Power::default(),
            waiting: Vec::new(),
            expected: Vec::new(),
            goodbyes: Vec::new(),
            images,
            trials: Vec::new(),
            crashes,
            queue,
            lasting,
            lines,
            echo: true,
            leaving: None,
            refuse_at: 0,
        }
    }

    /// Serves until the machine goes down.
    pub fn run(&mut self) -> SysError {
        let queue = self.queue.queue();
        watchdog::serves(queue);
        let mut owed: Option<(MessageId, Message)> = None;
        loop {
            // What is due may need the message page, in which the answer waits.
            let is_due = self.next_deadline().is_some_and(|at| at <= sys::clock());
            if let Some((id, answer)) = owed.take_if(|_| is_due) {
                // Refused only where the caller is gone: its answers have no capabilities.
                let _ = sys::reply(id, answer);
            }
            if owed.is_none() {
                self.advance();
            }
            let deadline = self.next_deadline();
            let received = match owed.take() {
                None => sys::recv(queue.handle(), deadline),
                Some((id, answer)) => sys::reply_recv(queue.handle(), id, answer, deadline),
            };
            match received {
                Ok(received) => owed = server::handle(self, received),
                Err(SysError::TimedOut) => {}
                Err(error) => return error,
            }
        }
    }

    /// Does all that is due now.
    pub fn advance(&mut self) {
        let now = sys::clock();
        if let Some((how, _)) = self.leaving.filter(|(_, at)| *at <= now) {
            self.log_own(&format!(
                "the session did not bring everything to the disk within {} s",
                FAREWELL / 1_000_000_000
            ));
            self.leave(how);
        }
        while let Some(at) = self.table.due(now) {
            self.start(at);
        }
        if self.refuse_at <= now && self.table.held().next().is_some() {
            self.refuse_at = now + REFUSE_EVERY;
            self.refuse_calls_to_held();
        }
        for at in 0..self.watches.len() {
            self.watch(at, now);
        }
        self.look_at_trials(now);
    }

    /// Asks service `at` whether it still answers, where that is due; ends it where it has not for too long.
    fn watch(&mut self, at: usize, now: u64) {
        let is_due = self.watches.get(at).and_then(Watch::due).is_some_and(|due| due <= now);
        let queue = self.queues.iter().find(|provided| provided.provider == Some(at)).map(|p| p.queue.queue());
        let (true, true, Some(queue)) = (is_due, self.table.state(at) == Some(&State::Running), queue) else { return };
        let answer = server::ping(queue, Some(sys::clock().saturating_add(PATIENCE)));
        let now = sys::clock();
        match answer {
            // Who waits for another server is not hung: that one is asked as well, and no call waits for ever.
            Err(SysError::TimedOut | SysError::OutcomeUnknown) if !self.waits_for_another(at) => {
                let hung = self.watches.get_mut(at).is_some_and(|watch| watch.silent(now));
                if hung {
                    self.log_own(&format!("{} does not answer any more and is ended", self.name(at)));
                    self.end(at);
                }
            }
            // It answers; or it died of something, which its end event tells; or it waits for an answer of init's.
            _ => {
                if let Some(watch) = self.watches.get_mut(at) {
                    watch.alive(now);
                }
            }
        }
    }

    /// Whether service `at` waits for a reply.
    fn waits_for_another(&self, at: usize) -> bool {
        const REPLY: u64 = 1;
        let status = self.units.get(at).and_then(Option::as_ref).and_then(|unit| unit.status().ok());
        status.is_some_and(|status| status.waiting == REPLY)
    }

    /// Ends the process of service `at`.
    pub(crate) fn end(&self, at: usize) {
        if let Some(unit) = self.units.get(at).and_then(Option::as_ref) {
            // Refused only where it is dead already.
            let _ = unit.kill();
        }
    }

    /// Starts service `at`.
    fn start(&mut self, at: usize) {
        if let Err(reason) = self.start_unit(at) {
            self.log_own(&format!("{}: {reason}", self.name(at)));
            if self.is_on_trial(at) {
                return self.end_trial(at, Some(reason));
            }
            self.table.not_started(at, sys::clock(), reason);
            self.commit(None);
            return self.tell_if_held(at);
        }
        self.has_started(at);
    }

    /// Service `at` runs.
    pub(crate) fn has_started(&mut self, at: usize) {
        let now = sys::clock();
        self.table.started(at, now);
        self.watch_from(at, now);
        self.answer_waiting(at, Ok(()));
        self.commit(None);
    }

    /// Gives service `at` the time that one has which has just started.
    pub(crate) fn watch_from(&mut self, at: usize, now: u64) {
        if let Some(watch) = self.watches.get_mut(at) {
            watch.started(now);
        }
    }

    /// Saves what an incarnation after this one has to know, and with it the answer to a call.
    pub(crate) fn commit(&mut self, answer: Option<(MessageId, &Answer)>) {
        let saved = self.save();
        if !self.lasting.commit(&saved, answer) {
            self.log_own("its state is too large to be saved; should init die now, it goes on from an older one");
        }
    }

    /// Answers those who wait for service `at` to be restarted.
    fn answer_waiting(&mut self, at: usize, answer: Result<(), SvcError>) {
        while let Some(next) = self.waiting.iter().position(|(service, _)| *service == at) {
            let (_, pending) = self.waiting.swap_remove(next);
            let encoded = pending.encode(&answer);
            self.commit(Some((pending.id(), &encoded)));
            // Refused only where the caller is gone.
            let _ = pending.answer(answer);
        }
    }

    /// Where service `at` has come to be held: says so, and to those who wait for it.
    fn tell_if_held(&mut self, at: usize) {
        let Some(State::Held(reason)) = self.table.state(at) else { return };
        let line = format!("{} is held: {reason}; 'svc restart {}' tries again", self.name(at), self.name(at));
        self.log_own(&line);
        // The calls that it had received go back to its queue, where they are refused.
        self.end(at);
        self.answer_waiting(at, Err(SvcError::BadState));
    }

    fn start_unit(&mut self, at: usize) -> Result<(), String> {
        let image = match self.images.get(at).and_then(Option::as_ref) {
            Some(own) => own.image(),
            None => self.boot.image(at)?,
        };
        let text = |error: StartError| format!("{error}");
        self.unit(at)?.clear().map_err(text)?;
        if self.boot.system.services.get(at).is_some_and(|service| service.name == manifest::SESSION) {
            self.renew_programs(at)?;
            // Before it can run: an account that is not saved would be taken from it.
            self.commit(None);
        }
        self.boot.devices.wake(at);
        self.unit(at)?.start(&image, sys::clock()).map_err(text)
    }

    fn unit(&mut self, at: usize) -> Result<&mut Unit, String> {
        self.units.get_mut(at).and_then(Option::as_mut).ok_or_else(|| String::from("it was never set up"))
    }

    /// Gives the session a fresh account for programs; those of an earlier session end with it.
    fn renew_programs(&mut self, session: usize) -> Result<(), String> {
        let text = |error: SysError| format!("cannot set memory aside for programs: {error}");
        if let Some(old) = self.programs.take() {
            match old.account().destroy() {
                // An earlier incarnation has destroyed it and died of something.
                Ok(()) | Err(SysError::BadHandle) => {}
                Err(error) => return Err(text(error)),
            }
        }
        let account = self.boot.account.child(self.programs_pages).map_err(text)?;
        let handle = self.programs.insert(account).handle();
        let handed = self.unit(session)?.hand("programs", handle, Rights::CREATE | Rights::INSPECT, 0);
        handed.map_err(|error| format!("{error}"))
    }

    /// The end event of service `at`: it may have died, or been restarted meanwhile.
    pub(crate) fn ended(&mut self, at: usize) {
        let Some(unit) = self.units.get(at).and_then(Option::as_ref) else { return };
        let Ok(status) = unit.status() else { return };
        let is_dead = matches!(ProcessState::from_raw(status.state), ProcessState::Faulted | ProcessState::Exited);
        // What was known to be dead has been dealt with.
        if !is_dead || !matches!(self.table.state(at), Some(State::Running | State::Stopping)) {
            return;
        }
        self.boot.devices.silence(at);
        self.log_own(&format!(
            "{} (incarnation {}) died: {}",
            self.name(at),
            status.incarnation,
            report::describe(&status)
        ));
        self.keep_crash(at, &status);
        let ordered = self.table.state(at) == Some(&State::Stopping);
        self.table.died(at, sys::clock(), Death { what: report::summary(&status) });
        if self.is_on_trial(at) && !ordered {
            self.end_trial(at, Some(format!("the new image died: {}", report::summary(&status))));
        }
        self.commit(None);
        self.tell_if_held(at);
    }

    /// Keeps the report of a crash, before the process is cleared.
    fn keep_crash(&mut self, at: usize, status: &ProcessStatus) {
        const LAST: usize = 8;
        if ProcessState::from_raw(status.state) != ProcessState::Faulted {
            return;
        }
        let (Some(unit), Some(journal)) = (self.units.get(at).and_then(Option::as_ref), self.journals.get(at)) else {
            return;
        };
        let events = trace::last_events(self.machine(), status.id);
        let text = crash::tell(&unit.process(), status, &events, &journal.last(LAST));
        for line in text.lines().filter(|line| line.starts_with("called from (")) {
            self.log_own(&format!("{} {line}", self.name(at)));
        }
        if let Some(slot) = self.crashes.get_mut(at) {
            *slot = Some(text);
        }
    }

    fn refuse_calls_to_held(&mut self) {
        let held: Vec<usize> = self.table.held().collect();
        for provided in &self.queues {
            if provided.provider.is_some_and(|service| held.contains(&service)) {
                refuse_calls(provided.queue.queue());
            }
        }
    }

    /// Number of the service with this name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.boot.system.services.iter().position(|service| service.name == name)
    }

    pub(crate) fn name(&self, at: usize) -> &str {
        self.boot.system.services.get(at).map_or(manifest::INIT_QUEUE, |service| service.name.as_str())
    }

    /// Adds a line to the log of service `at`; of init's own where there is no such service.
    pub(crate) fn log(&mut self, at: usize, text: &[u8]) {
        let now = sys::clock() / 1000;
        let at = at.min(self.units.len());
        let text = journal::clean(text);
        if self.echo {
            // Where the kernel refuses, there is nobody to tell.
            let _ = self.boot.machine.log(&format!("{}: {text}\n", self.name(at)));
        }
        let line = format!("[{:5}.{:06}] {text}", now / 1_000_000, now % 1_000_000);
        self.lines += 1;
        self.lasting.keep_line(self.lines, at, &line);
        if let Some(journal) = self.journals.get_mut(at) {
            journal.push(self.lines, line);
        }
    }

    /// Adds a line to init's own log.
    pub fn log_own(&mut self, text: &str) {
        self.log(usize::MAX, text.as_bytes());
    }

    /// Has the session bring everything to the disk, then goes down.
    pub(crate) fn prepare_to_leave(&mut self, how: Exit) {
        let word = match how {
            Exit::PowerOff => notice::POWER_OFF,
            Exit::Reboot => notice::REBOOT,
        };
        let message = Message { tag: Tag::new(notice::PROTOCOL, notice::PREPARE), words: [word, 0, 0, 0, 0, 0, 0, 0] };
        let runs = self.find(manifest::SESSION).is_some_and(|at| self.table.state(at) == Some(&State::Running));
        let session = self.queues.iter().find(|provided| provided.name == manifest::SESSION && runs);
        let told = session.is_some_and(|provided| sys::post(provided.queue.handle(), message).is_ok());
        let patience = if told { FAREWELL } else { 0 };
        self.leaving = Some((how, sys::clock().saturating_add(patience)));
        self.commit(None);
    }

    fn leave(&mut self, how: Exit) {
        self.leaving = None;
        self.table.stop_all();
        for line in self.coverage() {
            // Where the kernel refuses, there is nobody to tell.
            let _ = self.boot.machine.log(&format!("{line}\n"));
        }
        // Should it die on the way, its successor goes this way at once.
        self.leaving = Some((how, 0));
        self.commit(None);
        self.leaving = None;
        hardware::leave(self.boot.machine, self.boot.account, self.power, how);
        // The machine may take a moment to act on it.
        sys::sleep_until(sys::clock().saturating_add(LAST_MOMENT));
        self.echo = true;
        self.log_own("software cannot take this machine down; switch it off now");
        self.goodbyes.clear();
    }

    fn noticed(&mut self, operation: u16, word: u64) {
        match (operation, word) {
            (notice::READY, notice::REBOOT) => self.leave(Exit::Reboot),
            (notice::READY, _) => self.leave(Exit::PowerOff),
            (notice::QUIET, _) => {
                self.echo = false;
                self.commit(None);
            }
            _ => {}
        }
    }

    /// The account out of which everything is paid.
    pub(crate) fn account(&self) -> Account {
        self.boot.account
    }

    /// The authority over the hardware.
    pub fn machine(&self) -> Machine {
        self.boot.machine
    }
}

/// Refuses every call that waits on `queue`, so that its caller knows whether a server has ever had it.
fn refuse_calls(queue: Queue) {
    while let Ok(received) = sys::recv(queue.handle(), Some(0)) {
        let tag = received.message.tag;
        wire::close_received(tag);
        if tag.delivery() == Delivery::Call {
            let error = if tag.attempt() == 0 { SysError::Closed } else { SysError::ServerDied };
            // Refused only where the caller is gone.
            let _ = sys::reply(received.id, wire::status(SYS_STATUS + error as u16));
        }
    }
}

impl Service for Supervisor {
    libipc::protocols!(libipc::proto::svc::SvcProtocol, libipc::proto::log::LogProtocol);

    fn on_event(&mut self, badge: u64, _: u64) {
        if let Ok(at) = usize::try_from(badge) {
            self.ended(at);
        }
    }

    fn on_post(&mut self, badge: u64, message: Message) {
        let (allowed, _) = Allowed::of_badge(badge);
        if message.tag.protocol() == notice::PROTOCOL && allowed.contains(Allowed::SESSION) {
            self.noticed(message.tag.operation(), message.words[0]);
        }
    }

    fn next_deadline(&self) -> sys::Deadline {
        let refuse = self.table.held().next().map(|_| self.refuse_at);
        let leave = self.leaving.map(|(_, at)| at);
        let running = |at: &usize| self.table.state(*at) == Some(&State::Running);
        let watch = (0..self.watches.len()).filter(running).filter_map(|at| self.watches[at].due()).min();
        [self.table.next_due(), refuse, leave, watch, self.next_trial()].into_iter().flatten().min()
    }
}

/// The refusal of a request that the badge does not allow.
pub(crate) const NOT_ALLOWED: Refusal = Refusal::NotAllowed;
