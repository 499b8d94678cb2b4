//! Pages of capability slots, in their part of the window.

use super::window::Window;
use super::{Frame, FrameKind, Mm};
use crate::cap::Slot;
use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};

/// Slots in a page. The first one is the page's header and never holds a capability.
pub const SLOTS_PER_PAGE: u32 = 128;
/// Bytes of a slot.
const SIZE: u32 = 32;

/// Names a slot: the low half of its address in the window. Bit 0 is free for the tree's own use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct SlotRef(NonZeroU32);

impl SlotRef {
    /// Names no slot, as [`super::Ref::NOWHERE`] names no object.
    pub const NOWHERE: SlotRef = SlotRef(NonZeroU32::MIN.saturating_add(0x7fff_ffff));

    /// Slot `n` of its page.
    #[inline]
    pub fn sibling(self, n: u32) -> SlotRef {
        let first = NonZeroU32::new(self.0.get() & !0xfff).expect("the window does not begin at 0");
        SlotRef(first).nth(n)
    }
    /// Slot `n` of the page whose first slot this is.
    #[inline(always)]
    pub fn nth(self, n: u32) -> SlotRef {
        SlotRef(self.0 | (n % SLOTS_PER_PAGE * SIZE))
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
    /// Its place in the page.
    #[inline]
    pub const fn position(self) -> u32 {
        self.0.get() / SIZE % SLOTS_PER_PAGE
    }
}

/// All capability slots of the system.
pub struct Slots {
    window: Window,
}

impl Slots {
    /// The slots in this memory.
    pub fn new(mm: &Mm) -> Slots {
        const { assert!(size_of::<Slot>() == SIZE as usize && align_of::<Slot>() <= SIZE as usize) };
        Slots { window: Window::new(FrameKind::CapTable, mm) }
    }

    /// Makes `frame` (of kind `CapTable`, just taken, zeroes) a page of empty slots: its first slot. `None` when there
    /// is no room in the window.
    pub fn add_page(&mut self, mm: &mut Mm, frame: Frame) -> Option<SlotRef> {
        assert!(mm.is(frame, FrameKind::CapTable));
        SlotRef::from_raw(self.window.map(mm, frame)?)
    }

    /// Takes the page of `slot` out; its slots are empty. Returns its frame.
    pub fn remove_page(&mut self, slot: SlotRef) -> Frame {
        self.window.unmap(slot.sibling(0).raw())
    }

    /// The first slot of each page.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> std::vec::Vec<SlotRef> {
        self.window.mapped().filter_map(SlotRef::from_raw).collect()
    }

    #[inline(always)]
    fn address(&self, slot: SlotRef) -> *mut Slot {
        self.window.address(slot.raw()) as *mut Slot
    }
}

impl Index<SlotRef> for Slots {
    type Output = Slot;
    #[inline(always)]
    fn index(&self, slot: SlotRef) -> &Slot {
        // SAFETY: 1. The name lies in the window's part for slots: names come from `add_page` and `sibling` alone (or
        //            back from `raw`). Where its page is mapped, that is a page of slots (window invariant 1); where it
        //            is not, the access faults, and the kernel stops.
        //         2. The name is that of one of the 128 slots that fill the page. 3. The page was zeroed before it
        //            became one, and all zeroes is an empty `Slot`. 4. `&self` borrows all slots; there is one `Slots`
        //            for each kernel.
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
