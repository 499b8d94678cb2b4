//! A range of device registers, reached by loads and stores of their own width.

/// Registers, named by their byte offset. An offset beyond the range, or not a multiple of the width, is a mistake of
/// the driver's author: reads give all ones (as a device that is not there does), writes do nothing.
pub trait Registers {
    /// Bytes of the range.
    fn size(&self) -> usize;
    /// Loads 8 bits.
    fn read8(&self, at: usize) -> u8;
    /// Loads 16 bits.
    fn read16(&self, at: usize) -> u16;
    /// Loads 32 bits.
    fn read32(&self, at: usize) -> u32;
    /// Stores 8 bits.
    fn write8(&self, at: usize, value: u8);
    /// Stores 16 bits.
    fn write16(&self, at: usize, value: u16);
    /// Stores 32 bits.
    fn write32(&self, at: usize, value: u32);
}

impl<R: Registers + ?Sized> Registers for &R {
    fn size(&self) -> usize {
        (**self).size()
    }
    fn read8(&self, at: usize) -> u8 {
        (**self).read8(at)
    }
    fn read16(&self, at: usize) -> u16 {
        (**self).read16(at)
    }
    fn read32(&self, at: usize) -> u32 {
        (**self).read32(at)
    }
    fn write8(&self, at: usize, value: u8) {
        (**self).write8(at, value);
    }
    fn write16(&self, at: usize, value: u16) {
        (**self).write16(at, value);
    }
    fn write32(&self, at: usize, value: u32) {
        (**self).write32(at, value);
    }
}

/// Part of a range.
#[derive(Clone, Copy, Debug)]
pub struct Window<R> {
    registers: R,
    start: usize,
    size: usize,
}

impl<R: Registers> Window<R> {
    /// `size` bytes of `registers` from `start` on; `None` where they do not lie in it.
    pub fn new(registers: R, start: usize, size: usize) -> Option<Window<R>> {
        let fits = start.checked_add(size).is_some_and(|end| end <= registers.size());
        fits.then_some(Window { registers, start, size })
    }

    fn place(&self, at: usize, width: usize) -> usize {
        let inside = at.checked_add(width).is_some_and(|end| end <= self.size);
        if inside { self.start + at } else { usize::MAX }
    }
}

impl<R: Registers> Registers for Window<R> {
    fn size(&self) -> usize {
        self.size
    }
    fn read8(&self, at: usize) -> u8 {
        self.registers.read8(self.place(at, 1))
    }
    fn read16(&self, at: usize) -> u16 {
        self.registers.read16(self.place(at, 2))
    }
    fn read32(&self, at: usize) -> u32 {
        self.registers.read32(self.place(at, 4))
    }
    fn write8(&self, at: usize, value: u8) {
        self.registers.write8(self.place(at, 1), value);
    }
    fn write16(&self, at: usize, value: u16) {
        self.registers.write16(self.place(at, 2), value);
    }
    fn write32(&self, at: usize, value: u32) {
        self.registers.write32(self.place(at, 4), value);
    }
}

#[cfg(test)]
#[allow(missing_docs)]
pub mod fake {
    //! Registers that are memory, and remember every store.

    use super::Registers;
    use std::cell::RefCell;

    /// Plain memory that notes what is stored, in order, and lets a device react.
    pub struct Memory {
        pub bytes: RefCell<Vec<u8>>,
        pub stores: RefCell<Vec<(usize, u32)>>,
        /// Bits that a store can change, by 32-bit register; absent: all.
        pub masks: Vec<(usize, u32)>,
    }

    impl Memory {
        pub fn new(size: usize) -> Memory {
            Memory { bytes: RefCell::new(vec![0; size]), stores: RefCell::default(), masks: Vec::new() }
        }
        pub fn set32(&self, at: usize, value: u32) {
            self.bytes.borrow_mut()[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        fn load<const N: usize>(&self, at: usize) -> [u8; N] {
            let bytes = self.bytes.borrow();
            at.checked_add(N).and_then(|end| bytes.get(at..end)).and_then(|b| b.try_into().ok()).unwrap_or([0xff; N])
        }
        fn store(&self, at: usize, value: u32, width: usize) {
            self.stores.borrow_mut().push((at, value));
            let mut bytes = self.bytes.borrow_mut();
            let Some(place) = at.checked_add(width).and_then(|end| bytes.get_mut(at..end)) else { return };
            let old = place.to_vec();
            place.copy_from_slice(&value.to_le_bytes()[..width]);
            if let Some((_, mask)) = self.masks.iter().find(|(register, _)| *register == at) {
                for ((byte, old), mask) in place.iter_mut().zip(old).zip(mask.to_le_bytes()) {
                    *byte = *byte & mask | old & !mask;
                }
            }
        }
    }

    impl Registers for Memory {
        fn size(&self) -> usize {
            self.bytes.borrow().len()
        }
        fn read8(&self, at: usize) -> u8 {
            self.load::<1>(at)[0]
        }
        fn read16(&self, at: usize) -> u16 {
            u16::from_le_bytes(self.load(at))
        }
        fn read32(&self, at: usize) -> u32 {
            u32::from_le_bytes(self.load(at))
        }
        fn write8(&self, at: usize, value: u8) {
            self.store(at, value.into(), 1);
        }
        fn write16(&self, at: usize, value: u16) {
            self.store(at, value.into(), 2);
        }
        fn write32(&self, at: usize, value: u32) {
            self.store(at, value, 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_reaches_its_part_and_nothing_else() {
        let memory = fake::Memory::new(32);
        memory.set32(8, 0x1122_3344);
        memory.set32(16, 0x5566_7788);
        let window = Window::new(&memory, 8, 8).unwrap();
        assert_eq!((window.read32(0), window.read16(2), window.read8(3)), (0x1122_3344, 0x1122, 0x11));
        assert_eq!((window.read32(8), window.read32(6), window.read8(usize::MAX)), (u32::MAX, u32::MAX, 0xff));
        window.write32(8, 0);
        window.write32(4, 7);
        assert_eq!((memory.read32(16), memory.read32(12)), (0x5566_7788, 7));
    }

    #[test]
    fn a_window_beyond_its_range_is_refused() {
        let memory = fake::Memory::new(32);
        assert!(Window::new(&memory, 24, 8).is_some());
        assert!(Window::new(&memory, 24, 9).is_none());
        assert!(Window::new(&memory, usize::MAX, 2).is_none());
    }
}
