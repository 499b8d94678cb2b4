//! The heap: `talc` over memory objects that are mapped one after the other from a random place on. Their pages are
//! committed when first touched.
//!
//! Invariants:
//! 1. What lies between `start` and `next` belongs to the allocator; nobody else maps there.
//! 2. Growing allocates nothing.
//! 3. What is of several pages begins with one, so that the kernel, which copies page by page, finds both sides of a copy
//!    of it in step.
//! 4. The heap grows only by what the account can pay for when all of it is touched, as far as the account's figures
//!    tell. So a program learns of its end of memory by a refused allocation; the rest faults.

use crate::sys;
use abi::{Handle, PAGE_SIZE, Rights, layout};
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use talc::base::{Talc, binning::Binning};
use talc::{TalcLock, source::Source};

/// Pages of the first growth; each later one doubles, up to `MOST`.
const FIRST: u64 = 16;
/// Pages of the largest growth that is not for a single larger allocation.
const MOST: u64 = 256;

static ACCOUNT: AtomicU64 = AtomicU64::new(0);
static PROCESS: AtomicU64 = AtomicU64::new(0);

/// From so many bytes on an allocation begins with a page: what is left before it is little against it.
const PAGED: usize = 4 * PAGE_SIZE as usize;

#[global_allocator]
static HEAP: Heap = Heap(TalcLock::new(Growing::NEW));

struct Heap(TalcLock<Spin, Growing>);

/// The layout that the allocator is asked for (invariant 3).
#[inline]
fn placed(layout: Layout) -> Layout {
    match layout.size() < PAGED {
        true => layout,
        false => layout.align_to(PAGE_SIZE as usize).unwrap_or(layout),
    }
}

// SAFETY: what is passed on to the allocator differs from what the caller asked for in a larger alignment alone, and in
//         the same one for the same layout; of `realloc`, where both sizes are placed alike.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { self.0.alloc(placed(layout)) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises; it was allocated with the same layout.
        unsafe { self.0.dealloc(place, placed(layout)) }
    }
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if (layout.size() < PAGED) == (size < PAGED) {
            // SAFETY: as the caller promises; before and after the alignment is the same.
            return unsafe { self.0.realloc(place, placed(layout), size) };
        }
        // SAFETY: the caller promises that a layout of this size and alignment is in order.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both are as long as that, the new one is nobody else's, and the old one is no longer used after.
            unsafe {
                new.copy_from_nonoverlapping(place, layout.size().min(size));
                self.dealloc(place, layout);
            }
        }
        new
    }
}

/// Says what pays for the heap, and where it is mapped.
pub(super) fn set_account(account: Handle, process: Handle) {
    ACCOUNT.store(account.raw(), Ordering::Relaxed);
    PROCESS.store(process.raw(), Ordering::Relaxed);
}

/// Where the heap ends and by how much it grows.
#[derive(Debug)]
struct Growing {
    /// 0: nothing is mapped yet.
    start: u64,
    next: u64,
    step: u64,
    /// Pages of the account's memory that are not the heap's, once that is known.
    others: Option<u64>,
}

impl Growing {
    const NEW: Growing = Growing { start: 0, next: 0, step: FIRST, others: None };

    /// Whether the account can pay for `pages` more (invariant 4). Nothing is asked for a small first growth: the price
    /// of that question is felt where programs are short.
    fn is_affordable(&mut self, account: Handle, pages: u64) -> bool {
        let mapped = (self.next - self.start) / PAGE_SIZE;
        if mapped == 0 && pages <= FIRST {
            return true;
        }
        // An account that this program may not ask about: the kernel has the last word, page by page.
        let Ok(status) = sys::account_status(account) else { return true };
        // At the second growth the first is taken for touched: that is why there is a second.
        let others = *self.others.get_or_insert(status.memory.saturating_sub(mapped));
        let untouched = mapped.saturating_sub(status.memory.saturating_sub(others));
        let page_tables = pages / 512 + 3;
        status.limit.saturating_sub(status.used) >= untouched.saturating_add(pages).saturating_add(page_tables)
    }
    /// Maps `pages` more; returns their address.
    fn grow(&mut self, pages: u64) -> Option<u64> {
        let (account, process) = (ACCOUNT.load(Ordering::Relaxed), PROCESS.load(Ordering::Relaxed));
        if self.start == 0 {
            self.start = crate::memory::own_places().heap();
            self.next = self.start;
        }
        let address = self.next;
        let end = pages.checked_mul(PAGE_SIZE).and_then(|bytes| address.checked_add(bytes))?;
        let account = Handle::from_raw(account);
        if end > layout::HEAP_END || !self.is_affordable(account, pages) {
            return None;
        }
        let memory = sys::memory_create(account, pages, false).ok()?;
        let protection = Rights::READ | Rights::WRITE;
        let mapped = sys::memory_map(Handle::from_raw(process), memory, address, 0, pages, protection);
        // The mapping keeps the memory.
        let _ = sys::close(memory);
        mapped.ok()?;
        self.next = end;
        self.step = (self.step * 2).min(MOST);
        Some(address)
    }
}

// SAFETY: `acquire` reaches the allocator through `talc` alone and allocates nothing (invariant 2).
unsafe impl Source for Growing {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        // Room for the allocator's own words and for the alignment.
        let need = (layout.size() as u64).checked_add(layout.align() as u64 + 1024).ok_or(())?;
        let pages = need.div_ceil(PAGE_SIZE);
        let wish = pages.max(talc.source.step);
        let (address, pages) = match talc.source.grow(wish) {
            Some(address) => (address, wish),
            None => (talc.source.grow(pages).ok_or(())?, pages),
        };
        let base = core::ptr::with_exposed_provenance_mut(address as usize);
        // SAFETY: the range has just been mapped, readable and writable, zero, and is the allocator's (invariant 1).
        unsafe { talc.claim(base, (pages * PAGE_SIZE) as usize) }.map(drop).ok_or(())
    }
}

/// A lock that yields while it waits.
struct Spin(AtomicBool);

// SAFETY: `lock` returns only when this thread has changed `held` from false to true, and only `unlock` sets it to
//         false: one holder at a time.
unsafe impl lock_api::RawMutex for Spin {
    const INIT: Spin = Spin(AtomicBool::new(false));
    type GuardMarker = lock_api::GuardSend;
    #[inline]
    fn lock(&self) {
        while !self.try_lock() {
            sys::yield_now();
        }
    }
    #[inline]
    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }
    #[inline]
    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}
