//! Waits for the sum of its arguments: seconds with fractions, or with `m`, `h`, `d` other units.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use core::time::Duration;
use userland::{Accepts, Given, Program, Stop, units};

userland::program!(Accepts::operands(1, usize::MAX), run);

fn run(_: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let mut total = 0u64;
    for text in &given.operands {
        let time = units::parse_seconds(text).ok_or_else(|| Stop::usage(format!("'{text}' is not a time")))?;
        total = total.saturating_add(time);
    }
    libipc::time::sleep(Duration::from_nanos(total));
    Ok(())
}
