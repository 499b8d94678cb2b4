//! Messages: call, post, receive, reply, forward, leases.

use super::{Frame, number, trap};
use crate::page;
use abi::{CallFlags, Handle, Message, MessageId, SysError, Sysno, Tag};

/// A message as the receiver gets it.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// The badge of the capability by which it was sent, or of a bound event.
    pub badge: u64,
    /// The reply token; [`MessageId::NONE`] unless a call.
    pub id: MessageId,
    /// Tag and words. Payload and capabilities are in the message page until the next system call.
    pub message: Message,
}

/// When a wait ends without result: nanoseconds of [`super::clock`]. `None` waits as long as the call allows.
pub type Deadline = Option<u64>;

/// A deadline that never comes, for a wait that a person may rightly keep up for ever.
pub const NEVER: Deadline = Some(u64::MAX);

#[inline(always)]
fn with(call: Sysno, deadline: Deadline, flags: CallFlags) -> u64 {
    match deadline {
        None => number(call, flags),
        Some(at) => {
            page::set_deadline(at);
            number(call, flags.union(CallFlags::DEADLINE))
        }
    }
}

#[inline(always)]
fn received(f: Frame) -> Result<Received, SysError> {
    SysError::check(f.rax)?;
    let message = Message { tag: Tag::from_raw(f.rsi), words: f.words };
    Ok(Received { badge: f.rdi, id: MessageId::from_raw(f.r15), message })
}

/// Sends a message to `queue` and waits for the reply, at most as long as the kernel's patience.
#[inline(always)]
pub fn call(queue: Handle, request: Message) -> Result<Message, SysError> {
    call_until(queue, request, None)
}

/// [`call`], giving up at `deadline`.
#[inline(always)]
pub fn call_until(queue: Handle, request: Message, deadline: Deadline) -> Result<Message, SysError> {
    call_with(queue, request, deadline, CallFlags::empty())
}

/// [`call_until`] that is delivered at most once: a server that dies of it answers `ServerDied`.
#[inline(always)]
pub fn call_once(queue: Handle, request: Message, deadline: Deadline) -> Result<Message, SysError> {
    call_with(queue, request, deadline, CallFlags::ONCE)
}

/// [`call_until`] with these flags.
#[inline(always)]
pub(crate) fn call_with(queue: Handle, m: Message, deadline: Deadline, flags: CallFlags) -> Result<Message, SysError> {
    let rax = with(Sysno::Call, deadline, flags);
    let f = trap::message(Frame { rax, rdi: queue.raw(), rsi: m.tag.raw(), r15: 0, words: m.words });
    page::clear_leases(m.tag.leases());
    SysError::check(f.rax)?;
    Ok(Message { tag: Tag::from_raw(f.rsi), words: f.words })
}

/// Puts tag and words into the ring of `queue` and does not wait.
#[inline(always)]
pub fn post(queue: Handle, m: Message) -> Result<(), SysError> {
    let rax = number(Sysno::Post, CallFlags::empty());
    SysError::check(trap::post(rax, queue.raw(), m.tag.raw(), m.words))
}

/// Waits for a message on `queue`.
#[inline(always)]
pub fn recv(queue: Handle, deadline: Deadline) -> Result<Received, SysError> {
    let rax = with(Sysno::Recv, deadline, CallFlags::empty());
    received(trap::receive(rax, queue.raw()))
}

/// Answers call `id`.
#[inline(always)]
pub fn reply(id: MessageId, m: Message) -> Result<(), SysError> {
    let rax = number(Sysno::Reply, CallFlags::empty());
    let f = trap::message(Frame { rax, rdi: 0, rsi: m.tag.raw(), r15: id.raw(), words: m.words });
    SysError::check(f.rax)
}

/// Answers call `id` and waits for the next message on `queue`.
#[inline(always)]
pub fn reply_recv(queue: Handle, id: MessageId, m: Message, deadline: Deadline) -> Result<Received, SysError> {
    let rax = with(Sysno::ReplyRecv, deadline, CallFlags::empty());
    received(trap::message(Frame { rax, rdi: queue.raw(), rsi: m.tag.raw(), r15: id.raw(), words: m.words }))
}

