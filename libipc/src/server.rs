//! The server loop: one place to wait, for calls of several protocols, posted messages, events and time.
//!
//! Invariants:
//! 1. Every received call is answered, deferred by its author, or refused; a malformed one never stops the loop.
//! 2. An answer that the kernel refuses (a capability in it is gone) is replaced by an error, so the client goes on.

use crate::context::{Context, Operation, Reply};
use crate::endpoint::Incoming;
use crate::error::Refusal;
use crate::object::Queue;
use crate::sys::{self, Deadline, Received};
use crate::wire;
use abi::{Delivery, Message, MessageId, SysError, Tag};

/// What a dispatch leaves to be done.
#[derive(Debug)]
pub enum Outcome {
    /// Send this; payload and capabilities are in the message page.
    Reply(Message),
    /// Nothing: the author has the token.
    Later,
}

/// A protocol that `S` serves; implemented by what `protocol!` makes.
pub trait Serves<S: ?Sized> {
    /// The protocol's number.
    const PROTOCOL: u16;
    /// Decodes the call, runs the server's method, encodes its answer.
    fn dispatch(server: &mut S, incoming: &Incoming) -> Outcome;
}

/// A server: a state, the protocols it speaks, and what else may happen to it.
pub trait Service {
    /// Dispatches a call by its protocol; written by [`protocols!`](crate::protocols).
    fn dispatch(&mut self, incoming: &Incoming) -> Outcome;
    /// Bits of an event that is bound to the queue with `badge`.
    fn on_event(&mut self, badge: u64, bits: u64) {
        let _ = (badge, bits);
    }
    /// A posted message.
    fn on_post(&mut self, badge: u64, message: Message) {
        let _ = (badge, message);
    }
    /// When [`Service::on_deadline`] is due, nanoseconds of [`sys::clock`]; asked anew before every wait.
    /// Must send no message: an answer may be waiting in the message page.
    fn next_deadline(&self) -> Deadline {
        None
    }
    /// The deadline has passed.
    fn on_deadline(&mut self) {}
    /// Whether the loop is to end, asked after every message. Must send no message.
    fn is_stopping(&self) -> bool {
        false
    }
}

/// Writes `Service::dispatch`: `impl Service for Pipes { protocols!(StreamProtocol, PipeProtocol); }`.
#[macro_export]
macro_rules! protocols {
    ($($protocol:ty),+ $(,)?) => {
        fn dispatch(&mut self, incoming: &$crate::endpoint::Incoming) -> $crate::server::Outcome {
            $( if incoming.protocol() == <$protocol as $crate::server::Serves<Self>>::PROTOCOL {
                return <$protocol as $crate::server::Serves<Self>>::dispatch(self, incoming);
            } )+
            incoming.refuse($crate::error::Refusal::UnknownProtocol)
        }
    };
}

/// The protocol that the loop itself answers, on every queue.
pub const CONTROL_PROTOCOL: u16 = 0xFFFF;
const PING: u16 = 1;

/// Asks whether the server behind `queue` answers, until `deadline`. For heartbeats.
pub fn ping(queue: Queue, deadline: Deadline) -> Result<(), SysError> {
    let request = Message { tag: Tag::new(CONTROL_PROTOCOL, PING), words: [0; 8] };
    let reply = sys::call_once(queue.handle(), request, deadline)?;
    wire::close_received(reply.tag);
    Ok(())
}

/// Messages that are handled in a row before the clock is asked whether the service's deadline has passed: a wait that
/// finds a message does not tell.
const ROW: u32 = 16;

/// Serves `queue` until the service stops (`Ok`), or the queue is gone or cannot be received from.
pub fn serve<S: Service>(queue: Queue, service: &mut S) -> Result<(), SysError> {
    let mut owed: Option<(MessageId, Message)> = None;
    let mut row = 0;
    loop {
        let mut deadline = service.next_deadline();
        if deadline.is_some() && row >= ROW {
            row = 0;
            if deadline <= Some(sys::clock()) {
                if let Some((id, answer)) = owed.take() {
                    answer_or_refuse(id, answer)?;
                }
                service.on_deadline();
                deadline = service.next_deadline();
            }
        }
        if service.is_stopping() {
            return owed.map_or(Ok(()), |(id, answer)| answer_or_refuse(id, answer));
        }
        match wait(queue, owed.take(), deadline) {
            Ok(Some(received)) => {
                row += 1;
                owed = handle(service, received);
            }
            Ok(None) => {}
            Err(SysError::TimedOut) => {
                row = 0;
                service.on_deadline();
            }
            Err(SysError::Closed) => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

/// Sends the answer that is owed and waits for a message; `None` where the answer was refused and replaced.
#[inline(always)]
fn wait(queue: Queue, owed: Option<(MessageId, Message)>, deadline: Deadline) -> Result<Option<Received>, SysError> {
    let Some((id, answer)) = owed else { return sys::recv(queue.handle(), deadline).map(Some) };
    match sys::reply_recv(queue.handle(), id, answer, deadline) {
        Ok(received) => Ok(Some(received)),
        Err(e @ (SysError::TimedOut | SysError::Closed)) => Err(e),
        // The answer may not have gone out (its caller being gone is not reported by this call).
        Err(e) => answer_or_refuse(id, wire::status(crate::error::SYS_STATUS + e as u16)).map(|()| None),
    }
}

/// Handles one received message; returns the answer that is owed.
#[inline]
pub fn handle<S: Service>(service: &mut S, received: Received) -> Option<(MessageId, Message)> {
    match received.message.tag.delivery() {
        Delivery::Call => {
            let incoming = Incoming::new(received);
            let outcome = match incoming.protocol() {
                CONTROL_PROTOCOL => control(&incoming),
                _ => service.dispatch(&incoming),
            };
            match outcome {
                Outcome::Reply(answer) => Some((received.id, answer)),
                Outcome::Later => None,
            }
        }
        Delivery::Post => {
            service.on_post(received.badge, received.message);
            None
        }
        Delivery::Event => {
            service.on_event(received.badge, received.message.words[0]);
            None
        }
    }
}

#[cold]
fn control(incoming: &Incoming) -> Outcome {
    match incoming.operation() {
        PING if incoming.carries(0, 0, false) => Outcome::Reply(wire::status(0)),
        _ => incoming.refuse(Refusal::UnknownOperation),
    }
}

#[cold]
fn answer_or_refuse(id: MessageId, answer: Message) -> Result<(), SysError> {
    match sys::reply(id, answer) {
        Ok(()) | Err(SysError::BadToken) => Ok(()),
        Err(e) => match sys::reply(id, wire::status(crate::error::SYS_STATUS + e as u16)) {
            Err(SysError::BadToken) => Ok(()),
            other => other,
        },
    }
}

/// Turns what a method returned into what is to be done. For generated code.
#[doc(hidden)]
#[inline(always)]
pub fn conclude<Op: Operation>(context: &Context, result: Result<Reply<Op::Output>, Op::Error>) -> Outcome {
    match result {
        Ok(Reply::Now(output)) => Outcome::Reply(Op::encode_result(&Ok(output))),
        Err(error) => Outcome::Reply(Op::encode_result(&Err(error))),
        Ok(Reply::Later) if context.is_deferred() => Outcome::Later,
        Ok(Reply::Later) => Outcome::Reply(wire::status(Refusal::Dropped.status())),
    }
}
