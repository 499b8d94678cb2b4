//! The rendezvous behind the protocols `stream` and `pipe`.
//!
//! 1. A read or write that is pending is held by its message id alone; its answer is sent when the rendezvous says so.
//! 2. The answer to the call in hand is returned to the server loop, so that it goes out together with the next receive.
//! 3. While [`Server::recovering`], calls are accepted and none is matched.

use crate::{
    badge::{Badge, End},
    pipes::{Calls, CopyFailed, Pipes, Refusal, Transfer},
    record::Words,
};
use abi::{MessageId, Rights, SysError};
use alloc::vec;
use libipc::{
    Context, Grant, Lease, Operation, Queue, Read, Reply, Service, Write,
    answer::Answer,
    context::now,
    proto::{
        FsError,
        pipe::PipeServer,
        stream::{StreamReadOp, StreamServer, StreamWriteOp},
    },
    registers::Registers,
    sys,
};

impl Words for Registers {
    fn count(&self) -> usize {
        self.len() / 8
    }
    #[inline]
    fn load(&self, at: usize) -> u64 {
        self.read_u64(at * 8)
    }
    #[inline]
    fn store(&mut self, at: usize, value: u64) {
        self.write_u64(at * 8, value);
    }
}

impl From<Refusal> for FsError {
    fn from(refusal: Refusal) -> FsError {
        match refusal {
            Refusal::BadBadge => FsError::NotPermitted,
            Refusal::Closed => FsError::Sys(SysError::Closed),
            Refusal::BrokenPipe => FsError::BrokenPipe,
            Refusal::LimitReached => FsError::Sys(SysError::LimitReached),
            Refusal::BadLease => FsError::Sys(SysError::BadLease),
        }
    }
}

/// The kernel's side of the rendezvous.
#[derive(Default)]
struct Kernel {
    /// The call in hand.
    current: MessageId,
    /// Its answer, where it has one already.
    answer: Option<Result<u64, Refusal>>,
}

impl Calls for Kernel {
    fn copy(&mut self, write: u64, from: u64, read: u64, bytes: u64) -> Result<(), CopyFailed> {
        let (source, target) = (MessageId::from_raw(write), MessageId::from_raw(read));
        sys::lease_copy((source, 0, from), (target, 0, 0), bytes).map_err(|_| {
            let mut scratch = vec![0; bytes as usize];
            match sys::lease_read(source, 0, from, &mut scratch) {
                Ok(()) => CopyFailed::Target,
                Err(_) => CopyFailed::Source,
            }
        })
    }

    fn answer(&mut self, call: u64, answer: Result<u64, Refusal>) {
        let call = MessageId::from_raw(call);
        if call == self.current {
            self.answer = Some(answer);
            return;
        }
        // Reads and writes are answered alike. Refused only where the caller is gone.
        let _ = sys::reply(call, StreamReadOp::encode_result(&answer.map_err(FsError::from)));
    }

    fn waits(&mut self, call: u64, end: End) -> bool {
        let call = MessageId::from_raw(call);
        // One byte, which harms nobody: what a read has lent means nothing before its answer.
        let probe = match end {
            End::Read => sys::lease_write(call, 0, 0, &[0]),
            End::Write => sys::lease_read(call, 0, 0, &mut [0]),
        };
        probe != Err(SysError::BadToken)
    }
}

/// The pipe server.
pub struct Server<W> {
    queue: Queue,
    pipes: Pipes<W>,
    kernel: Kernel,
    recovering: bool,
}

impl<W: Words> Server<W> {
    /// Serves `queue`, from which capabilities to ends are minted. Matches nothing until [`Server::recovered`].
    pub fn new(queue: Queue, pipes: Pipes<W>) -> Server<W> {
        Server { queue, pipes, kernel: Kernel::default(), recovering: true }
    }

    /// Everything that was pending when the last incarnation died has been accepted again.
    pub fn recovered(&mut self) {
        self.recovering = false;
        self.kernel.current = MessageId::NONE;
        self.pipes.settle_all(&mut self.kernel);
    }

    fn transfer<Op: Operation>(&mut self, cx: &Context, end: End, length: u64) -> Result<Reply<u64>, FsError> {
        let badge =
            Badge::from_raw(cx.badge()).filter(|badge| matches!(badge, Badge::Pipe { end: e, .. } if *e == end));
        let badge = badge.ok_or(Refusal::BadBadge)?;
        self.kernel.current = cx.id();
        let slot = self.pipes.accept(badge, Transfer { call: cx.id().raw(), length }, &mut self.kernel);
        self.settle(slot);
        match self.kernel.answer.take() {
            Some(answer) => Ok(Reply::Now(answer?)),
            None => {
                // The rendezvous has the id; the token's drop would answer the call.
                core::mem::forget(cx.defer::<Op>());
                Ok(Reply::Later)
            }
        }
    }

