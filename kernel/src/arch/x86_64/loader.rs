//! What a loader hands over, whichever it is, and what all of them say in the same way.
//!
//! Invariants:
//! 1. Nothing found in a loader's memory is believed to be in bounds: every read goes through [`Physical`].
//! 2. RAM is what the memory map calls RAM and calls nothing else besides.

use heapless::{String, Vec};
use kernel::machine::PhysRange;

use super::physical::Physical;
use super::ranges;

/// RAM, in the memory maps of both (`XEN_HVM_MEMMAP_TYPE_RAM`, `MULTIBOOT_MEMORY_AVAILABLE`).
const TYPE_RAM: u32 = 1;
/// Most entries of a memory map that are read.
const MAX_ENTRIES: u64 = 256;

/// What the loader said.
#[derive(Debug, Default)]
pub struct Handoff {
    /// RAM, not page-aligned.
    pub ram: Vec<PhysRange, 32>,
    /// The first module.
    pub archive: PhysRange,
    /// The command line.
    pub cmdline: String<{ abi::MAX_CMDLINE }>,
    /// Address of the ACPI root pointer, or 0.
    pub rsdp: u64,
}

/// A memory map: each entry begins with its start and size (64 bits each) and its type (32 bits).
#[derive(Clone, Copy, Debug)]
pub struct MemoryMap {
    /// Address of the first entry.
    pub at: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes from one entry to the next.
    pub stride: u64,
}

impl MemoryMap {
    /// The RAM in it.
    pub fn ram(self, memory: &impl Physical) -> Result<Vec<PhysRange, 32>, &'static str> {
        self.read(memory).ok_or("the loader's memory map cannot be read")
    }

    fn read(self, memory: &impl Physical) -> Option<Vec<PhysRange, 32>> {
        let mut ram = Vec::new();
        // Twice, so that what one entry calls RAM and another reserved ends up reserved, in whatever order they stand.
        for wanted in [true, false] {
            for index in 0..self.entries.min(MAX_ENTRIES) {
                let at = self.at.checked_add(index.checked_mul(self.stride)?)?;
                let start = memory.u64(at)?;
                let range = PhysRange { start, end: start.saturating_add(memory.u64(at.checked_add(8)?)?) };
                match (memory.u32(at.checked_add(16)?)? == TYPE_RAM, wanted) {
                    (true, true) => ranges::add(&mut ram, range),
                    (false, false) => ranges::subtract(&mut ram, range),
                    _ => {}
                }
            }
        }
        Some(ram)
    }
}

/// The boot archive at this place, if it can be used there.
pub fn archive(range: PhysRange) -> Result<PhysRange, &'static str> {
    if range.start >= range.end {
        Err("the boot archive is empty")
    } else if !range.start.is_multiple_of(ranges::PAGE) {
        Err("the boot archive does not start on a page")
    } else {
        Ok(range)
    }
}

/// The zero-terminated command line whose byte number `n` is `byte(n)`.
pub fn cmdline(byte: impl Fn(usize) -> Option<u8>) -> Result<String<{ abi::MAX_CMDLINE }>, &'static str> {
    let mut text = String::new();
    loop {
        match byte(text.len()).ok_or("the command line cannot be read")? {
            0 => return Ok(text),
            byte @ b' '..=b'~' => {
                text.push(char::from(byte)).map_err(|_| "the command line is longer than 960 bytes")?;
            }
            _ => return Err("the command line has a byte that is no printable ASCII character"),
        }
    }
}
