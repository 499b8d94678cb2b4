//! Which request goes to the device when; when each is answered; and the fence.
//!
//! Always true:
//! 1. Of two requests that touch the same block, one of them writing, the one that came first is done before the other
//!    begins. So requests may be done out of order, and it cannot be told from doing them in order.
//! 2. A flush begins when every write that came before it is done, and covers them all.
//! 3. **The fence.** An attach is answered when every request that came before it is done on the device; of those, the
//!    ones of an earlier epoch that had not begun are refused instead. After it no request of an earlier epoch begins.
//! 4. Every request is answered once.
//!
//! # After the driver's own death
//! The kernel delivers the unanswered requests again, in their order, and they are simply done again: a read has no
//! effect; a write writes the same bytes, since its caller waits and leaves them alone until the answer; a flush
//! flushes more. That this is sound rests on two more things. The next incarnation resets the device before anything
//! else, so no request of the dead one is still under way when the first is done again. And a request whose caller has
//! died meanwhile is not delivered again; its client's next incarnation fences before it reads, so it finds each block
//! old or new, and it stays so.

use alloc::{collections::VecDeque, vec::Vec};

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Blocks beyond the end.
    OutOfRange,
    /// The device reported a failure.
    Io,
    /// The disk refuses writes.
    ReadOnly,
    /// No memory is attached, or the range lies outside of it.
    NotAttached,
    /// Of an epoch that is over.
    Superseded,
    /// The caller's memory cannot be reached.
    BadLease,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// From the disk.
    Read,
    /// To the disk.
    Write,
    /// Everything written before must survive a power cut.
    Flush,
}

/// Whose memory the data is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// Lent with the call.
    Lent,
    /// Attached, by a client of this epoch; from this byte on.
    Attached {
        /// The client's incarnation.
        epoch: u64,
        /// First byte.
        offset: u64,
    },
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The call that wants it.
    pub call: u64,
    /// What.
    pub work: Work,
    /// First block.
    pub block: u64,
    /// Number of blocks; 0 for a flush.
    pub count: u64,
    /// Where the data is.
    pub buffer: Buffer,
    /// Blocks that are done already.
    pub done: u64,
}

impl Request {
    fn end(&self) -> u64 {
        self.block + self.count
    }

    /// Whether it has to wait for one that came before it.
    fn waits_for(&self, earlier: &Request) -> bool {
        let writing = self.work == Work::Write || earlier.work == Work::Write;
        let overlapping = self.block < earlier.end() && earlier.block < self.end();
        let covered = self.work == Work::Flush && earlier.work == Work::Write;
        covered || (writing && overlapping)
    }

    fn is_of_epoch_before(&self, epoch: u64) -> bool {
        matches!(self.buffer, Buffer::Attached { epoch: own, .. } if own < epoch)
    }
}

/// What the device made of an attempt to begin a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It does `blocks` of it, and will name them by `token`.
    Begun {
        /// Name of the part, until it is finished.
        token: u16,
        /// Its blocks: all that are left, or fewer.
        blocks: u64,
    },
    /// It has no room now.
    Full,
    /// It will not.
    Failed(Fault),
}

/// The device, and the memory that data moves to and from.
pub trait Device {
    /// Memory that can be attached.
    type Memory;
    /// Begins as much of `request` as it can, after the blocks that are done.
    fn begin(&mut self, request: &Request) -> Start;
    /// A part that is finished: its token, and how it went.
    fn finished(&mut self) -> Option<(u16, Result<(), Fault>)>;
    /// Uses this memory from now on for [`Buffer::Attached`].
    fn adopt(&mut self, memory: Self::Memory, epoch: u64) -> Result<(), Fault>;
}

struct Flying {
    token: u16,
    blocks: u64,
    order: u64,
    request: Request,
}

struct Waiting {
    order: u64,
    request: Request,
}

struct Attach<M> {
    call: u64,
    order: u64,
    epoch: u64,
    memory: M,
}

/// The requests of all clients.
pub struct Schedule<M> {
    blocks: u64,
    read_only: bool,
    epoch: Option<u64>,
    arrived: u64,
    /// In the order of their arrival.
    waiting: VecDeque<Waiting>,
    flying: Vec<Flying>,
    attach: Option<Attach<M>>,
    /// Answers that are ready.
    answers: Vec<(u64, Result<(), Fault>)>,
}

impl<M> Schedule<M> {
    /// For a disk of `blocks`; `epoch` is of the memory that is attached already, if any is.
    pub fn new(blocks: u64, read_only: bool, epoch: Option<u64>) -> Schedule<M> {
        let (waiting, flying, answers) = (VecDeque::new(), Vec::new(), Vec::new());
        Schedule { blocks, read_only, epoch, arrived: 0, waiting, flying, attach: None, answers }
    }

