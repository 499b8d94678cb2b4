//! Memory that the device reaches: the DMA memory, and what a client has attached. This is what `virtio-drivers` knows
//! of the machine.
//!
//! Always true:
//! 1. Memory is known here only while it is mapped, readable and writable, and the driver's capability keeps its frames.
//! 2. A page of the DMA memory has one user: a queue, a request's header, or a request's data.
#![allow(unsafe_code)]

use block::{pool::Pool, segments::Pages};
use core::ptr::NonNull;
use libipc::{Mapping, Memory, PAGE_SIZE, SysError, lock::Lock};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

const PAGE: usize = PAGE_SIZE as usize;

/// Pages of the DMA memory that are not for requests: the first holds what outlives the driver.
const RESERVED: usize = 1;
/// Fewest pages that the queue, the requests' headers and the data of one request of the largest size fit in.
const FEWEST: u64 = 32;

struct Dma {
    mapping: Mapping,
    physical: u64,
    pool: Pool,
}

struct Attached {
    mapping: Mapping,
    memory: Memory,
    pages: Pages,
}

static DMA: Lock<Option<Dma>> = Lock::new(None);
static ATTACHED: Lock<Option<Attached>> = Lock::new(None);

/// Why memory cannot be used for DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The kernel refused something.
    Sys(SysError),
    /// It is not contiguous.
    Scattered,
    /// It has fewer pages than the driver needs.
    TooSmall,
}

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Unfit::Sys(error) => write!(f, "{error}"),
            Unfit::Scattered => f.write_str("it is not contiguous"),
            Unfit::TooSmall => write!(f, "it is smaller than {} KiB", FEWEST * PAGE_SIZE / 1024),
        }
    }
}

impl From<SysError> for Unfit {
    fn from(error: SysError) -> Unfit {
        Unfit::Sys(error)
    }
}

/// Maps the DMA memory. Its contents are as the predecessor left them.
pub fn open(memory: Memory) -> Result<(), Unfit> {
    let pages = memory.pages()?;
    if pages < FEWEST {
        return Err(Unfit::TooSmall);
    }
    let (physical, contiguous) = memory.physical(0)?;
    if contiguous < pages {
        return Err(Unfit::Scattered);
    }
    let pool = Pool::new(pages as usize, RESERVED);
    *DMA.lock() = Some(Dma { mapping: memory.map(true)?, physical, pool });
    Ok(())
}

/// Uses `memory` as the attached one from now on, instead of any other.
pub fn attach(memory: Memory) -> Result<(), SysError> {
    let pages = Pages::new(memory.pages()?);
    let mapping = memory.map(true)?;
    *ATTACHED.lock() = Some(Attached { mapping, memory, pages });
    Ok(())
}

/// Takes a run of DMA pages; the address of the first.
pub fn take(pages: usize) -> Option<usize> {
    let mut dma = DMA.lock();
    let dma = dma.as_mut()?;
    let first = dma.pool.take(pages)?;
    Some(dma.mapping.address() as usize + first * PAGE)
}

/// Gives a run back.
pub fn give(address: usize, pages: usize) {
    if let Some(dma) = DMA.lock().as_mut()
        && let Some(offset) = address.checked_sub(dma.mapping.address() as usize)
    {
        dma.pool.give(offset / PAGE, pages);
    }
}

/// The page of DMA memory that outlives the driver.
pub fn read_lasting(into: &mut [u8]) {
    if let Some(dma) = DMA.lock().as_ref() {
        // In bounds: it is shorter than a page.
        let _ = dma.mapping.read(0, into);
    }
}

/// Changes bytes of that page.
pub fn write_lasting(offset: usize, from: &[u8]) {
    if let Some(dma) = DMA.lock().as_mut() {
        // In bounds: it is shorter than a page.
        let _ = dma.mapping.write(offset, from);
    }
}

/// Addresses and lengths of the runs that `length` bytes of the attached memory from `offset` on consist of, or the first
/// of them. `None`: they lie outside.
pub fn attached_runs(offset: u64, length: u64) -> Option<alloc::vec::Vec<(usize, usize)>> {
    let mut attached = ATTACHED.lock();
    let Attached { mapping, memory, pages } = attached.as_mut()?;
    let runs = pages.runs(offset, length, |page| memory.physical(page))?;
    let mut at = mapping.address() as usize + offset as usize;
    let place = |length| {
        let start = at;
        at += length;
        (start, length)
    };
    Some(runs.into_iter().map(place).collect())
}

/// Whether the bytes lie in memory that the device reaches, wholly.
pub fn is_reachable(address: usize, length: usize) -> bool {
    physical(address, length).is_some()
}

fn physical(address: usize, length: usize) -> Option<u64> {
    let within = |mapping: &Mapping| {
        let offset = address.checked_sub(mapping.address() as usize)?;
        offset.checked_add(length).filter(|end| *end <= mapping.len()).map(|_| offset as u64)
    };
    if let Some(dma) = DMA.lock().as_ref()
        && let Some(offset) = within(&dma.mapping)
    {
        return Some(dma.physical + offset);
    }
    let attached = ATTACHED.lock();
    let attached = attached.as_ref()?;
    attached.pages.known(within(&attached.mapping)?)
}

/// The machine, for `virtio-drivers`.
#[derive(Debug)]
pub enum Machine {}

// SAFETY: 1. `dma_alloc` gives out pages that are mapped (invariant 1), aligned to a page, used by nobody else (invariant
//            2), and zeroed.
//         2. `mmio_phys_to_virt` is never called: the transport reaches registers by itself.
//         3. `share` gives the address at which the device finds the buffer; it is one that `ring` has made, which lies
//            in one physically contiguous run.
unsafe impl Hal for Machine {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let none = (0, NonNull::dangling());
        let Some(address) = take(pages) else { return none };
        let Some(pointer) = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(address)) else { return none };
        // SAFETY: the run has just been taken: it is mapped writable, `pages` long, and nobody else uses it.
        unsafe { pointer.write_bytes(0, pages * PAGE) };
        (physical(address, pages * PAGE).unwrap_or(0), pointer)
    }

    unsafe fn dma_dealloc(_: PhysAddr, pointer: NonNull<u8>, pages: usize) -> i32 {
        give(pointer.addr().get(), pages);
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        // `ring` has asked whether it is reachable. Should it not be: no RAM is at the top of the address space.
        physical(buffer.cast::<u8>().addr().get(), buffer.len()).unwrap_or(!0xfff)
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
