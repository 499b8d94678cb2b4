//! ELF images: what the kernel accepts, and how it becomes an address space.
//!
//! Invariants:
//! 1. [`Image::parse`] refuses whatever it does not understand, with the defect, before anything is mapped.
//! 2. Segments are disjoint by page, inside the user half, inside the file, and never writable and executable.
//! 3. Read-only segments share the pages of the file's memory object; others are copied.

use crate::cap::Cap;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::mm::{Frame, Protection, Ref};
use crate::process::Process;
use crate::region::PageRange;
use crate::trouble::Trouble;
use abi::{ImageDefect, PAGE_SIZE, SysError, layout};
use heapless::Vec;
use xmas_elf::ElfFile;
use xmas_elf::header::{Class, Data, Header, HeaderPt2, Machine as ElfMachine, Type};
use xmas_elf::program::{ProgramHeader, Type as SegmentType};

/// Most loadable segments.
pub const MAX_SEGMENTS: usize = 16;
/// Longest image that is loaded: its pages are copied within one system call, 64 KiB at a time.
const PROGRAM_HEADER: u16 = 56;
/// Programs lie below the areas that their runtime lays out.
const IMAGE_END: u64 = layout::HEAP_START;

/// One loadable segment, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First address in memory.
    pub address: u64,
    /// Bytes in memory.
    pub memory_size: u64,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// How it is mapped.
    pub protection: Protection,
}

impl Segment {
    fn first_page(&self) -> u64 {
        self.address & !(PAGE_SIZE - 1)
    }
    fn end_page(&self) -> u64 {
        (self.address + self.memory_size).next_multiple_of(PAGE_SIZE)
    }
    fn pages(&self) -> u64 {
        (self.end_page() - self.first_page()) / PAGE_SIZE
    }
    /// Whether the pages of the file can be mapped as they are.
    fn is_shareable(&self) -> bool {
        !self.protection.contains(Protection::WRITE) && self.file_size == self.memory_size
    }
}

/// An image, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Where it starts.
    pub entry: u64,
    /// Its segments, ascending.
    pub segments: Vec<Segment, MAX_SEGMENTS>,
}

impl Image {
    /// Reads the headers of an image: `head` is the file's first page (or all of a shorter file), `length` the whole
    /// file's bytes.
    pub fn parse(head: &[u8], length: u64) -> Result<Image, ImageDefect> {
        if head.len() < 64 {
            return Err(ImageDefect::Truncated);
        }
        if !(head.as_ptr() as usize).is_multiple_of(8) {
            return Err(ImageDefect::NotElf);
        }
        let elf = ElfFile::new(head).map_err(|_| ImageDefect::NotElf)?;
        check_header(&elf.header, head.len() as u64, length)?;
        let mut segments: Vec<Segment, MAX_SEGMENTS> = Vec::new();
        for n in 0..elf.header.pt2.ph_count() {
            let header = elf.program_header(n).map_err(|_| ImageDefect::HeadersTooFar)?;
            if let Some(segment) = read_segment(&header, length)? {
                let overlaps = segments.last().is_some_and(|last| last.end_page() > segment.first_page());
                if overlaps {
                    return Err(ImageDefect::SegmentOverlap);
                }
                segments.push(segment).map_err(|_| ImageDefect::SegmentCount)?;
            }
        }
        if segments.is_empty() {
            return Err(ImageDefect::SegmentCount);
        }
        let entry = elf.header.pt2.entry_point();
        let holds = |s: &Segment| {
            s.protection.contains(Protection::EXECUTE) && (s.address..s.address + s.file_size).contains(&entry)
        };
        if !segments.iter().any(holds) {
            return Err(ImageDefect::BadEntry);
        }
        Ok(Image { entry, segments })
    }
}

/// The parser slices without checks of its own: everything that it would slice is checked here first.
fn check_header(header: &Header<'_>, head: u64, length: u64) -> Result<(), ImageDefect> {
    let fits = header.pt1.class() == Class::SixtyFour && header.pt1.data() == Data::LittleEndian;
    if !fits || !matches!(header.pt2, HeaderPt2::Header64(_)) || header.pt2.machine().as_machine() != ElfMachine::X86_64
    {
        return Err(ImageDefect::WrongMachine);
    }
    if header.pt2.type_().as_type() != Type::Executable {
        return Err(ImageDefect::NotExecutable);
    }
    let (offset, count) = (header.pt2.ph_offset(), header.pt2.ph_count());
    if count == 0 || header.pt2.ph_entry_size() != PROGRAM_HEADER {
        return Err(ImageDefect::SegmentCount);
    }
    let end = offset.checked_add(count as u64 * PROGRAM_HEADER as u64).ok_or(ImageDefect::HeadersTooFar)?;
    if end > length {
        return Err(ImageDefect::Truncated);
    }
    if offset < 64 || end > head || offset % 8 != 0 {
        return Err(ImageDefect::HeadersTooFar);
    }
    Ok(())
}

