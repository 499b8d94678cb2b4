//! Killing servers everywhere: the same test again and again, with a server killed at another place each time.
//!
//! ```
//! use libipc::{Context, Failure, Queue, Reply, Service, protocol, protocols, serve, testing::kill_everywhere};
//!
//! protocol! {
//!     /// Doubles.
//!     pub protocol Doubler = 3000 version 1;
//!     /// What it refuses.
//!     error DoublerError {
//!         /// The double is too large.
//!         TooLarge = 1 => "too large",
//!     }
//!     /// Twice the value.
//!     idempotent fn double(value: u64) -> u64 = 1;
//! }
//!
//! struct Doubler;
//!
//! impl DoublerServer for Doubler {
//!     fn double(&mut self, _: &Context, value: u64) -> Result<Reply<u64>, DoublerError> {
//!         Ok(value.checked_mul(2).ok_or(DoublerError::TooLarge)?.into())
//!     }
//! }
//!
//! impl Service for Doubler {
//!     protocols!(DoublerProtocol);
//! }
//!
//! /// What `main` calls with the queue and the persistent memory that the program was started with.
//! fn run(queue: Queue, _memory: &mut [u8]) -> Result<(), Failure> {
//!     Ok(serve(queue, &mut Doubler)?)
//! }
//!
//! kill_everywhere(|world| {
//!     let doubler = DoublerClient::new(world.serve(0, run));
//!     assert_eq!(doubler.double(21), Ok(42));
//! });
//! ```
//!
//! Invariants:
//! 1. Every run begins with fresh servers and fresh memory, so that its outcome depends on its deaths alone.
//! 2. A server that panics, ends, or does not end when its queue is closed fails the test; no run waits for ever.
//! 3. Where a test fails under a death, the message says where the server died.

use super::objects::{Death, Moment, ObjectId};
use super::system::{Persistent, System, TestProcess};
use crate::object::Queue;
use abi::{Handle, Rights};
use core::cell::RefCell;
use core::fmt::Debug;
use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::string::{String, ToString};
use std::thread::JoinHandle;
use std::vec::Vec;

/// Second deaths are tried at so many system calls after the first death: recovery, and the call that comes again.
const SECOND_DEATHS: u64 = 8;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deaths {
    /// Runs of the test, with the first, in which nobody dies.
    pub runs: u64,
    /// Servers that died in them.
    pub deaths: u64,
}

/// One run of a test: some servers, and a client that is the test itself.
pub struct World {
    system: System,
    client: TestProcess,
    /// Which server is to die where: its number in the order of [`World::serve`].
    plan: Option<(usize, Vec<Death>)>,
    servers: RefCell<Vec<Server>>,
}

struct Server {
    process: TestProcess,
    queue: ObjectId,
    /// The client's handle on the queue.
    handle: Handle,
    ended: JoinHandle<Result<(), String>>,
}

impl World {
    fn new(plan: Option<(usize, Vec<Death>)>) -> World {
        let system = System::new();
        let client = system.process("client");
        World { system, client, plan, servers: RefCell::default() }
    }

    /// Starts a server with `memory` bytes of persistent memory, zeros at first, and returns the client's capability to
    /// its queue. `run` is what the server's `main` calls; it is run again after each death, with the memory as it was.
    pub fn serve<E: Debug + 'static>(
        &self,
        memory: usize,
        run: impl Fn(Queue, &mut [u8]) -> Result<(), E> + Send + 'static,
    ) -> Queue {
        self.serve_with(&[], memory, move |queue, _, memory| run(queue, memory))
    }

    /// The same for a server that uses others: `run` gets capabilities of its own to the queues in `uses`, in their order.
    pub fn serve_with<E: Debug + 'static>(
        &self,
        uses: &[Queue],
        memory: usize,
        run: impl Fn(Queue, &[Queue], &mut [u8]) -> Result<(), E> + Send + 'static,
    ) -> Queue {
        let mut servers = self.servers.borrow_mut();
        let number = servers.len();
        let process = self.system.process(&format!("server {number}"));
        let queue = self.system.queue(32);
        let receive = process.grant(queue, Rights::RECEIVE | Rights::MINT | Rights::SEND, 0);
        let used = uses.iter().map(|used| {
            let server = servers.iter().find(|server| server.handle == used.handle());
            let server = server.unwrap_or_else(|| panic!("no server of this world has the queue {used:?}"));
            Queue::new(process.grant(server.queue, Rights::SEND | Rights::MINT, number as u64 + 1))
        });
        let used: Vec<Queue> = used.collect();
        if let Some((_, deaths)) = self.plan.as_ref().filter(|(victim, _)| *victim == number) {
            process.kill_at(deaths);
        }
        let (persistent, system) = (Persistent::new(memory), self.system.clone());
        let body =
            move || persistent.with(|bytes| run(Queue::new(receive), &used, bytes).map_err(|e| format!("{e:?}")));
        let service = process.supervise(body);
        let ended = std::thread::spawn(move || {
            let ended = service.join().unwrap_or_else(|panic| Err(format!("it panicked: {}", text_of(&*panic))));
            // Nobody will answer what still comes.
            system.abandon(queue);
            ended
        });
        let handle = self.client.grant(queue, Rights::SEND | Rights::MINT, 1);
        servers.push(Server { process, queue, handle, ended });
        Queue::new(handle)
    }

    /// Closes each queue and waits for its server, those first that use others, and says what was wrong with one, if
    /// anything. Nobody dies any more.
    fn finish(self) -> Result<u64, String> {
        let servers = self.servers.into_inner();
        servers.iter().for_each(|server| server.process.kill_at(&[]));
        let mut deaths = 0;
        for (number, server) in servers.into_iter().enumerate().rev() {
            self.system.close(server.queue);
            let ended = server.ended.join().unwrap_or_else(|panic| Err(text_of(&*panic)));
            ended.map_err(|why| format!("server {number} did not go on to the end: {why}"))?;
            deaths += server.process.incarnation() - 1;
        }
        Ok(deaths)
    }
}

