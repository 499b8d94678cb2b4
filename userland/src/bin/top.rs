//! Shows who uses the processor, again and again.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, string::String, vec};
use libipc::abi::ThreadWait;
use libipc::proto::console::{ConsoleClient, Mode};
use libipc::proto::stream::StreamClient;
use libipc::proto::svc::SvcClient;
use libipc::sys;
use userland::top::{Entry, Look, lines, screen};
use userland::{Accepts, Given, Program, Stop, units};

userland::program!(Accepts::operands(0, 0).flags("t").values("nd"), run);

/// Rows of the smallest terminal, but for the last.
const HEIGHT: usize = 23;
/// Nanoseconds between two looks, unless said otherwise.
const INTERVAL: u64 = 2_000_000_000;
/// Keys that end it: q, and ^C, which is a key like others while bytes come as they are typed.
const QUIT: [u8; 3] = [b'q', b'Q', 3];

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let bad = |what: &str, text: &str| Stop::usage(format!("'{text}' is not {what}"));
    let interval = match given.value('d') {
        None => INTERVAL,
        Some(text) => units::parse_seconds(text).filter(|d| *d > 0).ok_or_else(|| bad("a time", text))?,
    };
    let count = match given.value('n') {
        None => None,
        Some(text) => Some(units::parse_count(text).filter(|n| *n > 0).ok_or_else(|| bad("a count", text))?),
    };
    let supervisor = program.supervisor()?;
    let terminal = program.queue("console").zip(program.queue("stdin")).filter(|_| count.is_none());
    match terminal {
        Some((console, keys)) => {
            let console = ConsoleClient::new(console);
            console.set_mode(Mode::Raw).map_err(Stop::service)?;
            let shown = watch(program, supervisor, StreamClient::new(keys), interval, given.has('t'));
            // The shell sets the mode that it needs; this is for whoever shares the terminal until then.
            let _ = console.set_mode(Mode::Cooked);
            shown
        }
        None => print(program, supervisor, count.unwrap_or(1), interval, given.has('t')),
    }
}

/// Tables below each other, for pipes and files.
fn print(program: &mut Program, supervisor: SvcClient, count: u64, interval: u64, threads: bool) -> Result<(), Stop> {
    let mut before = Look::default();
    for n in 0..count {
        if n > 0 {
            program.say("\n")?;
            program.flush()?;
            sys::sleep_until(before.at.saturating_add(interval));
        }
        let now = look(supervisor, threads)?;
        for line in lines(&before, &now, threads) {
            program.say(&line)?;
            program.say("\n")?;
        }
        before = now;
    }
    Ok(())
}

/// A table that is drawn anew in its place, until a key ends it.
fn watch(
    program: &mut Program,
    supervisor: SvcClient,
    keys: StreamClient,
    interval: u64,
    threads: bool,
) -> Result<(), Stop> {
    program.say("\x1b[2J")?;
    let mut before = Look::default();
    loop {
        let now = look(supervisor, threads)?;
        program.say(&screen(&lines(&before, &now, threads), HEIGHT))?;
        program.flush()?;
        let next = now.at.saturating_add(interval);
        before = now;
        if quits(keys, next) {
            return Ok(());
        }
    }
}

/// Waits until `end`; whether a key was typed that ends the program, or no key will ever come.
fn quits(keys: StreamClient, end: u64) -> bool {
    let mut typed = vec![0; 16];
    while sys::clock() < end {
        match keys.until(Some(end)).read(0, &mut typed) {
            Ok(0) => return true,
            Ok(read) => {
                let typed = typed.get(..read as usize).unwrap_or_default();
                if typed.iter().any(|key| QUIT.contains(key)) {
                    return true;
                }
            }
            // Nobody typed, or the console has no answer just now.
            Err(_) => sys::sleep_until(end),
        }
    }
    false
}

fn look(supervisor: SvcClient, threads: bool) -> Result<Look, Stop> {
    let memory = supervisor.memory().map_err(Stop::service)?;
    let mut look = Look { at: sys::clock(), memory: (memory.total, memory.free), ..Look::default() };
    let mut from = 0;
    loop {
        let last =
            if threads { add_threads(supervisor, from, &mut look) } else { add_processes(supervisor, from, &mut look) };
        match last? {
            Some(last) => from = last,
            None => return Ok(look),
        }
    }
}

fn add_processes(supervisor: SvcClient, after: u64, look: &mut Look) -> Result<Option<u64>, Stop> {
    let batch = supervisor.processes(after).map_err(Stop::service)?;
    let last = batch.iter().map(|process| process.id).max().filter(|last| *last > after);
    look.entries.extend(batch.into_iter().map(|process| Entry {
        number: process.id,
        state: String::from(units::process_state(process.state, process.waiting)),
        name: process.name,
        threads: process.threads,
        priority: process.priority,
        pages: process.pages,
        ran: process.cpu_time,
    }));
    Ok(last)
}

fn add_threads(supervisor: SvcClient, from: u64, look: &mut Look) -> Result<Option<u64>, Stop> {
    let batch = supervisor.waits(from).map_err(Stop::service)?;
    let last = batch.last().map(|thread| thread.number + 1);
    look.entries.extend(batch.into_iter().map(|thread| Entry {
        number: thread.number,
        name: thread.name,
        state: String::from(ThreadWait::from_raw(thread.wait).text()),
        threads: 0,
        priority: thread.priority,
        pages: 0,
        ran: thread.ran,
    }));
    Ok(last)
}
