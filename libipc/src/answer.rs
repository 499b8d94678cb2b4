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
        let mut caps = [CapDescriptor::default(); MAX_CAPS];
        for (index, cap) in caps.iter_mut().enumerate().take(message.tag.caps()) {
            *cap = page::sent_cap(index);
        }
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
    /// How many bytes it has.
    #[inline]
    pub fn length(&self) -> usize {
        Self::FIXED + 24 * self.message.tag.caps() + self.payload.len()
    }
    /// Writes its bytes (tag, words, capabilities, payload) to the beginning of `into`; nothing where they do not fit.
    /// Returns how many they are.
    pub fn write_to(&self, into: &mut [u8]) -> Option<usize> {
        let length = self.length();
        let (places, _) = into.get_mut(..length)?.as_chunks_mut::<8>();
        let caps = self.caps.iter().take(self.message.tag.caps());
        let caps = caps.flat_map(|cap| [cap.handle.raw(), cap.rights, cap.badge]);
        let (fixed, others) = places.split_first_chunk_mut::<{ 1 + MESSAGE_WORDS }>()?;
        fixed[0] = self.message.tag.raw().to_le_bytes();
        for (place, word) in fixed[1..].iter_mut().zip(self.message.words) {
            *place = word.to_le_bytes();
        }
        for (place, word) in others.iter_mut().zip(caps) {
            *place = word.to_le_bytes();
        }
        into[length - self.payload.len()..length].copy_from_slice(&self.payload);
        Some(length)
    }
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.length()];
        self.write_to(&mut bytes);
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
