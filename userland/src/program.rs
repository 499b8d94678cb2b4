//! What every small program is made of: arguments, files, standard streams, messages, status.
//!
//! Invariants:
//! 1. What a program writes to standard output has gone out when it ends, or the status is not 0.
//! 2. Messages go to standard error as `NAME: WHAT: WHY`; each makes the status 1 at least.
//! 3. Output is flushed before input is waited for, so that a person sees what a program has to say.

use crate::args::{Accepts, Given, Refusal};
use crate::catalogue;
use crate::files::{Files, reason};
use alloc::{format, string::String, vec, vec::Vec};
use core::fmt::{Display, Write};
use core::ops::Deref;
use libipc::proto::{FsError, info::FileKind, svc::SvcClient};
use libipc::{Account, Process, Queue, Startup, Stream};

/// Bytes that are read or written at once.
const PIECE: usize = 64 << 10;
/// Bytes of output that are kept back for company.
const BUFFER: usize = 8 << 10;
/// Status of wrong usage.
const USAGE: i32 = 2;
/// Status of a program whose output nobody reads any more: 128 and the number of SIGPIPE.
const BROKEN_PIPE: i32 = 141;

/// Why a program ends before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// With this status; all is said.
    Status(i32),
    /// It was called wrongly.
    Usage(String),
    /// It cannot go on.
    Failed(String),
    /// Standard output takes no more.
    Output(FsError),
}

impl Stop {
    /// It was called wrongly; says how.
    pub fn usage(why: String) -> Stop {
        Stop::Usage(why)
    }
    /// A service refused.
    pub fn service(error: impl Display) -> Stop {
        Stop::Failed(format!("{error}"))
    }
}

/// Something to read from.
pub struct Input {
    name: String,
    /// None: a standard input that was not given, which is empty.
    stream: Option<Stream>,
}

impl Input {
    /// A stream, under its name in messages.
    pub fn new(name: &str, stream: Stream) -> Input {
        Input { name: name.into(), stream: Some(stream) }
    }
}

/// Bytes that were read.
pub struct Piece {
    buffer: Vec<u8>,
    used: usize,
}

impl Deref for Piece {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.buffer[..self.used]
    }
}

/// A running program.
pub struct Program {
    startup: Startup<'static>,
    /// The files that it was given.
    pub files: Files,
    output: Option<Stream>,
    kept: Vec<u8>,
    spare: Vec<u8>,
    status: i32,
    about: Option<(&'static str, &'static str)>,
}

impl Program {
    fn new(startup: Startup<'static>) -> Program {
        let output = startup.queue("stdout").ok().map(Stream::borrowed);
        let files = Files::of(&startup);
        Program { startup, files, output, kept: Vec::new(), spare: Vec::new(), status: 0, about: None }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.startup.program()
    }

    /// Writes text to standard output.
    pub fn say(&mut self, text: &str) -> Result<(), Stop> {
        self.write(text.as_bytes())
    }

