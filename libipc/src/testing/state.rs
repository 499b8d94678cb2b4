//! The state of a system: objects, processes, calls; and the calls that are not about messages.

use super::objects::*;
use abi::{CapDescriptor, Handle, Kind, MessageId, Rights, SysError};
use std::collections::BTreeMap;
use std::vec::Vec;

/// Everything behind the lock.
#[derive(Debug, Default)]
pub(super) struct State {
    pub objects: Vec<Object>,
    pub processes: Vec<Process>,
    pub calls: BTreeMap<u64, Call>,
    pub next_id: u64,
}

impl State {
    pub fn add(&mut self, object: Object) -> ObjectId {
        self.objects.push(object);
        ObjectId(self.objects.len() - 1)
    }
    pub fn queue(&mut self, id: ObjectId) -> Result<&mut Queue, SysError> {
        match self.objects.get_mut(id.0) {
            Some(Object::Queue(queue)) => Ok(queue),
            _ => Err(SysError::WrongKind),
        }
    }
    pub fn event(&mut self, id: ObjectId) -> Result<&mut Event, SysError> {
        match self.objects.get_mut(id.0) {
            Some(Object::Event(event)) => Ok(event),
            _ => Err(SysError::WrongKind),
        }
    }
    /// The capability behind `handle` in the table of `process`, where it has `rights`.
    pub fn cap(&self, process: usize, handle: Handle, rights: Rights) -> Result<Cap, SysError> {
        let slot = (handle.index() as usize).checked_sub(1).and_then(|i| self.processes[process].table.get(i));
        let cap = slot.filter(|(generation, _)| *generation == handle.generation()).and_then(|(_, cap)| *cap);
        let cap = cap.ok_or(SysError::BadHandle)?;
        if cap.rights.contains(rights) { Ok(cap) } else { Err(SysError::MissingRights) }
    }
    /// Puts a capability into the table of `process`.
    pub fn install(&mut self, process: usize, cap: Cap) -> Handle {
        let table = &mut self.processes[process].table;
        let free = table.iter().position(|(_, cap)| cap.is_none());
        let index = free.unwrap_or_else(|| {
            table.push((1, None));
            table.len() - 1
        });
        table[index].1 = Some(cap);
        Handle::new(index as u32 + 1, table[index].0)
    }
    /// What a descriptor derives from the table of `process`.
    pub fn derive(&self, process: usize, d: CapDescriptor) -> Result<Cap, SysError> {
        let cap = self.cap(process, d.handle, Rights::empty())?;
        let mints = d.badge != 0;
        if mints && !cap.rights.contains(Rights::MINT) {
            return Err(SysError::MissingRights);
        }
        let rights = cap.rights & Rights::from_bits_truncate(d.rights as u16);
        Ok(Cap { rights, badge: if mints { d.badge } else { cap.badge }, granted: false, ..cap })
    }
    pub fn close(&mut self, process: usize, handle: Handle) -> Result<(), SysError> {
        self.cap(process, handle, Rights::empty())?;
        let slot = &mut self.processes[process].table[handle.index() as usize - 1];
        *slot = (slot.0 + 1, None);
        Ok(())
    }
    pub fn inspect(&self, process: usize, handle: Handle) -> Result<[u64; 4], SysError> {
        let cap = self.cap(process, handle, Rights::empty())?;
        let kind = match self.objects[cap.object.0] {
            Object::Queue(_) => Kind::Queue,
            Object::Event(_) => Kind::Event,
        };
        Ok([kind as u64, cap.rights.bits() as u64, cap.badge, 0])
    }
    /// Empties `process` for its next incarnation; calls that it had received go back to the head of their queues.
    pub fn reset(&mut self, process: usize) {
        let p = &mut self.processes[process];
        p.incarnation += 1;
        p.dead = false;
        self.plan_next(process);
        let p = &mut self.processes[process];
        for (generation, cap) in &mut p.table {
            if cap.is_some_and(|cap| !cap.granted) {
                *generation += 1;
                *cap = None;
            }
        }
    }
    /// Closes a queue and fails what waits in it.
    pub fn abandon(&mut self, id: ObjectId) {
        if let Ok(queue) = self.queue(id) {
            queue.closed = true;
            queue.calls.clear();
        }
        for call in self.calls.values_mut().filter(|call| call.queue == id && matches!(call.stage, Stage::Queued)) {
            call.stage = Stage::Failed(SysError::ServerDied);
        }
    }
    /// Makes the next death that is planned for `process` the one that it is to die.
    pub fn plan_next(&mut self, process: usize) {
        let p = &mut self.processes[process];
        p.dies_at = p.deaths.pop_front().map(|death| (p.calls_made + death.call, death.moment));
    }
    /// Ends `process`: what it had received goes back, what it had sent is gone.
    pub fn end(&mut self, process: usize) {
        self.processes[process].dead = true;
        let (mut back, mut gone) = (Vec::new(), Vec::new());
        for (id, call) in &mut self.calls {
            if call.caller == process {
                gone.push(*id);
            } else if matches!(call.stage, Stage::Received(p) if p == process) {
                call.attempt += 1;
                if call.once || call.attempt >= abi::MAX_ATTEMPTS {
                    call.stage = Stage::Failed(SysError::ServerDied);
                } else {
                    call.stage = Stage::Queued;
                    back.push((*id, call.queue));
                }
            }
        }
        for (id, queue) in back.into_iter().rev() {
            if let Ok(queue) = self.queue(queue) {
                queue.calls.push_front(MessageId::from_raw(id));
            }
        }
        for id in gone {
            self.calls.remove(&id);
        }
    }
}
