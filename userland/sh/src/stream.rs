//! The shell's streams: those that it was handed, files that it opened, pipes that it made.
//!
//! Invariant: a capability lives as long as one of the streams that share it.

use alloc::rc::Rc;
use libipc::proto::FsError;
use libipc::{OwnedHandle, Queue};

/// Why, in the words of the shell.
pub fn reason(error: &FsError) -> &'static str {
    match error {
        FsError::NotFound => "no such file",
        other => other.text(),
    }
}

/// What a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One that the shell was handed, or a file.
    Plain,
    /// The end of a pipe of the shell's where one reads.
    ReadEnd,
    /// The end where one writes.
    WriteEnd,
}

/// A stream; clones share it.
#[derive(Debug, Clone)]
pub struct SharedStream {
    queue: Option<Queue>,
    kind: Kind,
    _owner: Option<Rc<OwnedHandle>>,
}

impl SharedStream {
    /// One that somebody else keeps; `None`: it was never given.
    pub fn borrowed(queue: Option<Queue>) -> SharedStream {
        SharedStream { queue, kind: Kind::Plain, _owner: None }
    }

    /// One that lives as long as its clones.
    pub fn owned(handle: OwnedHandle, kind: Kind) -> SharedStream {
        SharedStream { queue: Some(handle.queue()), kind, _owner: Some(Rc::new(handle)) }
    }

    /// The capability.
    pub fn queue(&self) -> Option<Queue> {
        self.queue
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}