/// Passes call `id` on to `queue`, as it was sent.
#[inline(always)]
pub fn forward(id: MessageId, queue: Handle) -> Result<(), SysError> {
    let rax = number(Sysno::Forward, CallFlags::empty());
    SysError::check(trap::narrow(rax, queue.raw(), 0, id.raw(), [0; 4]).0)
}

/// Passes call `id` on to `to` and waits for the next message on `queue`.
#[inline(always)]
pub fn forward_recv(id: MessageId, to: Handle, queue: Handle, deadline: Deadline) -> Result<Received, SysError> {
    let rax = with(Sysno::ForwardRecv, deadline, CallFlags::empty());
    received(trap::forward(rax, to.raw(), queue.raw(), id.raw()))
}

/// Most bytes that one lease operation copies.
pub const LEASE_CHUNK: usize = 64 << 10;

/// One operation on lease `index` of call `id`, from its byte `offset` on: `length` bytes out of it to, or into it from,
/// the program's memory at `place`.
#[inline(always)]
fn lease_step(
    rax: u64,
    (id, index, offset): (MessageId, u32, u64),
    place: usize,
    length: usize,
) -> Result<(), SysError> {
    SysError::check(trap::copy(rax, index as u64, id.raw(), [offset, place as u64, length as u64]))
}

/// Copies out of lease `index` of call `id`, from its byte `offset` on. Nothing is asked of the kernel for no bytes.
#[inline]
pub fn lease_read(id: MessageId, index: u32, offset: u64, into: &mut [u8]) -> Result<(), SysError> {
    let rax = number(Sysno::LeaseRead, CallFlags::empty());
    let (mut offset, mut rest) = (offset, into);
    while rest.len() > LEASE_CHUNK {
        let (chunk, after) = rest.split_at_mut(LEASE_CHUNK);
        lease_step(rax, (id, index, offset), chunk.as_mut_ptr().expose_provenance(), LEASE_CHUNK)?;
        (offset, rest) = (offset.checked_add(LEASE_CHUNK as u64).ok_or(SysError::BadLease)?, after);
    }
    if rest.is_empty() {
        return Ok(());
    }
    lease_step(rax, (id, index, offset), rest.as_mut_ptr().expose_provenance(), rest.len())
}

/// Copies into lease `index` of call `id`, to its byte `offset` on. Nothing is asked of the kernel for no bytes.
#[inline]
pub fn lease_write(id: MessageId, index: u32, offset: u64, from: &[u8]) -> Result<(), SysError> {
    let rax = number(Sysno::LeaseWrite, CallFlags::empty());
    let (mut offset, mut rest) = (offset, from);
    while rest.len() > LEASE_CHUNK {
        let (chunk, after) = rest.split_at(LEASE_CHUNK);
        lease_step(rax, (id, index, offset), chunk.as_ptr().expose_provenance(), LEASE_CHUNK)?;
        (offset, rest) = (offset.checked_add(LEASE_CHUNK as u64).ok_or(SysError::BadLease)?, after);
    }
    if rest.is_empty() {
        return Ok(());
    }
    lease_step(rax, (id, index, offset), rest.as_ptr().expose_provenance(), rest.len())
}

/// Copies `length` bytes between leases of two calls, `(id, index, offset)` each.
pub fn lease_copy(from: (MessageId, u32, u64), to: (MessageId, u32, u64), length: u64) -> Result<(), SysError> {
    let rax = number(Sysno::LeaseCopy, CallFlags::empty());
    let mut done = 0;
    while done < length {
        let step = (length - done).min(LEASE_CHUNK as u64);
        let source = from.2.checked_add(done).ok_or(SysError::BadLease)?;
        let target = to.2.checked_add(done).ok_or(SysError::BadLease)?;
        let w = [source, target, step, to.0.raw(), to.1 as u64, 0, 0, 0];
        SysError::check(trap::wide(rax, 0, from.1 as u64, from.0.raw(), w).0)?;
        done += step;
    }
    Ok(())
}
