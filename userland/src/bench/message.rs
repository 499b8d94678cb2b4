//! Messages.

use libipc::abi::{Message, Tag};
use libipc::{OwnedHandle, Rights, page, sys};

use super::partner::ECHO;
use super::{Bench, Figure, Outcome, PRIORITY, during};

/// Rounds of what is short.
pub(super) const ROUNDS: u64 = 1000;
/// Bytes that are copied through a lease.
pub const LEASED: usize = 4096;

/// Reading the clock is the system call that does least.
pub fn null(bench: &Bench) -> Outcome<Figure> {
    let round = |_| {
        sys::clock();
        Ok(())
    };
    Ok(bench.rounds(ROUNDS, round)?.figure())
}

impl Bench {
    pub(super) fn queue(&self, ring: u64) -> Outcome<OwnedHandle> {
        self.account.create_queue(ring).map_err(during("queue"))
    }
}

/// A message with this operation and so many words that are not 0.
pub(super) fn request(operation: u16, words: u64) -> Message {
    let word = |n: usize| if (n as u64) < words { n as u64 + 7 } else { 0 };
    Message { tag: Tag::new(0, operation), words: core::array::from_fn(word) }
}

/// Calls `queue`, whose server sends back what it gets.
pub(super) fn echo(queue: &OwnedHandle, request: Message) -> Outcome<()> {
    let reply = sys::call(queue.handle(), request).map_err(during("call"))?;
    if reply.words == request.words { Ok(()) } else { Err("the answer is not what was sent".into()) }
}

/// Calls that are timed together, so that reading the counter does not weigh on what is short.
const TOGETHER: u64 = 16;

impl Bench {
    /// What one `exchange` costs that gives back the words of its message. Those are the next one's, so that all are seen.
    fn exchanges(&self, message: Message, mut exchange: impl FnMut(Message) -> Outcome<[u64; 8]>) -> Outcome<Figure> {
        let mut last = message;
        let samples = self.rounds(ROUNDS, |_| {
            for _ in 0..TOGETHER {
                last.words = exchange(last)?;
            }
            Ok(())
        })?;
        if last.words == message.words {
            Ok(samples.each(|cost| cost / TOGETHER).figure())
        } else {
            Err("the words did not come back".into())
        }
    }
}

/// A call, and its answer. The payload is in the message page already.
pub fn call(bench: &Bench, words: u64, payload: usize) -> Outcome<Figure> {
    let queue = bench.queue(0)?;
    let _partner = bench.partner("echo", PRIORITY, &[("queue", &queue, Rights::RECEIVE)])?;
    let mut message = request(ECHO, words);
    message.tag = message.tag.with_payload(payload);
    page::write_payload(0, &[0x5a; 1024][..payload]);
    bench.exchanges(message, |message| Ok(sys::call(queue.handle(), message).map_err(during("call"))?.words))
}

/// A call that the first server passes on to the second.
pub fn forward(bench: &Bench) -> Outcome<Figure> {
    let (first, second) = (bench.queue(0)?, bench.queue(0)?);
    let _second = bench.partner("echo", PRIORITY, &[("queue", &second, Rights::RECEIVE)])?;
    let grants = [("queue", &first, Rights::RECEIVE), ("next", &second, Rights::SEND)];
    let _first = bench.partner("forward", PRIORITY, &grants)?;
    let call = |message| Ok(sys::call(first.handle(), message).map_err(during("call"))?.words);
    bench.exchanges(request(ECHO, 8), call)
}

/// A message into the ring, and out of it.
pub fn post(bench: &Bench) -> Outcome<Figure> {
    let queue = bench.queue(4)?;
    bench.exchanges(request(ECHO, 8), |message| {
        sys::post(queue.handle(), message).map_err(during("post"))?;
        Ok(sys::recv(queue.handle(), None).map_err(during("receive"))?.message.words)
    })
}
