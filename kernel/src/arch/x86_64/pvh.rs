//! What a PVH loader hands over (Xen's `arch-x86/hvm/start_info.h`), copied out of its memory.

use kernel::machine::PhysRange;

use super::loader::{self, Handoff, MemoryMap};
use super::physical::Physical;

/// First word of `hvm_start_info`.
const MAGIC: u32 = 0x336e_c578;
/// Bytes of a `hvm_memmap_table_entry`.
const MAP_ENTRY: u64 = 24;

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
    let byte = |n: usize| memory.bytes(cmdline.checked_add(n as u64)?, 1)?.first().copied();
    Ok(Handoff {
        ram: MemoryMap { at: map, entries: entries.into(), stride: MAP_ENTRY }.ram(memory)?,
        archive: archive(memory, modules, module_list)?,
        cmdline: if cmdline == 0 { Default::default() } else { loader::cmdline(byte)? },
        rsdp,
    })
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
    loader::archive(read().ok_or("the loader's module list cannot be read")?)
}
