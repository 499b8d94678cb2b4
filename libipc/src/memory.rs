//! Memory objects mapped into the program itself.
//!
//! Invariants:
//! 1. Addresses between the start of this process's mappings ([`Places`]) and `MAP_END` are given out by `ADDRESSES` alone: a [`Mapping`] owns its range and
//!    gives it back when it is dropped, after the kernel has unmapped it.
//! 2. What is mapped is plain bytes. Where the same memory is mapped elsewhere too, what the bytes are is up to all who
//!    map it; [`Mapping::read`] and [`Mapping::write`] are for such memory.

use crate::lock::Lock;
use crate::object::{Memory, Process};
use crate::sys;
use abi::layout::{self, Places};
use abi::{Handle, PAGE_SIZE, Rights, SysError};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

static SELF: AtomicU64 = AtomicU64::new(0);
static PLACES: AtomicU64 = AtomicU64::new(0);
/// Ranges in use, ascending: first address, first address after.
static ADDRESSES: Lock<Vec<(u64, u64)>> = Lock::new(Vec::new());

/// Says which capability is the program's own process. The runtime does so from the startup pages.
pub fn set_own_process(process: Process) {
    SELF.store(process.handle().raw(), Ordering::Relaxed);
}

/// The program's own process.
pub fn own_process() -> Process {
    Process::new(Handle::from_raw(SELF.load(Ordering::Relaxed)))
}

/// Says where things lie in this process. The runtime does so before anything is mapped.
pub fn set_own_places(places: Places) {
    PLACES.store(places.raw(), Ordering::Relaxed);
}

/// Where things lie in this process.
pub fn own_places() -> Places {
    Places::from_raw(PLACES.load(Ordering::Relaxed))
}

#[inline(always)]
fn reserve(pages: u64) -> Result<u64, SysError> {
    let length = pages.checked_mul(PAGE_SIZE).filter(|l| *l > 0).ok_or(SysError::BadArgument)?;
    let mut used = ADDRESSES.lock();
    let mut start = own_places().maps();
    let mut index = 0;
    for (i, (first, end)) in used.iter().enumerate() {
        if first - start >= length {
            break;
        }
        start = *end;
        index = i + 1;
    }
    let end = start.checked_add(length).filter(|end| *end <= layout::MAP_END).ok_or(SysError::NoMemory)?;
    match index == used.len() {
        true => used.push((start, end)),
        false => used.insert(index, (start, end)),
    }
    Ok(start)
}

fn release(address: u64) {
    let mut used = ADDRESSES.lock();
    // What was mapped last is most often unmapped first.
    match used.last() {
        Some((first, _)) if *first == address => drop(used.pop()),
        _ => used.retain(|(first, _)| *first != address),
    }
}

/// Memory that is mapped as long as this lives.
#[derive(Debug)]
pub struct Mapping {
    address: u64,
    pages: u64,
    writable: bool,
}

impl Memory {
    /// Maps all of it into this program; `writable` needs `WRITE`.
    pub fn map(self, writable: bool) -> Result<Mapping, SysError> {
        self.map_range(0, self.pages()?, writable)
    }
    /// Maps `pages` of it, from page `first` on.
    pub fn map_range(self, first: u64, pages: u64, writable: bool) -> Result<Mapping, SysError> {
        let protection = if writable { Rights::READ | Rights::WRITE } else { Rights::READ };
        let address = reserve(pages)?;
        match sys::memory_map(own_process().handle(), self.handle(), address, first, pages, protection) {
            Ok(()) => Ok(Mapping { address, pages, writable }),
            Err(e) => {
                release(address);
                Err(e)
            }
        }
    }
}

impl Mapping {
    /// Its first address.
    pub fn address(&self) -> u64 {
        self.address
    }
    /// Its bytes.
    pub fn len(&self) -> usize {
        (self.pages * PAGE_SIZE) as usize
    }
    /// A mapping has at least a page.
    pub fn is_empty(&self) -> bool {
        false
    }
    fn pointer(&self) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.address as usize)
    }
    /// The bytes, of memory that nobody else writes meanwhile.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the range is mapped readable while `self` lives (invariant 1), any byte is a valid u8; nobody in this
        //         program writes it while it is borrowed, as every way to do so borrows `self` exclusively.
        unsafe { core::slice::from_raw_parts(self.pointer(), self.len()) }
    }
    /// The bytes to be changed, of memory that nobody else uses meanwhile; `None` where it is mapped read-only.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if !self.writable {
            return None;
        }
        // SAFETY: as in `bytes`; mapped writable, and `self` is borrowed exclusively.
        Some(unsafe { core::slice::from_raw_parts_mut(self.pointer(), self.len()) })
    }
    /// Keeps it mapped for good; the bytes belong to the caller. `None` where it is mapped read-only.
    pub fn leak(self) -> Option<&'static mut [u8]> {
        if !self.writable {
            return None;
        }
        let me = core::mem::ManuallyDrop::new(self);
        // SAFETY: as in `bytes_mut`; it is never unmapped, and nobody else has the `Mapping` any more.
        Some(unsafe { core::slice::from_raw_parts_mut(me.pointer(), me.len()) })
    }
    /// Copies out of memory that others may write meanwhile.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), SysError> {
        self.bound(offset, into.len())?;
        // SAFETY: in bounds of the mapping, which is readable; `into` is no part of it, as `bytes_mut` would have
        //         borrowed `self` exclusively.
        unsafe { self.pointer().add(offset).copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
        Ok(())
    }
    /// Copies into memory that others may use meanwhile.
    pub fn write(&mut self, offset: usize, from: &[u8]) -> Result<(), SysError> {
        self.bound(offset, from.len())?;
        if !self.writable {
            return Err(SysError::MissingRights);
        }
        // SAFETY: in bounds of the mapping, which is writable; `from` is no part of it, as `self` is borrowed exclusively.
        unsafe { self.pointer().add(offset).copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }
    fn bound(&self, offset: usize, length: usize) -> Result<(), SysError> {
        let end = offset.checked_add(length).filter(|end| *end <= self.len());
        end.map(drop).ok_or(SysError::BadAddress)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if sys::memory_unmap(own_process().handle(), self.address, self.pages).is_ok() {
            release(self.address);
        }
    }
}