    /// Takes a request, or says why not.
    pub fn submit(&mut self, request: Request) -> Result<(), Fault> {
        let inside = request.block.checked_add(request.count).is_some_and(|end| end <= self.blocks);
        if !inside {
            return Err(Fault::OutOfRange);
        }
        if request.work == Work::Write && self.read_only {
            return Err(Fault::ReadOnly);
        }
        if let Buffer::Attached { epoch, .. } = request.buffer {
            let current = self.attach.as_ref().map(|a| a.epoch).or(self.epoch).ok_or(Fault::NotAttached)?;
            if epoch < current {
                return Err(Fault::Superseded);
            }
            if epoch > current {
                return Err(Fault::NotAttached);
            }
        }
        let order = self.next();
        if request.count == 0 && request.work != Work::Flush {
            self.answers.push((request.call, Ok(())));
        } else {
            self.waiting.push_back(Waiting { order, request });
        }
        Ok(())
    }

    /// Call `call` attaches `memory` for `epoch`. It is answered when the fence stands.
    pub fn attach(&mut self, call: u64, memory: M, epoch: u64) -> Result<(), Fault> {
        let newest = self.attach.as_ref().map(|a| a.epoch).max(self.epoch);
        if newest.is_some_and(|newest| epoch < newest) {
            return Err(Fault::Superseded);
        }
        let order = self.next();
        if let Some(earlier) = self.attach.replace(Attach { call, order, epoch, memory }) {
            self.answers.push((earlier.call, Err(Fault::Superseded)));
        }
        let answers = &mut self.answers;
        self.waiting.retain(|w| {
            // A request that has been done in part goes on, so that the fence covers it as a whole.
            let over = w.request.is_of_epoch_before(epoch) && w.request.done == 0;
            if over {
                answers.push((w.request.call, Err(Fault::Superseded)));
            }
            !over
        });
        Ok(())
    }

    /// Moves everything on that can move; returns the answers that are due.
    pub fn advance(&mut self, device: &mut impl Device<Memory = M>) -> Vec<(u64, Result<(), Fault>)> {
        loop {
            let mut moved = self.finish(device);
            moved |= self.fence(device);
            moved |= self.begin(device);
            if !moved {
                return core::mem::take(&mut self.answers);
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.arrived += 1;
        self.arrived
    }

    fn finish(&mut self, device: &mut impl Device<Memory = M>) -> bool {
        let mut moved = false;
        while let Some((token, result)) = device.finished() {
            moved = true;
            let Some(at) = self.flying.iter().position(|f| f.token == token) else { continue };
            let Flying { blocks, order, mut request, .. } = self.flying.swap_remove(at);
            request.done += blocks;
            if result.is_ok() && request.done < request.count {
                let place = self.waiting.iter().position(|w| w.order > order).unwrap_or(self.waiting.len());
                self.waiting.insert(place, Waiting { order, request });
            } else {
                self.answers.push((request.call, result));
            }
        }
        moved
    }

    fn fence(&mut self, device: &mut impl Device<Memory = M>) -> bool {
        let Some(attach) = &self.attach else { return false };
        let before = |order: u64| order < attach.order;
        if self.flying.iter().any(|f| before(f.order)) || self.waiting.iter().any(|w| before(w.order)) {
            return false;
        }
        let Some(Attach { call, memory, epoch, .. }) = self.attach.take() else { return false };
        let adopted = device.adopt(memory, epoch);
        self.epoch = adopted.is_ok().then_some(epoch).or(self.epoch);
        self.answers.push((call, adopted));
        true
    }

    fn begin(&mut self, device: &mut impl Device<Memory = M>) -> bool {
        let mut moved = false;
        let mut at = 0;
        while let Some(Waiting { order, request }) = self.waiting.get(at) {
            if !self.may_begin(at, *order, request) {
                at += 1;
                continue;
            }
            let outcome = match self.epoch_fault(request) {
                Some(fault) => Start::Failed(fault),
                None => device.begin(request),
            };
            let (order, request) = (*order, *request);
            match outcome {
                Start::Full => break,
                Start::Begun { token, blocks } => self.flying.push(Flying { token, blocks, order, request }),
                Start::Failed(fault) => self.answers.push((request.call, Err(fault))),
            }
            self.waiting.remove(at);
            moved = true;
        }
        moved
    }

    /// Whether the request at place `at` may go to the device now.
    fn may_begin(&self, at: usize, order: u64, request: &Request) -> bool {
        let attached = matches!(request.buffer, Buffer::Attached { .. });
        let behind_fence = attached && self.attach.as_ref().is_some_and(|a| order > a.order);
        let earlier = self.waiting.iter().take(at).map(|w| &w.request);
        !behind_fence
            && !self.flying.iter().any(|f| f.order < order && request.waits_for(&f.request))
            && !earlier.into_iter().any(|e| request.waits_for(e))
    }

    /// A request for an attachment that failed to come about, or is over.
    fn epoch_fault(&self, request: &Request) -> Option<Fault> {
        match request.buffer {
            Buffer::Attached { epoch, .. } if request.done == 0 => match self.epoch {
                Some(current) if epoch == current => None,
                Some(current) if epoch < current => Some(Fault::Superseded),
                _ => Some(Fault::NotAttached),
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
