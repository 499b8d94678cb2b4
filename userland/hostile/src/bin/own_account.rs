//! Destroys the account that pays for it, and resets itself.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, refused};
use libipc::{Account, Process, Rights, SysError};

hostile::attack!(run, "inside" => inside);

/// Pages of the account that the inner part tries to destroy.
const QUOTA: u64 = 160;

fn run(given: &Given) -> Verdict {
    let outer = works("an account", given.account.child(QUOTA))?;
    let mut command = given.part("inside");
    command.memory(120).grant("outer", outer.handle(), Rights::all());
    let child = works("start", command.spawn(&given.image, outer.account()))?;
    let status = works("wait", child.wait())?;
    match status.exit {
        0 => Ok(()),
        other => Err(alloc::format!("the inner part ended with {other}")),
    }
}

fn inside(given: &Given) -> Verdict {
    let outer = Account::new(works("outer", given.startup.require("outer"))?);
    refused("the account above", SysError::BadState, outer.destroy())?;
    refused("its own", SysError::MissingRights, given.account.destroy())?;
    let other = works("an account", given.account.child(8))?;
    let empty = works("a process", other.account().create_process(None, 0, "other"))?;
    works("reset another", Process::new(empty.handle()).reset())?;
    works("destroy another", other.account().destroy())
}
