//! One session from its start to the machine's end.
//!
//! 1. There is at most one shell; when it ends, everything that it started ends with it.
//! 2. The machine goes down only after the filesystem has been told to bring everything to the disk, and, in exec mode,
//!    after the host has the status.

use crate::{
    console::Console,
    shell::{self, Means, NoShell},
};
use abi::{Delivery, Message, SysError, Tag};
use alloc::{
    format,
    string::{String, ToString},
};
use init::supervisor::notice;
use libipc::{
    Dir, OwnedHandle, Queue, Startup,
    error::Refusal,
    log,
    proto::pipe::PipeClient,
    spawn::{Child, shell_status},
    sys, wire,
};

/// Badge of the end event on the session's queue.
const SHELL_ENDED: u64 = 1;
/// Status of a command that could not be run because there is no shell to run it.
const NO_SHELL: i32 = 125;
/// Pause before something that failed is tried again, nanoseconds.
const PAUSE: u64 = 2_000_000_000;

/// The session.
pub struct Session {
    queue: Queue,
    init: Queue,
    fs: Queue,
    console: Console,
    means: Means,
    /// Keeps the end event.
    _end: OwnedHandle,
    command: Option<String>,
    root: Option<OwnedHandle>,
    shell: Option<(Child, u64)>,
    /// What was last said to be in the way, so that it is said once.
    trouble: String,
    retry_at: Option<u64>,
    /// The machine is to go down this way: the supervisor is told until it does, as it may die of something.
    leaving: Option<u64>,
}

/// What the session waits for next.
enum Turn {
    GoOn,
    Down(u64),
}

impl Session {
    /// Of the capabilities that the supervisor has handed over. The error is for people.
    pub fn open(startup: &Startup<'_>) -> Result<Session, String> {
        let missing = |missing: libipc::startup::Missing<'_>| missing.to_string();
        let number = |key: &str| startup.env(key).and_then(|text| text.parse::<u64>().ok());
        let queue = startup.queue("queue:session").map_err(missing)?;
        let init = startup.queue("init").map_err(missing)?;
        let account = startup.account().map_err(missing)?;
        let end = account.create_event().map_err(|error| format!("cannot make an event: {error}"))?;
        end.event().bind(queue, SHELL_ENDED).map_err(|error| format!("cannot bind an event: {error}"))?;
        let pipes = startup.queue("pipe").map_err(missing)?;
        let console = Console::open(startup.queue("console").map_err(missing)?);
        let console = console.map_err(|error| format!("the console opens no session: {error}"))?;
        let means = Means {
            programs: libipc::Account::new(startup.require("programs").map_err(missing)?),
            pipes,
            supervisor: init.handle(),
            stack: number("stack").unwrap_or(64),
            priority: number("priority").and_then(|priority| priority.try_into().ok()).unwrap_or(8),
            services: startup.services().map(|(name, handle)| (name.into(), handle)).collect(),
            end: end.event(),
            bits: 1,
        };
        Ok(Session {
            queue,
            init,
            fs: startup.queue("fs").map_err(missing)?,
            console,
            means,
            _end: end,
            command: startup.env("exec").map(String::from),
            root: None,
            shell: None,
            trouble: String::new(),
            retry_at: Some(0),
            leaving: None,
        })
        .map(|session| session.unless_restarted(number("incarnation")))
    }

    /// A command whose session has died is not run again: nobody knows how far it came.
    fn unless_restarted(mut self, incarnation: Option<u64>) -> Session {
        if self.command.is_some() && incarnation.is_some_and(|incarnation| incarnation > 1) {
            self.console.say("died while the command ran; how far it came is not known");
            self.go_down(notice::POWER_OFF, NO_SHELL);
        }
        self
    }

    /// Runs until the machine goes down; returns only where its queue fails.
    pub fn run(&mut self) -> SysError {
        loop {
            if self.retry_at.is_some_and(|at| at <= sys::clock()) {
                self.retry_at = None;
                match self.leaving {
                    Some(how) => self.leave(how),
                    None => self.try_shell(),
                }
            }
            let turn = match sys::recv(self.queue.handle(), self.retry_at) {
                Ok(received) => self.heard(received),
                Err(SysError::TimedOut) => Turn::GoOn,
                Err(error) => return error,
            };
            if let Turn::Down(how) = turn {
                self.shell = None;
                self.go_down(how, 0);
            }
        }
    }

