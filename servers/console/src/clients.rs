//! Who waits for an answer, and the memory that they have lent.

use alloc::collections::BTreeMap;
use console::terminal::{Answer, World};
use libipc::{
    Context, Event, Handle, Lease, Pending, Read, SysError, Write,
    proto::{
        FsError,
        console::ConsoleSetExitStatusOp,
        stream::{StreamReadOp, StreamWriteOp},
    },
};

/// What is owed to a caller.
enum Owed {
    Read(Pending<StreamReadOp>, Lease<Write>),
    Write(Pending<StreamWriteOp>, Lease<Read>),
    Wait(Pending<ConsoleSetExitStatusOp>),
}

/// The calls that wait, by their ids.
#[derive(Default)]
pub struct Clients(BTreeMap<u64, Owed>);

impl Clients {
    /// Takes on a call that reads; returns its name.
    pub fn reads(&mut self, cx: &Context, buffer: Lease<Write>) -> u64 {
        self.0.insert(cx.id().raw(), Owed::Read(cx.defer(), buffer));
        cx.id().raw()
    }

    /// Takes on a call that writes; returns its name.
    pub fn writes(&mut self, cx: &Context, data: Lease<Read>) -> u64 {
        self.0.insert(cx.id().raw(), Owed::Write(cx.defer(), data));
        cx.id().raw()
    }

    /// Takes on a call that waits until everything is sent; returns its name.
    pub fn waits(&mut self, cx: &Context) -> u64 {
        self.0.insert(cx.id().raw(), Owed::Wait(cx.defer()));
        cx.id().raw()
    }
}

fn bytes(answer: Answer) -> Result<u64, FsError> {
    match answer {
        Answer::Bytes(count) => Ok(count),
        Answer::Done => Ok(0),
        Answer::BadLease => Err(FsError::Sys(SysError::BadLease)),
        Answer::Lost => Err(FsError::Io),
    }
}

impl World for Clients {
    fn fetch(&mut self, call: u64, offset: u64, into: &mut [u8]) -> bool {
        matches!(self.0.get(&call), Some(Owed::Write(_, data)) if data.read_at(offset, into).is_ok())
    }

    fn deliver(&mut self, call: u64, bytes: &[u8]) -> bool {
        matches!(self.0.get(&call), Some(Owed::Read(_, buffer)) if buffer.write_at(0, bytes).is_ok())
    }

    fn waits(&mut self, call: u64) -> bool {
        let nothing = [0; 1];
        let waits =
            matches!(self.0.get(&call), Some(Owed::Read(_, buffer)) if buffer.write_at(0, &nothing[..0]).is_ok());
        if !waits {
            self.0.remove(&call);
        }
        waits
    }

    /// An answer is refused only where its caller is gone.
    fn answer(&mut self, call: u64, answer: Answer) {
        let _ = match self.0.remove(&call) {
            Some(Owed::Read(pending, _)) => pending.answer(bytes(answer)),
            Some(Owed::Write(pending, _)) => pending.answer(bytes(answer)),
            Some(Owed::Wait(pending)) => pending.answer(Ok(())),
            None => Ok(()),
        };
    }

    /// An event that is gone belonged to a shell that is gone.
    fn signal(&mut self, event: u64, bits: u64) {
        let _ = Event::new(Handle::from_raw(event)).signal(bits);
    }
}
