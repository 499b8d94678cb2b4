//! What a server's code is told about a call, and its answer: now, or later by a token.
//!
//! Invariants:
//! 1. Every call is answered once: by the value that the method returns, or by its [`Pending`] token, whose drop
//!    answers `Dropped` so that no client hangs.
//! 2. A token answers only the operation it was made for.

use crate::answer::Answer;
use crate::error::{ProtocolError, Refusal};
use crate::sys::{self, Received};
use crate::wire;
use abi::{Message, MessageId, SysError};
use core::cell::Cell;
use core::marker::PhantomData;

/// One operation of a protocol; implemented by what `protocol!` makes.
pub trait Operation {
    /// The protocol's number.
    const PROTOCOL: u16;
    /// Operation in bits 0..8, version in bits 8..16.
    const CODE: u16;
    /// Whether a redelivered call that has taken effect is answered from the server's record.
    const RECORDED: bool;
    /// What the server answers.
    type Output;
    /// What it answers where it cannot.
    type Error: ProtocolError;
    /// Encodes a success into the message page; `None` where it is too long.
    fn encode(output: &Self::Output) -> Option<Message>;

    /// Encodes either into the message page.
    #[inline(always)]
    fn encode_result(result: &Result<Self::Output, Self::Error>) -> Message {
        match result {
            Ok(output) => Self::encode(output).unwrap_or(wire::status(Refusal::TooLong.status())),
            Err(error) => wire::status(error.status()),
        }
    }
}

/// What a server's method returns where nothing went wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<T> {
    /// The answer.
    Now(T),
    /// It comes by the [`Pending`] token that the method has taken with [`Context::defer`].
    Later,
}

impl<T> From<T> for Reply<T> {
    #[inline]
    fn from(value: T) -> Reply<T> {
        Reply::Now(value)
    }
}

/// `Ok(Reply::Now(value))`.
#[inline]
pub fn now<T, E>(value: T) -> Result<Reply<T>, E> {
    Ok(Reply::Now(value))
}

/// A call, as the server's method sees it.
#[derive(Debug)]
pub struct Context {
    badge: u64,
    id: MessageId,
    attempt: u8,
    protocol: u16,
    operation: u16,
    deferred: Cell<bool>,
}

impl Context {
    #[inline(always)]
    pub(crate) const fn new(received: &Received) -> Context {
        let tag = received.message.tag;
        Context {
            badge: received.badge,
            id: received.id,
            attempt: tag.attempt(),
            protocol: tag.protocol(),
            operation: tag.operation(),
            deferred: Cell::new(false),
        }
    }
    /// The badge of the capability by which it came.
    #[inline]
    pub const fn badge(&self) -> u64 {
        self.badge
    }
    /// Its id, the same in every delivery.
    #[inline]
    pub const fn id(&self) -> MessageId {
        self.id
    }
    /// How often it was delivered before; more than 0 means *redelivered*.
    #[inline]
    pub const fn attempt(&self) -> u8 {
        self.attempt
    }
    /// Takes the token to answer it later, for a method that returns [`Reply::Later`]. `Op` is the operation that the
    /// method implements; with another one the call is refused when the token is used.
    pub fn defer<Op: Operation>(&self) -> Pending<Op> {
        self.deferred.set(true);
        let fits = Op::PROTOCOL == self.protocol && Op::CODE == self.operation;
        Pending { id: self.id, fits, answered: false, operation: PhantomData }
    }
    /// The answer as a value, to be committed to a record together with the effect. The method then returns `result`.
    pub fn answer<Op: Operation>(&self, result: &Result<Op::Output, Op::Error>) -> Answer {
        Answer::capture(Op::encode_result(result))
    }
    #[inline(always)]
    pub(crate) fn is_deferred(&self) -> bool {
        self.deferred.get()
    }
}

/// The duty to answer one call of `Op`.
#[must_use = "dropped without an answer, it tells the client that the call was dropped"]
#[derive(Debug)]
pub struct Pending<Op: Operation> {
    id: MessageId,
    fits: bool,
    answered: bool,
    operation: PhantomData<Op>,
}

impl<Op: Operation> Pending<Op> {
    /// The id of the call.
    pub fn id(&self) -> MessageId {
        self.id
    }
    /// Answers. `BadToken` says that the caller is gone.
    pub fn answer(mut self, result: Result<Op::Output, Op::Error>) -> Result<(), SysError> {
        if !self.fits {
            return Ok(());
        }
        let sent = sys::reply(self.id, Op::encode_result(&result));
        self.answered = matches!(sent, Ok(()) | Err(SysError::BadToken));
        sent
    }
    /// The answer as a value, to be committed to a record before [`Pending::answer`] sends it.
    pub fn encode(&self, result: &Result<Op::Output, Op::Error>) -> Answer {
        Answer::capture(Op::encode_result(result))
    }
}

impl<Op: Operation> Drop for Pending<Op> {
    fn drop(&mut self) {
        if !self.answered {
            // Refused only where the caller is gone.
            let _ = sys::reply(self.id, wire::status(Refusal::Dropped.status()));
        }
    }
}
