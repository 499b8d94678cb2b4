//! The rendezvous of writers and readers.
//!
//! Nothing is buffered: a write stays pending, its memory lent, until readers have taken all of it; bytes go from the
//! writer's memory to the reader's in one copy. So the death of the server loses no byte, and what must be remembered is
//! only how far a pending write has been read, and which read got what.
//!
//! Always true between two calls of the methods here:
//! 1. No pipe has a pending read and a pending write that could be matched, once [`Pipes::settle`] has returned for it.
//! 2. A transfer is committed to the record before either side is answered; a redelivered call that the record knows is
//!    answered from it. The copy before the commit may be done twice, always the same way.
//! 3. The write of which a part has been read is the first of its pipe's pending writes.
//! 4. A pipe of which both ends are closed has no pending calls, and its slot may be used again, in a new generation.
//!
//! After a start the calls that were pending must all be accepted before the first `settle`: else a newer write could
//! overtake the one that is half read.

use crate::{
    badge::{Badge, End},
    record::{Record, Records, Words},
};
use alloc::{collections::VecDeque, vec::Vec};

/// Most bytes that one copy moves.
pub const MAX_COPY: u64 = 64 << 10;
/// Open pipes that one client may have.
pub const MAX_PER_CLIENT: usize = 64;
/// Calls that may be pending at one end of a pipe.
pub const MAX_PENDING: usize = 64;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The badge is none of this server's, or not for this operation.
    BadBadge,
    /// This end of the pipe is closed.
    Closed,
    /// Nobody can read what is written any more.
    BrokenPipe,
    /// The client has too many pipes, the server has none left, or too many calls wait at this end.
    LimitReached,
    /// The lent memory is not there.
    BadLease,
}

/// Which side of a copy failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFailed {
    /// The writer is gone or its memory is.
    Source,
    /// The reader is gone or its memory is.
    Target,
}

/// What the rendezvous needs of the kernel. A call whose caller is gone takes any answer and drops it.
pub trait Calls {
    /// Copies `bytes` from byte `from` of what write `write` lent to the start of what read `read` lent.
    fn copy(&mut self, write: u64, from: u64, read: u64, bytes: u64) -> Result<(), CopyFailed>;
    /// Answers a read, a write or a close.
    fn answer(&mut self, call: u64, answer: Result<u64, Refusal>);
    /// Whether the caller of this pending call, made at this end, still waits.
    fn waits(&mut self, call: u64, end: End) -> bool;
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    call: u64,
    length: u64,
}

struct Pipe {
    record: Record,
    sequence: u64,
    writes: VecDeque<Pending>,
    reads: VecDeque<Pending>,
}

/// All pipes.
pub struct Pipes<W> {
    records: Records<W>,
    pipes: Vec<Pipe>,
}

/// A read or a write, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// The message id.
    pub call: u64,
    /// Bytes lent.
    pub length: u64,
}

impl<W: Words> Pipes<W> {
    /// The pipes recorded in `words`. `generation` is where the generations of a new memory begin: a number that no
    /// memory before it has reached.
    pub fn open(words: W, generation: u32) -> Pipes<W> {
        let mut records = Records::open(words, generation);
        let slots = 0..records.slots();
        let load = |slot| {
            let (record, sequence) = records.load(slot, generation);
            Pipe { record, sequence, writes: VecDeque::new(), reads: VecDeque::new() }
        };
        let pipes = slots.map(load).collect();
        Pipes { records, pipes }
    }

    /// Makes a pipe for `client`; the badges of its read end and its write end. Call `call` gets the same pipe every time.
    pub fn create(&mut self, client: u64, call: u64, redelivered: bool) -> Result<(Badge, Badge), Refusal> {
        if redelivered && let Some(slot) = self.position(|record| record.owner == client && record.made_by == call) {
            return Ok(self.ends(slot));
        }
        let open = self.pipes.iter().filter(|pipe| pipe.record.is_open() && pipe.record.owner == client).count();
        let free = self.position(|record| !record.is_open()).filter(|_| open < MAX_PER_CLIENT);
        let slot = free.ok_or(Refusal::LimitReached)?;
        let generation = self.pipes[slot].record.generation.wrapping_add(1);
        let new =
            Record { generation, readable: true, writable: true, owner: client, made_by: call, ..Record::default() };
        self.commit(slot, new);
        Ok(self.ends(slot))
    }

    /// Takes a read or a write and answers it where no match is needed for that. The slot to settle.
    pub fn accept(&mut self, badge: Badge, transfer: Transfer, calls: &mut impl Calls) -> Option<usize> {
        let Badge::Pipe { slot, generation, end } = badge else {
            calls.answer(transfer.call, Err(Refusal::BadBadge));
            return None;
        };
        let slot = usize::from(slot);
        let Some(pipe) = self.pipes.get_mut(slot) else {
            calls.answer(transfer.call, Err(Refusal::BadBadge));
            return None;
        };
        match pipe.accept(generation, end, transfer, calls) {
            Some(answer) => calls.answer(transfer.call, answer),
            None => return Some(slot),
        }
        None
    }

    /// Closes one end. Closing it again does no harm. The slot to settle.
    pub fn close(&mut self, badge: Badge) -> Result<Option<usize>, Refusal> {
        let Badge::Pipe { slot, generation, end } = badge else { return Err(Refusal::BadBadge) };
        let slot = usize::from(slot);
        let pipe = self.pipes.get(slot).ok_or(Refusal::BadBadge)?;
        if pipe.record.generation != generation || !pipe.is_open(end) {
            return Ok(None);
        }
        let mut record = pipe.record;
        match end {
            End::Read => record.readable = false,
            End::Write => record.writable = false,
        }
        self.commit(slot, record);
        Ok(Some(slot))
    }

