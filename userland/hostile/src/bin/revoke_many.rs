//! `revoke_many COUNT`: has so many capabilities derived from one, in several processes and in trees of several shapes,
//! and revokes them all at once.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use hostile::Verdict;
use hostile::check::{same, works};
use libipc::abi::ProcessState;
use libipc::dir::Namespace;
use libipc::spawn::{Command, Image};
use libipc::{Handle, Rights, Startup, SysError, sys};

libipc::entry!(main);

/// Of which the n-th capability of a process is derived, by the shape of its tree. The 0th is the one that it was given.
const SHAPES: [(&str, fn(usize) -> usize); 4] =
    [("crowd", |_| 0), ("chain", |n| n - 1), ("binary", |n| n / 2), ("comb", |n| (n - 1) & !1)];
/// Pages of a process besides those of its capability table.
const QUOTA: u64 = 64;
/// Capabilities in a page.
const PER_PAGE: u64 = 127;

fn main(startup: Startup<'static>) -> i32 {
    let number = startup.arg(1).and_then(|text| text.parse::<u64>().ok());
    let outcome = match (number, startup.arg(2)) {
        (None, _) => {
            libipc::println!("usage: revoke_many COUNT");
            return 2;
        }
        (Some(count), None) => revoke(&startup, count),
        (Some(count), Some(shape)) => hold(&startup, count, shape),
    };
    if let Err(why) = &outcome {
        libipc::println!("revoke_many: {why}");
    }
    i32::from(outcome.is_err())
}

fn revoke(startup: &Startup<'static>, count: u64) -> Verdict {
    let account = works("account", startup.account())?;
    let files = works("directories", Namespace::of(startup))?;
    let mut file = works("its file", files.open("/bin/revoke_many"))?;
    let image = works("its file", Image::read(&mut file, account))?;
    let root = works("an event", account.create_event())?;
    let top = works("derive", root.derive(Rights::all(), 0))?;
    let (ready, go) = (works("an event", account.create_event())?, works("an event", account.create_event())?);
    let each = count.div_ceil(SHAPES.len() as u64);
    let mut holders = Vec::new();
    for (n, (shape, _)) in SHAPES.iter().enumerate() {
        let mut command = Command::new("revoke_many");
        // Its handles take 8 bytes each, in a list that is copied when it grows.
        let pages = QUOTA + each / PER_PAGE + 3 * each * 8 / 4096;
        command.args([format!("{each}").as_str(), shape]).memory(pages).stack(8);
        command.grant("top", top.handle(), Rights::all()).grant("ready", ready.handle(), Rights::SIGNAL);
        command.grant("go", go.handle(), Rights::WAIT);
        if let Some(out) = startup.handle("stdout") {
            command.grant("stdout", out, Rights::SEND);
        }
        holders.push(works("start", command.spawn(&image, account))?);
        works("it has derived", ready.event().wait(1, None))?;
        same("holders", holders.len(), n + 1)?;
    }
    let before = sys::clock();
    works("revoke", top.revoke())?;
    let took = sys::clock() - before;
    for holder in holders {
        works("go", go.event().signal(1))?;
        let status = works("wait", holder.wait())?;
        same("a holder's end", (status.state, status.exit), (ProcessState::Exited as u64, 0))?;
    }
    works("the capability itself is fine", sys::inspect(top.handle()))?;
    libipc::println!("revoke_many: {} descendants in {took} ns", each * SHAPES.len() as u64);
    Ok(())
}

/// Derives, and sees all of it gone after the word.
fn hold(startup: &Startup<'static>, count: u64, shape: &str) -> Verdict {
    let Some((_, parent)) = SHAPES.iter().find(|(name, _)| *name == shape) else { return Err(format!("no {shape}")) };
    let top = works("top", startup.event("top"))?;
    let mut made: Vec<Handle> = Vec::with_capacity(count as usize);
    made.push(top.handle());
    for n in 1..count as usize {
        made.push(works("derive", sys::duplicate(made[parent(n)], Rights::all(), 0))?);
    }
    let go = works("go", startup.event("go"))?;
    works("ready", works("ready", startup.event("ready"))?.signal(1))?;
    works("go", go.wait(1, None))?;
    for (n, handle) in made.iter().enumerate() {
        if sys::inspect(*handle).map(|_| ()) != Err(SysError::BadHandle) {
            return Err(format!("{shape}: capability {n} of {count} is still there"));
        }
    }
    Ok(())
}
