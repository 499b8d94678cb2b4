//! Device registers, mapped and shared by those who use parts of them.

use alloc::rc::Rc;
use block::registers::Registers;
use core::cell::RefCell;
use libipc::{Memory, SysError};

/// A mapped range of registers.
#[derive(Clone, Debug)]
pub struct Mapped(Rc<RefCell<libipc::registers::Registers>>);

impl Mapped {
    /// Maps all of `memory`.
    pub fn map(memory: Memory) -> Result<Mapped, SysError> {
        Ok(Mapped(Rc::new(RefCell::new(libipc::registers::Registers::map(memory)?))))
    }
}

impl Registers for Mapped {
    fn size(&self) -> usize {
        self.0.borrow().len()
    }
    fn read8(&self, at: usize) -> u8 {
        self.0.borrow().read_u8(at)
    }
    fn read16(&self, at: usize) -> u16 {
        self.0.borrow().read_u16(at)
    }
    fn read32(&self, at: usize) -> u32 {
        self.0.borrow().read_u32(at)
    }
    fn write8(&self, at: usize, value: u8) {
        self.0.borrow_mut().write_u8(at, value);
    }
    fn write16(&self, at: usize, value: u16) {
        self.0.borrow_mut().write_u16(at, value);
    }
    fn write32(&self, at: usize, value: u32) {
        self.0.borrow_mut().write_u32(at, value);
    }
}
