//! What the system costs, in ticks of the processor's time-stamp counter. Under QEMU's `-icount shift=0` one tick is one
//! guest instruction, and `cargo xtask bench` runs it so.
//!
//! 1. A round is what a program would write: the library's ordinary calls, with their results checked.
//! 2. Every round is timed for itself, after some that are not counted; the cost of reading the counter is taken off.
//! 3. Where two address spaces are needed the program starts itself once more, in the part that an argument names.

pub mod capability;
pub mod crowd;
pub mod file;
pub mod idle;
pub mod memory;
pub mod message;
pub mod partner;
pub mod pipe;
pub mod probe;
pub mod process;
pub mod recovery;
pub mod samples;
pub mod thread;

use alloc::{format, string::String};
use core::fmt::Display;
use libipc::dir::Namespace;
use libipc::spawn::Image;
use libipc::{Account, Queue, Startup};

pub use samples::{Figure, Samples};

/// The priority at which the shell starts programs.
const PRIORITY: u8 = 8;
/// Bit of every event here.
const BIT: u64 = 1;

/// What a measurement comes to, or for people why it could not be made.
pub type Outcome<T> = Result<T, String>;

/// Says what was being done when something was refused.
pub(crate) fn during<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

/// What every measurement uses.
pub struct Bench {
    startup: Startup<'static>,
    account: Account,
    files: Namespace,
    image: Image,
    /// The maker of pipes.
    pipes: Option<Queue>,
    /// Cost of reading the counter once.
    overhead: u64,
}

/// One row of the table.
pub struct Row {
    /// Its name on the command line and in the baseline.
    pub name: &'static str,
    /// What is measured, for people.
    pub text: &'static str,
    /// Measures it.
    pub run: fn(&Bench) -> Outcome<Figure>,
}

const fn row(name: &'static str, text: &'static str, run: fn(&Bench) -> Outcome<Figure>) -> Row {
    Row { name, text, run }
}

/// Every row, in the order of the table.
pub const ROWS: &[Row] = &[
    row("null", "null system call (reading the clock)", message::null),
    row("call-0", "call and reply between two address spaces, no words", |bench| message::call(bench, 0, 0)),
    row("call-8", "the same, 8 words", |bench| message::call(bench, 8, 0)),
    row("call-512", "the same, 8 words and 512 bytes of payload", |bench| message::call(bench, 8, 512)),
    row("forward", "client, server A (forward), server B, reply to the client", message::forward),
    row("post", "post and receive a queued message", message::post),
    row("signal", "event signal to a waiting thread of higher priority, one way", thread::signal),
    row("yield", "yield to another address space and back", thread::yield_back),
    row("lease", "copy of 4 KiB into a lease", probe::lease),
    row("map", "map and unmap a page", memory::map),
    row("touch", "first touch of a page", memory::touch),
    row("derive", "duplicate and drop a capability", capability::derive),
    row("transfer", "a capability in a message (added cost)", capability::transfer),
    row("read", "4 KiB cached file read", |bench| file::read(bench, 4 << 10)),
    row("open", "open and close of a file", file::open),
    row("stat", "stat of a file", file::stat),
    row("write", "4 KiB overwrite without sync", file::overwrite),
    row("create", "creation and removal of a file", file::create),
    row("fsync", "append of 100 bytes and fsync", file::append),
    row("uncached", "4 KiB uncached read, from the program to the disk and back", file::uncached),
    row("sequential", "16 MiB uncached from end to end, in 64 KiB reads", file::sequential),
    row("idempotent", "an idempotent operation of a typed server", probe::idempotent),
    row("recorded", "the same operation, recorded", probe::recorded),
    row("pipe", "4 KiB through a pipe of the shell", pipe::through),
    row("spawn", "spawn, exit and wait of a small program", process::spawn),
    row("callers-1", "call and reply, 1 client waiting on the queue", |bench| crowd::callers(bench, 1)),
    row("callers-10", "the same, 10 clients", |bench| crowd::callers(bench, 10)),
    row("callers-100", "the same, 100 clients", |bench| crowd::callers(bench, 100)),
    row("callers-1000", "the same, 1,000 clients", |bench| crowd::callers(bench, 1000)),
    row("slots-1", "lookup of a capability among 1", |bench| capability::lookup(bench, 1)),
    row("slots-100", "the same, among 100", |bench| capability::lookup(bench, 100)),
    row("slots-10000", "the same, among 10,000", |bench| capability::lookup(bench, 10_000)),
    row("slots-100000", "the same, among 100,000", |bench| capability::lookup(bench, 100_000)),
    row("size-64k", "4 KiB cached read at the end of a file of 64 KiB", |bench| file::read(bench, 64 << 10)),
    row("size-1m", "the same, 1 MiB", |bench| file::read(bench, 1 << 20)),
    row("size-8m", "the same, 8 MiB", |bench| file::read(bench, 8 << 20)),
    row("sleepers-1", "wake-up by an event while 1 thread sleeps", |bench| crowd::sleepers(bench, 1)),
    row("sleepers-10", "the same, 10 threads", |bench| crowd::sleepers(bench, 10)),
    row("sleepers-100", "the same, 100 threads", |bench| crowd::sleepers(bench, 100)),
    row("sleepers-1000", "the same, 1,000 threads", |bench| crowd::sleepers(bench, 1000)),
    row("death-console", "order to end the console to the first output that its successor takes", recovery::console),
    row("death-block", "the same of the block driver, to the first page from the disk", recovery::block),
    row("death-fs", "the same of the filesystem, to the first stat of a file", recovery::fs),
    row("death-pipe", "the same of the maker of pipes, to the first pipe", recovery::pipe),
    row("death-init", "the same of the supervisor, to its first answer after that to the order", recovery::init),
];

impl Bench {
    /// Gathers what measurements use.
    pub fn new(startup: &Startup<'static>) -> Outcome<Bench> {
        let account = startup.account().map_err(during("account"))?;
        let files = Namespace::of(startup).map_err(during("directories"))?;
        let mut file = files.open("/bin/bench").map_err(during("/bin/bench"))?;
        let image = Image::read(&mut file, account).map_err(during("/bin/bench"))?;
        let pipes = startup.queue("pipe").ok();
        let mut bench = Bench { startup: *startup, account, files, image, pipes, overhead: 0 };
        bench.overhead = bench.rounds(1000, |_| Ok(()))?.figure().min;
        Ok(bench)
    }

    /// Times `count` rounds after an eighth as many that are not counted. Rounds are numbered from 0 on.
    fn rounds(&self, count: u64, mut round: impl FnMut(u64) -> Outcome<()>) -> Outcome<Samples> {
        let warm_up = count.div_ceil(8);
        let mut samples = Samples::with_room(count);
        for number in 0..warm_up + count {
            let start = libipc::time::ticks();
            round(number)?;
            let cost = libipc::time::ticks().saturating_sub(start);
            if number >= warm_up {
                samples.add(cost.saturating_sub(self.overhead));
            }
        }
        Ok(samples)
    }
}
