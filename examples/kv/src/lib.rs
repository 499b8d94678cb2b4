//! A store of values under keys, whose every change happens exactly once.
//!
//! Invariants:
//! 1. All that is stored is the state of a record in persistent memory: a change and its answer are one commit, and a
//!    death at any instruction leaves both or neither.
//! 2. Keys are texts of 1 to [`MAX_KEY`] bytes, each there once; values have at most [`MAX_VALUE`] bytes.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

mod entries;
#[cfg(test)]
mod tests;

use alloc::{string::String, vec, vec::Vec};
use entries::Entries;
use libipc::answer::Answer;
use libipc::record::Record;
use libipc::{Context, Failure, Lease, MessageId, Queue, Read, Reply, Service, Write, protocol, protocols, serve};

protocol! {
    /// A store of values under keys.
    pub protocol Kv = 1025 version 1;
    /// What the store refuses.
    error KvError {
        /// Nothing is stored under this key.
        NoSuchKey = 1 => "no such key",
        /// A key has 1 to 64 bytes.
        BadKey = 2 => "a key has 1 to 64 bytes",
        /// A value has at most 4,096 bytes.
        TooLong = 3 => "a value has at most 4096 bytes",
        /// There is no room for it.
        Full = 4 => "the store is full",
        /// The buffer is shorter than the value.
        ShortBuffer = 5 => "the buffer is shorter than the value",
    }

    /// Stores a value under a key, in the place of one that is there.
    recorded fn put(key: &str, value: &[u8]) = 1;
    /// Copies the value under a key into the buffer; returns its length.
    idempotent fn get(key: &str, value: &mut [u8]) -> u64 = 2;
    /// Removes a key. An error where it is not there, so it must not be done twice.
    recorded fn delete(key: &str) = 3;
    /// The keys that come after this one in their order, as many as an answer holds; none: there are no more.
    idempotent fn list(after: &str) -> Vec<String> = 4;
}

/// Most bytes of a key.
pub const MAX_KEY: usize = 64;
/// Most bytes of a value.
pub const MAX_VALUE: usize = 4096;
/// Bytes for all entries.
const ROOM: usize = 32 << 10;
/// Bytes of keys in one answer to `list`.
const KEYS: usize = 768;
/// One call at a time is served, so two commits suffice: the last one, and the one that is being made.
type StoreRecord<'m> = Record<'m, 2>;
/// Bytes of persistent memory.
pub const MEMORY: usize = StoreRecord::size(ROOM);

struct Store<'m> {
    record: StoreRecord<'m>,
}

impl Store<'_> {
    fn entries(&self) -> Entries<'_> {
        Entries::new(self.record.state())
    }

    /// Makes `state` the state, together with the answer to this call.
    fn commit(&mut self, id: MessageId, answer: &Answer, state: &[u8]) -> Result<(), KvError> {
        let mut change = self.record.begin();
        let place = change.state();
        place.get_mut(..state.len()).ok_or(KvError::Full)?.copy_from_slice(state);
        place[state.len()..].fill(0);
        change.commit(id, answer).map_err(|_| KvError::Full)
    }
}

impl KvServer for Store<'_> {
    fn recall(&mut self, id: MessageId) -> Option<Answer> {
        self.record.recall(id)
    }

    fn put(&mut self, cx: &Context, key: &str, value: Lease<Read>) -> Result<Reply<()>, KvError> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(KvError::BadKey);
        }
        if value.len() > MAX_VALUE as u64 {
            return Err(KvError::TooLong);
        }
        let mut bytes = vec![0; value.len() as usize];
        value.read_at(0, &mut bytes)?;
        let state = self.entries().with(key, Some(&bytes));
        self.commit(cx.id(), &cx.answer::<KvPutOp>(&Ok(())), &state)?;
        Ok(().into())
    }

    fn get(&mut self, _: &Context, key: &str, value: Lease<Write>) -> Result<Reply<u64>, KvError> {
        let stored = self.entries().get(key).ok_or(KvError::NoSuchKey)?;
        if value.len() < stored.len() as u64 {
            return Err(KvError::ShortBuffer);
        }
        value.write_at(0, stored)?;
        Ok((stored.len() as u64).into())
    }

    fn delete(&mut self, cx: &Context, key: &str) -> Result<Reply<()>, KvError> {
        self.entries().get(key).ok_or(KvError::NoSuchKey)?;
        let state = self.entries().with(key, None);
        self.commit(cx.id(), &cx.answer::<KvDeleteOp>(&Ok(())), &state)?;
        Ok(().into())
    }

    fn list(&mut self, _: &Context, after: &str) -> Result<Reply<Vec<String>>, KvError> {
        let mut bytes = 0;
        let fits = |key: &&str| {
            bytes += key.len() + 2;
            bytes <= KEYS
        };
        let keys = self.entries().map(|(key, _)| key).filter(|key| *key > after).take_while(fits);
        Ok(keys.map(String::from).collect::<Vec<_>>().into())
    }
}

impl Service for Store<'_> {
    protocols!(KvProtocol);
}

/// Serves the store in `memory`, of [`MEMORY`] bytes, to whoever calls by `queue`.
///
/// # Errors
/// The memory is too small, or the queue cannot be received from.
pub fn run(queue: Queue, memory: &mut [u8]) -> Result<(), Failure> {
    let (record, _) = Record::open(memory, 1, ROOM)?;
    Ok(serve(queue, &mut Store { record })?)
}
