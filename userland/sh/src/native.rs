//! The system under the shell: processes, streams and directories over libipc.
//!
//! Invariants:
//! 1. A program gets its arguments, its streams, its directories, an account of its own, and what [`sh::environment`]
//!    lists for it; nothing else.
//! 2. Of its quota the shell keeps [`RESERVE`] pages back for itself, so that no job can starve it.
//! 3. One event tells of every end and of ^C; who waits for it looks at all processes.

use crate::LONGEST_SCRIPT;
use crate::programs::Programs;
use crate::stream::{Kind, SharedStream, reason};
use crate::terminal::Terminal;
use alloc::{format, string::String, string::ToString, vec, vec::Vec};
use libipc::abi::ProcessState;
use libipc::proto::FsError;
use libipc::proto::directory::OpenFlags;
use libipc::proto::info::FileKind;
use libipc::proto::pipe::PipeClient;
use libipc::proto::svc::Allowed;
use libipc::spawn::{Child, Command, SpawnError};
use libipc::{Account, Dir, File, Handle, OwnedHandle, Queue, Rights, Startup, Stream, SysError, startup, sys};
use sh::environment::{Extra, SHELL, extras, is_client};
use sh::fault;
use sh::path::absolute;
use sh::system::{End, Entry, Launch, Mode, NoStart, System, Wake};

/// Bit of the event: a process has ended.
const ENDED: u64 = 1;
/// Bit of the event: ^C was pressed.
const INTERRUPT: u64 = 2;
/// Pages of the quota that no program gets; in a small machine an eighth of it.
const RESERVE: u64 = 192;
/// Pages that a program gets, where they are there: 4 MiB.
const QUOTA: u64 = 1024;
/// Which part of what is left a program gets where that is less: so that ten run at once in 32 MiB; but never less
/// than [`LEAST`], while that is there.
const SHARE: u64 = 6;
/// Pages without which no program starts.
const LEAST: u64 = 64;
/// Bytes of the header with which every ELF file begins.
const ELF_HEADER: u64 = 64;
/// Where programs are looked up.
const BIN: &str = "/bin/";

/// The system.
pub struct Native {
    account: Account,
    event: OwnedHandle,
    streams: [SharedStream; 3],
    root: Dir,
    cwd: Dir,
    own_cwd: Option<OwnedHandle>,
    here: String,
    terminal: Option<Terminal>,
    pipes: Option<PipeClient>,
    supervisor: Option<Handle>,
    services: Vec<(String, Handle)>,
    programs: Programs,
    number: u64,
    priority: u8,
}

impl Native {
    /// Over the capabilities that the shell was handed. The error is for people.
    pub fn new(startup: &Startup<'_>) -> Result<Native, String> {
        let account = startup.account().map_err(|missing| missing.to_string())?;
        let event = account.create_event().map_err(|error| format!("cannot make an event: {error}"))?;
        let status = startup.process().ok().and_then(|process| process.status().ok()).unwrap_or_default();
        let queue = |name| startup.queue(name).ok();
        let root = queue("root").or(queue("cwd")).ok_or("was handed no directory")?;
        let terminal = queue("console").map(|queue| Terminal::new(queue, event.event(), INTERRUPT));
        Ok(Native {
            account,
            streams: ["stdin", "stdout", "stderr"].map(|name| SharedStream::borrowed(queue(name))),
            root: Dir::new(root),
            cwd: Dir::new(queue("cwd").unwrap_or(root)),
            own_cwd: None,
            here: startup.env("pwd").unwrap_or("/").into(),
            terminal,
            pipes: queue("pipe").map(PipeClient::new),
            supervisor: startup.handle("svc").or(startup.handle("init")),
            services: startup.services().map(|(name, handle)| (name.into(), handle)).collect(),
            programs: Programs::default(),
            number: status.id,
            priority: u8::try_from(status.priority).unwrap_or(0),
            event,
        })
    }

    /// The number of the shell's own process.
    pub fn own_number(&self) -> u64 {
        self.number
    }

    /// Whether there is somebody to type.
    pub fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    fn at(&self, path: &str) -> Dir {
        if path.starts_with('/') { self.root } else { self.cwd }
    }

    /// The text of a script.
    pub fn script(&self, path: &str) -> Result<String, String> {
        let why = |error: FsError| String::from(reason(&error));
        let (handle, info) = self.at(path).open_any(path, OpenFlags::READ).map_err(why)?;
        if info.kind == FileKind::Directory {
            return Err(why(FsError::IsDirectory));
        }
        if info.size > LONGEST_SCRIPT {
            return Err("too long for a script".into());
        }
        let mut text = Vec::new();
        File::new(handle).read_to_end(&mut text).map_err(why)?;
        String::from_utf8(text).map_err(|_| "not a text".into())
    }

