//! `revoke_many COUNT`: has so many capabilities derived from one, in several processes and in trees of several shapes,
//! and revokes them all at once.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hostile::check::{same, works};
use hostile::{Verdict, refused};
use libipc::abi::ProcessState;
use libipc::dir::Namespace;
use libipc::spawn::{Command, Image};
use libipc::{Rights, Startup, SysError, sys};

libipc::entry!(main);

/// The shapes of the trees, and which of the last [`KNOWN`] capabilities the n-th is derived from; `None`: the first.
type Parent = fn(u64) -> Option<u64>;
const SHAPES: [(&str, Parent); 3] =
    [("crowd", |_| None), ("chain", |n| Some(n - 1)), ("bush", |n| Some(n - 1 - n * n % n.min(KNOWN)))];
/// Capabilities whose handles are known.
const KNOWN: u64 = 64;
/// Pages of a process besides those of its capability table.
const QUOTA: u64 = 48;
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
    let ready = works("an event", account.create_event())?;
    let each = count.div_ceil(SHAPES.len() as u64);
    let mut holders = Vec::new();
    for (n, (shape, _)) in SHAPES.iter().enumerate() {
        let mut command = Command::new("revoke_many");
        let go = works("an event", account.create_event())?;
        command.args([format!("{each}").as_str(), shape]).memory(QUOTA + each / PER_PAGE).stack(4);
        command.grant("top", top.handle(), Rights::all()).grant("ready", ready.handle(), Rights::SIGNAL);
        command.grant("go", go.handle(), Rights::WAIT);
        if let Some(out) = startup.handle("stdout") {
            command.grant("stdout", out, Rights::SEND);
        }
        holders.push((works("start", command.spawn(&image, account))?, go));
        works("it has derived", ready.event().wait(1, None))?;
        same("holders", holders.len(), n + 1)?;
    }
    let before = sys::clock();
    works("revoke", top.revoke())?;
    let took = sys::clock() - before;
    for (holder, go) in holders {
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
    let top = works("top", startup.event("top"))?.handle();
    let before = held()?;
    let mut known = [top; KNOWN as usize];
    for n in 1..count {
        let parent = parent(n).map_or(top, |n| known[(n % KNOWN) as usize]);
        known[(n % KNOWN) as usize] = works("derive", sys::duplicate(parent, Rights::all(), 0))?;
    }
    same("capabilities", held()?, before + count - 1)?;
    let go = works("go", startup.event("go"))?;
    works("ready", works("ready", startup.event("ready"))?.signal(1))?;
    works("go", go.wait(1, None))?;
    for handle in known {
        refused(shape, SysError::BadHandle, sys::inspect(handle))?;
    }
    same(shape, held()?, before - 1)
}

/// How many capabilities the program has.
fn held() -> Result<u64, String> {
    let (mut count, mut from) = (0, 0);
    loop {
        let (handle, next) = works("the next capability", sys::capability_next(from))?;
        count += u64::from(handle.is_some());
        if next == 0 {
            return Ok(count);
        }
        from = next;
    }
}
