//! The client's end of a queue, and the message of a call as the server's dispatch takes it apart.

use crate::context::Context;
use crate::error::{ProtocolError, Refusal};
use crate::lease::Lease;
use crate::object::Queue;
use crate::owned::OwnedHandle;
use crate::page::{self, Payload};
use crate::server::Outcome;
use crate::sys::{self, Deadline, Received};
use crate::wire;
use abi::{CallFlags, Message, MessageId};

/// A queue to call, how long to wait for each reply, and how often a call may be delivered. What generated clients are
/// made of.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    queue: Queue,
    /// Means something where `flags` have `DEADLINE`.
    deadline: u64,
    flags: CallFlags,
}

impl Endpoint {
    /// Calls wait as long as the kernel's patience.
    pub const fn new(queue: Queue) -> Endpoint {
        Endpoint { queue, deadline: 0, flags: CallFlags::empty() }
    }
    /// The same, with calls that give up at `deadline`.
    pub const fn until(self, deadline: Deadline) -> Endpoint {
        match deadline {
            None => Endpoint { flags: self.flags.difference(CallFlags::DEADLINE), ..self },
            Some(deadline) => Endpoint { deadline, flags: self.flags.union(CallFlags::DEADLINE), ..self },
        }
    }
    /// The same, with calls that are delivered once at most: where the server dies of one, or is killed, it is answered
    /// [`SysError::ServerDied`](abi::SysError::ServerDied) instead of being delivered again.
    pub const fn once(self) -> Endpoint {
        Endpoint { flags: self.flags.union(CallFlags::ONCE), ..self }
    }
    /// The queue.
    pub const fn queue(self) -> Queue {
        self.queue
    }
    /// Calls; an error in the reply becomes `E`.
    #[inline(always)]
    pub fn call<E: ProtocolError>(self, request: Message) -> Result<Message, E> {
        let deadline = if self.flags.contains(CallFlags::DEADLINE) { Some(self.deadline) } else { None };
        wire::check(sys::call_with(self.queue.handle(), request, deadline, self.flags))
    }
}

/// A received call before its arguments are decoded. Which of its capabilities are taken is for the dispatch to see to:
/// [`Incoming::refuse`] gives them up.
#[derive(Clone, Copy)]
pub struct Incoming {
    received: Received,
}

impl Incoming {
    /// Of what was received.
    #[inline(always)]
    pub const fn new(received: Received) -> Incoming {
        Incoming { received }
    }
    /// The protocol of the call.
    #[inline(always)]
    pub const fn protocol(&self) -> u16 {
        self.received.message.tag.protocol()
    }
    /// Operation in bits 0..8, version in bits 8..16.
    #[inline(always)]
    pub const fn operation(&self) -> u16 {
        self.received.message.tag.operation()
    }
    /// How often it was delivered before.
    #[inline(always)]
    pub const fn attempt(&self) -> u8 {
        self.received.message.tag.attempt()
    }
    /// Its id.
    #[inline(always)]
    pub const fn id(&self) -> MessageId {
        self.received.id
    }
    /// Its badge.
    #[inline(always)]
    pub const fn badge(&self) -> u64 {
        self.received.badge
    }
    /// Its words.
    #[inline(always)]
    pub const fn words(&self) -> &[u64; 8] {
        &self.received.message.words
    }
    /// Whether it carries exactly so many capabilities and leases, and payload only where the operation has some.
    #[inline(always)]
    pub const fn carries(&self, caps: usize, leases: usize, payload: bool) -> bool {
        let tag = self.received.message.tag;
        tag.caps() == caps && tag.leases() == leases && (payload || tag.payload() == 0)
    }
    /// A copy of its payload.
    #[inline(always)]
    pub fn payload(&self) -> Payload {
        Payload::copy(self.received.message.tag.payload())
    }
    /// Takes capability `index`; to be taken once, before the next system call.
    #[inline(always)]
    pub fn cap(&self, index: usize) -> OwnedHandle {
        OwnedHandle::new(page::received_cap(index))
    }
    /// Lease `index`, of `length` bytes as its sender claims.
    #[inline(always)]
    pub const fn lease<A>(&self, index: u32, length: u64) -> Lease<A> {
        Lease::new(self.received.id, index, length)
    }
    /// What the server's code is told about the call.
    #[inline(always)]
    pub const fn context(&self) -> Context {
        Context::new(&self.received)
    }
    /// Answers that the message was refused, and gives up its capabilities.
    #[cold]
    pub fn refuse(&self, why: Refusal) -> Outcome {
        wire::close_received(self.received.message.tag);
        Outcome::Reply(wire::status(why.status()))
    }
    /// Answers that the message was refused after its capabilities were taken.
    #[cold]
    pub fn refuse_taken(&self, why: Refusal) -> Outcome {
        Outcome::Reply(wire::status(why.status()))
    }
}
