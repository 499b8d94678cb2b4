//! What a client made by `protocol!` is told when its server does not answer: puts bad servers in the place of a service,
//! calls it in each of the ways that an author has, prints what comes back, and puts the good image back in.
//!
//! `outcomes SERVICE IMAGE` with the service's own image in the file IMAGE. The console is called by standard output, the
//! filesystem by the root directory, the maker of pipes by standard input, once that is at its end. It needs the supervisor:
//! a test has it run in the place of `svc`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{
    format,
    string::{String, ToString},
    vec,
};
use core::fmt::Debug;
use libipc::proto::{directory::DirectoryClient, pipe::PipeClient, stream::StreamClient, svc::SvcClient};
use libipc::spawn::Image;
use libipc::{Dir, Failure, Queue, Rights, Startup, println, sys};

libipc::entry!(main);

/// Nanoseconds until a call gives up that has a deadline: less than a service may be silent before it is ended.
const SHORT: u64 = 200_000_000;
/// Deaths within a minute after which a service is held.
const BUDGET: u32 = 20;
/// Deaths at one call after which it is refused.
const MAX_ATTEMPTS: u32 = 3;

/// How a call is made.
#[derive(Clone, Copy)]
enum Way {
    /// As usual.
    Plain,
    /// Without redelivery.
    Once,
    /// With a deadline.
    Short,
}

fn main(startup: Startup<'static>) -> Result<(), Failure> {
    let (service, own) = (startup.arg(1).unwrap_or_default(), startup.arg(2).unwrap_or_default());
    let supervisor = SvcClient::new(startup.queue("svc")?);
    let root = Dir::new(startup.queue("root")?);
    let account = startup.account()?;
    let load = |path: &str| Image::read(&mut root.open(path)?, account).map_err(Failure::from);
    let (deaf, mute) = (load("/bin/server_deaf")?, load("/bin/server_mute")?);
    let (dies, own) = (load("/bin/server_dies")?, load(own)?);
    let put = |image: &Image| {
        let lent = image.memory().grant(Rights::READ | Rights::MAP);
        match supervisor.upgrade(service, lent, image.length()) {
            Ok(failure) if failure.is_empty() => String::from("runs"),
            other => format!("{other:?}"),
        }
    };
    let ask = |way| ask(&startup, service, way);
    // Whoever closes the other end of a pipe has done so then, and calls its maker no more.
    let input = StreamClient::new(startup.queue("stdin")?);
    while input.read(0, &mut [0; 16])? != 0 {}

    // In this order: each is made when its turn comes.
    let mut told = vec![
        ("a server that receives nothing", put(&deaf)),
        ("a call with a deadline", ask(Way::Short)?),
        ("a server that does not answer", put(&mute)),
        ("a call with a deadline", ask(Way::Short)?),
        ("a server that dies of each request", put(&dies)),
        ("a call without redelivery", ask(Way::Once)?),
    ];
    let mut deaths = 1;
    while deaths + MAX_ATTEMPTS <= BUDGET {
        told.push(("a call", ask(Way::Plain)?));
        deaths += MAX_ATTEMPTS;
    }
    told.extend([
        ("a call after whose first deaths the service is held", ask(Way::Plain)?),
        ("a call to a held service", ask(Way::Plain)?),
        ("the same without redelivery", ask(Way::Once)?),
        ("its own image", put(&own)),
        ("a call", ask(Way::Plain)?),
    ]);
    told.iter().for_each(|(what, answer)| println!("{what}: {answer}"));
    Ok(())
}

/// Calls `service` and says what came back.
fn ask(startup: &Startup<'_>, service: &str, way: Way) -> Result<String, Failure> {
    let late = Some(sys::clock().saturating_add(SHORT));
    /// The client of this protocol, as it is to be used.
    macro_rules! client {
        ($type:ident, $queue:expr) => {{
            let queue: Queue = $queue;
            match way {
                Way::Plain => $type::new(queue),
                Way::Once => $type::new(queue).once(),
                Way::Short => $type::new(queue).until(late),
            }
        }};
    }
    Ok(match service {
        "console" => tell(client!(StreamClient, startup.queue("stdout")?).write(0, &[]).map(drop)),
        "fs" => tell(client!(DirectoryClient, startup.queue("root")?).stat("bin").map(drop)),
        "pipe" => tell(client!(PipeClient, startup.queue("stdin")?).close_read()),
        other => other.to_string(),
    })
}

fn tell<E: Debug>(answer: Result<(), E>) -> String {
    match answer {
        Ok(()) => String::from("done"),
        Err(error) => format!("{error:?}"),
    }
}