    fn heard(&mut self, received: sys::Received) -> Turn {
        let tag = received.message.tag;
        match tag.delivery() {
            Delivery::Event => self.ended(),
            Delivery::Post if tag.protocol() == notice::PROTOCOL && tag.operation() == notice::PREPARE => {
                return Turn::Down(received.message.words[0]);
            }
            Delivery::Post => {}
            Delivery::Call => {
                wire::close_received(tag);
                // Refused only where the caller is gone.
                let _ = sys::reply(received.id, wire::status(Refusal::UnknownProtocol.status()));
            }
        }
        Turn::GoOn
    }

    /// Starts a shell, or says once what is in the way and tries again later. In exec mode there is no later.
    fn try_shell(&mut self) {
        match self.start_shell() {
            Ok(shell) => {
                self.trouble.clear();
                self.tell_init(notice::QUIET, 0);
                self.shell = Some((shell, sys::clock()));
            }
            Err(trouble) => {
                let text = trouble.to_string();
                if text != self.trouble {
                    log!(Error, "{text}");
                    self.console.say(&text);
                    self.trouble = text;
                }
                if self.command.is_some() {
                    return self.go_down(notice::POWER_OFF, NO_SHELL);
                }
                self.retry_at = Some(sys::clock().saturating_add(PAUSE));
            }
        }
    }

    fn start_shell(&mut self) -> Result<Child, NoShell> {
        // What an earlier shell has left of pipes is nobody's; a pipe server that does not answer is not in the way.
        let _ = PipeClient::new(self.means.pipes).close_all();
        let root = match self.root.take() {
            Some(root) => root,
            None => shell::mount(self.fs)?,
        };
        let root = self.root.insert(root);
        shell::start(&self.means, root, &self.console, self.command.as_deref())
    }

    /// The shell may have ended.
    fn ended(&mut self) {
        let Some((mut shell, started)) = self.shell.take() else { return };
        let Ok(Some(status)) = shell.try_wait() else {
            self.shell = Some((shell, started));
            return;
        };
        // Ends whatever it has left running, and gives its memory back.
        drop(shell);
        let code = shell_status(&status);
        if self.command.is_some() {
            return self.go_down(notice::POWER_OFF, code);
        }
        self.console.say(&format!("the shell ended with status {code}; here is another"));
        let short = sys::clock().saturating_sub(started) < PAUSE;
        self.retry_at = Some(if short { sys::clock().saturating_add(PAUSE) } else { 0 });
    }

    /// Brings everything to the disk, reports the status in exec mode, and has the supervisor take the machine down.
    fn go_down(&mut self, how: u64, status: i32) {
        let mut status = status;
        // One that was started again has not looked for the filesystem yet.
        let root = self.root.take().or_else(|| shell::mount(self.fs).ok());
        if let Some(Err(error)) = root.map(|root| Dir::new(root.queue()).rest()) {
            let text = format!("not everything is on the disk: {error}");
            log!(Error, "{text}");
            self.console.say(&text);
            status = if status == 0 { NO_SHELL } else { status };
        }
        if self.command.is_some()
            && let Err(text) = self.console.report(status)
        {
            log!(Error, "{text}");
        }
        self.leave(how);
    }

    /// Tells the supervisor to take the machine down, now and from time to time.
    fn leave(&mut self, how: u64) {
        self.tell_init(notice::READY, how);
        self.leaving = Some(how);
        self.retry_at = Some(sys::clock().saturating_add(PAUSE));
    }

    fn tell_init(&self, what: u16, word: u64) {
        let message = Message { tag: Tag::new(notice::PROTOCOL, what), words: [word, 0, 0, 0, 0, 0, 0, 0] };
        if let Err(error) = sys::post(self.init.handle(), message) {
            log!(Error, "cannot tell the supervisor: {error}");
        }
    }
}
