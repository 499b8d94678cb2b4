//! Looks after the servers.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, string::String, vec, vec::Vec};
use libipc::abi::{TraceKind, TraceRecord};
use libipc::proto::svc::{ServiceState, SvcError};
use libipc::{Rights, sys};
use userland::files::reason;
use userland::holdings::{Holder, Holding, Holdings, slot};
use userland::table::{Align, Table};
use userland::{Accepts, Given, Program, Stop, units};

const LONG: &[(&str, char)] = &[("unused", 'u'), ("raw", 'r')];
userland::program!(Accepts::operands(1, 3).flags("ur").long(LONG), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let command = given.operands.first().copied().unwrap_or("");
    if given.has('u') && command != "caps" {
        return Err(Stop::usage("option '--unused' is for 'caps' only".into()));
    }
    if given.has('r') && command != "caps" && command != "trace" {
        return Err(Stop::usage("option '--raw' is for 'caps' and 'trace' only".into()));
    }
    match given.operands[..] {
        ["list"] => list(program),
        ["kill", name] => program.supervisor()?.kill(name).map_err(|error| about(name, error)),
        ["restart", name] => restart(program, name, "1"),
        ["restart", name, times] => restart(program, name, times),
        ["report", name] => report(program, name),
        ["upgrade", name, file] => upgrade(program, name, file),
        ["log"] => log(program, ""),
        ["log", name] => log(program, name),
        ["audit"] => audit(program),
        ["caps"] => capabilities(program, None, given),
        ["caps", holder] => capabilities(program, Some(holder), given),
        ["trace"] => trace(program, "", given.has('r')),
        ["trace", name] => trace(program, name, given.has('r')),
        ["kill" | "restart" | "report" | "upgrade"] => Err(Stop::usage("the name of a service is missing".into())),
        ["list" | "audit", extra] => Err(Stop::usage(format!("extra operand '{extra}'"))),
        ["upgrade", _] => Err(Stop::usage("the file of the new image is missing".into())),
        ["list" | "audit" | "kill" | "report" | "log" | "caps" | "trace", _, extra, ..] => {
            Err(Stop::usage(format!("extra operand '{extra}'")))
        }
        [other, ..] => Err(Stop::usage(format!("unknown command '{other}'"))),
        [] => Err(Stop::usage("missing operand".into())),
    }
}

/// The kernel's last events, of all processes or of those with this name; as they are with `raw`.
fn trace(program: &mut Program, name: &str, raw: bool) -> Result<(), Stop> {
    let supervisor = program.supervisor()?;
    let mut names = Names::default();
    let mut bytes = vec![0; 16 << 10];
    let mut from = 0;
    // What this itself causes is not waited for.
    let mut end = None;
    while end.is_none_or(|end| from < end) {
        let (first, count, written) = supervisor.trace(from, &mut bytes).map_err(Stop::service)?;
        let events = bytes.as_chunks().0.iter().take(usize::try_from(count).unwrap_or(usize::MAX));
        end = end.or(Some(written));
        if count == 0 {
            break;
        }
        for event in events.map(TraceRecord::from_bytes) {
            let whose = names.of(&event);
            if raw {
                program.write(&event.to_bytes())?;
            } else if name.is_empty() || name == whose {
                let (seconds, rest) = (event.time / 1_000_000_000, event.time % 1_000_000_000 / 1000);
                let thread = if event.kind() == Some(TraceKind::Start) { 0 } else { event.thread() };
                let line = format!("{seconds:>5}.{rest:06} {:>4} {thread:>4} {whose:<8} {event}\n", event.process());
                program.say(&line)?;
            }
        }
        from = first + count;
    }
    Ok(())
}

/// The names of processes, as far as the trace has told them.
#[derive(Default)]
struct Names(Vec<(u64, String)>);

impl Names {
    /// The name of the process that an event is of.
    fn of(&mut self, event: &TraceRecord) -> &str {
        let process = event.process();
        if event.kind() == Some(TraceKind::Start) {
            let name = event.name();
            let name = String::from_utf8_lossy(&name).trim_end_matches('\0').into();
            self.0.retain(|(known, _)| *known != process);
            self.0.push((process, name));
        }
        self.0.iter().find(|(known, _)| *known == process).map_or("", |(_, name)| name)
    }
}

fn about(name: &str, error: SvcError) -> Stop {
    Stop::Failed(format!("{name}: {error}"))
}

/// Restarts a service, so many times in a row.
fn restart(program: &mut Program, name: &str, times: &str) -> Result<(), Stop> {
    let count = units::parse_count(times).ok_or_else(|| Stop::usage(format!("'{times}' is not a count")))?;
    for done in 0..count {
        program.supervisor()?.restart(name).map_err(|error| match done {
            0 => about(name, error),
            _ => Stop::Failed(format!("{name}: after {done} restarts: {error}")),
        })?;
    }
    Ok(())
}

