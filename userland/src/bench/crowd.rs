//! Many threads that wait: whether waiting costs those that run.

use libipc::abi::{Message, PAGE_SIZE, Tag, layout};
use libipc::spawn::Child;
use libipc::sys::ThreadStart;
use libipc::{Handle, OwnedHandle, Rights, sys, time};

use super::message::request;
use super::partner::ECHO;
use super::{Bench, Figure, Outcome, PRIORITY, Samples, during, thread};

/// Pages of quota for each thread: object, stack, message page, page tables.
const PER_THREAD: u64 = 6;
/// Calls that are answered in all.
const CALLS: u64 = 2000;

/// A process with many threads that all do the same.
struct Crowd {
    _memory: OwnedHandle,
    _child: Child,
    _go: OwnedHandle,
}

impl Crowd {
    /// Starts `count` threads at `entry`, each with the crowd's own capability of `handle`.
    fn start(
        bench: &Bench,
        count: u64,
        entry: extern "C" fn(u64) -> !,
        handle: &OwnedHandle,
        rights: Rights,
    ) -> Outcome<Crowd> {
        let go = bench.account.create_event().map_err(during("event"))?;
        let pages = 128 + count * PER_THREAD;
        let child = bench.partner_with(pages, "wait", PRIORITY, &[("go", &go, Rights::WAIT)])?;
        let process = child.process();
        let argument = process.give(handle.handle(), rights, 0).map_err(during("grant"))?.raw();
        let entry = process.address_of(entry as usize as u64).map_err(during("status"))?;
        let memory = child.account().create_memory(count).map_err(during("stacks"))?;
        for number in 0..count {
            // The first area is that of the thread that the process began with.
            let page = child.places().thread_area(number + 1);
            let end = page + layout::THREAD_AREA;
            let stack = Rights::READ | Rights::WRITE;
            process.map(memory.memory(), end - PAGE_SIZE, number, 1, stack).map_err(during("stack"))?;
            // As a call leaves it: 8 bytes below a multiple of 16.
            let start = ThreadStart { entry, stack: end - 8, page, argument, priority: PRIORITY };
            process.start(start).map_err(during("thread"))?;
        }
        Ok(Crowd { _memory: memory, _child: child, _go: go })
    }
}

/// A thread that calls again and again.
extern "C" fn caller(queue: u64) -> ! {
    while sys::call_until(Handle::from_raw(queue), request(ECHO, 8), sys::NEVER).is_ok() {}
    sys::thread_exit()
}

/// A thread that waits for what never comes, until an hour has passed.
extern "C" fn sleeper(event: u64) -> ! {
    let hour = sys::clock() + 3_600_000_000_000;
    let _ = event;
    sys::sleep_until(hour);
    sys::thread_exit()
}

/// A call and its answer, where `count` threads call the queue all the time: a lap in which each has been served once,
/// divided by their number.
pub fn callers(bench: &Bench, count: u64) -> Outcome<Figure> {
    let queue = bench.queue(0)?;
    let _crowd = Crowd::start(bench, count, caller, &queue, Rights::SEND)?;
    let mut received = sys::recv(queue.handle(), None).map_err(during("receive"))?;
    let laps = CALLS.div_ceil(count).max(4);
    let mut samples = Samples::with_room(laps);
    for lap in 0..laps + 2 {
        let start = time::ticks();
        for _ in 0..count {
            let answer = Message { tag: Tag::new(0, 0), words: received.message.words };
            received = sys::reply_recv(queue.handle(), received.id, answer, None).map_err(during("reply"))?;
        }
        let cost = time::ticks().saturating_sub(start).saturating_sub(bench.overhead);
        if lap >= 2 {
            samples.add(cost / count);
        }
    }
    Ok(samples.figure())
}

/// A wake-up by an event, with a deadline, while `count` threads sleep until theirs.
pub fn sleepers(bench: &Bench, count: u64) -> Outcome<Figure> {
    let event = bench.account.create_event().map_err(during("event"))?;
    let _crowd = Crowd::start(bench, count, sleeper, &event, Rights::WAIT)?;
    thread::wake_up(bench, Some(sys::clock() + 1_800_000_000_000))
}
