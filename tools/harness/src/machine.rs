//! A running QEMU: its serial line in both directions, its log, its end.
//!
//! 1. A reader thread takes all that the guest says, at once, and sorts it; everybody else waits on [`Machine`]'s state.
//! 2. Every wait ends: with what was waited for, with the guest's panic, with the machine's end, or at its deadline; and
//!    in the last three cases the error carries the end of the log.
//! 3. Dropping a machine kills it.
//! 4. Where the command's output goes to a terminal, a line there says that the machine boots, until its first frame.

use crate::{
    frames::{self, Decoder, Event},
    latency,
    line::Line,
    qemu::Config,
};
use anyhow::{Context, Result};
use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// Lines of the log that an error shows.
const TAIL_LINES: usize = 30;
/// How the kernel's last words begin.
pub const PANIC: &str = "kernel panic";
/// What was said in the last moments, whatever it looked like: a panic may cut into a frame.
const LAST_BYTES: usize = 16 << 10;

/// Why a machine did not do what was expected of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The kernel panicked.
    #[error("the kernel panicked: {message}\n{tail}")]
    Panic {
        /// Its message.
        message: String,
        /// The end of the log.
        tail: String,
    },
    /// The deadline passed.
    #[error("timed out after {seconds} s waiting for {what}\n{tail}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// The end of the log.
        tail: String,
    },
    /// QEMU ended.
    #[error("the machine stopped ({how}) before {what}\n{tail}")]
    Stopped {
        /// What was waited for.
        what: String,
        /// How QEMU ended.
        how: String,
        /// The end of the log.
        tail: String,
    },
}

/// How the guest's bytes are read, and where they go besides the state.
#[derive(Debug, Clone, Copy, Default)]
pub struct Streams {
    /// Exec mode: look for frames. Otherwise everything is log.
    pub framed: bool,
    /// Pass the command's output on to this process's own, instead of keeping it.
    pub pass_on: bool,
    /// Write the log to standard error.
    pub verbose: bool,
}

/// What the guest has said so far.
#[derive(Debug, Default)]
pub struct State {
    /// Everything outside frames.
    pub log: Vec<u8>,
    /// The command's standard output, unless it is passed on.
    pub stdout: Vec<u8>,
    /// The command's standard error, unless it is passed on.
    pub stderr: Vec<u8>,
    /// The command's exit status.
    pub status: Option<i32>,
    ready: bool,
    ended: bool,
    last: Vec<u8>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    booting: Line,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Until the console takes input, or the machine has ended.
    fn wait_ready(&self) {
        let mut state = self.lock();
        while !state.ready && !state.ended {
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}

/// A running QEMU.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    shared: Arc<Shared>,
    stdin: Option<ChildStdin>,
}

impl Machine {
    /// Starts QEMU.
    pub fn start(config: &Config, streams: Streams) -> Result<Machine> {
        Machine::run(config.command()?, streams)
    }

    /// Starts QEMU by a command that [`Config::command`] has begun.
    pub fn run(mut command: Command, streams: Streams) -> Result<Machine> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start QEMU")?;
        let booting = if streams.pass_on && !streams.verbose { Line::show("booting") } else { Line::default() };
        let shared = Arc::new(Shared { booting, ..Shared::default() });
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let stderr = child.stderr.take().context("a pipe was asked for")?;
        let reader = shared.clone();
        std::thread::spawn(move || read_all(stdout, stderr, &reader, streams));
        Ok(Machine { child, shared, stdin })
    }

    /// What the guest has said so far. Do not hold it for long: the guest waits meanwhile.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// The log as text.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.state().log).into_owned()
    }

    /// Sends bytes down the serial line as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let stdin = self.stdin.as_mut().context("the machine's serial line is taken")?;
        stdin.write_all(bytes).and_then(|()| stdin.flush()).context("the machine no longer takes input")
    }

    /// Exec mode: sends all of `input` and its end to the command, in the background, once the console is ready.
    pub fn feed(&mut self, mut input: impl Read + Send + 'static) -> Result<()> {
        let mut stdin = self.stdin.take().context("the machine's serial line is taken")?;
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            shared.wait_ready();
            // An error here means that the machine is gone, which its reader tells better.
            let _ = feed_frames(&mut input, &mut stdin);
            // The pipe stays open for as long as QEMU runs: its end would only make QEMU spin.
            std::mem::forget(stdin);
        });
        Ok(())
    }

    /// Waits until `found` gives something. `what` completes "waiting for ...".
    pub fn wait<T>(&mut self, what: &str, within: Duration, found: impl FnMut(&mut State) -> Option<T>) -> Result<T> {
        let result = self.wait_for(what, within, found);
        self.shared.booting.hide();
        result
    }

    fn wait_for<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut found: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(result) = found(&mut state) {
                return Ok(result);
            }
            if let Some(message) = panic_message(&state) {
                let state = settle(&self.shared, state, started + within);
                let message = panic_message(&state).unwrap_or(message);
                return Err(Failure::Panic { message, tail: tail(&state.log) }.into());
            }
            if state.ended {
                let tail = tail(&state.log);
                drop(state);
                let how = self.child.wait().map_or_else(|error| error.to_string(), |status| describe(&status));
                return Err(Failure::Stopped { what: what.to_owned(), how, tail }.into());
            }
            let left = within.saturating_sub(started.elapsed());
            if left.is_zero() {
                let failure =
                    Failure::Timeout { what: what.to_owned(), seconds: within.as_secs(), tail: tail(&state.log) };
                return Err(failure.into());
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// Waits for the machine to end by itself; `true` if it did so properly.
    pub fn wait_end(&mut self, within: Duration) -> Result<bool> {
        self.wait("the machine to power off", within, |state| state.ended.then_some(()))?;
        Ok(self.child.wait()?.success())
    }

    /// Cuts the power.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
        latency::note(&self.log());
    }
}

