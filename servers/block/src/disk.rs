//! The device as the schedule sees it: requests in, results out, data to and from clients.

use crate::{
    attachment::{self, Attachment},
    clients::Clients,
    hal,
    mapped::Mapped,
    ring::{Bounce, Order, Ring},
};
use alloc::vec::Vec;
use block::{
    registers::Window,
    schedule::{Buffer, Device, Fault, Request, Start, Work},
    transport::Pci,
};

/// Bytes of a block.
pub const BLOCK: u64 = 512;
/// Most bytes of lent memory that one part of a request moves.
const LENT_MAX: u64 = 64 * 1024;
/// Most bytes of attached memory that one part of a request moves.
const ATTACHED_MAX: u64 = 1024 * 1024;

/// A part of a request that the device has.
struct Part {
    token: u16,
    request: Request,
    bounce: Option<Bounce>,
}

/// The disk.
pub struct Disk {
    pub(crate) transport: Pci<Window<Mapped>>,
    pub(crate) ring: Ring,
    pub(crate) clients: Clients,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) flushes: bool,
    parts: Vec<Part>,
    /// Flushes that a device without a cache has nothing to do for.
    idle_flushes: Vec<u16>,
}

/// Tokens of flushes that never reach the device; those of the queue are smaller.
const IDLE: u16 = 0x8000;

impl Disk {
    /// With nothing under way.
    pub fn new(transport: Pci<Window<Mapped>>, ring: Ring, attachment: Option<Attachment>, flushes: bool) -> Disk {
        let (parts, idle_flushes) = (Vec::new(), Vec::new());
        Disk { transport, ring, clients: Clients::default(), attachment, flushes, parts, idle_flushes }
    }

    fn begin_flush(&mut self, request: &Request) -> Start {
        if !self.flushes {
            let token = IDLE + self.idle_flushes.len() as u16;
            self.idle_flushes.push(token);
            return Start::Begun { token, blocks: 0 };
        }
        if !self.ring.has_room(0) {
            return Start::Full;
        }
        self.submit(Order::Flush, request, Vec::new(), None, 0)
    }

    fn begin_lent(&mut self, request: &Request, order: Order) -> Start {
        let length = ((request.count - request.done) * BLOCK).min(LENT_MAX);
        if !self.ring.has_room(1) {
            return Start::Full;
        }
        let Some(mut bounce) = Bounce::take(length as usize) else { return Start::Full };
        if order == Order::Out && !self.clients.fetch(request.call, request.done * BLOCK, bounce.bytes()) {
            return Start::Failed(Fault::BadLease);
        }
        let run = bounce.run();
        self.submit(order, request, alloc::vec![run], Some(bounce), length / BLOCK)
    }

    fn begin_attached(&mut self, request: &Request, order: Order, offset: u64) -> Start {
        let length = ((request.count - request.done) * BLOCK).min(ATTACHED_MAX);
        let Some(at) = offset.checked_add(request.done * BLOCK) else { return Start::Failed(Fault::NotAttached) };
        let Some(runs) = hal::attached_runs(at, length) else { return Start::Failed(Fault::NotAttached) };
        if !self.ring.has_room(runs.len()) {
            return Start::Full;
        }
        let blocks = runs.iter().map(|(_, length)| *length as u64).sum::<u64>() / BLOCK;
        self.submit(order, request, runs, None, blocks)
    }

    fn submit(
        &mut self,
        order: Order,
        request: &Request,
        runs: Vec<(usize, usize)>,
        bounce: Option<Bounce>,
        blocks: u64,
    ) -> Start {
        let sector = request.block + request.done;
        match self.ring.submit(&mut self.transport, order, sector, runs) {
            Some(token) => {
                self.parts.push(Part { token, request: *request, bounce });
                Start::Begun { token, blocks }
            }
            // There was room, so the device cannot reach the memory.
            None => Start::Failed(Fault::Io),
        }
    }

    /// Brings what was read to the caller.
    fn deliver(&mut self, part: Part) -> Result<(), Fault> {
        match (part.request.work, part.bounce) {
            (Work::Read, Some(mut bounce)) => {
                let (call, offset) = (part.request.call, part.request.done * BLOCK);
                self.clients.deliver(call, offset, bounce.bytes()).then_some(()).ok_or(Fault::BadLease)
            }
            _ => Ok(()),
        }
    }
}

impl Device for Disk {
    type Memory = Attachment;

    fn begin(&mut self, request: &Request) -> Start {
        let order = match request.work {
            Work::Flush => return self.begin_flush(request),
            Work::Read => Order::In,
            Work::Write => Order::Out,
        };
        match request.buffer {
            Buffer::Lent => self.begin_lent(request, order),
            Buffer::Attached { offset, .. } => self.begin_attached(request, order, offset),
        }
    }

    fn finished(&mut self) -> Option<(u16, Result<(), Fault>)> {
        if let Some(token) = self.idle_flushes.pop() {
            return Some((token, Ok(())));
        }
        let (token, status) = self.ring.reap()?;
        let at = self.parts.iter().position(|part| part.token == token)?;
        let part = self.parts.swap_remove(at);
        let result = match status {
            0 => self.deliver(part),
            _ => Err(Fault::Io),
        };
        Some((token, result))
    }

    fn adopt(&mut self, memory: Attachment, epoch: u64) -> Result<(), Fault> {
        hal::attach(memory.memory()).map_err(|_| Fault::NotAttached)?;
        attachment::remember(&memory, epoch);
        // The one before is given up here: nothing under way uses it any more.
        self.attachment = Some(memory);
        Ok(())
    }
}
