//! What a PVH loader hands over (Xen's `arch-x86/hvm/start_info.h`), copied out of its memory.
//!
//! Invariants:
//! 1. Nothing found here is believed to be in bounds: every read goes through [`Physical`].
//! 2. RAM is what the memory map calls RAM and calls nothing else besides.

use heapless::{String, Vec};
use kernel::machine::PhysRange;

use super::physical::Physical;
use super::ranges;

/// First word of `hvm_start_info`.
const MAGIC: u32 = 0x336e_c578;
/// `XEN_HVM_MEMMAP_TYPE_RAM`.
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

/// Reads the `hvm_start_info` at `info`. The error is a sentence for people.
pub fn read(memory: &impl Physical, info: u64) -> Result<Handoff, &'static str> {
    let unreadable = "the loader's start info lies outside the first 4 GiB";
    if memory.u32(info).ok_or(unreadable)? != MAGIC {
        return Err("the loader's start info has no PVH magic number");
    }
    let version = memory.u32(info + 4).ok_or(unreadable)?;
    let modules = memory.u32(info + 12).ok_or(unreadable)?;
    let module_list = memory.u64(info + 16).ok_or(unreadable)?;
    let cmdline = memory.u64(info + 24).ok_or(unreadable)?;
    let rsdp = memory.u64(info + 32).ok_or(unreadable)?;
    if version < 1 {
        return Err("the loader's start info is of version 0, which has no memory map");
    }
    let map = memory.u64(info + 40).ok_or(unreadable)?;
    let entries = memory.u32(info + 48).ok_or(unreadable)?;
    Ok(Handoff {
        ram: ram(memory, map, u64::from(entries)).ok_or("the loader's memory map cannot be read")?,
        archive: archive(memory, modules, module_list)?,
        cmdline: text(memory, cmdline)?,
        rsdp,
    })
}

/// The RAM in the `entries` entries of the map at `map`.
fn ram(memory: &impl Physical, map: u64, entries: u64) -> Option<Vec<PhysRange, 32>> {
    let mut ram = Vec::new();
    // Twice, so that what one entry calls RAM and another reserved ends up reserved, in whatever order they stand.
    for wanted in [true, false] {
        for index in 0..entries.min(MAX_ENTRIES) {
            let at = map.checked_add(index * 24)?;
            let start = memory.u64(at)?;
            let range = PhysRange { start, end: start.saturating_add(memory.u64(at + 8)?) };
            match (memory.u32(at + 16)? == TYPE_RAM, wanted) {
                (true, true) => ranges::add(&mut ram, range),
                (false, false) => ranges::subtract(&mut ram, range),
                _ => {}
            }
        }
    }
    Some(ram)
}

/// The first of `count` modules in the list at `list`.
fn archive(memory: &impl Physical, count: u32, list: u64) -> Result<PhysRange, &'static str> {
    if count == 0 {
        return Err("the loader gave no boot archive (with qemu: -initrd FILE)");
    }
    let read = || {
        let start = memory.u64(list)?;
        let size = memory.u64(list.checked_add(8)?)?;
        Some(PhysRange { start, end: start.checked_add(size)? })
    };
    match read() {
        Some(range) if range.start < range.end && range.start % ranges::PAGE == 0 => Ok(range),
        Some(range) if range.start < range.end => Err("the boot archive does not start on a page"),
        Some(_) => Err("the boot archive is empty"),
        None => Err("the loader's module list cannot be read"),
    }
}

/// The zero-terminated command line at `at`; 0 is an empty one.
fn text(memory: &impl Physical, at: u64) -> Result<String<{ abi::MAX_CMDLINE }>, &'static str> {
    let mut text = String::new();
    if at == 0 {
        return Ok(text);
    }
    loop {
        let next = at.checked_add(text.len() as u64).and_then(|at| memory.bytes(at, 1));
        match next.ok_or("the command line cannot be read")? {
            [0] => return Ok(text),
            [byte @ b' '..=b'~'] => {
                text.push(char::from(*byte)).map_err(|_| "the command line is longer than 960 bytes")?;
            }
            _ => return Err("the command line has a byte that is no printable ASCII character"),
        }
    }
}
