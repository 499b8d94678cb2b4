//! Pools: objects of one type in frames of one kind, named by [`Ref`].
//!
//! Invariants:
//! 1. A frame of kind `T::FRAME` holds a slab header and initialised values of `T`, from its first to its last moment
//!    in that kind. So a stale `Ref<T>` reaches a valid (if dead) `T` or stops the kernel, never another type.
//! 2. A slab page belongs to one [`SlabList`] (an account's), which has paid for it.
//! 3. There is one pool per type and kernel, so its borrow is the borrow of all objects of the type.

use super::{DirectMap, Frame, FrameKind, Mm};
use core::marker::PhantomData;
use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};

/// A type that lives in a pool.
pub trait Object: Sized {
    /// The kind of its frames: no other type's.
    const FRAME: FrameKind;
    /// A value for a slot that holds no object.
    fn vacant() -> Self;
}

/// Names an object of a pool: its physical address in units of 64 bytes.
#[repr(transparent)]
pub struct Ref<T>(NonZeroU32, PhantomData<fn() -> T>);

impl<T> Clone for Ref<T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ref<T> {}
impl<T> PartialEq for Ref<T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Ref<T> {}
impl<T> core::fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}@{:x}", core::any::type_name::<T>().rsplit(':').next().unwrap_or("?"), self.0.get() << 6)
    }
}

impl<T> Ref<T> {
    /// The number in a capability slot.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0.get()
    }
    /// Back from a capability slot.
    #[inline]
    pub fn from_raw(raw: u32) -> Option<Ref<T>> {
        Some(Ref(NonZeroU32::new(raw)?, PhantomData))
    }
    #[inline]
    fn frame(self) -> Frame {
        Frame(self.0.get() >> 6)
    }
    fn of(frame: Frame, offset: usize) -> Ref<T> {
        let raw = frame.0 << 6 | (offset / 64) as u32;
        Ref(NonZeroU32::new(raw).expect("frame 0 is never managed"), PhantomData)
    }
}

/// At the start of each slab page.
#[repr(C)]
struct Slab {
    next: Option<Frame>,
    prev: Option<Frame>,
    /// Bit n is set when slot n holds an object.
    used: u64,
}

const HEADER: usize = 64;

/// The slab pages of one type in one account, and what they cost.
#[derive(Clone, Copy, Default)]
pub struct SlabList {
    partial: Option<Frame>,
    full: Option<Frame>,
    /// Pages paid for.
    pub pages: u32,
    /// Objects in them.
    pub objects: u32,
}

impl SlabList {
    /// Whether the next object needs a further page.
    pub fn needs_page(&self) -> bool {
        self.partial.is_none()
    }
}

/// All objects of type `T`.
pub struct Pool<T> {
    direct: DirectMap,
    kinds: *const u8,
    limit: u32,
    _objects: PhantomData<T>,
}

impl<T: Object> Pool<T> {
    const STRIDE: usize = size_of::<T>().next_multiple_of(64);
    /// Objects in a page.
    pub const PER_PAGE: usize = (4096 - HEADER) / Self::STRIDE;
    const ALL: u64 = if Self::PER_PAGE >= 64 { u64::MAX } else { (1 << Self::PER_PAGE) - 1 };

    /// The pool of `T` in this memory.
    pub fn new(mm: &Mm) -> Pool<T> {
        const { assert!(Self::PER_PAGE > 0 && Self::PER_PAGE <= 64 && align_of::<T>() <= 64) };
        Pool { direct: mm.direct, kinds: mm.kinds(), limit: mm.kind_count(), _objects: PhantomData }
    }

    #[inline(always)]
    fn check(&self, frame: Frame) {
        // SAFETY: `kinds` points to `limit` bytes that live for ever and are written only through `Mm`, which no code
        //         borrows while this reads one byte.
        let ok = frame.0 < self.limit && unsafe { *self.kinds.add(frame.0 as usize) } == T::FRAME as u8;
        if !ok {
            stale::<T>(frame);
        }
    }

    #[inline(always)]
    fn slot(&self, name: Ref<T>) -> *mut T {
        self.check(name.frame());
        self.direct.address((name.0.get() as u64) << 6) as *mut T
    }

    fn slab(&mut self, frame: Frame) -> &mut Slab {
        self.check(frame);
        // SAFETY: 1. The frame is a slab page of this pool (checked), whose first 64 bytes are a `Slab`.
        //         2. Objects lie behind the header, so no `&T` overlaps it; `&mut self` makes this the only one.
        unsafe { &mut *(self.direct.address(frame.address()) as *mut Slab) }
    }