/// Runs `test` once undisturbed, and then again and again with fresh servers, one of which is killed: at another of its
/// system calls each time, before and after that has had its effect. Every reception and every answer is among them.
/// The test holds no line for that: what it asserts must be true each time. A run takes less than a millisecond.
///
/// # Panics
/// Where the test does; the message says where the server died. And where the test starts no server.
pub fn kill_everywhere(test: impl Fn(&World)) -> Deaths {
    let (mut total, lengths) = undisturbed(&test);
    for (victim, length) in lengths.into_iter().enumerate() {
        for death in points(length) {
            total.add(run(&test, Some((victim, std::vec![death]))));
        }
    }
    total.checked()
}

/// As [`kill_everywhere`], and in each run the server dies once more: at each of the first system calls after its first
/// death, while it recovers or answers the call that has come again.
///
/// # Panics
/// As [`kill_everywhere`].
pub fn kill_everywhere_twice(test: impl Fn(&World)) -> Deaths {
    let (mut total, lengths) = undisturbed(&test);
    for (victim, length) in lengths.into_iter().enumerate() {
        for first in points(length) {
            for second in points(SECOND_DEATHS) {
                total.add(run(&test, Some((victim, std::vec![first, second]))));
            }
        }
    }
    total.checked()
}

fn points(length: u64) -> impl Iterator<Item = Death> {
    (1..=length).flat_map(|call| [Moment::Before, Moment::After].map(|moment| Death { call, moment }))
}

/// One run without deaths: what it was, and how many system calls each server has made.
fn undisturbed(test: &impl Fn(&World)) -> (Deaths, Vec<u64>) {
    let lengths = RefCell::new(Vec::new());
    let counted = |world: &World| {
        test(world);
        *lengths.borrow_mut() = world.servers.borrow().iter().map(|server| server.process.calls_made()).collect();
    };
    let deaths = run(&counted, None);
    let lengths = lengths.into_inner();
    assert!(!lengths.is_empty(), "the test starts no server: call `World::serve`");
    (Deaths { runs: 1, deaths }, lengths)
}

/// One run; the number of deaths in it.
fn run(test: &impl Fn(&World), plan: Option<(usize, Vec<Death>)>) -> u64 {
    let place = plan.as_ref().map(|(victim, deaths)| {
        let deaths: Vec<String> = deaths.iter().map(Death::to_string).collect();
        format!("server {victim} was killed {}", deaths.join(", then "))
    });
    let world = World::new(plan);
    let tested = catch_unwind(AssertUnwindSafe(|| world.client.enter(|| test(&world))));
    let finished = catch_unwind(AssertUnwindSafe(|| world.finish())).unwrap_or_else(|panic| Err(text_of(&*panic)));
    let wrong = match (tested, finished) {
        (Ok(()), Ok(deaths)) => return deaths,
        (Ok(()), Err(why)) => why,
        (Err(panic), Ok(_)) if place.is_none() => resume_unwind(panic),
        (Err(panic), Ok(_)) => text_of(&*panic),
        (Err(panic), Err(why)) => format!("{}; {why}", text_of(&*panic)),
    };
    panic!("{}: {wrong}", place.as_deref().unwrap_or("nobody was killed"));
}

fn text_of(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).into());
    text.or(panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}

impl Deaths {
    fn add(&mut self, deaths: u64) {
        self.runs += 1;
        self.deaths += deaths;
    }
    fn checked(self) -> Deaths {
        assert!(self.deaths > 0, "no server died in {} runs: the client makes no call", self.runs);
        self
    }
}
