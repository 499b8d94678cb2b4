//! Booting a system and driving it: one command at a time, or a session at the console.

use crate::{
    build::Images,
    disk::Disk,
    machine::{Machine, Streams, find, tail},
    qemu::{self, Config, Serial},
};
use anyhow::{Context, Result, ensure};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long a machine may take for anything, unless said otherwise. Emulators on busy machines are slow.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long a guest whose command has ended may take to bring its disk to rest and power off.
pub const POWER_OFF: Duration = Duration::from_secs(15);
/// The prompt of the interactive shell ends so.
pub const PROMPT: &str = "$ ";
/// The size of the disk that a system gets when none is given.
pub const SCRATCH: u64 = 64 << 20;

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// What it wrote to its standard output; in a session, to both streams, with line ends as it wrote them.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error; empty in a session.
    pub stderr: Vec<u8>,
    /// What the kernel and the servers logged.
    pub log: String,
}

impl Output {
    /// Its standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error as text.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Itself, if it ended with status 0; otherwise an error that shows everything.
    pub fn success(self) -> Result<Output> {
        self.expect_status(0)
    }

    /// Itself, if it ended with this status; otherwise an error that shows everything.
    pub fn expect_status(self, status: i32) -> Result<Output> {
        let (out, err, log) = (self.text(), self.error_text(), tail(self.log.as_bytes()));
        ensure!(self.status == status, "the command ended with status {}, not {status}\nstdout: {out}\nstderr: {err}\n{log}", self.status);
        Ok(self)
    }
}

/// Describes a machine; made by [`System::builder`].
#[derive(Debug)]
pub struct Builder {
    images: Option<Images>,
    disk: Option<PathBuf>,
    no_disk: bool,
    memory: u32,
    words: Vec<String>,
    icount: bool,
    patience: Duration,
    stdin: Vec<u8>,
}

impl Builder {
    /// Boots with this disk instead of a fresh one. It is yours: it outlives the machine.
    pub fn disk(mut self, disk: &Disk) -> Builder {
        self.disk = Some(disk.path().to_owned());
        self
    }

    /// Boots without a disk.
    pub fn no_disk(mut self) -> Builder {
        self.no_disk = true;
        self
    }

    /// MiB of RAM (128 unless said otherwise).
    pub fn memory(mut self, mib: u32) -> Builder {
        self.memory = mib;
        self
    }

    /// Adds a word to the kernel's command line, such as `seed=7`.
    pub fn word(mut self, word: impl Into<String>) -> Builder {
        self.words.push(word.into());
        self
    }

    /// Counts instructions: a run takes the same path every time, and a nanosecond is an instruction.
    pub fn icount(mut self) -> Builder {
        self.icount = true;
        self
    }

    /// How long the boot and each wait after it may take.
    pub fn patience(mut self, patience: Duration) -> Builder {
        self.patience = patience;
        self
    }

    /// What [`Builder::exec`]'s command reads from its standard input (nothing unless said otherwise).
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Builder {
        self.stdin = bytes.into();
        self
    }

    /// Boots from these images instead of building.
    pub fn images(mut self, images: Images) -> Builder {
        self.images = Some(images);
        self
    }

    /// Boots, runs one command in the guest's shell, powers off.
    pub fn exec(mut self, command: &str) -> Result<Output> {
        self.words.insert(0, qemu::exec_word(command));
        let input = std::mem::take(&mut self.stdin);
        let (mut machine, _disk) = self.start(Streams { framed: true, ..Streams::default() })?;
        machine.feed(std::io::Cursor::new(input))?;
        let what = format!("`{command}` to end");
        let status = machine.wait(&what, self.patience, |state| state.status)?;
        machine.wait_end(POWER_OFF).with_context(|| format!("after `{command}` had ended with status {status}"))?;
        let mut state = machine.state();
        let (stdout, stderr) = (std::mem::take(&mut state.stdout), std::mem::take(&mut state.stderr));
        Ok(Output { status, stdout, stderr, log: String::from_utf8_lossy(&state.log).into_owned() })
    }

