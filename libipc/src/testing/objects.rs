//! The objects of the stand-in kernel.

use abi::{LeaseDescriptor, Message, MessageId, Rights};
use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;

/// Names an object of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId(pub(super) usize);

/// A slot of a capability table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cap {
    pub object: ObjectId,
    pub rights: Rights,
    pub badge: u64,
    /// Put there from outside: it stays when the process is reset.
    pub granted: bool,
}

#[derive(Debug)]
pub(super) enum Object {
    Queue(Queue),
    Event(Event),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub calls: VecDeque<MessageId>,
    pub posts: VecDeque<(u64, Message)>,
    pub ring: usize,
    pub bound: Vec<ObjectId>,
    pub closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Event {
    pub bits: u64,
    pub badge: u64,
}

/// Before a system call has had any effect, or after it has, unseen by its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At its entry.
    Before,
    /// At its end. What it was to return is lost, also the message that it has received.
    After,
}

/// Where a process is to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// At which of its system calls, counted from the moment in which the plan is made or the death before struck;
    /// 1 is the next.
    pub call: u64,
    /// Before or after it.
    pub moment: Moment,
}

impl core::fmt::Display for Death {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let moment = if self.moment == Moment::Before { "before" } else { "after" };
        write!(f, "{moment} system call {}", self.call)
    }
}

/// A process: its table, and whether and when it is to die.
#[derive(Debug)]
pub(super) struct Process {
    pub name: String,
    pub table: Vec<(u32, Option<Cap>)>,
    pub incarnation: u64,
    pub calls_made: u64,
    /// In which of its calls, counted like `calls_made`, it dies.
    pub dies_at: Option<(u64, Moment)>,
    /// The deaths that follow.
    pub deaths: VecDeque<Death>,
    pub dead: bool,
}

/// A call from its sending to its answer.
#[derive(Debug)]
pub(super) struct Call {
    pub queue: ObjectId,
    pub caller: usize,
    pub badge: u64,
    pub message: Message,
    pub payload: Vec<u8>,
    pub caps: Vec<Cap>,
    pub leases: Vec<LeaseDescriptor>,
    pub attempt: u8,
    pub once: bool,
    pub stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    Queued,
    Received(usize),
    Answered(Answer),
    Failed(abi::SysError),
}

/// What the caller gets.
#[derive(Debug)]
pub(super) struct Answer {
    pub message: Message,
    pub payload: Vec<u8>,
    pub caps: Vec<Cap>,
}
