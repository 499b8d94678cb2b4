//! Measures what the kernel and the servers cost, in ticks of the time-stamp counter: `cargo xtask bench` runs it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, vec::Vec};
use libipc::Startup;
use userland::bench::{Bench, Outcome, ROWS, partner};

libipc::entry!(main);

const USAGE: &str = "usage: bench [NAME]...\nmeasure system calls, messages, switches, files and spawns";

fn main(startup: Startup<'static>) -> i32 {
    let outcome = match (startup.arg(1), startup.arg(2)) {
        (Some("--help"), _) => {
            libipc::println!("{USAGE}");
            Ok(())
        }
        (Some("--part"), Some(part)) => partner::play(&startup, part),
        _ => measure(&startup),
    };
    match outcome {
        Ok(()) => 0,
        Err(why) => {
            libipc::eprintln!("bench: {why}");
            1
        }
    }
}

fn measure(startup: &Startup<'static>) -> Outcome<()> {
    let wanted: Vec<&str> = startup.args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| ROWS.iter().all(|row| row.name != **name)) {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!("no measurement '{unknown}'; there are {}", names.join(", ")));
    }
    let bench = Bench::new(startup)?;
    libipc::println!("{:<14}{:>10}{:>10}{:>10}", "", "median", "min", "max");
    for row in ROWS.iter().filter(|row| wanted.is_empty() || wanted.contains(&row.name)) {
        let figure = (row.run)(&bench).map_err(|why| format!("{}: {why}", row.name))?;
        libipc::println!("{:<14}{figure}  {}", row.name, row.text);
    }
    Ok(())
}