    /// Boots to the shell's prompt.
    pub fn boot(self) -> Result<System> {
        let (machine, disk) = self.start(Streams::default())?;
        let mut system = System { machine, patience: self.patience, seen: 0, commands: 0, _disk: disk };
        system.expect(PROMPT)?;
        Ok(system)
    }

    fn start(&self, streams: Streams) -> Result<(Machine, Option<Disk>)> {
        let images = self.images.clone().map_or_else(Images::get, Ok)?;
        let fresh = if self.disk.is_none() && !self.no_disk { Some(Disk::scratch(SCRATCH)?) } else { None };
        let config = Config {
            kernel: images.kernel,
            archive: images.archive,
            disk: self.disk.clone().or(fresh.as_ref().map(|disk| disk.path().to_owned())),
            memory: self.memory,
            words: self.words.clone(),
            icount: self.icount,
            reboot: false,
            serial: Serial::Pipes,
        };
        Ok((Machine::start(&config, streams)?, fresh))
    }
}

/// A running system with its shell at the console.
///
/// Every wait fails at once, with the message, when the kernel panics, and says what it waited for when it is over.
#[derive(Debug)]
pub struct System {
    machine: Machine,
    patience: Duration,
    /// How much of the log earlier waits have consumed.
    seen: usize,
    commands: u32,
    _disk: Option<Disk>,
}

impl System {
    /// A machine of 128 MiB with a fresh 64 MiB disk.
    pub fn builder() -> Builder {
        Builder {
            images: None,
            disk: None,
            no_disk: false,
            memory: 128,
            words: Vec::new(),
            icount: false,
            patience: PATIENCE,
            stdin: Vec::new(),
        }
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.type_bytes(format!("{line}\r").as_bytes())
    }

    /// Types keys, such as `b"\x03"` for Ctrl-C.
    pub fn type_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.machine.send(bytes)
    }

    /// Waits until the console shows `text`, and returns what stood before it. Each wait begins where the last one
    /// found its text.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        self.expect_within(text, self.patience)
    }

    /// The same with a deadline of its own.
    pub fn expect_within(&mut self, text: &str, within: Duration) -> Result<String> {
        let from = self.seen;
        let (before, seen) = self.machine.wait(&format!("{text:?} on the console"), within, |state| {
            let new = &state.log[from..];
            let at = find(new, text.as_bytes())?;
            Some((String::from_utf8_lossy(&new[..at]).into_owned(), from + at + text.len()))
        })?;
        self.seen = seen;
        Ok(before)
    }

    /// Runs a command in the shell, waits for it and returns its status and what it showed on the console.
    ///
    /// The command must be a complete one of one line; one that ends in `&` needs [`System::type_line`].
    pub fn run(&mut self, command: &str) -> Result<Output> {
        // The marks are typed with quotes in their middle, so that the echo of the line never looks like one.
        self.commands += 1;
        let n = self.commands;
        self.type_line(&format!("echo '[begin-''{n}]'; {command}; echo '[end-''{n}-'$?']'"))?;
        self.expect(&format!("[begin-{n}]")).with_context(|| format!("when starting `{command}`"))?;
        self.expect("\n")?;
        let stdout = self.expect(&format!("[end-{n}-")).with_context(|| format!("when running `{command}`"))?;
        let status = self.expect("]")?;
        let status = status.parse().with_context(|| format!("the shell gave `{status}` as the status of `{command}`"))?;
        self.expect(PROMPT)?;
        Ok(Output { status, stdout: stdout.replace("\r\n", "\n").into_bytes(), stderr: Vec::new(), log: self.log() })
    }

    /// Everything that came over the serial line so far.
    pub fn log(&self) -> String {
        self.machine.log()
    }

    /// Has the guest power off, and waits until it has.
    pub fn poweroff(mut self) -> Result<()> {
        self.type_line("poweroff")?;
        let started = Instant::now();
        let proper = self.machine.wait_end(self.patience)?;
        ensure!(proper, "QEMU failed while powering off, after {} s\n{}", started.elapsed().as_secs(), tail(self.log().as_bytes()));
        Ok(())
    }

    /// Cuts the power. What the guest had written to its disk is there; what it had in its memory is not.
    pub fn kill(mut self) {
        self.machine.kill();
    }
}
