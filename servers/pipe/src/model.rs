//! The rendezvous against a model of the kernel: clients that write and read, and a server that dies at every step.
//!
//! The fake kernel keeps calls as the real one does: a call that was received and not answered goes back, under the same
//! id and marked, when the server dies. The server dies by a panic in its n-th store, copy, answer or receive.

use crate::{
    badge::Badge,
    pipes::{Calls, CopyFailed, Pipes, Refusal, Transfer},
    record::Words,
};
use core::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

struct Killed;

#[derive(Clone, Debug, PartialEq)]
enum Request {
    Create,
    Read(usize),
    Write(Vec<u8>),
    Close,
}

#[derive(Clone, Debug, PartialEq)]
enum Reply {
    Ends(Badge, Badge),
    Bytes(Result<u64, Refusal>, Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Queued,
    Received,
    Answered,
}

struct Call {
    badge: Badge,
    request: Request,
    buffer: Vec<u8>,
    stage: Stage,
    redelivered: bool,
    reply: Option<Reply>,
}

/// The kernel, and the memory that survives the server. A call's id is its place plus one.
struct World {
    calls: RefCell<Vec<Call>>,
    words: Vec<Cell<u64>>,
    steps: Cell<usize>,
    kill_at: Vec<usize>,
}

impl World {
    fn new(kill_at: &[usize]) -> World {
        let words = vec![Cell::new(0); 512];
        World { calls: RefCell::default(), words, steps: Cell::new(0), kill_at: kill_at.to_vec() }
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        if self.kill_at.contains(&self.steps.get()) {
            panic_any(Killed);
        }
    }

    fn call(&self, badge: Badge, request: Request) -> u64 {
        let buffer = if let Request::Read(length) = request { vec![0; length] } else { Vec::new() };
        let mut calls = self.calls.borrow_mut();
        calls.push(Call { badge, request, buffer, stage: Stage::Queued, redelivered: false, reply: None });
        calls.len() as u64
    }

    fn reply(&self, call: u64) -> Option<Reply> {
        self.calls.borrow()[call as usize - 1].reply.clone()
    }

    /// The client of this call is gone.
    fn cancel(&self, call: u64) {
        self.calls.borrow_mut()[call as usize - 1].stage = Stage::Answered;
    }

    fn finish(&self, call: u64, reply: impl FnOnce(&Call) -> Reply) {
        self.step();
        let call = &mut self.calls.borrow_mut()[call as usize - 1];
        if call.stage == Stage::Received {
            call.reply = Some(reply(call));
            call.stage = Stage::Answered;
        }
    }

    fn receive(&self) -> Option<(u64, Badge, Request, bool)> {
        let mut calls = self.calls.borrow_mut();
        let at = calls.iter().position(|call| call.stage == Stage::Queued)?;
        let call = &mut calls[at];
        call.stage = Stage::Received;
        let taken = (at as u64 + 1, call.badge, call.request.clone(), call.redelivered);
        drop(calls);
        self.step();
        Some(taken)
    }

    /// Runs the server until it has nothing to do, restarting it when it dies. Twice the same for the same kill points.
    fn serve(&self) {
        while catch_unwind(AssertUnwindSafe(|| self.incarnation())).is_err_and(|died| died.is::<Killed>()) {
            for call in self.calls.borrow_mut().iter_mut().filter(|call| call.stage == Stage::Received) {
                call.stage = Stage::Queued;
                call.redelivered = true;
            }
        }
    }

    fn incarnation(&self) {
        let mut pipes = Pipes::open(self, 1);
        while let Some((call, badge, request, redelivered)) = self.receive() {
            self.handle(&mut pipes, call, badge, request, redelivered);
        }
        pipes.settle_all(&mut &*self);
        while let Some((call, badge, request, redelivered)) = self.receive() {
            if let Some(slot) = self.handle(&mut pipes, call, badge, request, redelivered) {
                pipes.settle(slot, &mut &*self);
            }
        }
        // What stays pending stays with the kernel: the next `serve` is another incarnation.
        hand_back(self);
    }

