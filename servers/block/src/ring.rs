//! The virtqueue, and the requests that are in it.
//!
//! Always true:
//! 1. A request in the queue has a slot of its own, with header and status in DMA memory; the slot knows the same
//!    buffers until the device has given the request back.
//! 2. Memory of a request in the queue is touched by nobody here: slots give out neither header, nor status, nor data.
#![allow(unsafe_code)]

use crate::hal::{self, Machine};
use alloc::vec::Vec;
use block::{registers::Registers, segments::MAX_SEGMENTS, transport::Pci};
use virtio_drivers::{Error, queue::VirtQueue, transport::Transport};

/// Descriptors of the queue.
pub const SIZE: usize = 64;
/// Most requests in the queue: each takes two descriptors and one for each run of its data.
const SLOTS: usize = SIZE / 2;
/// Bytes of a slot in DMA memory: a header of 16, a status of 1.
const SLOT: usize = 32;
const HEADER: usize = 16;

/// What a request asks of the device (virtio 1.2, section 5.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the disk.
    In,
    /// To the disk.
    Out,
    /// Bring everything to the disk.
    Flush,
}

impl Order {
    const fn number(self) -> u32 {
        match self {
            Order::In => 0,
            Order::Out => 1,
            Order::Flush => 4,
        }
    }
}

/// A run of bytes: address and length.
pub type Run = (usize, usize);

struct Slot {
    token: u16,
    order: Order,
    runs: Vec<Run>,
}

/// Most buffers of a request in one direction: its runs, and header or status.
const BUFFERS: usize = MAX_SEGMENTS + 1;

