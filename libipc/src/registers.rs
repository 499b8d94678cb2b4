//! Registers of devices, and words that must be stored in their order: mapped memory of which every access counts, once.
//!
//! Invariants:
//! 1. Accesses are volatile, aligned, and within the mapping.
//! 2. No reference to the registers is ever made.

use crate::memory::Mapping;
use crate::object::Memory;
use abi::SysError;

/// A device's registers, mapped as long as this lives.
#[derive(Debug)]
pub struct Registers(Mapping);

macro_rules! accesses {
    ($($type:ident $read:ident $write:ident),*) => { $(
        #[doc = concat!("Reads the `", stringify!($type), "` at byte `offset`; all ones where that is no place for one.")]
        #[inline]
        pub fn $read(&self, offset: usize) -> $type {
            match self.place(offset, size_of::<$type>()) {
                // SAFETY: aligned, and mapped readable while `self` lives; any bits are a value of the type.
                Some(address) => unsafe { core::ptr::with_exposed_provenance::<$type>(address).read_volatile() },
                None => $type::MAX,
            }
        }
        #[doc = concat!("Writes the `", stringify!($type), "` at byte `offset`; nothing where that is no place for one.")]
        #[inline]
        pub fn $write(&mut self, offset: usize, value: $type) {
            if let Some(address) = self.place(offset, size_of::<$type>()) {
                // SAFETY: aligned, and mapped writable while `self` lives; no reference to it exists (invariant 2).
                unsafe { core::ptr::with_exposed_provenance_mut::<$type>(address).write_volatile(value) }
            }
        }
    )* };
}

impl Registers {
    /// Maps all of `memory`; needs `READ` and `WRITE`.
    pub fn map(memory: Memory) -> Result<Registers, SysError> {
        memory.map(true).map(Registers)
    }
    /// Their first address.
    pub fn address(&self) -> u64 {
        self.0.address()
    }
    /// Their bytes.
    #[allow(clippy::len_without_is_empty, reason = "a mapping has at least a page")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
    #[inline]
    fn place(&self, offset: usize, size: usize) -> Option<usize> {
        let end = offset.checked_add(size)?;
        (offset.is_multiple_of(size) && end <= self.0.len()).then(|| self.0.address() as usize + offset)
    }
    accesses!(u8 read_u8 write_u8, u16 read_u16 write_u16, u32 read_u32 write_u32, u64 read_u64 write_u64);
}