    fn handle(
        &self,
        pipes: &mut Pipes<&World>,
        call: u64,
        badge: Badge,
        request: Request,
        again: bool,
    ) -> Option<usize> {
        match (request, badge) {
            (Request::Create, Badge::Client(client)) => {
                let made = pipes.create(client, call, again);
                self.finish(call, |_| match made {
                    Ok((read, write)) => Reply::Ends(read, write),
                    Err(refusal) => Reply::Bytes(Err(refusal), Vec::new()),
                });
                None
            }
            (Request::Close, _) => {
                let closed = pipes.close(badge);
                self.finish(call, |_| Reply::Bytes(closed.map(|_| 0), Vec::new()));
                closed.ok().flatten()
            }
            (Request::Read(length), _) => pipes.accept(badge, Transfer { call, length: length as u64 }, &mut &*self),
            (Request::Write(data), _) => pipes.accept(badge, Transfer { call, length: data.len() as u64 }, &mut &*self),
            (Request::Create, _) => panic!("clients do not do this here"),
        }
    }
}

/// Gives pending calls back, as a death of the server without a panic.
fn hand_back(world: &World) {
    for call in world.calls.borrow_mut().iter_mut().filter(|call| call.stage == Stage::Received) {
        call.stage = Stage::Queued;
        call.redelivered = true;
    }
}

impl Words for &World {
    fn count(&self) -> usize {
        self.words.len()
    }
    fn load(&self, at: usize) -> u64 {
        self.words[at].get()
    }
    fn store(&mut self, at: usize, value: u64) {
        self.step();
        self.words[at].set(value);
    }
}

impl Calls for &World {
    fn copy(&mut self, write: u64, from: u64, read: u64, bytes: u64) -> Result<(), CopyFailed> {
        self.step();
        let mut calls = self.calls.borrow_mut();
        let source = &calls[write as usize - 1];
        let Request::Write(data) = &source.request else { return Err(CopyFailed::Source) };
        if source.stage != Stage::Received {
            return Err(CopyFailed::Source);
        }
        let data = data[from as usize..(from + bytes) as usize].to_vec();
        let target = &mut calls[read as usize - 1];
        if target.stage != Stage::Received {
            return Err(CopyFailed::Target);
        }
        target.buffer[..data.len()].copy_from_slice(&data);
        Ok(())
    }
    fn answer(&mut self, call: u64, answer: Result<u64, Refusal>) {
        self.finish(call, |call| {
            let bytes = if let Request::Read(_) = call.request { answer.unwrap_or(0) as usize } else { 0 };
            Reply::Bytes(answer, call.buffer[..bytes].to_vec())
        });
    }
    fn waits(&mut self, call: u64, _: crate::badge::End) -> bool {
        self.calls.borrow()[call as usize - 1].stage == Stage::Received
    }
}

/// One writer and one reader over one pipe: returns what was read, what the writes returned, and the steps it took.
fn through_a_pipe(writes: &[usize], reads: &[usize], kill_at: &[usize]) -> (Vec<u8>, Vec<Result<u64, Refusal>>, usize) {
    let world = World::new(kill_at);
    let create = world.call(Badge::Client(3), Request::Create);
    world.serve();
    let Some(Reply::Ends(read_end, write_end)) = world.reply(create) else { panic!("no pipe was made") };
    let data: Vec<u8> = (0..writes.iter().sum()).map(|n: usize| (n * 7 + n / 251) as u8).collect();
    let mut rest = &data[..];
    let (mut got, mut results, mut reading) = (Vec::new(), Vec::new(), reads.iter().cycle());
    let mut queued = writes.iter();
    let (mut writer, mut reader, mut closed) = (None, None, false);
    loop {
        if writer.is_none() {
            match queued.next() {
                Some(length) => {
                    let (chunk, after) = rest.split_at(*length);
                    rest = after;
                    writer = Some(world.call(write_end, Request::Write(chunk.to_vec())));
                }
                None if !closed => {
                    world.call(write_end, Request::Close);
                    closed = true;
                }
                None => {}
            }
        }
        let read =
            *reader.get_or_insert_with(|| world.call(read_end, Request::Read(*reading.next().expect("endless"))));
        world.serve();
        if let Some(Reply::Bytes(result, _)) = writer.and_then(|call| world.reply(call)) {
            results.push(result);
            writer = None;
        }
        if let Some(Reply::Bytes(result, bytes)) = world.reply(read) {
            reader = None;
            got.extend_from_slice(&bytes);
            if result == Ok(0) {
                assert_eq!(got, data, "the end came with everything read");
                return (got, results, world.steps.get());
            }
        }
    }
}

#[test]
fn every_byte_comes_out_once_and_in_order() {
    let (got, results, _) = through_a_pipe(&[1, 100, 7, 300], &[13, 64, 1, 200], &[]);
    assert_eq!(got.len(), 408);
    assert_eq!(results, [Ok(1), Ok(100), Ok(7), Ok(300)]);
}

#[test]
fn a_server_killed_at_any_step_loses_and_doubles_nothing() {
    let (writes, reads) = ([5, 40, 3], [16, 2, 30]);
    let (_, expected, steps) = through_a_pipe(&writes, &reads, &[]);
    for kill in 1..=steps {
        let (_, results, _) = through_a_pipe(&writes, &reads, &[kill]);
        assert_eq!(results, expected, "killed at step {kill}");
    }
}

#[test]
fn a_second_death_at_any_step_of_the_recovery_does_no_harm() {
    let (writes, reads) = ([9, 4], [6]);
    let (_, expected, steps) = through_a_pipe(&writes, &reads, &[]);
    for first in 1..=steps {
        for second in first + 1..first + 60 {
            let (_, results, _) = through_a_pipe(&writes, &reads, &[first, second]);
            assert_eq!(results, expected, "killed at steps {first} and {second}");
        }
    }
}

/// A pipe in a world without deaths.
fn pipe(world: &World) -> (Badge, Badge) {
    let create = world.call(Badge::Client(1), Request::Create);
    world.serve();
    match world.reply(create) {
        Some(Reply::Ends(read, write)) => (read, write),
        other => panic!("no pipe: {other:?}"),
    }
}

fn result(world: &World, call: u64) -> Option<Result<u64, Refusal>> {
    world.serve();
    world.reply(call).map(|reply| if let Reply::Bytes(result, _) = reply { result } else { Ok(0) })
}

#[test]
fn a_write_after_the_reader_closed_is_a_broken_pipe() {
    let world = World::new(&[]);
    let (read, write) = pipe(&world);
    let pending = world.call(write, Request::Write(vec![1; 10]));
    assert_eq!(result(&world, pending), None);
    let part = world.call(read, Request::Read(4));
    assert_eq!(result(&world, part), Some(Ok(4)));
    let waiting = world.call(write, Request::Write(vec![1; 10]));
    world.call(read, Request::Close);
    assert_eq!(result(&world, pending), Some(Ok(4)), "what was read counts");
    assert_eq!(result(&world, waiting), Some(Err(Refusal::BrokenPipe)));
    let late = world.call(write, Request::Write(vec![1; 10]));
    assert_eq!(result(&world, late), Some(Err(Refusal::BrokenPipe)));
    let closed = world.call(read, Request::Read(4));
    assert_eq!(result(&world, closed), Some(Err(Refusal::Closed)));
}

#[test]
fn readers_that_wait_see_the_end_when_the_writer_closes() {
    let world = World::new(&[]);
    let (read, write) = pipe(&world);
    let waiting = [world.call(read, Request::Read(4)), world.call(read, Request::Read(4))];
    assert_eq!(result(&world, waiting[0]), None);
    world.call(write, Request::Close);
    world.call(write, Request::Close);
    assert_eq!(waiting.map(|call| result(&world, call)), [Some(Ok(0)), Some(Ok(0))]);
}

#[test]
fn a_reader_that_died_takes_nothing_with_it() {
    let world = World::new(&[]);
    let (read, write) = pipe(&world);
    let dead = world.call(read, Request::Read(4));
    world.serve();
    world.cancel(dead);
    let writing = world.call(write, Request::Write(b"abcd".to_vec()));
    assert_eq!(result(&world, writing), None);
    let alive = world.call(read, Request::Read(9));
    world.serve();
    assert_eq!(world.reply(alive), Some(Reply::Bytes(Ok(4), b"abcd".to_vec())));
    assert_eq!(result(&world, writing), Some(Ok(4)));
}

#[test]
fn ends_of_an_earlier_pipe_in_the_same_slot_reach_nothing() {
    let world = World::new(&[]);
    let (read, write) = pipe(&world);
    world.call(read, Request::Close);
    world.call(write, Request::Close);
    let (new_read, _) = pipe(&world);
    assert_ne!(read, new_read);
    let stale = world.call(write, Request::Write(vec![1]));
    assert_eq!(result(&world, stale), Some(Err(Refusal::BrokenPipe)));
    let waiting = world.call(new_read, Request::Read(1));
    assert_eq!(result(&world, waiting), None);
    let stale = world.call(read, Request::Read(1));
    assert_eq!(result(&world, stale), Some(Err(Refusal::Closed)));
}

#[test]
fn a_client_with_too_many_pipes_is_refused_and_another_is_not() {
    let world = World { words: vec![Cell::new(0); 8192], ..World::new(&[]) };
    let mut pipes = Pipes::open(&world, 1);
    for call in 0..crate::pipes::MAX_PER_CLIENT as u64 {
        pipes.create(1, call, false).expect("within the quota");
    }
    assert_eq!(pipes.create(1, 99, false), Err(Refusal::LimitReached));
    assert!(pipes.create(2, 99, false).is_ok());
    assert_eq!(pipes.close_all(1).len(), crate::pipes::MAX_PER_CLIENT);
    assert!(pipes.create(1, 100, false).is_ok());
}

#[test]
fn when_all_slots_are_taken_the_next_pipe_is_refused() {
    let world = World { words: vec![Cell::new(0); 16 + 18 * 2], ..World::new(&[]) };
    let mut pipes = Pipes::open(&world, 1);
    assert!(pipes.create(1, 1, false).is_ok() && pipes.create(2, 2, false).is_ok());
    assert_eq!(pipes.create(3, 3, false), Err(Refusal::LimitReached));
}

#[test]
fn callers_that_gave_up_make_room_for_others() {
    let world = World::new(&[]);
    let (read, _) = pipe(&world);
    let mut pipes = Pipes::open(&world, 1);
    let mut accept = |call| pipes.accept(read, Transfer { call, length: 1 }, &mut &world);
    let calls: Vec<u64> = (0..=crate::pipes::MAX_PENDING).map(|_| world.call(read, Request::Read(1))).collect();
    while world.receive().is_some() {}
    let (last, first) = calls.split_last().expect("there are some");
    assert!(first.iter().all(|call| accept(*call).is_some()));
    world.cancel(calls[5]);
    assert!(accept(*last).is_some(), "the one that gave up made room");
    assert_eq!(accept(calls[0]), None, "now it is full");
    assert_eq!(world.reply(calls[0]), Some(Reply::Bytes(Err(Refusal::LimitReached), Vec::new())));
}