fn feed_frames(input: &mut impl Read, guest: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = [0; frames::MAX_PAYLOAD];
    loop {
        let length = match input.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) | Ok(0) => break,
            Ok(length) => length,
        };
        guest.write_all(&frames::encode(frames::STDIN, &buffer[..length]))?;
        guest.flush()?;
    }
    guest.write_all(&frames::encode(frames::STDIN_END, b""))?;
    guest.flush()
}

/// The reader thread: the guest's bytes until QEMU ends, then QEMU's own complaints.
fn read_all(mut stdout: impl Read, mut stderr: impl Read + Send + 'static, shared: &Shared, streams: Streams) {
    let complaints = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        text
    });
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stdout.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) | Ok(0) => break,
            Ok(length) => {
                let bytes = &buffer[..length];
                remember(shared, bytes);
                let events = if streams.framed { decoder.feed(bytes) } else { vec![Event::Log(bytes.to_vec())] };
                events.into_iter().for_each(|event| take(event, shared, streams));
            }
        }
    }
    take(Event::Log(decoder.finish()), shared, streams);
    take(Event::Log(complaints.join().unwrap_or_default()), shared, streams);
    shared.lock().ended = true;
    shared.changed.notify_all();
}

fn remember(shared: &Shared, bytes: &[u8]) {
    let last = &mut shared.lock().last;
    last.extend_from_slice(bytes);
    let excess = last.len().saturating_sub(LAST_BYTES);
    last.drain(..excess);
}

/// Passes an event on, without the lock: a slow reader of ours must not stop those who wait.
fn take(event: Event, shared: &Shared, streams: Streams) {
    if !matches!(event, Event::Log(_)) {
        shared.booting.hide();
    }
    match &event {
        Event::Log(text) if streams.verbose => write_out(&mut std::io::stderr(), text),
        Event::Stdout(bytes) if streams.pass_on => write_out(&mut std::io::stdout(), bytes),
        Event::Stderr(bytes) if streams.pass_on => write_out(&mut std::io::stderr(), bytes),
        _ => {}
    }
    let mut state = shared.lock();
    state.ready |= !matches!(event, Event::Log(_));
    match event {
        Event::Log(text) => state.log.extend_from_slice(&text),
        Event::Stdout(bytes) if !streams.pass_on => state.stdout.extend_from_slice(&bytes),
        Event::Stderr(bytes) if !streams.pass_on => state.stderr.extend_from_slice(&bytes),
        Event::Status(status) => state.status = Some(status),
        Event::Stdout(_) | Event::Stderr(_) | Event::Ready => {}
    }
    drop(state);
    shared.changed.notify_all();
}

/// Output that nobody reads any more is dropped: the guest's command still runs to its end, and its disk stays whole.
fn write_out(out: &mut impl Write, bytes: &[u8]) {
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// The kernel's last words, from the log, or, once the machine has ended, from wherever they went.
fn panic_message(state: &State) -> Option<String> {
    let places: &[&[u8]] =
        if state.ended && state.status.is_none() { &[&state.log, &state.last] } else { &[&state.log] };
    places.iter().find_map(|bytes| {
        let at = find(bytes, PANIC.as_bytes())?;
        let text = String::from_utf8_lossy(&bytes[at..]).into_owned();
        let line = text.lines().next()?.trim_end();
        Some(line.trim_start_matches(PANIC).trim_start_matches([':', ' ']).to_owned())
    })
}

/// Gives a panicking kernel a moment to say the rest.
fn settle<'a>(shared: &'a Shared, mut state: MutexGuard<'a, State>, latest: Instant) -> MutexGuard<'a, State> {
    let until = latest.min(Instant::now() + Duration::from_millis(500));
    while !state.ended && Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        state = shared.changed.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
    }
    state
}

fn describe(status: &std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => "powered off or rebooted".to_owned(),
        (Some(code), _) => format!("QEMU's exit status {code}"),
        (None, signal) => format!("QEMU was killed by signal {}", signal.unwrap_or(0)),
    }
}

/// The last lines of a log, introduced.
pub fn tail(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches('\r')).collect();
    match lines.as_slice() {
        [] => "The machine said nothing.".to_owned(),
        lines => {
            let from = lines.len().saturating_sub(TAIL_LINES);
            format!("The last lines of the log:\n  | {}", lines[from..].join("\n  | "))
        }
    }
}

/// Where `needle` begins in `bytes`.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
