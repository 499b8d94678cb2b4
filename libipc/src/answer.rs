//! An encoded answer as a value: what a record keeps, and what a redelivered call gets.

use crate::page::{self, Payload};
use abi::{CapDescriptor, Handle, MAX_CAPS, MESSAGE_WORDS, Message, Tag};
use alloc::vec::Vec;

/// An answer with its payload and capabilities. Those name the server's own handles; handles that were granted by the
/// server's parent mean the same to its next incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    message: Message,
    caps: [CapDescriptor; MAX_CAPS],
    payload: Vec<u8>,
}

impl Answer {
    /// Bytes of an answer without payload and capabilities.
    pub const FIXED: usize = 8 + 8 * MESSAGE_WORDS;

    /// The answer to an operation. It passes through the message page.
    pub fn of<Op: crate::context::Operation>(result: &Result<Op::Output, Op::Error>) -> Answer {
        Answer::capture(Op::encode_result(result))
    }
    /// Takes what has just been encoded into the message page.
    pub(crate) fn capture(message: Message) -> Answer {
        let caps =
            core::array::from_fn(|i| if i < message.tag.caps() { page::sent_cap(i) } else { Default::default() });
        let length = message.tag.payload();
        let payload = if length == 0 { Vec::new() } else { Payload::copy(length).bytes().to_vec() };
        Answer { message, caps, payload }
    }
    /// Puts it into the message page again; returns the message to reply with.
    pub fn stage(&self) -> Message {
        for (index, cap) in self.caps.iter().enumerate().take(self.message.tag.caps()) {
            page::set_cap(index, *cap);
        }
        page::write_payload(0, &self.payload);
        self.message
    }
    /// Its status: 0 where the operation succeeded.
    pub fn status(&self) -> u16 {
        self.message.tag.operation()
    }
    /// Its bytes: tag, words, capabilities, payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::FIXED + self.payload.len() + 24 * self.message.tag.caps());
        bytes.extend_from_slice(&self.message.tag.raw().to_le_bytes());
        self.message.words.iter().for_each(|w| bytes.extend_from_slice(&w.to_le_bytes()));
        for cap in self.caps.iter().take(self.message.tag.caps()) {
            [cap.handle.raw(), cap.rights, cap.badge].iter().for_each(|w| bytes.extend_from_slice(&w.to_le_bytes()));
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }
    /// Reads what [`Answer::to_bytes`] has written; `None` where the bytes are no answer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Answer> {
        let mut rest = bytes;
        let mut word = || {
            let (word, tail) = rest.split_first_chunk::<8>()?;
            rest = tail;
            Some(u64::from_le_bytes(*word))
        };
        let tag = Tag::from_raw(word()?);
        if !tag.is_sendable() || tag.leases() != 0 {
            return None;
        }
        let mut words = [0; MESSAGE_WORDS];
        for w in &mut words {
            *w = word()?;
        }
        let mut caps = [CapDescriptor::default(); MAX_CAPS];
        for cap in caps.iter_mut().take(tag.caps()) {
            *cap = CapDescriptor { handle: Handle::from_raw(word()?), rights: word()?, badge: word()? };
        }
        (rest.len() == tag.payload()).then(|| Answer { message: Message { tag, words }, caps, payload: rest.to_vec() })
    }
}
