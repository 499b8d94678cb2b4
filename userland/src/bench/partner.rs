//! The other address space of a measurement: this program once more, in a part of its own.

use alloc::format;
use alloc::vec::Vec;
use libipc::abi::{Message, Tag};
use libipc::spawn::{Child, Command};
use libipc::{Event, OwnedHandle, Queue, Rights, Startup, page, sys, time};

use super::{BIT, Bench, Outcome, during, idle, pipe, probe};

/// Operation of a call to the answering part: it comes back as it went.
pub const ECHO: u16 = 0;
/// Keep the capability that comes along.
pub const KEEP: u16 = 1;
/// Give up all that was kept.
pub const DROP: u16 = 2;

impl Bench {
    /// Starts this program in another part, with these capabilities.
    pub(super) fn partner(&self, part: &str, priority: u8, grants: &[(&str, &OwnedHandle, Rights)]) -> Outcome<Child> {
        self.partner_with(128, part, priority, grants)
    }

    /// The same, with a quota of `pages`.
    pub(super) fn partner_with(
        &self,
        pages: u64,
        part: &str,
        priority: u8,
        grants: &[(&str, &OwnedHandle, Rights)],
    ) -> Outcome<Child> {
        let mut command = Command::new("bench");
        command.args(["--part", part]).memory(pages).stack(16).priority(priority);
        for (name, handle, rights) in grants {
            command.grant(name, handle.handle(), *rights);
        }
        command.spawn(&self.image, self.account).map_err(during("cannot start the other part"))
    }
}

/// Plays a part until its measurement is over.
pub fn play(startup: &Startup<'static>, part: &str) -> Outcome<()> {
    let queue = |name| startup.queue(name).map_err(during("queue"));
    let event = |name| startup.event(name).map_err(during("event"));
    match part {
        "answer" => answer(queue("queue")?),
        "echo" => echo(queue("queue")?),
        "probe" => {
            let memory = startup.memory("memory").map_err(during("memory"))?;
            probe::answer(queue("queue")?, memory)
        }
        "feed" => pipe::feed(queue("output")?),
        "idle" => idle::count(startup.memory("memory").map_err(during("memory"))?),
        "forward" => forward(queue("queue")?, queue("next")?),
        "signal" => signal(event("go")?, event("signal")?, startup.memory("memory").map_err(during("memory"))?),
        "yield" => loop {
            sys::yield_now();
        },
        "wait" => event("go")?.wait(BIT, sys::NEVER).map(drop).map_err(during("wait")),
        "exit" => Ok(()),
        other => Err(format!("no part '{other}'")),
    }
}

/// Sends back what it gets.
fn echo(queue: Queue) -> Outcome<()> {
    let mut received = sys::recv(queue.handle(), None).map_err(during("receive"))?;
    loop {
        let answer = Message { tag: Tag::new(0, 0), words: received.message.words };
        received = sys::reply_recv(queue.handle(), received.id, answer, None).map_err(during("reply"))?;
    }
}

/// Answers calls, and keeps or drops the capabilities that come with them.
fn answer(queue: Queue) -> Outcome<()> {
    let mut kept = Vec::with_capacity(super::capability::KEPT);
    let mut received = sys::recv(queue.handle(), None).map_err(during("receive"))?;
    loop {
        match received.message.tag.operation() {
            KEEP => kept.push(OwnedHandle::new(page::received_cap(0))),
            DROP => kept.clear(),
            _ => {}
        }
        let answer = Message { tag: Tag::new(0, 0), words: received.message.words };
        received = sys::reply_recv(queue.handle(), received.id, answer, None).map_err(during("reply"))?;
    }
}

/// Passes every call on.
fn forward(queue: Queue, next: Queue) -> Outcome<()> {
    let mut received = sys::recv(queue.handle(), None).map_err(during("receive"))?;
    loop {
        received = sys::forward_recv(received.id, next.handle(), queue.handle(), None).map_err(during("forward"))?;
    }
}

/// Each time it is told to: writes the time and signals.
fn signal(go: Event, signal: Event, memory: libipc::Memory) -> Outcome<()> {
    let mut shared = memory.map(true).map_err(during("map"))?;
    loop {
        go.wait(BIT, sys::NEVER).map_err(during("wait"))?;
        shared.write(0, &time::ticks().to_le_bytes()).map_err(during("shared memory"))?;
        signal.signal(BIT).map_err(during("signal"))?;
    }
}
