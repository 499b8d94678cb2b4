//! How values travel: in the words of a message, or in its payload.
//!
//! Invariants:
//! 1. Words: each argument takes the next `Words::COUNT` words, in order of declaration.
//! 2. Payload: each text or structure is a length (`u16`, little-endian) and its bytes, in order of declaration; what a
//!    message carries beyond them makes it malformed.

use crate::page;
use abi::{MAX_PAYLOAD, MESSAGE_WORDS, Message, SysError, Tag};

/// A value of a fixed number of words. `take` is the only door from raw words to the value.
pub trait Words: Sized {
    /// How many words.
    const COUNT: usize;
    /// Writes it to `words[at..]`.
    fn put(&self, words: &mut [u64; MESSAGE_WORDS], at: usize);
    /// Reads it from `words[at..]`; `None` where the words mean no value.
    fn take(words: &[u64; MESSAGE_WORDS], at: usize) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl Words for $type {
            const COUNT: usize = 1;
            #[inline(always)]
            fn put(&self, words: &mut [u64; MESSAGE_WORDS], at: usize) { words[at] = *self as u64; }
            #[inline(always)]
            fn take(words: &[u64; MESSAGE_WORDS], at: usize) -> Option<Self> {
                let value = words[at] as $type;
                (value as u64 == words[at]).then_some(value)
            }
        }
    )* };
}
integers!(u8, u16, u32, u64, i8, i16, i32, i64);

impl Words for bool {
    const COUNT: usize = 1;
    #[inline(always)]
    fn put(&self, words: &mut [u64; MESSAGE_WORDS], at: usize) {
        words[at] = *self as u64;
    }
    #[inline(always)]
    fn take(words: &[u64; MESSAGE_WORDS], at: usize) -> Option<Self> {
        (words[at] <= 1).then_some(words[at] == 1)
    }
}

/// Implements [`Words`] for a structure, field by field.
///
/// ```
/// libipc::words_struct! {
///     /// Where something is.
///     pub struct Place {
///         /// Column.
///         pub x: u32,
///         /// Row.
///         pub y: u32,
///     }
/// }
/// assert_eq!(<Place as libipc::Words>::COUNT, 2);
/// ```
#[macro_export]
macro_rules! words_struct {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $( $(#[$doc:meta])* $fvis:vis $field:ident : $type:ty ),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        $vis struct $name { $( $(#[$doc])* $fvis $field: $type, )* }
        impl $crate::Words for $name {
            const COUNT: usize = 0 $(+ <$type as $crate::Words>::COUNT)*;
            #[inline(always)]
            #[allow(unused_assignments)]
            fn put(&self, words: &mut [u64; $crate::abi::MESSAGE_WORDS], at: usize) {
                let mut at = at;
                $( $crate::Words::put(&self.$field, words, at); at += <$type as $crate::Words>::COUNT; )*
            }
            #[inline(always)]
            #[allow(unused_assignments)]
            fn take(words: &[u64; $crate::abi::MESSAGE_WORDS], at: usize) -> Option<Self> {
                let mut at = at;
                $(
                    let $field = <$type as $crate::Words>::take(words, at)?;
                    at += <$type as $crate::Words>::COUNT;
                )*
                Some($name { $($field),* })
            }
        }
    };
}

/// Implements [`Words`] for an enumeration without fields, which needs `Copy` and `#[repr(..)]` or explicit numbers.
#[macro_export]
macro_rules! words_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $( $(#[$doc:meta])* $variant:ident = $number:literal ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $( $(#[$doc])* $variant = $number, )* }
        impl $crate::Words for $name {
            const COUNT: usize = 1;
            #[inline(always)]
            fn put(&self, words: &mut [u64; $crate::abi::MESSAGE_WORDS], at: usize) { words[at] = *self as u64; }
            #[inline(always)]
            fn take(words: &[u64; $crate::abi::MESSAGE_WORDS], at: usize) -> Option<Self> {
                match words[at] { $( $number => Some($name::$variant), )* _ => None }
            }
        }
    };
}

/// Writes a message's payload into the message page.
pub struct PayloadWriter {
    length: usize,
}

impl PayloadWriter {
    /// An empty payload.
    #[inline]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> PayloadWriter {
        PayloadWriter { length: 0 }
    }
    /// Adds bytes; `None` where they do not fit.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.len() + 2 > MAX_PAYLOAD - self.length {
            return None;
        }
        page::write_payload(self.length, &(bytes.len() as u16).to_le_bytes());
        page::write_payload(self.length + 2, bytes);
        self.length += 2 + bytes.len();
        Some(())
    }
    /// Adds a structure; `None` where it does not fit.
    pub fn value<T: serde::Serialize>(&mut self, value: &T) -> Option<()> {
        let mut buffer = [0; MAX_PAYLOAD];
        let bytes = postcard::to_slice(value, &mut buffer).ok()?;
        self.bytes(bytes)
    }
    /// Bytes written.
    #[inline]
    pub const fn length(&self) -> usize {
        self.length
    }
}

/// Reads the parts of a payload.
pub struct PayloadReader<'a> {
    rest: &'a [u8],
}

impl<'a> PayloadReader<'a> {
    /// Of a copied payload.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> PayloadReader<'a> {
        PayloadReader { rest: bytes }
    }
    /// The next part.
    #[inline]
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at_checked(u16::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(part)
    }
    /// The next part, a text.
    #[inline]
    pub fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.bytes()?).ok()
    }
    /// The next part, a structure that fills it.
    pub fn value<T: serde::Deserialize<'a>>(&mut self) -> Option<T> {
        let (value, rest) = postcard::take_from_bytes(self.bytes()?).ok()?;
        rest.is_empty().then_some(value)
    }
    /// Whether nothing is left.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

/// A reply that says only `status`.
#[inline]
pub const fn status(status: u16) -> Message {
    Message { tag: Tag::new(0, status), words: [0; MESSAGE_WORDS] }
}

/// The error in a reply, as its status or the kernel's refusal.
#[inline(always)]
pub fn check<E: crate::error::ProtocolError>(reply: Result<Message, SysError>) -> Result<Message, E> {
    let reply = reply?;
    if reply.tag.operation() == 0 {
        return Ok(reply);
    }
    close_received(reply.tag);
    Err(E::from(reply.tag.operation()))
}

/// Gives up the capabilities of the message received last.
#[inline(always)]
pub fn close_received(tag: Tag) {
    if tag.caps() != 0 {
        for index in 0..tag.caps() {
            drop(crate::OwnedHandle::new(page::received_cap(index)));
        }
    }
}
