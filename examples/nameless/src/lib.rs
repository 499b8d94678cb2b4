//! The service `nameless`: adds up what its clients send, each amount exactly once.
//!
//! Invariants:
//! 1. All that it knows is the state of a record in persistent memory. A change and its answer are one commit: a death
//!    at any instruction leaves both or neither.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use libipc::answer::Answer;
use libipc::record::Record;
use libipc::{Context, Failure, MessageId, Queue, Reply, Service, protocol, protocols, serve};

protocol! {
    /// Adds up.
    pub protocol Nameless = 65000 version 1;
    /// What `nameless` refuses.
    error NamelessError {
        /// The sum would be too large.
        TooLarge = 1 => "the sum would be too large",
    }

    /// Adds to the sum; returns it. To do it twice would be wrong: when the call comes again, the record answers.
    recorded fn add(amount: u64) -> u64 = 1;
    /// The sum.
    idempotent fn sum() -> u64 = 2;
}

/// One call at a time is served, so two commits suffice: the last one, and the one that is being made.
type State<'m> = Record<'m, 2>;

/// Bytes of its persistent memory. The size in `system.toml` is this, in whole pages.
pub const MEMORY: usize = State::size(8);

struct Nameless<'m> {
    state: State<'m>,
}

impl Nameless<'_> {
    fn total(&self) -> u64 {
        u64::from_le_bytes(self.state.state().try_into().unwrap_or_default())
    }
}

impl NamelessServer for Nameless<'_> {
    fn recall(&mut self, id: MessageId) -> Option<Answer> {
        self.state.recall(id)
    }

    fn add(&mut self, cx: &Context, amount: u64) -> Result<Reply<u64>, NamelessError> {
        let sum = self.total().checked_add(amount).ok_or(NamelessError::TooLarge)?;
        let answer = cx.answer::<NamelessAddOp>(&Ok(sum));
        let mut change = self.state.begin();
        change.state().copy_from_slice(&sum.to_le_bytes());
        change.commit(cx.id(), &answer).map_err(|_| NamelessError::TooLarge)?;
        Ok(sum.into())
    }

    fn sum(&mut self, _: &Context) -> Result<Reply<u64>, NamelessError> {
        Ok(self.total().into())
    }
}

impl Service for Nameless<'_> {
    protocols!(NamelessProtocol);
}

/// Serves `queue` with what is in `memory`, of [`MEMORY`] bytes, until the queue is closed.
///
/// # Errors
/// The memory is too small, or the queue cannot be received from.
pub fn run(queue: Queue, memory: &mut [u8]) -> Result<(), Failure> {
    let (state, _) = Record::open(memory, 1, 8)?;
    Ok(serve(queue, &mut Nameless { state })?)
}