    /// How many pages a program may have: a part of what is left, so that those started later find some as well. A shell
    /// gets more, as it shares them with programs of its own.
    fn quota(&self, is_shell: bool) -> Result<u64, NoStart> {
        let status = self.account.status().map_err(|error| NoStart::Failed(error.text().into()))?;
        let reserve = RESERVE.min(status.limit / 8);
        let left = status.limit.saturating_sub(status.used).saturating_sub(reserve);
        let pages = if is_shell { left / 2 } else { QUOTA.min((left / SHARE).max(LEAST.min(left))) };
        if pages < LEAST {
            return Err(NoStart::Failed("out of memory: too many programs run".into()));
        }
        Ok(pages)
    }

    fn command(&self, launch: &Launch<'_, Self>, program: &str) -> Result<Command, NoStart> {
        let mut command = Command::new(launch.arguments.first().map_or(launch.name, String::as_str));
        command.args(launch.arguments.iter().skip(1).map(String::as_str));
        command.env("pwd", &self.here);
        for (name, value) in launch.environment {
            command.env(name, value);
        }
        let mut stream = |name: &str, stream: Option<&SharedStream>| {
            if let Some(queue) = stream.and_then(SharedStream::queue) {
                command.grant(name, queue.handle(), Rights::SEND);
            }
        };
        stream("stdin", launch.input.as_ref());
        stream("stdout", Some(&launch.output));
        stream("stderr", Some(&launch.errors));
        command.grant("root", self.root.queue().handle(), Rights::SEND);
        command.grant("cwd", self.cwd.queue().handle(), Rights::SEND);
        let name = program.strip_prefix(BIN).unwrap_or_default();
        for extra in extras(name) {
            self.grant_extra(&mut command, *extra, program, launch);
        }
        for (service, queue) in &self.services {
            if is_client(name, service) {
                command.grant(service, *queue, Rights::SEND | Rights::MINT);
            } else if name == SHELL {
                command.grant(&format!("{}{service}", startup::SERVICE), *queue, Rights::SEND | Rights::MINT);
            }
        }
        let is_shell = extras(name).contains(&Extra::Shell);
        command.memory(self.quota(is_shell)?).priority(self.priority).on_end(self.event.event(), ENDED);
        Ok(command)
    }

    fn grant_extra(&self, command: &mut Command, extra: Extra, program: &str, launch: &Launch<'_, Self>) {
        match extra {
            Extra::Supervisor => {
                if let Some(handle) = self.supervisor {
                    let (rights, badge) = narrowed(handle, program);
                    command.grant_minted("svc", handle, rights, badge);
                }
            }
            Extra::Jobs => {
                for child in launch.jobs {
                    let name = format!("process:{}", self.number(child));
                    command.grant(&name, child.process().handle(), Rights::CONTROL);
                }
            }
            Extra::Terminal => {
                let same = |stream: Option<&SharedStream>, n: usize| {
                    stream.is_some_and(|stream| stream.queue() == self.streams[n].queue())
                };
                let talks = same(launch.input.as_ref(), 0) && same(Some(&launch.output), 1);
                if let Some(terminal) = self.terminal.as_ref().filter(|_| talks) {
                    command.grant("console", terminal.queue().handle(), Rights::SEND);
                }
            }
            Extra::Shell => {
                // A shell that reads from elsewhere is none for a person.
                let typed = launch.input.as_ref().is_some_and(|input| input.queue() == self.streams[0].queue());
                if let Some(terminal) = self.terminal.as_ref().filter(|_| typed) {
                    command.grant("console", terminal.queue().handle(), Rights::SEND);
                }
                if let Some(pipes) = self.pipes {
                    command.grant("pipe", pipes.queue().handle(), Rights::SEND);
                }
            }
        }
    }
}

/// Rights and badge of the supervisor's capability for a program: no more than it needs, where the shell may mint; else
/// as the shell has it.
fn narrowed(handle: Handle, program: &str) -> (Rights, u64) {
    let needs = match program.strip_prefix(BIN) {
        Some("bench" | "svc") => Allowed::INSPECT | Allowed::CONTROL,
        Some("free" | "ps" | "top" | "uptime") => Allowed::INSPECT,
        Some("poweroff" | "reboot") => Allowed::POWER,
        _ => return (Rights::SEND | Rights::MINT, 0),
    };
    match sys::inspect(handle) {
        Ok(known) if known.rights.contains(Rights::MINT) => {
            let (allowed, who) = Allowed::of_badge(known.badge);
            (Rights::SEND, (allowed & needs).badge(who))
        }
        _ => (Rights::SEND, 0),
    }
}

impl System for Native {
    type Stream = SharedStream;
    type Process = Child;

    fn standard(&self) -> [SharedStream; 3] {
        self.streams.clone()
    }

    fn open(&mut self, path: &str, mode: Mode) -> Result<SharedStream, String> {
        // Always at the end, so that several who write to the same file follow each other.
        let write = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::APPEND;
        let flags = match mode {
            Mode::Read => OpenFlags::READ,
            Mode::Append => write,
            Mode::Truncate => write | OpenFlags::TRUNCATE,
        };
        let why = |error: FsError| String::from(reason(&error));
        if path.is_empty() {
            return Err(why(FsError::NotFound));
        }
        let (handle, info) = self.at(path).open_any(path, flags).map_err(why)?;
        if info.kind == FileKind::Directory {
            return Err(why(FsError::IsDirectory));
        }
        Ok(SharedStream::owned(handle, Kind::Plain))
    }