    /// Writes bytes to standard output.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.kept.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() > BUFFER {
            return self.send(bytes);
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }

    /// Brings out what is kept back.
    pub fn flush(&mut self) -> Result<(), Stop> {
        let mut kept = core::mem::take(&mut self.kept);
        let sent = if kept.is_empty() { Ok(()) } else { self.send(&kept) };
        kept.clear();
        self.kept = kept;
        sent
    }

    /// A program without standard output writes into the void, as it was told to.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.output.as_mut().map_or(Ok(()), |output| output.write_all(bytes)).map_err(Stop::Output)
    }

    /// Says what went wrong, after what was written so far; the program goes on, and ends with status 1.
    pub fn fail(&mut self, what: impl Display) {
        self.status = self.status.max(1);
        // Where output fails too, the end of the program says so.
        let _ = self.flush();
        self.complain(what);
    }

    /// The same of a file.
    pub fn fail_at(&mut self, path: &str, error: &FsError) {
        self.fail(format_args!("{path}: {}", reason(error)));
    }

    /// In one write, so that the messages of several programs do not mix.
    fn complain(&self, what: impl Display) {
        let mut line = String::new();
        let _ = writeln!(line, "{}: {what}", self.name());
        libipc::eprint!("{line}");
    }

    /// Prints usage and purpose.
    pub fn help(&mut self) -> Result<(), Stop> {
        let text = self.usage_text();
        self.say(&text)
    }

    fn usage_text(&self) -> String {
        let name = self.name();
        match self.about.or(catalogue::find(name).map(|(_, operands, text)| (*operands, *text))) {
            Some(("", text)) => format!("usage: {name}\n{text}\n"),
            Some((operands, text)) => format!("usage: {name} {operands}\n{text}\n"),
            None => format!("usage: {name}\n"),
        }
    }

    /// Standard input.
    pub fn input(&self) -> Input {
        Input { name: "standard input".into(), stream: self.startup.queue("stdin").ok().map(Stream::borrowed) }
    }

    /// The next bytes of an input. `None`: there are no more, or they cannot be read, which is said.
    pub fn piece(&mut self, input: &mut Input) -> Result<Option<Piece>, Stop> {
        self.flush()?;
        let Some(stream) = &mut input.stream else { return Ok(None) };
        let mut buffer = core::mem::take(&mut self.spare);
        if buffer.is_empty() {
            buffer = vec![0; PIECE];
        }
        match stream.read(&mut buffer) {
            Ok(0) => {
                self.spare = buffer;
                input.stream = None;
                Ok(None)
            }
            Ok(used) => Ok(Some(Piece { buffer, used })),
            Err(error) => {
                self.spare = buffer;
                input.stream = None;
                self.fail(format!("{}: {}", input.name, reason(&error)));
                Ok(None)
            }
        }
    }

    /// Gives the memory of a piece back for the next one.
    pub fn give_back(&mut self, piece: Piece) {
        self.spare = piece.buffer;
    }

    /// Hands every piece of an input to `each`. Whether all of it could be read.
    pub fn each_piece(
        &mut self,
        input: &mut Input,
        mut each: impl FnMut(&mut Program, &[u8]) -> Result<(), Stop>,
    ) -> Result<bool, Stop> {
        let before = core::mem::take(&mut self.status);
        while let Some(piece) = self.piece(input)? {
            each(self, &piece)?;
            self.give_back(piece);
        }
        let whole = self.status == 0;
        self.status = self.status.max(before);
        Ok(whole)
    }

    /// Opens each operand (`-`, or no operand at all: standard input) and hands it to `each`. What does not open is said.
    pub fn each_input(
        &mut self,
        operands: &[&str],
        mut each: impl FnMut(&mut Program, &str, &mut Input) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let standard: &[&str] = &["-"];
        for name in if operands.is_empty() { standard } else { operands } {
            if *name == "-" {
                let mut input = self.input();
                each(self, name, &mut input)?;
                continue;
            }
            match self.files.open(name) {
                Ok(mut input) => each(self, name, &mut input)?,
                Err(error) => self.fail_at(name, &error),
            }
        }
        Ok(())
    }

    /// The supervisor, which only some programs are given.
    pub fn supervisor(&self) -> Result<SvcClient, Stop> {
        let queue = self.startup.queue("svc").map_err(|missing| Stop::Failed(format!("{missing}")))?;
        Ok(SvcClient::new(queue))
    }

    /// The queue of a service that programs of this name may use.
    pub fn service(&self, name: &'static str) -> Result<Queue, Stop> {
        self.startup.queue(name).map_err(|missing| Stop::Failed(format!("{missing}")))
    }

    /// A process among the jobs of the shell.
    pub fn process(&self, number: u64) -> Option<Process> {
        self.startup.handle(&format!("process:{number}")).map(Process::new)
    }

    /// The capability with this name, where it was given.
    pub fn queue(&self, name: &str) -> Option<Queue> {
        self.startup.queue(name).ok()
    }

    /// What pays for what the program makes.
    pub fn account(&self) -> Result<Account, Stop> {
        self.startup.account().map_err(|missing| Stop::Failed(format!("{missing}")))
    }

    /// Says what is left to be said; the status.
    fn end(&mut self, result: Result<(), Stop>) -> i32 {
        let result = result.and_then(|()| self.flush());
        match result {
            Ok(()) => self.status,
            Err(Stop::Status(status)) => self.flush().map_or(1, |()| status),
            Err(Stop::Usage(why)) => {
                let line = self.usage_text();
                let usage = line.lines().next().unwrap_or_default();
                let _ = self.flush();
                self.complain(format!("{why}\n{usage}"));
                USAGE
            }
            Err(Stop::Failed(why)) => {
                self.fail(why);
                self.status
            }
            Err(Stop::Output(FsError::BrokenPipe)) => BROKEN_PIPE,
            Err(Stop::Output(error)) => {
                self.complain(format!("standard output: {}", reason(&error)));
                1
            }
        }
    }
}

/// Runs a program with sorted arguments; for [`crate::program!`].
pub fn start(
    startup: Startup<'static>,
    accepts: &Accepts,
    run: fn(&mut Program, &Given<'_>) -> Result<(), Stop>,
) -> i32 {
    let mut program = Program::new(startup);
    program.about = accepts.about;
    let result = match Given::parse(startup.args().skip(1), accepts) {
        Ok(given) => run(&mut program, &given),
        Err(Refusal::Help) => program.help(),
        Err(Refusal::Wrong(why)) => Err(Stop::Usage(why)),
    };
    program.end(result)
}

/// Runs a program with its arguments as they are; for [`crate::raw_program!`].
pub fn start_raw(startup: Startup<'static>, run: fn(&mut Program, &[&str]) -> Result<(), Stop>) -> i32 {
    let mut program = Program::new(startup);
    let arguments: Vec<&str> = startup.args().skip(1).collect();
    let result = run(&mut program, &arguments);
    program.end(result)
}

/// Says what arguments a program accepts, and which function it is.
#[macro_export]
macro_rules! program {
    ($accepts:expr, $run:path) => {
        libipc::entry!(start);
        fn start(startup: libipc::Startup<'static>) -> i32 {
            $crate::program::start(startup, &$accepts, $run)
        }
    };
}

/// The same for a program that sorts its arguments itself.
#[macro_export]
macro_rules! raw_program {
    ($run:path) => {
        libipc::entry!(start);
        fn start(startup: libipc::Startup<'static>) -> i32 {
            $crate::program::start_raw(startup, $run)
        }
    };
}

/// Whether something that was opened can be read as a file.
pub(crate) fn readable(kind: FileKind) -> Result<(), FsError> {
    if kind == FileKind::Directory { Err(FsError::IsDirectory) } else { Ok(()) }
}
