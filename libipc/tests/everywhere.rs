//! The harness that kills servers everywhere finds what is wrong with a server, and says where.

use libipc::testing::{World, kill_everywhere, kill_everywhere_twice};
use libipc::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

protocol! {
    /// Counts.
    pub protocol Counter = 2003 version 1;
    /// What a counter refuses.
    error CounterError {
        /// It is at its end.
        Overflow = 1 => "counter overflow",
    }
    /// Adds one; returns the value. It is recorded, or so it says.
    recorded fn add() -> u64 = 1;
}

/// How a server fails to be what it should be.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// It recalls nothing.
    Forgets,
    /// It panics when a call comes again.
    Panics,
    /// It ends when it is started again.
    Ends,
}

struct Counter<'m> {
    memory: &'m mut [u8],
    fault: Fault,
}

impl CounterServer for Counter<'_> {
    fn recall(&mut self, _: MessageId) -> Option<answer::Answer> {
        assert!(self.fault != Fault::Panics, "it came again");
        None
    }
    fn add(&mut self, _: &Context) -> Result<Reply<u64>, CounterError> {
        self.memory[0] += 1;
        Ok(u64::from(self.memory[0]).into())
    }
}

impl Service for Counter<'_> {
    protocols!(CounterProtocol);
}

fn faulty(world: &World, fault: Fault) -> CounterClient {
    CounterClient::new(world.serve(8, move |queue, memory| -> Result<(), Failure> {
        memory[1] += 1;
        if fault == Fault::Ends && memory[1] > 1 {
            return Err("it was started again".into());
        }
        Ok(serve(queue, &mut Counter { memory, fault })?)
    }))
}

/// What the harness says of a test.
fn complaint(test: impl Fn(&World)) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| kill_everywhere(test))).expect_err("it finds out");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

fn counted(fault: Fault) -> String {
    complaint(|world| {
        let counter = faulty(world, fault);
        assert_eq!([counter.add(), counter.add()], [Ok(1), Ok(2)]);
    })
}

#[test]
fn an_effect_that_happens_twice_is_found_with_the_place_of_the_death() {
    let said = counted(Fault::Forgets);
    // Its calls: receive, answer and receive, answer and receive. It dies before its first answer has gone out.
    assert!(said.starts_with("server 0 was killed before system call 2: "), "{said}");
    assert!(said.contains("Ok(2)"), "{said}");
}

#[test]
fn a_server_that_panics_or_ends_in_its_recovery_is_found_and_hangs_nobody() {
    let said = counted(Fault::Panics);
    assert!(said.contains("ServerDied") && said.contains("it panicked: it came again"), "{said}");
    let said = counted(Fault::Ends);
    assert!(said.starts_with("server 0 was killed before system call 1: "), "{said}");
    assert!(said.contains("it was started again"), "{said}");
}

#[test]
fn a_test_that_fails_by_itself_fails_as_it_would_without_the_harness() {
    let said = complaint(|world| {
        let counter = faulty(world, Fault::Forgets);
        let value = counter.add().unwrap();
        assert!(value == 7, "the value is {value}");
    });
    assert_eq!(said, "the value is 1");
}

#[test]
fn a_test_in_which_nobody_could_die_is_refused() {
    let said = catch_unwind(|| kill_everywhere(|_| ())).expect_err("no server");
    assert!(said.downcast_ref::<&str>().is_some_and(|text| text.contains("starts no server")));
}

/// Adds by the counter behind it.
struct Front(CounterClient);

impl CounterServer for Front {
    fn recall(&mut self, _: MessageId) -> Option<answer::Answer> {
        None
    }
    fn add(&mut self, _: &Context) -> Result<Reply<u64>, CounterError> {
        Ok(self.0.add()?.into())
    }
}

impl Service for Front {
    protocols!(CounterProtocol);
}

#[test]
fn servers_behind_servers_are_killed_in_turn() {
    let said = complaint(|world| {
        let behind = faulty(world, Fault::Forgets).queue();
        let front =
            world.serve_with(&[behind], 0, |queue, used, _| serve(queue, &mut Front(CounterClient::new(used[0]))));
        assert_eq!(CounterClient::new(front).add(), Ok(1));
    });
    assert!(said.starts_with("server 0 was killed"), "{said}");
}

protocol! {
    /// Says what it is asked.
    pub protocol Echo = 2004 version 1;
    error CounterError;
    /// The same value.
    idempotent fn echo(value: u64) -> u64 = 1;
}

struct Echo;

impl EchoServer for Echo {
    fn echo(&mut self, _: &Context, value: u64) -> Result<Reply<u64>, CounterError> {
        Ok(value.into())
    }
}

impl Service for Echo {
    protocols!(EchoProtocol);
}

#[test]
fn every_call_is_a_place_to_die_before_and_after_and_once_more_after_that() {
    let test = |world: &World| {
        let echo = EchoClient::new(world.serve(0, |queue, _| serve(queue, &mut Echo)));
        (0..3).for_each(|value| assert_eq!(echo.echo(value), Ok(value)));
    };
    // Receive, and three times answer and receive; the last death may come after the client has gone.
    let once = kill_everywhere(test);
    assert_eq!(once.runs, 1 + 2 * 4);
    assert!((7..=8).contains(&once.deaths), "{once:?}");
    let twice = kill_everywhere_twice(test);
    assert_eq!(twice.runs, 1 + 2 * 4 * 16);
    assert!(twice.deaths > 64, "{twice:?}");
}