    /// Turns `frame` (of kind `T::FRAME`, just taken) into an empty slab page of `list`.
    pub fn add_page(&mut self, list: &mut SlabList, frame: Frame) {
        self.check(frame);
        let start = self.direct.address(frame.address());
        for n in 0..Self::PER_PAGE {
            // SAFETY: the slot lies in the page behind the header, aligned to 64; the page was just taken, so nothing
            //         refers to it, and `write` drops nothing.
            unsafe { ((start + HEADER + n * Self::STRIDE) as *mut T).write(T::vacant()) }
        }
        // SAFETY: as above, for the header.
        unsafe { (start as *mut Slab).write(Slab { next: None, prev: None, used: 0 }) }
        self.link(&mut list.partial, frame);
        list.pages += 1;
    }

    fn link(&mut self, head: &mut Option<Frame>, frame: Frame) {
        let next = *head;
        let slab = self.slab(frame);
        (slab.next, slab.prev) = (next, None);
        if let Some(next) = next {
            self.slab(next).prev = Some(frame);
        }
        *head = Some(frame);
    }

    fn unlink(&mut self, head: &mut Option<Frame>, frame: Frame) {
        let (next, prev) = (self.slab(frame).next, self.slab(frame).prev);
        match prev {
            Some(prev) => self.slab(prev).next = next,
            None => *head = next,
        }
        if let Some(next) = next {
            self.slab(next).prev = prev;
        }
    }

    /// Puts `value` into a free slot of `list`. `None` if it needs a page first.
    pub fn insert(&mut self, list: &mut SlabList, value: T) -> Option<Ref<T>> {
        let frame = list.partial?;
        let slab = self.slab(frame);
        let n = (!slab.used).trailing_zeros() as usize;
        slab.used |= 1 << n;
        if slab.used == Self::ALL {
            self.unlink(&mut list.partial, frame);
            self.link(&mut list.full, frame);
        }
        list.objects += 1;
        let name = Ref::of(frame, HEADER + n * Self::STRIDE);
        self[name] = value;
        Some(name)
    }

    /// Takes an object out. Returns the slab page if it is empty now; it is no longer `list`'s.
    pub fn remove(&mut self, list: &mut SlabList, name: Ref<T>) -> Option<Frame> {
        let frame = name.frame();
        let n = Self::place(name);
        let slab = self.slab(frame);
        assert!(slab.used & 1 << n != 0, "{name:?} removed twice");
        let was_full = slab.used == Self::ALL;
        slab.used &= !(1 << n);
        let empty = slab.used == 0;
        self[name] = T::vacant();
        list.objects -= 1;
        if was_full {
            self.unlink(&mut list.full, frame);
            self.link(&mut list.partial, frame);
        }
        if !empty {
            return None;
        }
        self.unlink(&mut list.partial, frame);
        list.pages -= 1;
        Some(frame)
    }

    /// Two different objects at once; `None` if they are the same.
    #[inline(always)]
    pub fn pair(&mut self, a: Ref<T>, b: Ref<T>) -> Option<(&mut T, &mut T)> {
        if a == b {
            return None;
        }
        // SAFETY: as `index_mut` for each; different names are different slots (both are multiples of the stride
        //         behind a header), so the references do not overlap.
        Some(unsafe { (&mut *self.slot(a), &mut *self.slot(b)) })
    }

    /// Some object of `list`, `None` if it has none.
    pub fn any(&mut self, list: &SlabList) -> Option<Ref<T>> {
        let frame = list.full.or(list.partial)?;
        let n = self.slab(frame).used.trailing_zeros() as usize;
        (n < Self::PER_PAGE).then(|| Ref::of(frame, HEADER + n * Self::STRIDE))
    }

    /// The object of `list` that `for_each` visits after `name`; the first one after `None`.
    pub fn after(&mut self, list: &SlabList, name: Option<Ref<T>>) -> Option<Ref<T>> {
        let mut at = match name {
            Some(name) => Some((name.frame(), Self::place(name) as u32 + 1)),
            None => list.full.or(list.partial).map(|frame| (frame, 0)),
        };
        while let Some((frame, from)) = at {
            let Slab { next, used, .. } = *self.slab(frame);
            let rest = used.checked_shr(from).unwrap_or(0);
            if rest != 0 {
                return Some(Ref::of(frame, HEADER + (from + rest.trailing_zeros()) as usize * Self::STRIDE));
            }
            let behind_full = if used == Self::ALL { list.partial } else { None };
            at = next.or(behind_full).map(|frame| (frame, 0));
        }
        None
    }

