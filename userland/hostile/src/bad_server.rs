//! What the servers have in common that are put in the place of real ones: they receive from the queue of the service
//! whose image they replace, and answer the supervisor's question whether they are there.

use libipc::abi::{Delivery, Message};
use libipc::server::CONTROL_PROTOCOL;
use libipc::{Failure, Startup, SysError, sys, wire};

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The supervisor's question; it has been answered.
    Ping,
    /// A call of somebody else; it has not.
    Other,
}

/// Waits for a call.
pub fn receive(startup: &Startup<'_>) -> Result<Request, Failure> {
    let mut queues = startup.handles().filter(|(name, _)| name.starts_with("queue:"));
    let (_, queue) = queues.next().ok_or(SysError::BadHandle)?;
    loop {
        let received = sys::recv(queue, None)?;
        let Message { tag, .. } = received.message;
        if tag.delivery() != Delivery::Call {
            continue;
        }
        if tag.protocol() != CONTROL_PROTOCOL {
            return Ok(Request::Other);
        }
        sys::reply(received.id, wire::status(0))?;
        return Ok(Request::Ping);
    }
}
