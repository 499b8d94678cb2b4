//! A counter that crashes on purpose, in every way there is, at every place that hurts. Its clients do not notice.
//!
//! Invariants:
//! 1. Of six additions three crash the server, each in another way, on their first delivery only: a call that kills its
//!    server each time would be answered `ServerDied`, and rightly so.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use libipc::answer::Answer;
use libipc::record::Record;
use libipc::{Context, Failure, MessageId, Queue, Reply, Service, protocol, protocols, serve};

protocol! {
    /// Counts, and crashes.
    pub protocol Flaky = 1026 version 1;
    /// What the counter refuses.
    error FlakyError {
        /// It is at its end.
        Overflow = 1 => "counter overflow",
    }

    /// Adds to the counter; returns its value.
    recorded fn add(amount: u64) -> u64 = 1;
}

/// A way to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// It panics, before the addition has taken effect.
    Panic,
    /// Its stack overflows, after the addition has taken effect and before it is answered.
    StackOverflow,
    /// It hangs, before the addition has taken effect. The heartbeat finds out.
    Hang,
}

/// Bytes of persistent memory.
pub const MEMORY: usize = CounterRecord::size(8);

type CounterRecord<'m> = Record<'m, 2>;

struct Counter<'m, F> {
    record: CounterRecord<'m>,
    crash: F,
}

impl<F: Fn(Crash)> Counter<'_, F> {
    fn value(&self) -> u64 {
        u64::from_le_bytes(self.record.state().try_into().unwrap_or_default())
    }

    /// Crashes in this way if it is the turn of the addition that makes `value`, which has not crashed anything yet.
    fn perhaps(&self, cx: &Context, value: u64, way: Crash) {
        let turn = match way {
            Crash::Panic => 1,
            Crash::StackOverflow => 3,
            Crash::Hang => 5,
        };
        if cx.attempt() == 0 && value % 6 == turn {
            (self.crash)(way);
        }
    }
}

impl<F: Fn(Crash)> FlakyServer for Counter<'_, F> {
    fn recall(&mut self, id: MessageId) -> Option<Answer> {
        self.record.recall(id)
    }

    fn add(&mut self, cx: &Context, amount: u64) -> Result<Reply<u64>, FlakyError> {
        let sum = self.value().checked_add(amount).ok_or(FlakyError::Overflow)?;
        self.perhaps(cx, sum, Crash::Panic);
        self.perhaps(cx, sum, Crash::Hang);
        let mut change = self.record.begin();
        change.state().copy_from_slice(&sum.to_le_bytes());
        change.commit(cx.id(), &cx.answer::<FlakyAddOp>(&Ok(sum))).map_err(|_| FlakyError::Overflow)?;
        self.perhaps(cx, sum, Crash::StackOverflow);
        Ok(sum.into())
    }
}

impl<F: Fn(Crash)> Service for Counter<'_, F> {
    protocols!(FlakyProtocol);
}

/// Serves the counter in `memory`, of [`MEMORY`] bytes. `crash` does not return where it does what it is told.
///
/// # Errors
/// The memory is too small, or the queue cannot be received from.
pub fn run(queue: Queue, memory: &mut [u8], crash: impl Fn(Crash)) -> Result<(), Failure> {
    let (record, _) = Record::open(memory, 1, 8)?;
    Ok(serve(queue, &mut Counter { record, crash })?)
}
