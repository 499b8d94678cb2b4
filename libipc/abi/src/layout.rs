//! Where things lie in a program's address space. The kernel fixes the user half and puts the image where it likes; the
//! rest is agreed between the loader of a program (a parent, or the kernel for the first one) and its runtime.
//!
//! Heap, mappings and threads begin at random within their parts: at steps of [`STEP`] that the [`Places`] of the
//! process name.

/// First address that a program may map: the first page is never mapped, so that null pointers fault.
pub const USER_START: u64 = 0x1000;
/// First address after the user half. One page short of the canonical limit, so that no instruction of a program ends
/// at it and returns to a non-canonical address (Intel SDM vol. 2, SYSRET).
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;

/// The lowest address of an image, and the first address after the highest.
pub const IMAGE_START: u64 = STEP;
/// See [`IMAGE_START`].
pub const IMAGE_END: u64 = HEAP_START;
/// Most bytes that an image takes in memory, from its lowest to its highest address.
pub const IMAGE_MAX: u64 = 1 << 32;

/// Where the part of the runtime's heap begins.
pub const HEAP_START: u64 = 0x0000_1000_0000_0000;
/// First address after the largest heap.
pub const HEAP_END: u64 = 0x0000_2000_0000_0000;
/// Where the part begins in which a program maps memory objects that it is handed or makes.
pub const MAP_START: u64 = 0x0000_2000_0000_0000;
/// First address after that.
pub const MAP_END: u64 = 0x0000_6000_0000_0000;
/// Where the part of the startup pages (arguments, names of the initial capabilities) begins.
pub const STARTUP: u64 = 0x0000_6000_0000_0000;

/// Where the part of the areas of threads begins.
pub const THREAD_AREAS: u64 = 0x0000_7000_0000_0000;
/// Bytes of one area, and its alignment: at its start the message page, then an unmapped guard page, then room for the
/// stack, which grows down from the area's end. So `rsp & !(THREAD_AREA - 1)` is the address of the message page.
pub const THREAD_AREA: u64 = 1 << 20;
/// Most bytes of stack in an area.
pub const STACK_MAX: u64 = THREAD_AREA - 2 * crate::PAGE_SIZE;

/// At multiples of this the parts begin: what one page table maps, so that it makes no difference to the number of page
/// tables where.
pub const STEP: u64 = 1 << 21;
/// Bits of each place: 4 TiB of a part.
const PLACE_BITS: u32 = 21;

/// Random bits that say where a process has its heap, its mappings, and its threads and startup pages: 21 bits for each,
/// none of which tells anything of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places(u64);

impl Places {
    /// What the first program's `rdi` has besides its places. Others have there the address of their startup pages, where
    /// their places are.
    pub const FIRST_PROGRAM: u64 = 1 << 63;

    /// By their bits. Bit 63 is not used.
    pub const fn from_raw(raw: u64) -> Places {
        Places(raw & !Self::FIRST_PROGRAM)
    }
    /// The bits.
    pub const fn raw(self) -> u64 {
        self.0
    }
    const fn place(self, number: u32) -> u64 {
        (self.0 >> (number * PLACE_BITS) & ((1 << PLACE_BITS) - 1)) * STEP
    }
    /// Where the heap begins.
    pub const fn heap(self) -> u64 {
        HEAP_START + self.place(0)
    }
    /// Where mappings begin.
    pub const fn maps(self) -> u64 {
        MAP_START + self.place(1)
    }
    /// Where the area of thread `number` of the process begins; the first thread has number 0.
    pub const fn thread_area(self, number: u64) -> u64 {
        THREAD_AREAS + self.place(2) + number * THREAD_AREA
    }
    /// Where startup pages are that have no room in the first thread's area.
    pub const fn startup(self) -> u64 {
        STARTUP + self.place(2)
    }
}

/// What the first program finds in its capability table: its own process, with all rights.
pub const INIT_SELF: crate::Handle = crate::Handle::new(1, 1);
/// The account that pays for everything but the kernel itself.
pub const INIT_ACCOUNT: crate::Handle = crate::Handle::new(2, 1);
/// The authority over the hardware.
pub const INIT_MACHINE: crate::Handle = crate::Handle::new(3, 1);
/// The memory of the boot archive: `READ`, `MAP` and `EXECUTE`.
pub const INIT_ARCHIVE: crate::Handle = crate::Handle::new(4, 1);
/// Memory that is zero at power-on and outlives the first program: `READ`, `WRITE` and `MAP`.
pub const INIT_RECORD: crate::Handle = crate::Handle::new(5, 1);
/// Its pages.
pub const INIT_RECORD_PAGES: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_places_lie_in_their_parts_with_room_behind_them() {
        for bits in [0, u64::MAX] {
            let places = Places::from_raw(bits);
            assert!((HEAP_START..HEAP_END - (1 << 42)).contains(&places.heap()));
            assert!((MAP_START..MAP_END - (1 << 42)).contains(&places.maps()));
            assert!((STARTUP..THREAD_AREAS - (1 << 42)).contains(&places.startup()));
            assert!(places.thread_area(0) >= THREAD_AREAS && places.thread_area(1 << 16) < USER_END);
            assert_eq!(places.thread_area(3) % THREAD_AREA, 0);
        }
    }

    #[test]
    fn each_bit_moves_one_place_only() {
        let of = |places: Places| [places.heap(), places.maps(), places.thread_area(0)];
        let usual = of(Places::default());
        for bit in 0..63 {
            let moved = of(Places::from_raw(1 << bit));
            assert_eq!((0..3).filter(|n| moved[*n] != usual[*n]).count(), 1, "bit {bit}");
        }
        assert_eq!(of(Places::from_raw(Places::FIRST_PROGRAM)), usual);
    }
}