    /// Closes every pipe that `client` has made. Those slots are to be settled.
    pub fn close_all(&mut self, client: u64) -> Vec<usize> {
        let of_client = |pipe: &Pipe| pipe.record.is_open() && pipe.record.owner == client;
        let slots: Vec<usize> = (0..self.pipes.len()).filter(|slot| of_client(&self.pipes[*slot])).collect();
        for slot in &slots {
            self.commit(*slot, Record { readable: false, writable: false, ..self.pipes[*slot].record });
        }
        slots
    }

    /// Matches what can be matched in `slot`, and answers what need not wait any longer.
    pub fn settle(&mut self, slot: usize, calls: &mut impl Calls) {
        while self.transfer(slot, calls) {}
        let Some(pipe) = self.pipes.get_mut(slot) else { return };
        if !pipe.record.readable {
            for write in core::mem::take(&mut pipe.writes) {
                calls.answer(write.call, pipe.broken(write));
            }
            for read in core::mem::take(&mut pipe.reads) {
                calls.answer(read.call, Err(Refusal::Closed));
            }
        }
        if !pipe.record.writable && pipe.writes.is_empty() {
            for read in core::mem::take(&mut pipe.reads) {
                calls.answer(read.call, Ok(0));
            }
        }
    }

    /// Settles every pipe.
    pub fn settle_all(&mut self, calls: &mut impl Calls) {
        for slot in 0..self.pipes.len() {
            self.settle(slot, calls);
        }
    }

    /// Moves bytes from the first write to the first read. Whether there may be more to move.
    fn transfer(&mut self, slot: usize, calls: &mut impl Calls) -> bool {
        let Some(pipe) = self.pipes.get_mut(slot).filter(|pipe| pipe.record.readable) else { return false };
        let (Some(write), Some(read)) = (pipe.writes.front().copied(), pipe.reads.front().copied()) else {
            return false;
        };
        let done = pipe.consumed(write.call);
        let bytes = read.length.min(write.length - done).min(MAX_COPY);
        match calls.copy(write.call, done, read.call, bytes) {
            Ok(()) => {}
            Err(CopyFailed::Source) => {
                pipe.writes.pop_front();
                calls.answer(write.call, if done > 0 { Ok(done) } else { Err(Refusal::BadLease) });
                return true;
            }
            Err(CopyFailed::Target) => {
                pipe.reads.pop_front();
                calls.answer(read.call, Err(Refusal::BadLease));
                return true;
            }
        }
        let consumed = done + bytes;
        let record = Record { write: write.call, consumed, read: read.call, given: bytes, ..pipe.record };
        self.records.commit(slot, &record, &mut pipe.sequence);
        pipe.record = record;
        pipe.reads.pop_front();
        calls.answer(read.call, Ok(bytes));
        if consumed == write.length {
            pipe.writes.pop_front();
            calls.answer(write.call, Ok(consumed));
        }
        true
    }

    fn position(&self, wanted: impl Fn(&Record) -> bool) -> Option<usize> {
        self.pipes.iter().position(|pipe| wanted(&pipe.record))
    }

    fn ends(&self, slot: usize) -> (Badge, Badge) {
        let generation = self.pipes[slot].record.generation;
        let badge = |end| Badge::Pipe { slot: slot as u16, generation, end };
        (badge(End::Read), badge(End::Write))
    }

    fn commit(&mut self, slot: usize, record: Record) {
        let pipe = &mut self.pipes[slot];
        self.records.commit(slot, &record, &mut pipe.sequence);
        pipe.record = record;
    }
}

impl Pipe {
    /// The answer to a call that need not wait; `None` where it has become pending.
    fn accept(
        &mut self,
        generation: u32,
        end: End,
        Transfer { call, length }: Transfer,
        calls: &mut impl Calls,
    ) -> Option<Result<u64, Refusal>> {
        let record = &self.record;
        if record.generation != generation {
            return Some(Err(if end == End::Write { Refusal::BrokenPipe } else { Refusal::Closed }));
        }
        if length == 0 {
            return Some(Ok(0));
        }
        let known = match end {
            End::Read => (record.read == call).then_some(record.given),
            End::Write => (record.write == call && record.consumed >= length).then_some(record.consumed),
        };
        if known.is_some() {
            return known.map(Ok);
        }
        let half_read = end == End::Write && record.write == call;
        if !self.is_open(end) && !half_read {
            return Some(Err(Refusal::Closed));
        }
        self.queue(end, Pending { call, length }, half_read, calls)
    }

    fn queue(&mut self, end: End, new: Pending, first: bool, calls: &mut impl Calls) -> Option<Result<u64, Refusal>> {
        let pending = match end {
            End::Read => &mut self.reads,
            End::Write => &mut self.writes,
        };
        if pending.len() >= MAX_PENDING {
            pending.retain(|old| calls.waits(old.call, end));
        }
        match pending.len() {
            MAX_PENDING.. if !first => return Some(Err(Refusal::LimitReached)),
            _ if first => pending.push_front(new),
            _ => pending.push_back(new),
        }
        None
    }

    /// What a write gets when there are no readers any more.
    fn broken(&self, write: Pending) -> Result<u64, Refusal> {
        match self.consumed(write.call) {
            0 => Err(Refusal::BrokenPipe),
            done => Ok(done),
        }
    }

    fn consumed(&self, write: u64) -> u64 {
        if self.record.write == write { self.record.consumed } else { 0 }
    }

    fn is_open(&self, end: End) -> bool {
        match end {
            End::Read => self.record.readable,
            End::Write => self.record.writable,
        }
    }
}
