//! Lists processes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use libipc::abi::ProcessState;
use libipc::proto::svc::ProcessInfo;
use userland::table::{Align, Table};
use userland::{Accepts, Given, Program, Stop, units};

userland::program!(Accepts::operands(0, 0), run);

fn run(program: &mut Program, _: &Given<'_>) -> Result<(), Stop> {
    let mut table = Table::new(&[
        Align::Right,
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
    ]);
    table.row(["PID", "NAME", "STATE", "THREADS", "PRIO", "KIB", "TIME", "STARTS"]);
    let supervisor = program.supervisor()?;
    let mut last = 0;
    loop {
        let batch = supervisor.processes(last).map_err(Stop::service)?;
        let Some(end) = batch.iter().map(|process| process.id).max().filter(|end| *end > last) else { break };
        last = end;
        for process in &batch {
            table.row([
                &format!("{}", process.id),
                &process.name,
                state(process),
                &format!("{}", process.threads),
                &format!("{}", process.priority),
                &format!("{}", process.pages * libipc::PAGE_SIZE / 1024),
                &units::cpu_time(process.cpu_time),
                &format!("{}", process.incarnation),
            ]);
        }
    }
    program.say(&table.show())
}

/// What it is doing, in a word.
fn state(process: &ProcessInfo) -> &'static str {
    match (ProcessState::from_raw(process.state), process.waiting) {
        (ProcessState::Empty, _) => "new",
        (ProcessState::Faulted, _) => "faulted",
        (ProcessState::Exited, _) => "exited",
        (ProcessState::Running, 0) => "ready",
        (ProcessState::Running, 1) => "reply",
        (ProcessState::Running, 2) => "message",
        (ProcessState::Running, 3) => "event",
        (ProcessState::Running, _) => "stopped",
    }
}
