//! A ring of records of four words, in a run of frames of its own.
//!
//! Invariants:
//! 1. The record with number n lies at place n modulo the number of places, which is a power of two; the last ones are
//!    there, as many as there is room for.
//! 2. The run is the ring's until power-off: nobody else reaches its frames.

use super::{DirectMap, Frame, Mm};
use abi::PAGE_SIZE;

/// Words of a record.
const WORDS: usize = 4;
/// Records of a page.
const PER_PAGE: u64 = PAGE_SIZE / (8 * WORDS as u64);

/// The ring.
pub struct Ring {
    direct: DirectMap,
    /// Physical address of the run.
    start: u64,
    /// Places less one.
    mask: u64,
    /// Records ever.
    written: u64,
}

impl Ring {
    /// A ring with room for `room` records or some more. `None`: there are not so many frames in a row.
    pub fn new(mm: &mut Mm, room: u32) -> Option<Ring> {
        let places = u64::from(room).next_power_of_two().max(PER_PAGE);
        let first: Frame = mm.take_run((places / PER_PAGE) as usize)?;
        Some(Ring { direct: mm.direct, start: first.address(), mask: places - 1, written: 0 })
    }

    /// Records that it has room for.
    pub fn places(&self) -> u64 {
        self.mask + 1
    }

    /// Frames that it takes.
    pub fn pages(&self) -> u64 {
        self.places() / PER_PAGE
    }

    /// Records ever.
    pub fn written(&self) -> u64 {
        self.written
    }

    #[inline(always)]
    fn place(&self, n: u64) -> *mut [u64; WORDS] {
        (self.direct.address(self.start) as *mut [u64; WORDS]).wrapping_add((n & self.mask) as usize)
    }

    /// Adds a record; the oldest goes where there is no room.
    #[inline(always)]
    pub fn push(&mut self, record: [u64; WORDS]) {
        // SAFETY: 1. The place lies in the run: its number is masked to the places, which fill the run's frames, and
        //            these are in the direct map, aligned for words. 2. Nobody else reaches them (invariant 2), and
        //            `&mut self` makes this the only access.
        unsafe { self.place(self.written).write(record) }
        self.written += 1;
    }

    /// The record with number `n`: zeroes if there has been none yet, a later one if it was overwritten.
    pub fn get(&self, n: u64) -> [u64; WORDS] {
        // SAFETY: as `push`, which wrote it, or `take_run`, which zeroed it; `&self` keeps writers out.
        unsafe { self.place(n).read() }
    }
}