    fn pipe(&mut self) -> Result<(SharedStream, SharedStream), String> {
        let pipes = self.pipes.ok_or("this shell was handed no maker of pipes")?;
        let (read, write) = pipes.create().map_err(|error| String::from(reason(&error)))?;
        Ok((SharedStream::owned(read, Kind::ReadEnd), SharedStream::owned(write, Kind::WriteEnd)))
    }

    fn hang_up(&mut self, end: SharedStream) {
        let Some(client) = end.queue().map(PipeClient::new) else { return };
        // Refused only where the pipe is gone, which is what was wanted.
        let _ = match end.kind() {
            Kind::ReadEnd => client.close_read(),
            Kind::WriteEnd => client.close_write(),
            Kind::Plain => Ok(()),
        };
    }

    fn is_pipe(&self, stream: &SharedStream) -> bool {
        stream.kind() != Kind::Plain
    }

    fn write(&mut self, stream: &SharedStream, bytes: &[u8]) -> Result<(), String> {
        let Some(queue) = stream.queue() else { return Ok(()) };
        Stream::borrowed(queue).write_all(bytes).map_err(|error| String::from(reason(&error)))
    }

    fn start(&mut self, launch: Launch<'_, Self>) -> Result<Child, NoStart> {
        let is_path = launch.name.contains('/');
        if launch.name.is_empty() {
            return Err(NoStart::NotFound("command not found".into()));
        }
        let program = if is_path { absolute(&self.here, launch.name) } else { format!("{BIN}{}", launch.name) };
        let (start, path) = if is_path { (self.at(launch.name), launch.name) } else { (self.root, program.as_str()) };
        let image = self.programs.image(start, path, self.account).map_err(|why| match why {
            NoStart::NotFound(_) if !is_path => NoStart::NotFound("command not found".into()),
            why => why,
        })?;
        if image.length() < ELF_HEADER {
            return Err(NoStart::NotExecutable("cannot execute: too short for an ELF file".into()));
        }
        let command = self.command(&launch, &program)?;
        command.spawn(&image, self.account).map_err(|error| match error {
            SpawnError::Image(_) => NoStart::NotExecutable(error.to_string()),
            error => NoStart::Failed(error.to_string()),
        })
    }

    fn number(&self, process: &Child) -> u64 {
        process.status().map_or(0, |status| status.id)
    }

    fn ended(&mut self, process: &Child) -> Option<End> {
        let Ok(status) = process.status() else { return Some(End::Exited(sh::shell::NOT_EXECUTABLE)) };
        match ProcessState::from_raw(status.state) {
            ProcessState::Empty | ProcessState::Running => None,
            ProcessState::Exited => Some(End::Exited(status.exit as i32)),
            ProcessState::Faulted => {
                Some(End::Faulted(fault::text(&status.fault, status.image), fault::status(&status.fault)))
            }
        }
    }

    fn kill(&mut self, process: &Child, status: i32) {
        // Refused only where it has ended already.
        let _ = process.process().kill(status);
    }

    fn discard(&mut self, process: Child) {
        drop(process);
    }

    fn wait(&mut self) -> Wake {
        match self.event.event().wait(ENDED | INTERRUPT, sys::NEVER) {
            Ok(bits) if bits & INTERRUPT != 0 => Wake::Interrupt,
            _ => Wake::Change,
        }
    }

    fn enter(&mut self, path: &str) -> Result<(), String> {
        let handle = self.root.open_dir(path).map_err(|error| String::from(reason(&error)))?;
        self.cwd = Dir::new(handle.queue());
        self.own_cwd = Some(handle);
        self.here = path.into();
        Ok(())
    }

    fn entries(&mut self, directory: &str) -> Option<Vec<Entry>> {
        let path = if directory.is_empty() { "." } else { directory };
        let entries = self.at(path).list(path).ok()?;
        let named = entries.into_iter().filter(|entry| entry.name != "." && entry.name != "..");
        Some(named.map(|entry| Entry { name: entry.name, is_dir: entry.kind == FileKind::Directory }).collect())
    }

    fn lend_terminal(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            // A ^C from before has nothing to do with what comes.
            let _ = self.event.event().wait(INTERRUPT, Some(0));
            terminal.lend(self.event.event(), INTERRUPT);
        }
    }

    fn claim_terminal(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.claim();
        }
    }

    fn read_terminal(&mut self) -> Option<Vec<u8>> {
        let queue: Queue = self.streams[0].queue()?;
        let mut buffer = vec![0; 256];
        loop {
            match Stream::borrowed(queue).read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => {
                    buffer.truncate(read);
                    return Some(buffer);
                }
                // Nobody typed for long. That is no reason to leave.
                Err(FsError::Sys(SysError::TimedOut | SysError::OutcomeUnknown)) => {}
                Err(_) => return None,
            }
        }
    }
}