    fn close(&mut self, cx: &Context, end: End) -> Result<Reply<()>, FsError> {
        let badge =
            Badge::from_raw(cx.badge()).filter(|badge| matches!(badge, Badge::Pipe { end: e, .. } if *e == end));
        let slot = self.pipes.close(badge.ok_or(Refusal::BadBadge)?)?;
        self.kernel.current = cx.id();
        self.settle(slot);
        now(())
    }

    fn settle(&mut self, slots: impl IntoIterator<Item = usize>) {
        if !self.recovering {
            for slot in slots {
                self.pipes.settle(slot, &mut self.kernel);
            }
        }
    }
}

impl<W: Words> Service for Server<W> {
    libipc::protocols!(libipc::proto::stream::StreamProtocol, libipc::proto::pipe::PipeProtocol);
}

impl<W: Words> StreamServer for Server<W> {
    fn recall(&mut self, _: MessageId) -> Option<Answer> {
        None // `Pipes::accept` looks into the pipe's record itself
    }

    fn read(&mut self, cx: &Context, _: u64, buffer: Lease<Write>) -> Result<Reply<u64>, FsError> {
        self.transfer::<StreamReadOp>(cx, End::Read, buffer.len())
    }

    fn write(&mut self, cx: &Context, _: u64, data: Lease<Read>) -> Result<Reply<u64>, FsError> {
        self.transfer::<StreamWriteOp>(cx, End::Write, data.len())
    }
}

impl<W: Words> PipeServer for Server<W> {
    fn create(&mut self, cx: &Context) -> Result<Reply<(Grant, Grant)>, FsError> {
        let Some(Badge::Client(client)) = Badge::from_raw(cx.badge()) else { return Err(Refusal::BadBadge.into()) };
        let (read, write) = self.pipes.create(client, cx.id().raw(), cx.attempt() > 0)?;
        now((self.queue.minted(Rights::SEND, read.raw()), self.queue.minted(Rights::SEND, write.raw())))
    }

    fn close_write(&mut self, cx: &Context) -> Result<Reply<()>, FsError> {
        self.close(cx, End::Write)
    }

    fn close_read(&mut self, cx: &Context) -> Result<Reply<()>, FsError> {
        self.close(cx, End::Read)
    }

    fn close_all(&mut self, cx: &Context) -> Result<Reply<()>, FsError> {
        let Some(Badge::Client(client)) = Badge::from_raw(cx.badge()) else { return Err(Refusal::BadBadge.into()) };
        let slots = self.pipes.close_all(client);
        self.kernel.current = cx.id();
        self.settle(slots);
        now(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipes::MAX_PENDING;
    use libipc::{proto::stream::StreamClient, server, testing::System};
    use std::vec::Vec;

    impl Words for Vec<u64> {
        fn count(&self) -> usize {
            self.len()
        }
        fn load(&self, at: usize) -> u64 {
            self[at]
        }
        fn store(&mut self, at: usize, value: u64) {
            self[at] = value;
        }
    }

    #[test]
    fn reads_whose_callers_are_gone_leave_their_places_to_others() {
        let system = System::new();
        let queue = system.queue(0);
        let mut pipes = Pipes::open(vec![0; 1024], 1);
        let (read, write) = pipes.create(1, 1, false).unwrap();
        let [server, gone, reader, writer] = ["pipe", "gone", "reader", "writer"].map(|name| system.process(name));
        let receive = Queue::new(server.grant(queue, Rights::RECEIVE, 0));
        let client = |process: &libipc::testing::TestProcess, badge: Badge| {
            StreamClient::new(Queue::new(process.grant(queue, Rights::SEND, badge.raw())))
        };
        let (lost, living, source) = (client(&gone, read), client(&reader, read), client(&writer, write));
        server.enter(|| {
            let mut pipe = Server::new(receive, pipes);
            pipe.recovered();
            let mut next = || server::handle(&mut pipe, sys::recv(receive.handle(), None).unwrap());
            let waiting: Vec<_> = (0..MAX_PENDING).map(|_| gone.run(move || lost.read(0, &mut [0]))).collect();
            (0..MAX_PENDING).for_each(|_| assert!(next().is_none(), "there is nothing to read yet"));
            gone.kill();
            waiting.into_iter().for_each(|thread| assert!(thread.join().is_err(), "it was killed in its call"));
            let reading = reader.run(move || {
                let mut byte = [0];
                living.read(0, &mut byte).map(|bytes| (bytes, byte))
            });
            assert!(next().is_none(), "it waits like those before it, and is not refused");
            let writing = writer.run(move || source.write(0, b"x"));
            let (id, answer) = next().expect("there is a reader");
            sys::reply(id, answer).unwrap();
            assert_eq!(writing.join().unwrap(), Ok(1));
            assert_eq!(reading.join().unwrap(), Ok((1, *b"x")));
        });
    }
}
