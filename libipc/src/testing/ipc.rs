//! Messages in the stand-in kernel.

use super::objects::*;
use super::state::State;
use super::trap;
use crate::sys::Frame;
use abi::{
    CallFlags, CapDescriptor, Delivery, Handle, LeaseAccess, LeaseDescriptor, Message, MessageId, Rights, SysError, Tag,
};
use std::vec::Vec;

impl State {
    /// Takes a call from the calling thread's registers and message page into its queue.
    pub fn send(&mut self, process: usize, f: &Frame, flags: CallFlags) -> Result<MessageId, SysError> {
        let cap = self.cap(process, Handle::from_raw(f.rdi), Rights::SEND)?;
        let tag = Tag::from_raw(f.rsi);
        if !tag.is_sendable() {
            return Err(SysError::BadArgument);
        }
        if self.queue(cap.object)?.closed {
            return Err(SysError::Closed);
        }
        let (payload, caps) = self.body(process, tag)?;
        let leases = trap::leases(tag.leases());
        for lease in &leases {
            self.resolve_origin(process, lease)?;
        }
        self.next_id += 1;
        let id = MessageId::from_raw(self.next_id);
        let call = Call {
            queue: cap.object,
            caller: process,
            badge: cap.badge,
            message: Message { tag, words: f.words },
            payload,
            caps,
            leases,
            attempt: 0,
            once: flags.contains(CallFlags::ONCE),
            stage: Stage::Queued,
        };
        self.calls.insert(id.raw(), call);
        self.queue(cap.object)?.calls.push_back(id);
        Ok(id)
    }

    fn body(&self, process: usize, tag: Tag) -> Result<(Vec<u8>, Vec<Cap>), SysError> {
        let caps = trap::caps(tag.caps()).into_iter().map(|d: CapDescriptor| self.derive(process, d));
        Ok((trap::payload(tag.payload()), caps.collect::<Result<_, _>>()?))
    }

    fn resolve_origin(&self, process: usize, lease: &LeaseDescriptor) -> Result<(), SysError> {
        if lease.of == 0 {
            return Ok(());
        }
        let origin = self.received(process, MessageId::from_raw(lease.of)).map_err(|_| SysError::BadLease)?;
        let end = lease.start.checked_add(lease.length).ok_or(SysError::BadLease)?;
        let within = origin.leases.get(lease.index as usize).is_some_and(|l| end <= l.length);
        if within { Ok(()) } else { Err(SysError::BadLease) }
    }

    /// The call `id`, where `process` has received it and not answered.
    fn received(&self, process: usize, id: MessageId) -> Result<&Call, SysError> {
        let call = self.calls.get(&id.raw()).ok_or(SysError::BadToken)?;
        if matches!(call.stage, Stage::Received(p) if p == process) { Ok(call) } else { Err(SysError::BadToken) }
    }

    /// What the caller of `id` gets, once it is answered.
    pub fn answer_of(&mut self, process: usize, id: MessageId) -> Option<Result<Message, SysError>> {
        match self.calls.get(&id.raw())?.stage {
            Stage::Answered(_) | Stage::Failed(_) => {}
            _ => return None,
        }
        match self.calls.remove(&id.raw())?.stage {
            Stage::Answered(answer) => {
                let handles: Vec<_> = answer.caps.into_iter().map(|cap| self.install(process, cap)).collect();
                trap::deliver(&answer.payload, &handles);
                Some(Ok(answer.message))
            }
            Stage::Failed(error) => Some(Err(error)),
            _ => None,
        }
    }

    /// Takes back a call whose deadline has passed.
    pub fn withdraw(&mut self, id: MessageId) -> SysError {
        match self.calls.remove(&id.raw()).map(|call| (call.stage, call.queue)) {
            Some((Stage::Queued, queue)) => {
                if let Ok(queue) = self.queue(queue) {
                    queue.calls.retain(|other| *other != id);
                }
                SysError::TimedOut
            }
            _ => SysError::OutcomeUnknown,
        }
    }

