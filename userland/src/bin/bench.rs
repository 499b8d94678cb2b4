//! Measures what the kernel and the servers take, in nanoseconds of the clock. Under QEMU's `-icount shift=0` a nanosecond
//! is one guest instruction: `cargo xtask bench` runs it so.
//!
//! Where two address spaces are needed the program starts itself once more, in the part that its second argument names.
//! Each figure is the mean of many rounds after some that are not counted, without the cost of reading the clock.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, string::String, vec};
use libipc::abi::{Message, Tag};
use libipc::dir::Namespace;
use libipc::spawn::{Child, Command, Image};
use libipc::{Account, Event, OwnedHandle, PAGE_SIZE, Queue, Rights, Startup, sys};

libipc::entry!(main);

/// Rounds that are measured.
const ROUNDS: u64 = 1000;
/// Rounds before them.
const WARM_UP: u64 = 50;
/// The file of the read measurement.
const FILE: &str = "/tmp/bench.data";
/// Bit of every event here.
const BIT: u64 = 1;

type Outcome<T> = Result<T, String>;

/// Says what was being done when something was refused.
fn during<E: core::fmt::Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

fn main(startup: Startup<'static>) -> i32 {
    let outcome = match (startup.arg(1), startup.arg(2)) {
        (Some("--help"), _) => {
            libipc::println!("usage: bench [NAME]...\nmeasure system calls, messages, switches, reads and spawns");
            Ok(())
        }
        (Some("--part"), Some(part)) => play(&startup, part),
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

/// What every measurement uses.
struct Bench {
    account: Account,
    files: Namespace,
    image: Image,
    /// Cost of reading the clock once.
    clock: u64,
}

type Measurement = (&'static str, &'static str, fn(&Bench) -> Outcome<u64>);

const MEASUREMENTS: &[Measurement] = &[
    ("null", "null system call (reading the clock)", null),
    ("call0", "call and reply between two address spaces, 0 words", |bench| call(bench, 0)),
    ("call8", "call and reply between two address spaces, 8 words", |bench| call(bench, 8)),
    ("event", "event signal to a waiting thread of higher priority, one way", event),
    ("switch", "context switch between two address spaces (yield)", switch),
    ("map", "map and unmap a page", map),
    ("derive", "derive a capability and give it up", derive),
    ("read", "4 KiB cached file read", read),
    ("stat", "stat of a file", stat),
    ("open", "open and close of a file", open),
    ("spawn", "spawn, exit and wait of a small program", spawn),
];

fn measure(startup: &Startup<'static>) -> Outcome<()> {
    let wanted: vec::Vec<&str> = startup.args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| MEASUREMENTS.iter().all(|(known, ..)| known != *name)) {
        let names: vec::Vec<&str> = MEASUREMENTS.iter().map(|(name, ..)| *name).collect();
        return Err(format!("no measurement '{unknown}'; there are {}", names.join(", ")));
    }
    let account = startup.account().map_err(during("account"))?;
    let files = Namespace::of(startup).map_err(during("directories"))?;
    let mut file = files.open("/bin/bench").map_err(during("/bin/bench"))?;
    let image = Image::read(&mut file, account).map_err(during("/bin/bench"))?;
    let mut bench = Bench { account, files, image, clock: 0 };
    bench.clock = mean(&bench, |_| Ok(()))?;
    for (name, text, run) in MEASUREMENTS {
        if wanted.is_empty() || wanted.contains(name) {
            let cost = run(&bench).map_err(during(text))?;
            libipc::println!("{name:<8}{cost:>9}  {text}");
        }
    }
    Ok(())
}

/// The mean cost of a round.
fn mean(bench: &Bench, mut round: impl FnMut(u64) -> Outcome<()>) -> Outcome<u64> {
    for number in 0..WARM_UP {
        round(number)?;
    }
    let start = sys::clock();
    for number in 0..ROUNDS {
        round(number)?;
    }
    Ok(sys::clock().saturating_sub(start).saturating_sub(bench.clock) / ROUNDS)
}

/// Reading the clock is the system call that does least; two readings in a row are one such call apart.
fn null(bench: &Bench) -> Outcome<u64> {
    mean(bench, |_| {
        sys::clock();
        Ok(())
    })
}

impl Bench {
    /// Starts this program in another part, with these capabilities.
    fn partner(&self, part: &str, priority: u8, grants: &[(&str, &OwnedHandle, Rights)]) -> Outcome<Child> {
        let mut command = Command::new("bench");
        command.args(["--part", part]).memory(128).stack(16).priority(priority);
        for (name, handle, rights) in grants {
            command.grant(name, handle.handle(), *rights);
        }
        command.spawn(&self.image, self.account).map_err(during("cannot start the other part"))
    }
}

/// The priority at which this program runs, as the shell starts it.
const PRIORITY: u8 = 8;

fn call(bench: &Bench, words: u64) -> Outcome<u64> {
    let queue = bench.account.create_queue(0).map_err(during("queue"))?;
    let _partner = bench.partner("answer", PRIORITY, &[("queue", &queue, Rights::RECEIVE)])?;
    let request = Message {
        tag: Tag::new(0, 1),
        words: core::array::from_fn(|n| if (n as u64) < words { n as u64 + 7 } else { 0 }),
    };
    mean(bench, |_| {
        let reply = sys::call(queue.handle(), request).map_err(during("call"))?;
        if reply.words == request.words { Ok(()) } else { Err("the answer is not what was sent".into()) }
    })
}

/// The signaller is of lower priority: it writes the time and signals, and this program reads the time when it wakes.
fn event(bench: &Bench) -> Outcome<u64> {
    let go = bench.account.create_event().map_err(during("event"))?;
    let signal = bench.account.create_event().map_err(during("event"))?;
    let memory = bench.account.create_memory(1).map_err(during("memory"))?;
    let shared = memory.memory().map(false).map_err(during("map"))?;
    let both = Rights::READ | Rights::WRITE | Rights::MAP;
    let grants = [("go", &go, Rights::WAIT), ("signal", &signal, Rights::SIGNAL), ("memory", &memory, both)];
    let _partner = bench.partner("signal", PRIORITY - 1, &grants)?;
    let mut total = 0;
    for round in 0..WARM_UP + ROUNDS {
        go.event().signal(BIT).map_err(during("signal"))?;
        signal.event().wait(BIT, sys::NEVER).map_err(during("wait"))?;
        let now = sys::clock();
        let mut sent = [0; 8];
        shared.read(0, &mut sent).map_err(during("shared memory"))?;
        if round >= WARM_UP {
            total += now.saturating_sub(u64::from_le_bytes(sent));
        }
    }
    Ok((total / ROUNDS).saturating_sub(bench.clock))
}

/// Each yield of this program lets the other one run, which yields in turn: two switches.
fn switch(bench: &Bench) -> Outcome<u64> {
    let _partner = bench.partner("yield", PRIORITY, &[])?;
    let round_trip = mean(bench, |_| {
        sys::yield_now();
        Ok(())
    })?;
    Ok(round_trip / 2)
}

fn map(bench: &Bench) -> Outcome<u64> {
    let memory = bench.account.create_memory(1).map_err(during("memory"))?;
    mean(bench, |_| memory.memory().map(true).map(drop).map_err(during("map")))
}

fn derive(bench: &Bench) -> Outcome<u64> {
    let queue = bench.account.create_queue(0).map_err(during("queue"))?;
    mean(bench, |_| queue.derive(Rights::SEND, 0).map(drop).map_err(during("derive")))
}

/// A file of one page, read again and again.
fn with_file(bench: &Bench) -> Outcome<libipc::File> {
    let mut file = bench.files.create(FILE).map_err(during(FILE))?;
    file.write_all(&[0x5a; PAGE_SIZE as usize]).map_err(during(FILE))?;
    bench.files.open(FILE).map_err(during(FILE))
}

fn read(bench: &Bench) -> Outcome<u64> {
    let mut file = with_file(bench)?;
    let mut page = vec![0; PAGE_SIZE as usize];
    mean(bench, |_| {
        file.seek(0);
        match file.read(&mut page).map_err(during(FILE))? {
            4096 => Ok(()),
            short => Err(format!("{FILE}: {short} bytes")),
        }
    })
}

fn stat(bench: &Bench) -> Outcome<u64> {
    drop(with_file(bench)?);
    mean(bench, |_| bench.files.stat(FILE).map(drop).map_err(during(FILE)))
}

fn open(bench: &Bench) -> Outcome<u64> {
    drop(with_file(bench)?);
    mean(bench, |_| bench.files.open(FILE).map(drop).map_err(during(FILE)))
}

fn spawn(bench: &Bench) -> Outcome<u64> {
    const TIMES: u64 = 20;
    let mut total = 0;
    for _ in 0..TIMES {
        let start = sys::clock();
        let status = bench.partner("exit", PRIORITY, &[])?.wait().map_err(during("wait"))?;
        total += sys::clock().saturating_sub(start);
        if status.exit != 0 {
            return Err(format!("the other part ended with status {}", status.exit));
        }
    }
    Ok(total / TIMES)
}

/// The other part of a measurement.
fn play(startup: &Startup<'static>, part: &str) -> Outcome<()> {
    match part {
        "answer" => answer(startup.queue("queue").map_err(during("queue"))?),
        "signal" => {
            let event = |name| startup.event(name).map_err(during("event"));
            signal(event("go")?, event("signal")?, startup.memory("memory").map_err(during("memory"))?)
        }
        "yield" => loop {
            sys::yield_now();
        },
        "exit" => Ok(()),
        other => Err(format!("no part '{other}'")),
    }
}

/// Sends every call back as it came.
fn answer(queue: Queue) -> Outcome<()> {
    let mut received = sys::recv(queue.handle(), None).map_err(during("receive"))?;
    loop {
        let answer = Message { tag: Tag::new(0, 0), words: received.message.words };
        received = sys::reply_recv(queue.handle(), received.id, answer, None).map_err(during("reply"))?;
    }
}

/// Each time it is told to: writes the time and signals.
fn signal(go: Event, signal: Event, memory: libipc::Memory) -> Outcome<()> {
    let mut shared = memory.map(true).map_err(during("map"))?;
    loop {
        go.wait(BIT, sys::NEVER).map_err(during("wait"))?;
        shared.write(0, &sys::clock().to_le_bytes()).map_err(during("shared memory"))?;
        signal.signal(BIT).map_err(during("signal"))?;
    }
}
