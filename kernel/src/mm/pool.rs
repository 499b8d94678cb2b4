//! Pools: objects of one type in slab pages, named by [`Ref`].
//!
//! Invariants:
//! 1. A mapped page of the window's part for `T` holds a slab header and initialised values of `T`. So a stale `Ref<T>`
//!    reaches a valid (if dead) `T` or stops the kernel, never another type.
//! 2. A slab page belongs to one [`SlabList`] (an account's), which has paid for it.
//! 3. There is one pool per type and kernel, so its borrow is the borrow of all objects of the type.

use super::window::Window;
use super::{Frame, FrameKind, Mm};
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

/// Names an object of a pool: the low half of its address in the window.
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
        write!(f, "{}@{:x}", core::any::type_name::<T>().rsplit(':').next().unwrap_or("?"), self.0)
    }
}

impl<T> Ref<T> {
    /// Names no object: the kernel stops where it is used. It is the first page of the kernel's image, which is linked
    /// above it and so not mapped.
    pub const NOWHERE: Ref<T> = Ref(NonZeroU32::MIN.saturating_add(0x7fff_ffff), PhantomData);
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
    /// The object `offset` bytes into a page.
    fn of(page: Page, offset: usize) -> Ref<T> {
        Ref(page.0 | offset as u32, PhantomData)
    }
    /// The slab page that it is in.
    fn page(self) -> Page {
        Page(NonZeroU32::new(self.0.get() & !0xfff).expect("the window does not begin at 0"))
    }
}

/// A slab page: the low half of its address in the window.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Page(NonZeroU32);

/// At the start of each slab page.
#[repr(C)]
struct Slab {
    next: Option<Page>,
    prev: Option<Page>,
    /// Bit n is set when slot n holds an object.
    used: u64,
}

const HEADER: usize = 64;