    /// The next message for `process` on the queue behind `handle`.
    pub fn next(&mut self, process: usize, handle: Handle) -> Result<Option<Frame>, SysError> {
        let cap = self.cap(process, handle, Rights::RECEIVE)?;
        for event in self.queue(cap.object)?.bound.clone() {
            let event = self.event(event)?;
            let bits = core::mem::take(&mut event.bits);
            if bits != 0 {
                let tag = Tag::default().delivered(Delivery::Event, 0);
                let mut words = [0; 8];
                words[0] = bits;
                return Ok(Some(Frame { rax: 0, rdi: event.badge, rsi: tag.raw(), r15: 0, words }));
            }
        }
        let queue = self.queue(cap.object)?;
        if let Some(id) = queue.calls.pop_front() {
            return Ok(Some(self.hand_over(process, id)));
        }
        if let Some((badge, m)) = queue.posts.pop_front() {
            let tag = m.tag.delivered(Delivery::Post, 0);
            return Ok(Some(Frame { rax: 0, rdi: badge, rsi: tag.raw(), r15: 0, words: m.words }));
        }
        if queue.closed { Err(SysError::Closed) } else { Ok(None) }
    }

    fn hand_over(&mut self, process: usize, id: MessageId) -> Frame {
        let Some(call) = self.calls.get_mut(&id.raw()) else { unreachable!("a queued call exists") };
        call.stage = Stage::Received(process);
        let (badge, m, payload) = (call.badge, call.message, call.payload.clone());
        let tag = m.tag.delivered(Delivery::Call, call.attempt);
        let caps = call.caps.clone();
        let handles: Vec<_> = caps.into_iter().map(|cap| self.install(process, cap)).collect();
        trap::deliver(&payload, &handles);
        Frame { rax: 0, rdi: badge, rsi: tag.raw(), r15: id.raw(), words: m.words }
    }

    pub fn reply(&mut self, process: usize, f: &Frame) -> Result<(), SysError> {
        let id = MessageId::from_raw(f.r15);
        self.received(process, id)?;
        let tag = Tag::from_raw(f.rsi);
        if !tag.is_sendable() || tag.leases() != 0 {
            return Err(SysError::BadArgument);
        }
        let (payload, caps) = self.body(process, tag)?;
        let answer = Answer { message: Message { tag, words: f.words }, payload, caps };
        if let Some(call) = self.calls.get_mut(&id.raw()) {
            call.stage = Stage::Answered(answer);
        }
        Ok(())
    }

    pub fn forward(&mut self, process: usize, id: MessageId, to: Handle) -> Result<(), SysError> {
        let cap = self.cap(process, to, Rights::SEND)?;
        self.received(process, id)?;
        if self.queue(cap.object)?.closed {
            return Err(SysError::Closed);
        }
        if let Some(call) = self.calls.get_mut(&id.raw()) {
            (call.stage, call.queue, call.badge) = (Stage::Queued, cap.object, cap.badge);
        }
        self.queue(cap.object)?.calls.push_back(id);
        Ok(())
    }

    pub fn post(&mut self, process: usize, f: &Frame) -> Result<(), SysError> {
        let cap = self.cap(process, Handle::from_raw(f.rdi), Rights::SEND)?;
        let tag = Tag::from_raw(f.rsi);
        if !tag.is_sendable() || tag.raw() & Tag::BODY_MASK != 0 || tag.leases() != 0 {
            return Err(SysError::BadArgument);
        }
        let queue = self.queue(cap.object)?;
        if queue.closed {
            return Err(SysError::Closed);
        }
        if queue.posts.len() >= queue.ring {
            return Err(SysError::WouldBlock);
        }
        queue.posts.push_back((cap.badge, Message { tag, words: f.words }));
        Ok(())
    }

    /// The address of `length` bytes from `offset` on in lease `index` of call `id`, where `process` may `access` them.
    pub fn lease(
        &self,
        process: usize,
        id: u64,
        index: u64,
        range: (u64, u64),
        access: LeaseAccess,
    ) -> Result<u64, SysError> {
        let call = self.received(process, MessageId::from_raw(id))?;
        let lease = call.leases.get(index as usize).ok_or(SysError::BadLease)?;
        let end = range.0.checked_add(range.1).ok_or(SysError::BadLease)?;
        if end > lease.length || lease.access & access.bits() == 0 {
            return Err(SysError::BadLease);
        }
        match lease.of {
            0 => Ok(lease.start + range.0),
            of => self.lease(call.caller, of, lease.index as u64, (lease.start + range.0, range.1), access),
        }
    }
}