fn list(program: &mut Program) -> Result<(), Stop> {
    let supervisor = program.supervisor()?;
    let mut table =
        Table::new(&[Align::Left, Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Left]);
    table.row(["NAME", "STATE", "PID", "RESTARTS", "UPTIME", "KIB", "LAST END"]);
    let mut first = 0;
    loop {
        let batch = supervisor.list(first).map_err(Stop::service)?;
        if batch.is_empty() {
            return program.say(&table.show());
        }
        first += batch.len() as u32;
        for service in &batch {
            table.row([
                &service.name,
                state(service.state),
                &format!("{}", service.process),
                &format!("{}", service.restarts),
                &units::duration(service.uptime),
                &format!("{}", service.pages * libipc::PAGE_SIZE / 1024),
                &service.last_end,
            ]);
        }
    }
}

/// The report of a service's last crash.
fn report(program: &mut Program, name: &str) -> Result<(), Stop> {
    let mut text = vec![0; 16 << 10];
    let used = program.supervisor()?.report(name, &mut text).map_err(|error| about(name, error))?;
    match text.get(..usize::try_from(used).unwrap_or(usize::MAX)).unwrap_or(&text) {
        [] => Err(Stop::Failed(format!("{name}: has not crashed"))),
        report => program.write(report),
    }
}

/// Replaces the image of a running service.
fn upgrade(program: &mut Program, name: &str, path: &str) -> Result<(), Stop> {
    let image = program.files.image(path, program.account()?);
    let image = image.map_err(|error| Stop::Failed(format!("{path}: {}", reason(&error))))?;
    let lent = image.memory().grant(Rights::READ | Rights::MAP);
    match program.supervisor()?.upgrade(name, lent, image.length()) {
        Ok(failure) if failure.is_empty() => Ok(()),
        Ok(failure) => Err(Stop::Failed(format!("{name}: the old image is back: {failure}"))),
        Err(error) => Err(about(name, error)),
    }
}

/// What there is and what accounts have paid for; the status is 1 where they differ.
fn audit(program: &mut Program) -> Result<(), Stop> {
    let rows = program.supervisor()?.audit().map_err(Stop::service)?;
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Right, Align::Left]);
    table.row(["WHAT", "FOUND", "ACCOUNTED", ""]);
    for row in &rows {
        let note = if row.found == row.paid { "" } else { "differs" };
        table.row([&row.name, &format!("{}", row.found), &format!("{}", row.paid), note]);
    }
    program.say(&table.show())?;
    match rows.iter().any(|row| row.found != row.paid) {
        true => Err(Stop::Failed("the kernel has lost count".into())),
        false => Ok(()),
    }
}

/// What processes hold: all of them, or those with this name or number.
fn capabilities(program: &mut Program, of: Option<&str>, given: &Given<'_>) -> Result<(), Stop> {
    let (noted, holdings) = holdings(program)?;
    let shown = |holder: &Holder| of.is_none_or(|of| holder.name == of || format!("{}", holder.number) == of);
    if let Some(of) = of.filter(|_| !holdings.holders.iter().any(shown)) {
        return Err(Stop::Failed(format!("{of}: no such process")));
    }
    if given.has('u') && !noted {
        let why = "what is used is not noted; boot with 'cargo xtask run --coverage'";
        return Err(Stop::Failed(why.into()));
    }
    program.say(&if given.has('r') { holdings.raw(shown) } else { holdings.table(shown, given.has('u')) })
}

/// What whoever has started this has at most left to do, nanoseconds.
const SETTLING: u64 = 20_000_000;

/// Whether uses are noted, and everything that processes hold.
fn holdings(program: &Program) -> Result<(bool, Holdings), Stop> {
    let supervisor = program.supervisor()?;
    // While it starts a program, the shell holds more than at rest, and a program may run before the shell goes on.
    sys::sleep_until(sys::clock() + SETTLING);
    let mut holdings = Holdings::default();
    let mut after = 0;
    loop {
        let batch = supervisor.processes(after).map_err(Stop::service)?;
        let Some(last) = batch.iter().map(|process| process.id).max().filter(|last| *last > after) else { break };
        after = last;
        holdings.holders.extend(batch.into_iter().map(|process| Holder { number: process.id, name: process.name }));
    }
    let mut noted = false;
    for holder in &holdings.holders {
        let mut from = 0;
        loop {
            let (notes, batch) = supervisor.capabilities(holder.number, from).map_err(Stop::service)?;
            noted = notes;
            let Some(last) = batch.last() else { break };
            from = u64::from(slot(last.handle)) + 1;
            let held = |capability| Holding { process: holder.number, capability };
            holdings.held.extend(batch.into_iter().map(held));
        }
    }
    Ok((noted, holdings))
}

fn state(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Starting => "starting",
        ServiceState::Running => "running",
        ServiceState::Waiting => "waiting",
        ServiceState::Failed => "failed",
        ServiceState::Stopped => "stopped",
    }
}

fn log(program: &mut Program, name: &str) -> Result<(), Stop> {
    let supervisor = program.supervisor()?;
    let mut text = vec![0; 16 << 10];
    let mut cookie = 0;
    loop {
        let (next, used) = supervisor.log(name, cookie, &mut text).map_err(|error| about(name, error))?;
        let used = usize::try_from(used).unwrap_or(usize::MAX).min(text.len());
        if used == 0 {
            return Ok(());
        }
        program.write(&text[..used])?;
        cookie = next;
    }
}
