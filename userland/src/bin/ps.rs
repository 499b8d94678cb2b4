//! Lists processes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use libipc::abi::ThreadWait;
use userland::table::{Align, Table};
use userland::{Accepts, Given, Program, Stop, units};

userland::program!(Accepts::operands(0, 0).flags("w").long(&[("waits", 'w')]), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    if given.has('w') {
        return waits(program);
    }
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
                units::process_state(process.state, process.waiting),
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

/// Who waits for whom: a chain of callers is read from row to row by the process that each waits for.
fn waits(program: &mut Program) -> Result<(), Stop> {
    let mut table = Table::new(&[
        Align::Right,
        Align::Right,
        Align::Left,
        Align::Right,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Left,
        Align::Right,
        Align::Left,
    ]);
    table.row(["THREAD", "PID", "NAME", "PRIO", "WAITS FOR", "QUEUE", "AGE", "CALL", "TRIES", "OF"]);
    let supervisor = program.supervisor()?;
    let mut from = 0;
    loop {
        let batch = supervisor.waits(from).map_err(Stop::service)?;
        let Some(last) = batch.last() else { return program.say(&table.show()) };
        from = last.number + 1;
        for thread in &batch {
            let number = |value: u64| if value == 0 { "-".into() } else { format!("{value}") };
            table.row([
                &format!("{}.{}", thread.number, thread.index),
                &format!("{}", thread.process),
                &thread.name,
                &format!("{}", thread.priority),
                ThreadWait::from_raw(thread.wait).text(),
                &number(thread.queue),
                &units::cpu_time(thread.age),
                &if thread.message == 0 { "-".into() } else { format!("{:#x}", thread.message) },
                &number(thread.attempts),
                &if thread.blamed == 0 { "-".into() } else { format!("{} {}", thread.blamed, thread.blamed_name) },
            ]);
        }
    }
}
