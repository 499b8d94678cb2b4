//! The supervisor after its own death: finds what it had, gives up what nobody knows, goes on where it stood.
//!
//! 1. What the kernel knows comes from the kernel: which service runs, faulted, or was never started. The saved state
//!    tells what the capabilities are and what was decided.
//! 2. A capability that the saved state does not name was made by an incarnation that died before it could say so: it is
//!    given up, and an account with all that it paid for.
//! 3. Without a saved state everything is given up, devices first, and the services start anew.

use crate::{
    devices::Devices,
    hardware::Exit,
    lasting::Lasting,
    report,
    saved::{self, Raw, Saved},
    setup::{Boot, plan},
    supervisor::{Provided, Supervisor},
    table::{Death, State, Table},
    unit::Unit,
    upgrade::{OwnImage, Trial},
    watchdog,
};
use abi::{Handle, Kind, ProcessState, ProcessStatus, layout};
use alloc::{format, string::String, vec::Vec};
use libipc::{SysError, sys};

/// What a first program always has.
const FIRST: [Handle; 5] =
    [layout::INIT_SELF, layout::INIT_ACCOUNT, layout::INIT_MACHINE, layout::INIT_ARCHIVE, layout::INIT_RECORD];

/// Gives up every capability that is not in `known`.
pub fn give_up_all_but(known: &[Raw]) -> Result<(), SysError> {
    let mut from = 0;
    loop {
        let (found, next) = sys::capability_next(from)?;
        if let Some(handle) = found.filter(|handle| !FIRST.contains(handle) && !known.contains(&handle.raw())) {
            give_up(handle);
        }
        from = next;
        if from == 0 {
            return Ok(());
        }
    }
}

fn give_up(handle: Handle) {
    // Refused only where it went with an account that was given up before.
    let _ = match sys::inspect(handle) {
        Ok(what) if what.kind == Kind::Account => sys::account_destroy(handle),
        Ok(_) => sys::close(handle),
        Err(error) => Err(error),
    };
}

/// Keeps what `saved` names and gives up the rest.
pub fn tidy(boot: &Boot, saved: Option<&Saved>, rsdp: u64) -> Result<(), String> {
    if saved.is_none() {
        Devices::new(boot.machine, boot.account, rsdp).silence_all();
    }
    let known = saved.map(Saved::handles).unwrap_or_default();
    give_up_all_but(&known).map_err(|error| format!("cannot look through its capabilities: {error}"))
}

/// The supervisor that `saved` is about.
pub fn restore(mut boot: Boot, saved: Saved, lasting: Lasting<'static>) -> Supervisor {
    let names = boot.system.services.iter().enumerate();
    let names = names.flat_map(|(at, service)| service.provides.iter().map(move |queue| (&queue.name, Some(at))));
    let init = String::from(manifest::INIT_QUEUE);
    let names = core::iter::once((&init, None)).chain(names);
    let provided = |((name, provider), raw): ((&String, Option<usize>), &Raw)| Provided {
        name: name.clone(),
        queue: saved::owned(*raw),
        provider,
    };
    let queues: Vec<Provided> = names.zip(&saved.queues).map(provided).collect();
    boot.devices.restore(saved.devices);
    boot.memories = saved.memories.into_iter().map(saved::owned).collect();
    let table = Table::restored(boot.system.services.iter().map(crate::setup::policy), &saved.table, saved.stopped);
    let units = saved.units.into_iter().zip(&boot.system.services);
    let units = units.map(|(unit, service)| Some(Unit::restored(&plan(service, 0), unit?))).collect();
    let mut supervisor = Supervisor::new(boot, table, units, queues, saved::owned(saved.queue), lasting);
    supervisor.programs = saved.programs.map(saved::owned);
    supervisor.programs_pages = saved.programs_pages;
    supervisor.echo = saved.echo;
    supervisor.leaving = saved.leaving.map(|(reboot, at)| (if reboot { Exit::Reboot } else { Exit::PowerOff }, at));
    supervisor.expected = saved.waiting.iter().map(|(at, id)| (*at as usize, abi::MessageId::from_raw(*id))).collect();
    supervisor.images = saved.images.into_iter().map(|image| image.map(OwnImage::restored)).collect();
    supervisor.trials = saved.trials.into_iter().map(Trial::restored).collect();
    supervisor
}

/// How the incarnation before ended, for people. The kernel keeps it in the status of the one that runs.
pub fn last_end(status: &ProcessStatus) -> String {
    const FAULTED: i64 = -2;
    if status.exit == i64::from(watchdog::HUNG) {
        return "did not answer any more".into();
    }
    let state = if status.exit == FAULTED { ProcessState::Faulted } else { ProcessState::Exited };
    report::describe(&ProcessStatus { state: state as u64, ..*status })
}

impl Supervisor {
    /// What is saved.
    pub(crate) fn save(&self) -> Saved {
        let (table, stopped) = self.table.save();
        let waiting = self.waiting.iter().map(|(at, pending)| (*at as u32, pending.id().raw()));
        let expected = self.expected.iter().map(|(at, id)| (*at as u32, id.raw()));
        Saved {
            queue: saved::raw(&self.queue),
            queues: self.queues.iter().map(|provided| saved::raw(&provided.queue)).collect(),
            memories: self.boot.memories.iter().map(saved::raw).collect(),
            units: self.units.iter().map(|unit| unit.as_ref().map(Unit::save)).collect(),
            table,
            stopped,
            devices: self.boot.devices.save(),
            programs: self.programs.as_ref().map(saved::raw),
            programs_pages: self.programs_pages,
            echo: self.echo,
            leaving: self.leaving.map(|(how, at)| (how == Exit::Reboot, at)),
            waiting: waiting.chain(expected).collect(),
            images: self.images.iter().map(|image| image.as_ref().map(OwnImage::save)).collect(),
            trials: self.trials.iter().map(Trial::save).collect(),
        }
    }

    /// Goes on where the incarnation before stood, of whose end `status` tells.
    pub(crate) fn take_over(&mut self, status: &ProcessStatus) {
        self.log_own(&format!("incarnation {} goes on; the last one {}", status.incarnation, last_end(status)));
        for at in 0..self.units.len() {
            self.take_over_service(at);
        }
        self.commit(None);
    }

    fn take_over_service(&mut self, at: usize) {
        let Some(status) = self.units.get(at).and_then(Option::as_ref).and_then(|unit| unit.status().ok()) else {
            return;
        };
        let now = sys::clock();
        match (self.table.state(at), ProcessState::from_raw(status.state)) {
            (Some(State::Running | State::Stopping), ProcessState::Faulted | ProcessState::Exited) => self.ended(at),
            (Some(State::Running | State::Stopping), ProcessState::Empty) => {
                self.table.died(at, now, Death { what: report::summary(&status) });
            }
            (Some(State::Stopping), ProcessState::Running) | (Some(State::Held(_)), ProcessState::Faulted) => {
                self.end(at)
            }
            (Some(State::Waiting(_)), ProcessState::Running) => {
                if let Some(unit) = self.units.get_mut(at).and_then(Option::as_mut) {
                    unit.adopt(now);
                }
                self.has_started(at);
            }
            _ => self.watch_from(at, now),
        }
    }
}
