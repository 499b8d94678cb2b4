//! Who waits for an answer, and the memory that they have lent.

use alloc::collections::BTreeMap;
use block::schedule::Fault;
use libipc::{
    Context, Lease, Pending, Read, SysError, Write,
    proto::block::{
        BlockAttachOp, BlockError, BlockFlushOp, BlockReadIntoOp, BlockReadOp, BlockWriteFromOp, BlockWriteOp,
    },
};

/// What is owed to a caller.
pub enum Owed {
    /// Blocks into its memory.
    Read(Pending<BlockReadOp>, Lease<Write>),
    /// Blocks out of its memory.
    Write(Pending<BlockWriteOp>, Lease<Read>),
    /// A flush.
    Flush(Pending<BlockFlushOp>),
    /// The fence.
    Attach(Pending<BlockAttachOp>),
    /// Blocks into attached memory.
    ReadInto(Pending<BlockReadIntoOp>),
    /// Blocks out of attached memory.
    WriteFrom(Pending<BlockWriteFromOp>),
}

/// The calls that wait, by their ids.
#[derive(Default)]
pub struct Clients(BTreeMap<u64, Owed>);

/// As the protocol puts it.
pub fn error(fault: Fault) -> BlockError {
    match fault {
        Fault::OutOfRange => BlockError::OutOfRange,
        Fault::Io => BlockError::Io,
        Fault::ReadOnly => BlockError::ReadOnly,
        Fault::NotAttached => BlockError::NotAttached,
        Fault::Superseded => BlockError::Superseded,
        Fault::BadLease => BlockError::Sys(SysError::BadLease),
    }
}

impl Clients {
    /// Takes on a call; returns its name.
    pub fn owe(&mut self, cx: &Context, owed: Owed) -> u64 {
        self.0.insert(cx.id().raw(), owed);
        cx.id().raw()
    }

    /// Copies from the memory that `call` lent. `false`: it is not there.
    pub fn fetch(&self, call: u64, offset: u64, into: &mut [u8]) -> bool {
        matches!(self.0.get(&call), Some(Owed::Write(_, data)) if data.read_at(offset, into).is_ok())
    }

    /// Copies to the memory that `call` lent. `false`: it is not there.
    pub fn deliver(&self, call: u64, offset: u64, from: &[u8]) -> bool {
        matches!(self.0.get(&call), Some(Owed::Read(_, buffer)) if buffer.write_at(offset, from).is_ok())
    }

    /// Answers a call. An answer is refused only where the caller is gone.
    pub fn answer(&mut self, call: u64, result: Result<(), Fault>) {
        let result = result.map_err(error);
        let _ = match self.0.remove(&call) {
            Some(Owed::Read(pending, _)) => pending.answer(result),
            Some(Owed::Write(pending, _)) => pending.answer(result),
            Some(Owed::Flush(pending)) => pending.answer(result),
            Some(Owed::Attach(pending)) => pending.answer(result),
            Some(Owed::ReadInto(pending)) => pending.answer(result),
            Some(Owed::WriteFrom(pending)) => pending.answer(result),
            None => Ok(()),
        };
    }
}