fn read_segment(header: &ProgramHeader<'_>, length: u64) -> Result<Option<Segment>, ImageDefect> {
    match header.get_type() {
        Ok(SegmentType::Load) if header.mem_size() > 0 => {}
        Ok(SegmentType::Interp | SegmentType::Dynamic | SegmentType::Tls) => return Err(ImageDefect::NeedsLinker),
        _ => return Ok(None),
    }
    let flags = header.flags();
    if flags.is_write() && flags.is_execute() {
        return Err(ImageDefect::WritableAndExecutable);
    }
    let (address, memory_size) = (header.virtual_addr(), header.mem_size());
    let (offset, file_size) = (header.offset(), header.file_size());
    let in_file = offset.checked_add(file_size).is_some_and(|end| end <= length) && file_size <= memory_size;
    if !in_file {
        return Err(ImageDefect::SegmentOutOfFile);
    }
    let in_user = address.checked_add(memory_size).is_some_and(|end| end <= IMAGE_END) && address >= layout::USER_START;
    if !in_user || memory_size > crate::memory::MAX_PAGES * PAGE_SIZE / 2 {
        return Err(ImageDefect::SegmentAddress);
    }
    let align = header.align();
    if align > 1 && !align.is_power_of_two() || address % PAGE_SIZE != offset % PAGE_SIZE {
        return Err(ImageDefect::SegmentAlignment);
    }
    let mut protection = Protection::empty();
    protection.set(Protection::WRITE, flags.is_write());
    protection.set(Protection::EXECUTE, flags.is_execute());
    Ok(Some(Segment { address, memory_size, offset, file_size, protection }))
}

impl<M: Machine> Kernel<M> {
    /// Loads the image at bytes `start..start + length` of `memory` into an empty process; returns its entry point.
    /// What was mapped before an error stays until the process is reset. What is shared is mapped through `through`, the
    /// capability to `memory`, where there is one.
    pub(crate) fn load(
        &mut self,
        process: Ref<Process>,
        memory: Ref<Memory>,
        through: Option<Cap>,
        start: u64,
        length: u64,
    ) -> Result<u64, Trouble> {
        let bytes = self.memories[memory].pages * PAGE_SIZE;
        let inside = start.checked_add(length).is_some_and(|end| end <= bytes) && start.is_multiple_of(PAGE_SIZE);
        if !inside {
            return Err(SysError::BadArgument.into());
        }
        if length < 64 {
            return Err(ImageDefect::Truncated.into());
        }
        let head = self.commit(memory, start / PAGE_SIZE)?;
        let head = self.mm.content(head).ok_or(SysError::BadArgument)?;
        let image = Image::parse(&self.mm.bytes(head)[..length.min(PAGE_SIZE) as usize], length)?;
        for segment in &image.segments {
            self.load_segment(process, memory, through, start / PAGE_SIZE, segment)?;
        }
        Ok(image.entry)
    }

    fn load_segment(
        &mut self,
        process: Ref<Process>,
        file: Ref<Memory>,
        through: Option<Cap>,
        base: u64,
        segment: &Segment,
    ) -> Result<(), Trouble> {
        let range = PageRange::claim(segment.first_page(), segment.pages())?;
        if segment.is_shareable() {
            let offset = base + segment.offset / PAGE_SIZE;
            match through {
                Some(cap) => self.map_through(cap, process, range, offset, segment.protection)?,
                None => drop(self.map(process, range, file, offset, segment.protection)?),
            }
            return Ok(());
        }
        let account = self.processes[process].account_ref();
        let private = self.create(account, Memory::anonymous(range.pages, account))?;
        if let Err(error) = self.map(process, range, private, 0, segment.protection) {
            self.memory_unreferenced(private);
            return Err(error.into());
        }
        self.copy_segment(file, base, private, segment)?;
        Ok(())
    }

    /// Copies the file's part of a segment page by page; the rest is zero by itself.
    fn copy_segment(
        &mut self,
        file: Ref<Memory>,
        base: u64,
        private: Ref<Memory>,
        segment: &Segment,
    ) -> Result<(), SysError> {
        let skew = segment.address % PAGE_SIZE;
        let mut done = 0;
        while done < segment.file_size {
            let at = skew + done;
            let step = (PAGE_SIZE - at % PAGE_SIZE).min(segment.file_size - done);
            let source = self.commit(file, base + (segment.offset + done) / PAGE_SIZE)?;
            let target = self.commit(private, at / PAGE_SIZE)?;
            let offset = (at % PAGE_SIZE) as usize;
            self.mm.copy(Frame::containing(source), offset, Frame::containing(target), offset, step as usize);
            done += step;
        }
        Ok(())
    }
}
