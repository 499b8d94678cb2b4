//! What a Multiboot2 loader hands over (Multiboot2 Specification 2.0, section 3.6), copied out of its memory.
//!
//! The boot information is a list of tags: type and size, 32 bits each, then the content; each starts on a multiple of
//! 8. Of a tag that comes twice the first counts. Tags not named here (framebuffer, EFI system table, boot device) are
//! skipped: the console is the serial port, on every firmware.
//!
//! Invariants:
//! 1. Nothing outside of the boot information's own size is read for a tag, whatever the tag says of itself.
//! 2. The loader gives a copy of the ACPI root pointer, in memory that it calls RAM. The supervisor reads it later, so
//!    its pages are taken out of RAM here.

use kernel::machine::PhysRange;

use super::loader::{self, Handoff, MemoryMap};
use super::physical::Physical;
use super::ranges;

/// The fixed part: total size, reserved.
const HEADER: u64 = 8;
/// Most bytes of boot information that are read.
const MAX_SIZE: u32 = 1 << 20;
/// Bytes of the smallest entry of a memory map: start, size, type, reserved.
const MIN_MAP_ENTRY: u32 = 24;

/// The tags that are used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    End = 0,
    CommandLine = 1,
    Module = 3,
    MemoryMap = 6,
    OldRootPointer = 14,
    NewRootPointer = 15,
}

/// A tag's content.
#[derive(Clone, Copy)]
struct Tag<'m> {
    /// Where it is.
    at: u64,
    content: &'m [u8],
}

impl Tag<'_> {
    /// The 32-bit number at byte `at` of the content.
    fn u32(&self, at: usize) -> Option<u32> {
        self.content.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
    }
}

/// The list of tags.
struct Tags<'m, P> {
    memory: &'m P,
    at: u64,
    end: u64,
}

impl<'m, P: Physical> Tags<'m, P> {
    /// The first tag of this kind.
    fn find(&self, kind: Kind) -> Option<Tag<'m>> {
        let mut at = self.at;
        loop {
            let (found, size) = (self.memory.u32(at)?, u64::from(self.memory.u32(at + 4)?));
            let end = at + size;
            if size < HEADER || end > self.end || found == Kind::End as u32 {
                return None;
            }
            if found == kind as u32 {
                let content = self.memory.bytes(at + HEADER, (size - HEADER) as usize)?;
                return Some(Tag { at: at + HEADER, content });
            }
            at = end.next_multiple_of(8);
            if at + HEADER > self.end {
                return None;
            }
        }
    }
}

/// Reads the boot information at `info`. The error is a sentence for people.
pub fn read(memory: &impl Physical, info: u64) -> Result<Handoff, &'static str> {
    let unreadable = "the loader's boot information lies outside the first 4 GiB";
    let size = memory.u32(info).ok_or(unreadable)?;
    if !(2 * HEADER as u32..=MAX_SIZE).contains(&size) {
        return Err("the loader's boot information has no believable size");
    }
    memory.bytes(info, size as usize).ok_or(unreadable)?;
    let tags = Tags { memory, at: info + HEADER, end: info + u64::from(size) };
    let mut ram = memory_map(&tags)?.ram(memory)?;
    let root = [Kind::NewRootPointer, Kind::OldRootPointer].into_iter().find_map(|kind| tags.find(kind));
    let rsdp = root.filter(|tag| !tag.content.is_empty()).map_or(0, |tag| {
        let copy = PhysRange { start: tag.at, end: tag.at + tag.content.len() as u64 };
        ranges::subtract(&mut ram, ranges::outward(copy));
        tag.at
    });
    let cmdline = match tags.find(Kind::CommandLine) {
        Some(tag) => loader::cmdline(|n| tag.content.get(n).copied())?,
        None => Default::default(),
    };
    Ok(Handoff { ram, archive: archive(&tags)?, cmdline, rsdp })
}

/// Content: size and version of an entry (32 bits each), then the entries.
fn memory_map(tags: &Tags<'_, impl Physical>) -> Result<MemoryMap, &'static str> {
    let tag = tags.find(Kind::MemoryMap).ok_or("the loader gave no memory map")?;
    let stride = tag.u32(0).filter(|size| *size >= MIN_MAP_ENTRY);
    let stride = u64::from(stride.ok_or("the entries of the loader's memory map are too small")?);
    let bytes = (tag.content.len() as u64).saturating_sub(HEADER);
    Ok(MemoryMap { at: tag.at + HEADER, entries: bytes / stride, stride })
}

/// Content: start and end (32 bits each), then the module's command line.
fn archive(tags: &Tags<'_, impl Physical>) -> Result<PhysRange, &'static str> {
    let tag = tags.find(Kind::Module).ok_or("the loader gave no boot archive (with GRUB: module2 FILE)")?;
    let range = tag.u32(0).zip(tag.u32(4)).map(|(start, end)| PhysRange { start: start.into(), end: end.into() });
    loader::archive(range.ok_or("the loader's module tag is too short")?)
}
