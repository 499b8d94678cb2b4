//! How long a service is missed: from the order that ends it to the first good answer of its next incarnation.
//!
//! 1. The order is a call to the supervisor, and part of the figure; so is all that the kernel, the supervisor and other
//!    servers do meanwhile. Time in which nobody works, while the disk does, is not.
//! 2. The request whose answer ends a round is one of the service's own, and needs all of it: for the driver, a page that
//!    only the disk has.

use alloc::{format, string::String, vec, vec::Vec};
use libipc::proto::pipe::PipeClient;
use libipc::proto::stream::StreamClient;
use libipc::proto::svc::SvcClient;
use libipc::{File, PAGE_SIZE, Queue, sys};

use super::idle::Idle;
use super::{Bench, Figure, Outcome, during};

/// Deaths of each service.
const DEATHS: u64 = 24;
/// The file that the filesystem is asked for.
const FILE: &str = "/tmp/bench.data";
/// Where there are files that nobody has read.
const PROGRAMS: &str = "/bin";
/// Files there that have been read.
const USED: [&str; 2] = ["bench", "sh"];
/// Between two deaths, nanoseconds: what the one before has left to do is done.
const PAUSE: u64 = 150_000_000;

fn queue(bench: &Bench, name: &'static str) -> Outcome<Queue> {
    bench.startup.queue(name).map_err(|missing| format!("{missing}"))
}

/// Ends `service` again and again; `first` asks it for something.
fn deaths(
    bench: &Bench,
    service: &str,
    mut prepare: impl FnMut(u64) -> Outcome<()>,
    mut first: impl FnMut(u64) -> Outcome<()>,
) -> Outcome<Figure> {
    let supervisor = SvcClient::new(queue(bench, "svc")?);
    let idle = Idle::start(bench)?;
    let pause = |number| {
        sys::sleep_until(sys::clock() + PAUSE);
        prepare(number)
    };
    let round = |number| {
        supervisor.kill(service).map_err(during("kill"))?;
        first(number)
    };
    Ok(idle.rounds(bench, DEATHS, pause, round)?.figure())
}

/// The console takes output.
pub fn console(bench: &Bench) -> Outcome<Figure> {
    let output = StreamClient::new(queue(bench, "stdout")?);
    deaths(bench, "console", |_| Ok(()), |_| output.write(0, &[]).map(drop).map_err(during("write")))
}

/// A page comes from the disk.
pub fn block(bench: &Bench) -> Outcome<Figure> {
    let listed = bench.files.list(PROGRAMS).map_err(during(PROGRAMS))?;
    let mut names: Vec<String> = listed.into_iter().map(|entry| entry.name).collect();
    names.retain(|name| !name.starts_with('.') && !USED.contains(&name.as_str()));
    let mut unread: Vec<(File, u64)> = Vec::new();
    for name in names.iter().take(DEATHS as usize) {
        let path = format!("{PROGRAMS}/{name}");
        let info = bench.files.stat(&path).map_err(during(PROGRAMS))?;
        let file = bench.files.open(&path).map_err(during(PROGRAMS))?;
        unread.push((file, info.size.saturating_sub(1) / PAGE_SIZE * PAGE_SIZE));
    }
    let mut page = vec![0; PAGE_SIZE as usize];
    let read = |number| {
        let Some((file, at)) = unread.get_mut(number as usize) else { return Err("too few files".into()) };
        file.seek(*at);
        match file.read(&mut page).map_err(during("read"))? {
            0 => Err("nothing was read".into()),
            _ => Ok(()),
        }
    };
    deaths(bench, "block", |_| Ok(()), read)
}

/// The filesystem knows a file.
pub fn fs(bench: &Bench) -> Outcome<Figure> {
    drop(bench.files.create(FILE).map_err(during(FILE))?);
    deaths(bench, "fs", |_| Ok(()), |_| bench.files.stat(FILE).map(drop).map_err(during(FILE)))
}

/// A pipe is made.
pub fn pipe(bench: &Bench) -> Outcome<Figure> {
    let pipes = PipeClient::new(queue(bench, "pipe")?);
    deaths(bench, "pipe", |_| Ok(()), |_| pipes.create().map(drop).map_err(during("create")))
}

/// The supervisor tells the time: the order is answered by the next incarnation, too.
pub fn init(bench: &Bench) -> Outcome<Figure> {
    let supervisor = SvcClient::new(queue(bench, "svc")?);
    deaths(bench, "init", |_| Ok(()), |_| supervisor.uptime().map(drop).map_err(during("uptime")))
}
