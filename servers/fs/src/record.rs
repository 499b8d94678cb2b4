//! The exactly-once record: which messages have taken effect, and what was answered.
//!
//! 1. A record is part of the root by whose flip the effect becomes valid: both are there or neither.
//! 2. A message id is recorded at most once.
//! 3. The last N records are kept (N at least 255): more than there can be calls that are not yet acknowledged.
//! 4. Nobody looks for the record of a message that comes for the first time: there is none.

/// An answer, packed: two words whose meaning the operation knows.
pub type Packed = [u64; 2];

/// One message and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The message id.
    pub id: u64,
    /// The answer.
    pub answer: Packed,
}

/// A message that asks for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same id always means the same request.
    pub id: u64,
    /// It may have come before, and have taken effect.
    pub again: bool,
}

/// An id by itself does not tell that the message has not come before.
impl From<u64> for Message {
    fn from(id: u64) -> Self {
        Self { id, again: true }
    }
}