/// The slab pages of one type in one account, and what they cost.
#[derive(Clone, Copy, Default)]
pub struct SlabList {
    partial: Option<Page>,
    full: Option<Page>,
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
    window: Window,
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
        Pool { window: Window::new(T::FRAME, mm), _objects: PhantomData }
    }

    #[inline(always)]
    fn slot(&self, name: Ref<T>) -> *mut T {
        self.window.address(name.0.get()) as *mut T
    }

    fn slab(&mut self, page: Page) -> &mut Slab {
        // SAFETY: 1. Pages are made by `add_page` alone: it is in the window's part for `T`, and where it is mapped, its
        //            first 64 bytes are a `Slab`; where it is not, the access faults and the kernel stops.
        //         2. Objects lie behind the header, so no `&T` overlaps it; `&mut self` makes this the only one.
        unsafe { &mut *(self.window.address(page.0.get()) as *mut Slab) }
    }

    /// Turns `frame` (of kind `T::FRAME`, just taken) into an empty slab page of `list`. `None`, and nothing is changed,
    /// when there is no room in the window.
    pub fn add_page(&mut self, mm: &mut Mm, list: &mut SlabList, frame: Frame) -> Option<()> {
        assert!(mm.is(frame, T::FRAME));
        let page = Page(NonZeroU32::new(self.window.map(mm, frame)?)?);
        let start = self.window.address(page.0.get());
        for n in 0..Self::PER_PAGE {
            // SAFETY: the slot lies in the page behind the header, aligned to 64; the page was just mapped, so nothing
            //         refers to it, and `write` drops nothing.
            unsafe { ((start + HEADER + n * Self::STRIDE) as *mut T).write(T::vacant()) }
        }
        // SAFETY: as above, for the header.
        unsafe { (start as *mut Slab).write(Slab { next: None, prev: None, used: 0 }) }
        self.link(&mut list.partial, page);
        list.pages += 1;
        Some(())
    }

    fn link(&mut self, head: &mut Option<Page>, page: Page) {
        let next = *head;
        let slab = self.slab(page);
        (slab.next, slab.prev) = (next, None);
        if let Some(next) = next {
            self.slab(next).prev = Some(page);
        }
        *head = Some(page);
    }

    fn unlink(&mut self, head: &mut Option<Page>, page: Page) {
        let (next, prev) = (self.slab(page).next, self.slab(page).prev);
        match prev {
            Some(prev) => self.slab(prev).next = next,
            None => *head = next,
        }
        if let Some(next) = next {
            self.slab(next).prev = prev;
        }
    }

    /// Takes a free slot of `list`, in which a vacant object is. `None` if it needs a page first.
    #[inline(always)]
    pub fn claim(&mut self, list: &mut SlabList) -> Option<Ref<T>> {
        let page = list.partial?;
        let slab = self.slab(page);
        let n = (!slab.used).trailing_zeros() as usize;
        slab.used |= 1 << n;
        if slab.used == Self::ALL {
            self.relink(&mut list.partial, &mut list.full, page);
        }
        list.objects += 1;
        Some(Ref::of(page, HEADER + n * Self::STRIDE))
    }

    /// Puts `value` into a free slot of `list`. `None` if it needs a page first.
    pub fn insert(&mut self, list: &mut SlabList, value: T) -> Option<Ref<T>> {
        let name = self.claim(list)?;
        self[name] = value;
        Some(name)
    }

    /// Takes an object out, where a vacant one is from then on. Returns the frame of its slab page if that is empty now, and no longer `list`'s.
    #[inline(always)]
    pub fn remove(&mut self, list: &mut SlabList, name: Ref<T>) -> Option<Frame> {
        let page = name.page();
        let n = Self::place(name);
        let slab = self.slab(page);
        assert!(slab.used & 1 << n != 0, "{name:?} removed twice");
        let was_full = slab.used == Self::ALL;
        slab.used &= !(1 << n);
        let empty = slab.used == 0;
        self[name] = T::vacant();
        list.objects -= 1;
        if was_full {
            self.relink(&mut list.full, &mut list.partial, page);
        }
        if empty { Some(self.give_up(list, page)) } else { None }
    }

    /// Takes an empty page out of `list`.
    #[cold]
    #[inline(never)]
    fn give_up(&mut self, list: &mut SlabList, page: Page) -> Frame {
        self.unlink(&mut list.partial, page);
        list.pages -= 1;
        self.window.unmap(page.0.get())
    }

    #[cold]
    #[inline(never)]
    fn relink(&mut self, from: &mut Option<Page>, to: &mut Option<Page>, page: Page) {
        self.unlink(from, page);
        self.link(to, page);
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
        let page = list.full.or(list.partial)?;
        let n = self.slab(page).used.trailing_zeros() as usize;
        (n < Self::PER_PAGE).then(|| Ref::of(page, HEADER + n * Self::STRIDE))
    }

    /// The object of `list` that `for_each` visits after `name`; the first one after `None`.
    pub fn after(&mut self, list: &SlabList, name: Option<Ref<T>>) -> Option<Ref<T>> {
        let mut at = match name {
            Some(name) => Some((name.page(), Self::place(name) as u32 + 1)),
            None => list.full.or(list.partial).map(|page| (page, 0)),
        };
        while let Some((page, from)) = at {
            let Slab { next, used, .. } = *self.slab(page);
            let rest = used.checked_shr(from).unwrap_or(0);
            if rest != 0 {
                return Some(Ref::of(page, HEADER + (from + rest.trailing_zeros()) as usize * Self::STRIDE));
            }
            let behind_full = if used == Self::ALL { list.partial } else { None };
            at = next.or(behind_full).map(|page| (page, 0));
        }
        None
    }

    /// The place of an object in its page.
    fn place(name: Ref<T>) -> usize {
        ((name.0.get() & 0xfff) as usize - HEADER) / Self::STRIDE
    }

    /// Calls `visit` with every object of `list`.
    pub fn for_each(&mut self, list: &SlabList, mut visit: impl FnMut(Ref<T>, &mut T)) {
        for head in [list.full, list.partial] {
            let mut next = head;
            while let Some(page) = next {
                let slab = self.slab(page);
                next = slab.next;
                let used = slab.used;
                for n in (0..Self::PER_PAGE).filter(|n| used & 1 << n != 0) {
                    let name = Ref::of(page, HEADER + n * Self::STRIDE);
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
        // SAFETY: 1. The name lies in the window's part for `T`: names are made by `Ref::of` alone (or come back from
        //            `raw`, whose callers go by the kind in the capability). Where its page is mapped, it is a slab
        //            page of `T` (window invariant 1); where it is not, the access faults, and the kernel stops.
        //         2. Its offset is that of a slot, and by invariant 1 every slot of the page holds an initialised `T`.
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
        let mm = Mm::new(crate::mm::DirectMap::buffer(0x40000), &ranges, PhysRange::default()).unwrap();
        let pool = Pool::new(&mm);
        (mm, pool, SlabList::default())
    }

    fn put(mm: &mut Mm, pool: &mut Pool<Thing>, list: &mut SlabList, value: u64) -> Ref<Thing> {
        if list.needs_page() {
            let frame = mm.take_dirty(Thing::FRAME).unwrap();
            pool.add_page(mm, list, frame).unwrap();
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
    #[should_panic(expected = "in no page of the window")]
    fn a_stale_name_in_a_page_that_is_gone_stops_the_kernel() {
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
