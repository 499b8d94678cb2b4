//! Jobs: the running parts of a pipeline.
//!
//! Invariants:
//! 1. A member is running (it has a process), or it has a status; never both.
//! 2. The pipe ends of a member are hung up when it ends, so that its neighbours see the end of input.
//! 3. A job's number is not in use by another job while it lives.

use crate::system::{End, Launch, System};
use alloc::{format, string::String, vec, vec::Vec};

/// Writes its arguments: carries what the shell has to say into a pipe.
const CARRIER: &str = "/bin/echo";

/// One command of a pipeline.
pub struct Member<S: System> {
    /// Its name, for messages.
    pub name: String,
    /// While it runs.
    pub process: Option<S::Process>,
    /// The number of its process; 0 where it never had one.
    pub number: u64,
    /// Once it has ended.
    pub status: i32,
    /// Its process only carries a message: the status stands already.
    pub carrying: bool,
    /// Ends of pipes that it alone uses.
    pub ends: Vec<S::Stream>,
    /// Where a message about its end goes.
    pub errors: S::Stream,
}

impl<S: System> Member<S> {
    /// Looks whether it has ended; if so, frees what it had, and says how it ended where that was a fault.
    pub fn poll(&mut self, system: &mut S) {
        let Some(end) = self.process.as_ref().and_then(|process| system.ended(process)) else { return };
        if let Some(process) = self.process.take() {
            system.discard(process);
        }
        match end {
            _ if self.carrying => {}
            End::Exited(status) => self.status = status & 0xff,
            End::Faulted(what, status) => {
                self.status = status;
                let message = format!("sh: {}: {what}\n", self.name);
                let errors = self.errors.clone();
                self.tell(system, &message, &errors);
            }
        }
        if self.process.is_none() {
            self.hang_up(system);
        }
    }

    /// Writes a message of the shell's to a stream of this member. Into a pipe a process of its own carries it, which the
    /// member becomes. Where all fails nobody can be told.
    pub fn tell(&mut self, system: &mut S, message: &str, to: &S::Stream) {
        if message.is_empty() {
            return;
        }
        let [_, _, own_errors] = system.standard();
        if !system.is_pipe(to) {
            let _ = system.write(to, message.as_bytes());
            return;
        }
        let arguments = vec!["echo".into(), "-n".into(), String::from(message)];
        let (output, errors) = (to.clone(), own_errors.clone());
        let launch =
            Launch { name: CARRIER, arguments: &arguments, environment: &[], input: None, output, errors, jobs: &[] };
        match system.start(launch) {
            Ok(process) => {
                self.process = Some(process);
                self.carrying = true;
            }
            Err(_) => drop(system.write(&own_errors, message.as_bytes())),
        }
    }

    /// Hangs up its pipe ends.
    pub fn hang_up(&mut self, system: &mut S) {
        self.ends.drain(..).for_each(|end| system.hang_up(end));
    }
}

/// A pipeline that runs or has run.
pub struct Job<S: System> {
    /// Its number; 0 in the foreground.
    pub number: usize,
    /// Its source.
    pub text: String,
    /// Its commands, in order.
    pub members: Vec<Member<S>>,
}

impl<S: System> Job<S> {
    /// Looks at every member; whether all have ended.
    pub fn poll(&mut self, system: &mut S) -> bool {
        self.members.iter_mut().for_each(|member| member.poll(system));
        self.members.iter().all(|member| member.process.is_none())
    }

    /// Ends all that still runs.
    pub fn kill(&mut self, system: &mut S, status: i32) {
        for process in self.members.iter().filter_map(|member| member.process.as_ref()) {
            system.kill(process, status);
        }
    }

    /// The status of a pipeline is that of its last command.
    pub fn status(&self) -> i32 {
        self.members.last().map_or(0, |member| member.status)
    }

    /// The number of its last process; 0 where none was started.
    pub fn process_number(&self) -> u64 {
        self.members.iter().rev().map(|member| member.number).find(|number| *number != 0).unwrap_or(0)
    }
}

/// `Running`, `Done` or `Exit 3`.
pub fn state_text(ended: bool, status: i32) -> String {
    match (ended, status) {
        (false, _) => "Running".into(),
        (true, 0) => "Done".into(),
        (true, status) => format!("Exit {status}"),
    }
}
