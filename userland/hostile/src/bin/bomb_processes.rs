//! A process that starts two like itself, each of which does so too, until nothing is left to pay with.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::{Given, Verdict, holds};
use libipc::spawn::SpawnError;
use libipc::{SysError, sys};

hostile::attack!(run, "bomb" => bomb);

fn run(given: &Given) -> Verdict {
    // The first time this program's heap and table grow.
    let first = explode(given)?;
    same("what is paid", explode(given)?, first)
}

/// What this program pays for and has lent, after all is over.
fn explode(given: &Given) -> Result<(u64, u64), alloc::string::String> {
    let account = works("an account", given.account.child(320))?;
    let mut command = given.part("bomb");
    command.memory(300).stack(4);
    let child = works("start", command.spawn(&given.image, account.account()))?;
    let mut most = 0;
    let until = sys::clock() + 150_000_000;
    while sys::clock() < until {
        let mut after = 0;
        let mut count = 0;
        while let Some(status) = works("list", account.account().process_after(after))? {
            after = status.id;
            count += 1;
        }
        most = most.max(count);
        sys::sleep_until(sys::clock() + 5_000_000);
    }
    holds("it went off", most > 2)?;
    drop(child);
    works("destroy", account.account().destroy())?;
    drop(account);
    let after = works("status", given.account.status())?;
    Ok((after.used, after.lent))
}

/// Starts two more, with half of what it has for each; where it cannot, it waits for its end.
fn bomb(given: &Given) -> Verdict {
    let status = works("status", given.account.status())?;
    let half = status.limit.saturating_sub(status.used) / 2;
    let mut children = alloc::vec::Vec::new();
    for _ in 0..2 {
        let mut command = given.part("bomb");
        command.memory(half.saturating_sub(4)).stack(4);
        match command.spawn(&given.image, given.account) {
            Ok(child) => children.push(child),
            Err(SpawnError::Sys(SysError::NoMemory | SysError::BadArgument)) => {}
            Err(other) => return Err(alloc::format!("{other:?}")),
        }
    }
    loop {
        sys::yield_now();
    }
}
