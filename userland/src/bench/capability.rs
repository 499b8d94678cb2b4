//! Capabilities.

use alloc::vec::Vec;
use libipc::{Rights, page};

use super::message::{ROUNDS, echo, request};
use super::partner::{DROP, ECHO, KEEP};
use super::{Bench, Figure, Outcome, PRIORITY, Samples, during};
use libipc::{sys, time};

/// Capabilities that the other part keeps before it gives them all up.
pub const KEPT: usize = 64;

/// A capability with fewer rights is derived and given up.
pub fn derive(bench: &Bench) -> Outcome<Figure> {
    let queue = bench.queue(0)?;
    let round = |_| queue.derive(Rights::SEND, 0).map(drop).map_err(during("derive"));
    Ok(bench.rounds(ROUNDS, round)?.figure())
}

/// What a call costs more when it carries a capability. The receiver keeps what it gets, and gives it up between rounds.
pub fn transfer(bench: &Bench) -> Outcome<Figure> {
    let queue = bench.queue(0)?;
    let _partner = bench.partner("answer", PRIORITY, &[("queue", &queue, Rights::RECEIVE)])?;
    let without = bench.rounds(ROUNDS, |_| echo(&queue, request(ECHO, 8)))?.figure().median;
    let mut with = request(KEEP, 8);
    with.tag = with.tag.with_caps(1);
    let mut samples = Samples::with_room(ROUNDS);
    for round in 0..ROUNDS {
        page::set_cap(0, queue.grant(Rights::SEND));
        let start = time::ticks();
        echo(&queue, with)?;
        let cost = time::ticks().saturating_sub(start).saturating_sub(bench.overhead);
        if round >= KEPT as u64 {
            samples.add(cost.saturating_sub(without));
        }
        if (round + 1).is_multiple_of(KEPT as u64) {
            echo(&queue, request(DROP, 8))?;
        }
    }
    Ok(samples.figure())
}

/// One of `count` capabilities is asked what it is, another one in each round.
pub fn lookup(bench: &Bench, count: usize) -> Outcome<Figure> {
    let queue = bench.queue(0)?;
    let derived = (0..count).map(|_| queue.derive(Rights::SEND, 0));
    let derived: Vec<_> = derived.collect::<Result<_, _>>().map_err(during("derive"))?;
    let round = |number: u64| {
        let handle = derived[(number as usize).wrapping_mul(7919) % derived.len()].handle();
        sys::inspect(handle).map(drop).map_err(during("inspect"))
    };
    Ok(bench.rounds(ROUNDS, round)?.figure())
}
