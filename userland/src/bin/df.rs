//! Shows how full the disk is.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use userland::table::{Align, Table};
use userland::{Accepts, Given, Program, Stop, reason, units};

userland::program!(Accepts::operands(0, 0).flags("h"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let info = match program.files.space() {
        Ok(info) => info,
        Err(error) => {
            program.fail(format!("/: {}", reason(&error)));
            return Ok(());
        }
    };
    let size = |blocks: u64| {
        let bytes = blocks.saturating_mul(u64::from(info.block_size));
        if given.has('h') { units::human(bytes) } else { format!("{}", bytes / 1024) }
    };
    let used = info.blocks.saturating_sub(info.free_blocks);
    let percent = format!("{}%", (used * 100).div_ceil(info.blocks.max(1)));
    let mut table =
        Table::new(&[Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right, Align::Left]);
    let unit = if given.has('h') { "Size" } else { "1K-blocks" };
    table.row(["Filesystem", unit, "Used", "Available", "Use%", "Inodes free", "Mounted on"]);
    let inodes = format!("{}", info.free_inodes);
    table.row(["disk", &size(info.blocks), &size(used), &size(info.free_blocks), &percent, &inodes, "/"]);
    program.say(&table.show())
}
