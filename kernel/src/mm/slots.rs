//! Pages of capability slots, by physical address.

use super::{DirectMap, Frame, FrameKind, Mm};
use crate::cap::Slot;
use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};

/// Slots in a page. The first one is the page's header and never holds a capability.
pub const SLOTS_PER_PAGE: u32 = 128;

/// Names a slot: its physical address in units of 32 bytes. Bit 31 is free for the tree's own use, so slots lie in the
/// first 64 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct SlotRef(NonZeroU32);

impl SlotRef {
    /// Slot `n` of the page in `frame`.
    #[inline]
    pub fn of(frame: Frame, n: u32) -> SlotRef {
        let raw = frame.0 << 7 | (n % SLOTS_PER_PAGE);
        SlotRef(NonZeroU32::new(raw).expect("frame 0 is never managed"))
    }
    /// As a link of the tree.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0.get()
    }
    /// From a link of the tree.
    #[inline]
    pub fn from_raw(raw: u32) -> Option<SlotRef> {
        NonZeroU32::new(raw).map(SlotRef)
    }
    /// Its page.
    #[inline]
    pub const fn frame(self) -> Frame {
        Frame(self.0.get() >> 7)
    }
    /// Its place in the page.
    #[inline]
    pub const fn position(self) -> u32 {
        self.0.get() % SLOTS_PER_PAGE
    }
}

/// All capability slots of the system.
pub struct Slots {
    direct: DirectMap,
    kinds: *const u8,
    limit: u32,
}

impl Slots {
    /// The slots in this memory.
    pub fn new(mm: &Mm) -> Slots {
        const { assert!(size_of::<Slot>() == 32 && align_of::<Slot>() <= 32) };
        Slots { direct: mm.direct, kinds: mm.kinds(), limit: mm.kind_count() }
    }

    #[inline(always)]
    fn address(&self, slot: SlotRef) -> *mut Slot {
        let frame = slot.frame();
        // SAFETY: `kinds` points to `limit` bytes that live for ever and are written only through `Mm`, which no code
        //         borrows while this reads one byte.
        let ok = frame.0 < self.limit && unsafe { *self.kinds.add(frame.0 as usize) } == FrameKind::CapTable as u8;
        assert!(ok, "{frame:?} holds no capability slots");
        self.direct.address((slot.raw() as u64) << 5) as *mut Slot
    }
}

impl Index<SlotRef> for Slots {
    type Output = Slot;
    #[inline(always)]
    fn index(&self, slot: SlotRef) -> &Slot {
        // SAFETY: 1. The frame is a page of slots (checked), inside the direct map. 2. The name's low bits select one
        //            of the 128 slots that fill the page. 3. The page was zeroed when it became one, and all zeroes is
        //            an empty `Slot`. 4. `&self` borrows all slots; there is one `Slots` per kernel.
        unsafe { &*self.address(slot) }
    }
}

impl IndexMut<SlotRef> for Slots {
    #[inline(always)]
    fn index_mut(&mut self, slot: SlotRef) -> &mut Slot {
        // SAFETY: as `index`; `&mut self` makes it the only reference.
        unsafe { &mut *self.address(slot) }
    }
}