    /// The place of an object in its page.
    fn place(name: Ref<T>) -> usize {
        ((name.0.get() & 63) as usize * 64 - HEADER) / Self::STRIDE
    }

    /// Calls `visit` with every object of `list`.
    pub fn for_each(&mut self, list: &SlabList, mut visit: impl FnMut(Ref<T>, &mut T)) {
        for head in [list.full, list.partial] {
            let mut next = head;
            while let Some(frame) = next {
                let slab = self.slab(frame);
                next = slab.next;
                let used = slab.used;
                for n in (0..Self::PER_PAGE).filter(|n| used & 1 << n != 0) {
                    let name = Ref::of(frame, HEADER + n * Self::STRIDE);
                    visit(name, &mut self[name]);
                }
            }
        }
    }
}

impl<T: Object> Index<Ref<T>> for Pool<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, name: Ref<T>) -> &T {
        // SAFETY: 1. The frame is of this pool's kind (checked in `slot`), so the address lies in the direct map.
        //         2. Names are made by `Ref::of` alone (or come back from `raw`), so the offset is that of a slot; and
        //            by invariant 1 every slot of the page holds an initialised `T`.
        //         3. `&self` borrows every object of the type (invariant 3), so no `&mut T` lives.
        unsafe { &*self.slot(name) }
    }
}

impl<T: Object> IndexMut<Ref<T>> for Pool<T> {
    #[inline(always)]
    fn index_mut(&mut self, name: Ref<T>) -> &mut T {
        // SAFETY: as `index`; `&mut self` makes it the only reference.
        unsafe { &mut *self.slot(name) }
    }
}

#[cold]
#[inline(never)]
fn stale<T>(frame: Frame) -> ! {
    panic!("{frame:?} holds no {}", core::any::type_name::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::PhysRange;

    #[derive(Debug, PartialEq)]
    struct Thing(u64, [u8; 300]);
    impl Object for Thing {
        const FRAME: FrameKind = FrameKind::Event;
        fn vacant() -> Self {
            Thing(0, [0; 300])
        }
    }

    fn world() -> (Mm, Pool<Thing>, SlabList) {
        let ranges = [PhysRange { start: 0x1000, end: 0x40000 }];
        let mm = Mm::new(DirectMap::buffer(0x40000), &ranges, PhysRange::default()).unwrap();
        let pool = Pool::new(&mm);
        (mm, pool, SlabList::default())
    }

    fn put(mm: &mut Mm, pool: &mut Pool<Thing>, list: &mut SlabList, value: u64) -> Ref<Thing> {
        if list.needs_page() {
            pool.add_page(list, mm.take_dirty(Thing::FRAME).unwrap());
        }
        pool.insert(list, Thing(value, [0; 300])).unwrap()
    }

    #[test]
    fn objects_keep_their_values_and_empty_pages_come_back() {
        let (mut mm, mut pool, mut list) = world();
        let free = mm.free_frames();
        let names: Vec<_> = (0..100).map(|n| put(&mut mm, &mut pool, &mut list, n)).collect();
        for (n, name) in names.iter().enumerate() {
            assert_eq!(pool[*name].0, n as u64);
        }
        let mut seen = 0;
        pool.for_each(&list, |_, thing| seen += thing.0);
        assert_eq!(seen, (0..100).sum());
        for name in names {
            if let Some(frame) = pool.remove(&mut list, name) {
                mm.release(frame);
            }
        }
        assert_eq!((list.pages, list.objects, mm.free_frames()), (0, 0, free));
        assert_eq!(pool.any(&list), None);
    }

    #[test]
    #[should_panic(expected = "holds no")]
    fn a_stale_name_of_a_retyped_frame_stops_the_kernel() {
        let (mut mm, mut pool, mut list) = world();
        let name = put(&mut mm, &mut pool, &mut list, 1);
        let frame = pool.remove(&mut list, name).unwrap();
        mm.release(frame);
        let _ = &pool[name];
    }

    #[test]
    #[should_panic(expected = "removed twice")]
    fn removing_twice_stops_the_kernel() {
        let (mut mm, mut pool, mut list) = world();
        let _keep = put(&mut mm, &mut pool, &mut list, 0);
        let name = put(&mut mm, &mut pool, &mut list, 1);
        pool.remove(&mut list, name);
        pool.remove(&mut list, name);
    }
}
