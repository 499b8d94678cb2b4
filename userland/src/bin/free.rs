//! Shows how much memory is in use.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use userland::table::{Align, Table};
use userland::{Accepts, Given, Program, Stop, units};

userland::program!(Accepts::operands(0, 0).flags("h"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let memory = program.supervisor()?.memory().map_err(Stop::service)?;
    let size = |pages: u64| {
        let bytes = pages.saturating_mul(libipc::PAGE_SIZE);
        if given.has('h') { units::human(bytes) } else { format!("{}", bytes / 1024) }
    };
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Right, Align::Right]);
    let unit = if given.has('h') { "" } else { "KiB" };
    table.row([unit, "total", "used", "free"]);
    let used = memory.total.saturating_sub(memory.free);
    table.row(["machine", &size(memory.total), &size(used), &size(memory.free)]);
    let left = memory.programs_limit.saturating_sub(memory.programs_used);
    table.row(["programs", &size(memory.programs_limit), &size(memory.programs_used), &size(left)]);
    table.row(["services", "", &size(memory.services_used), ""]);
    program.say(&table.show())
}
