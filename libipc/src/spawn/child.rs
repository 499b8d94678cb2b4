//! A program that was started.

use crate::object::{Account, Event, Process};
use crate::owned::OwnedHandle;
use crate::sys::Deadline;
use abi::layout::Places;
use abi::{ProcessState, ProcessStatus, SysError};

/// A started program. Dropped, it is ended and all its memory returned.
#[derive(Debug)]
pub struct Child {
    pub(super) account: OwnedHandle,
    pub(super) process: OwnedHandle,
    pub(super) event: Event,
    /// Keeps the event, where it is the child's own.
    #[allow(dead_code, reason = "dropped with the child")]
    pub(super) own_event: Option<OwnedHandle>,
    pub(super) bits: u64,
    pub(super) places: Places,
    pub(super) running: bool,
}

impl Child {
    /// Status of a program that was killed by [`Child::kill`].
    pub const KILLED: i32 = 137;

    /// Its account, for what it is to be given besides.
    pub fn account(&self) -> Account {
        self.account.account()
    }
    /// Its process.
    pub fn process(&self) -> Process {
        self.process.process()
    }
    /// The event that tells of its end.
    pub fn event(&self) -> Event {
        self.event
    }
    /// The bits of that event.
    pub fn bits(&self) -> u64 {
        self.bits
    }
    /// Where things lie in it.
    pub fn places(&self) -> Places {
        self.places
    }
    /// Its number, and what it is doing.
    pub fn status(&self) -> Result<ProcessStatus, SysError> {
        self.process().status()
    }
    /// Its status where it has ended: for who waits by the event itself.
    pub fn try_wait(&mut self) -> Result<Option<ProcessStatus>, SysError> {
        let status = self.status()?;
        let ended = matches!(ProcessState::from_raw(status.state), ProcessState::Exited | ProcessState::Faulted);
        Ok(ended.then_some(status))
    }
    /// Waits until it has ended; returns what became of it, and all its memory.
    pub fn wait(self) -> Result<ProcessStatus, SysError> {
        self.wait_until(crate::sys::NEVER)
    }
    /// [`Child::wait`]; where `deadline` passes first, the program is ended.
    pub fn wait_until(mut self, deadline: Deadline) -> Result<ProcessStatus, SysError> {
        loop {
            self.event.wait(self.bits, deadline)?;
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
        }
    }
    /// Ends it.
    pub fn kill(&self) -> Result<(), SysError> {
        self.process().kill(Self::KILLED)
    }
    /// Lets it run on, with nobody to look after it; its memory is returned when the parent's account is.
    pub fn detach(mut self) -> Process {
        self.running = false;
        let process = core::mem::replace(&mut self.process, OwnedHandle::new(abi::Handle::NONE));
        let account = core::mem::replace(&mut self.account, OwnedHandle::new(abi::Handle::NONE));
        account.leak();
        Process::new(process.leak())
    }
}

/// The status that a shell shows for what became of a program: its own; 128 + n where it faulted.
pub fn shell_status(status: &ProcessStatus) -> i32 {
    match ProcessState::from_raw(status.state) {
        ProcessState::Faulted => 128 + 11,
        _ => status.exit as i32,
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.running {
            // Destroys the process, whatever it is doing. Refused only where it is gone with its account already.
            let _ = self.account.account().destroy();
        }
    }
}
