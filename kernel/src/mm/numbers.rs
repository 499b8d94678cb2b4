//! Numbers: the table by which a small number names an object of a pool, as message ids name threads.
//!
//! Invariants:
//! 1. The pages of the table follow one another in their part of the window, so an entry is one access.
//! 2. An entry below `count` holds the name of an object, or the next free number plus one (0 for none). Names lie in
//!    the upper half of 32 bits, so the two differ in the highest bit.
//! 3. Numbers are given out below `count` first, and the table never shrinks.

use super::window::{self, Window};
use super::{FrameKind, Mm, Ref};
use core::marker::PhantomData;

/// Entries in a page.
const PER_PAGE: u32 = 1024;
/// Low half of the table's first address.
const START: u32 = window::start(FrameKind::Numbers);

/// Objects of type `T` by number. There is one table in a kernel.
pub struct Numbers<T> {
    window: Window,
    pages: u32,
    /// Pages that are paid for and not yet used.
    reserve: u64,
    /// Numbers ever given.
    count: u16,
    /// First free number below `count`, plus one; 0 for none.
    free: u16,
    _objects: PhantomData<Ref<T>>,
}

impl<T> Numbers<T> {
    /// An empty table. `reserve`: pages that are paid for already.
    pub fn new(mm: &Mm, reserve: u64) -> Numbers<T> {
        let window = Window::new(FrameKind::Numbers, mm);
        Numbers { window, pages: 0, reserve, count: 0, free: 0, _objects: PhantomData }
    }
    /// Pages of the table.
    pub fn pages_used(&self) -> u64 {
        self.pages.into()
    }
    /// Pages that are paid for.
    pub fn pages_paid(&self) -> u64 {
        self.pages_used() + self.reserve
    }
    /// Numbers ever given: they are below this.
    pub fn count(&self) -> u16 {
        self.count
    }
    /// Whether the next number needs a further page.
    pub fn needs_page(&self) -> bool {
        self.free == 0 && u32::from(self.count) == self.pages * PER_PAGE
    }
    /// Whether that page is paid for.
    pub fn is_paid(&self) -> bool {
        self.reserve > 0
    }

    /// Adds a page. `None`, and nothing is changed, if there is none.
    pub fn add_page(&mut self, mm: &mut Mm) -> Option<()> {
        let frame = mm.take(FrameKind::Numbers)?;
        if self.window.map(mm, frame).is_none() {
            mm.release(frame);
            return None;
        }
        self.pages += 1;
        self.reserve = self.reserve.saturating_sub(1);
        Some(())
    }

    #[inline(always)]
    fn entry(&self, number: u16) -> *mut u32 {
        self.window.address(START + u32::from(number) * 4) as *mut u32
    }

    #[inline(always)]
    fn read(&self, number: u16) -> u32 {
        // SAFETY: callers ask below `count`, whose pages are mapped (invariants 1 and 3), zeroed at first, and written
        //         through this table alone.
        unsafe { self.entry(number).read() }
    }

    fn write(&mut self, number: u16, value: u32) {
        // SAFETY: as `read`; `&mut self` excludes every other access.
        unsafe { self.entry(number).write(value) }
    }

    /// Gives `name` a number. `None` when all 65,535 are given, or there is no page for it.
    pub fn give(&mut self, name: Ref<T>) -> Option<u16> {
        let number = match self.free {
            0 if self.count == u16::MAX || self.needs_page() => return None,
            0 => {
                self.count += 1;
                self.count - 1
            }
            free => {
                self.free = self.read(free - 1) as u16;
                free - 1
            }
        };
        self.write(number, name.raw());
        Some(number)
    }

    /// Takes a number back.
    pub fn take_back(&mut self, number: u16) {
        if self.get(number).is_some() {
            self.write(number, self.free.into());
            self.free = number + 1;
        }
    }

    /// The object with this number.
    #[inline(always)]
    pub fn get(&self, number: u16) -> Option<Ref<T>> {
        if number >= self.count {
            return None;
        }
        match self.read(number) {
            name @ 0x8000_0000.. => Ref::from_raw(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::PhysRange;
    use crate::mm::DirectMap;

    struct Thing;

    #[test]
    fn numbers_come_back_and_name_nothing_meanwhile() {
        let ranges = [PhysRange { start: 0x1000, end: 0x40000 }];
        let mut mm = Mm::new(DirectMap::buffer(0x40000), &ranges, PhysRange::default()).unwrap();
        let mut numbers = Numbers::<Thing>::new(&mm, 1);
        let name = |n: u32| Ref::from_raw(0x9000_0000 + n).unwrap();
        assert!(numbers.needs_page() && numbers.give(name(0)).is_none());
        numbers.add_page(&mut mm).unwrap();
        assert_eq!((numbers.pages_used(), numbers.pages_paid()), (1, 1));
        for n in 0..PER_PAGE {
            assert_eq!(numbers.give(name(n)), Some(n as u16));
        }
        assert!(numbers.needs_page());
        numbers.take_back(7);
        numbers.take_back(7);
        numbers.take_back(900);
        assert!(numbers.get(7).is_none() && numbers.get(900).is_none() && numbers.get(2000).is_none());
        assert_eq!((numbers.give(name(1)), numbers.give(name(2)), numbers.give(name(3))), (Some(900), Some(7), None));
        assert_eq!((numbers.get(900), numbers.get(7), numbers.get(8)), (Some(name(1)), Some(name(2)), Some(name(8))));
    }
}