/// The buffers of a request: what the device reads, and what it writes.
struct Buffers<'b> {
    inputs: [&'b [u8]; BUFFERS],
    outputs: [&'b mut [u8]; BUFFERS],
    /// How many there are of each.
    counts: [usize; 2],
}

/// The queue of the device.
pub struct Ring {
    queue: VirtQueue<Machine, SIZE>,
    /// Address of the slots' DMA memory.
    base: usize,
    slots: [Option<Slot>; SLOTS],
    /// Slots that are taken.
    busy: usize,
}

impl Ring {
    /// Makes the queue known to the device.
    pub fn new<R: Registers>(transport: &mut Pci<R>) -> Result<Ring, Error> {
        let queue = VirtQueue::new(transport, 0, false, false)?;
        let base = hal::take((SLOTS * SLOT).div_ceil(4096)).ok_or(Error::DmaError)?;
        Ok(Ring { queue, base, slots: [const { None }; SLOTS], busy: 0 })
    }

    /// Whether a request with so many runs fits in now.
    pub fn has_room(&self, runs: usize) -> bool {
        self.queue.available_desc() >= runs + 2 && self.busy < SLOTS
    }

    /// Puts a request into the queue and returns its token. `None`: there is no room, or a run cannot be reached by the
    /// device.
    pub fn submit<R: Registers>(
        &mut self,
        transport: &mut Pci<R>,
        order: Order,
        sector: u64,
        runs: Vec<Run>,
    ) -> Option<u16> {
        let fits = runs.len() <= MAX_SEGMENTS
            && runs.iter().all(|(at, length)| *length > 0 && hal::is_reachable(*at, *length));
        let index = self.slots.iter().position(Option::is_none).filter(|_| fits && self.has_room(runs.len()))?;
        self.prepare(index, order, sector);
        let Buffers { inputs, mut outputs, counts } = self.buffers(index, order, &runs);
        let (inputs, outputs) = (&inputs[..counts[0]], &mut outputs[..counts[1]]);
        // SAFETY: the buffers are mapped for good, or until the next attach, which waits for all requests before it;
        //         nothing touches them before `reap` has popped the token (invariant 2).
        let token = unsafe { self.queue.add(inputs, outputs) }.ok()?;
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(Slot { token, order, runs });
            self.busy += 1;
        }
        if self.queue.should_notify() {
            transport.notify(0);
        }
        Some(token)
    }

    /// Takes a request that the device has done out of the queue: its token and its status (0: done).
    pub fn reap(&mut self) -> Option<(u16, u8)> {
        let token = self.queue.peek_used()?;
        let held = |slot: &Option<Slot>| slot.as_ref().is_some_and(|s| s.token == token);
        // A device that gives back what it was not given has lost its mind: the driver starts anew, with a reset.
        let index = self.slots.iter().position(held).expect("the device gives back requests that it was given");
        let Slot { order, runs, .. } = self.slots.get_mut(index)?.take()?;
        self.busy -= 1;
        let Buffers { inputs, mut outputs, counts } = self.buffers(index, order, &runs);
        let (inputs, outputs) = (&inputs[..counts[0]], &mut outputs[..counts[1]]);
        // SAFETY: order and runs are those of `submit`, so the buffers are the same.
        let popped = unsafe { self.queue.pop_used(token, inputs, outputs) };
        popped.ok()?;
        let status = core::ptr::with_exposed_provenance::<u8>(self.base + index * SLOT + HEADER);
        // SAFETY: the slot lies in DMA memory that this ring has taken, and is free again.
        Some((token, unsafe { status.read_volatile() }))
    }

    /// Writes header and status of a free slot.
    fn prepare(&mut self, index: usize, order: Order, sector: u64) {
        let mut header = [0; HEADER + 1];
        header[..4].copy_from_slice(&order.number().to_le_bytes());
        header[8..16].copy_from_slice(&sector.to_le_bytes());
        // What no device writes, so that a status that was never written is not taken for success.
        header[HEADER] = u8::MAX;
        let place = core::ptr::with_exposed_provenance_mut::<u8>(self.base + index * SLOT);
        // SAFETY: the slot lies in DMA memory that this ring has taken, and is free: nobody uses it.
        unsafe { place.copy_from_nonoverlapping(header.as_ptr(), header.len()) };
    }

    /// The buffers of a request, of at most [`MAX_SEGMENTS`] runs.
    #[inline(always)]
    fn buffers<'b>(&self, index: usize, order: Order, runs: &[Run]) -> Buffers<'b> {
        let at = self.base + index * SLOT;
        let runs = &runs[..runs.len().min(MAX_SEGMENTS)];
        let mut inputs: [&[u8]; BUFFERS] = [&[]; BUFFERS];
        let mut outputs: [&mut [u8]; BUFFERS] = core::array::from_fn(|_| Default::default());
        let mut counts = [1, 1];
        inputs[0] = input((at, HEADER));
        match order {
            Order::Out => {
                inputs[1..].iter_mut().zip(runs).for_each(|(place, run)| *place = input(*run));
                counts[0] += runs.len();
            }
            Order::In => {
                outputs.iter_mut().zip(runs).for_each(|(place, run)| *place = output(*run));
                counts[1] += runs.len();
            }
            Order::Flush => {}
        }
        outputs[counts[1] - 1] = output((at + HEADER, 1));
        Buffers { inputs, outputs, counts }
    }
}

/// The bytes of a run that [`hal::is_reachable`].
fn input((at, length): Run) -> &'static [u8] {
    // SAFETY: mapped readable (`hal`, invariant 1) until after the request; no exclusive reference to it exists, since the
    //         only ones made here are of other runs (`hal`, invariant 2) or are gone when their request is.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(at), length) }
}

fn output((at, length): Run) -> &'static mut [u8] {
    // SAFETY: as in `input`; mapped writable, and a run belongs to one request at a time. Of attached memory two requests
    //         may name the same bytes; the references are never used to reach them, only their addresses are.
    unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(at), length) }
}

/// Pages of DMA memory for the data of a request, given back when dropped.
pub struct Bounce {
    at: usize,
    length: usize,
}

impl Bounce {
    /// Room for `length` bytes.
    pub fn take(length: usize) -> Option<Bounce> {
        hal::take(length.div_ceil(4096)).map(|at| Bounce { at, length })
    }

    /// As a run of a request.
    pub fn run(&self) -> Run {
        (self.at, self.length)
    }

    /// The bytes, of a request that is not in the queue.
    pub fn bytes(&mut self) -> &mut [u8] {
        output(self.run())
    }
}

impl Drop for Bounce {
    fn drop(&mut self) {
        hal::give(self.at, self.length.div_ceil(4096));
    }
}
