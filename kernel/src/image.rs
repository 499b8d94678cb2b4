//! ELF images: what the kernel accepts, and how it becomes an address space.
//!
//! Invariants:
//! 1. [`Image::parse`] refuses whatever it does not understand, with the defect, before anything is mapped.
//! 2. Segments are disjoint by page, below `IMAGE_MAX`, inside the file, and never writable and executable.
//! 3. Read-only segments share the pages of the file's memory object; others are copied, and they alone are relocated.
//! 4. What is relocated and then never written is mapped read-only from the beginning: relocation is done before the
//!    first instruction, through the direct map.

use crate::cap::Cap;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::mm::{Frame, Protection, Ref};
use crate::process::Process;
use crate::region::PageRange;
use crate::relocation::{self, Dynamic, MAX_DYNAMIC, Table};
use crate::trouble::Trouble;
use abi::layout::IMAGE_MAX;
use abi::{ImageDefect, PAGE_SIZE, SysError};
use core::ops::Range;
use heapless::Vec;
use xmas_elf::ElfFile;
use xmas_elf::header::{Class, Data, Header, HeaderPt2, Machine as ElfMachine, Type};
use xmas_elf::program::{ProgramHeader, Type as SegmentType};

/// Most loadable segments.
pub const MAX_SEGMENTS: usize = 16;
/// Bytes of a program header.
const PROGRAM_HEADER: u16 = 56;

/// One loadable segment, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First address in memory, of an image at 0.
    pub address: u64,
    /// Bytes in memory.
    pub memory_size: u64,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// How it is mapped.
    pub protection: Protection,
    /// Where words may begin that are relocated: the file's part of a segment that begins writable, else nothing.
    pub relocatable: Range<u64>,
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
        !self.begins_writable() && self.file_size == self.memory_size
    }
    /// Whether it is written before the first instruction, if not later.
    fn begins_writable(&self) -> bool {
        self.protection.contains(Protection::WRITE) || !self.relocatable.is_empty()
    }
}

/// An image, checked but for its relocations, which stand anywhere in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Where it starts, of an image at 0.
    pub entry: u64,
    /// Its segments, ascending.
    pub segments: Vec<Segment, MAX_SEGMENTS>,
    /// Bytes of the file that are its dynamic section.
    pub dynamic: Range<u64>,
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
        let mut image = Image { entry: elf.header.pt2.entry_point(), ..Image::default() };
        let mut read_only = None;
        for n in 0..elf.header.pt2.ph_count() {
            let header = elf.program_header(n).map_err(|_| ImageDefect::HeadersTooFar)?;
            match header.get_type() {
                Ok(SegmentType::Load) if header.mem_size() > 0 => image.add(read_segment(&header, length)?)?,
                Ok(SegmentType::Interp | SegmentType::Tls) => return Err(ImageDefect::NeedsLinker),
                Ok(SegmentType::Dynamic) => image.add_dynamic(&header, length)?,
                Ok(SegmentType::GnuRelro)
                    if read_only.replace((header.virtual_addr(), header.mem_size())).is_some() =>
                {
                    return Err(ImageDefect::RelocationProtection);
                }
                _ => {}
            }
        }
        if let Some((start, bytes)) = read_only {
            image.protect(start, bytes)?;
        }
        image.check_entry()?;
        Ok(image)
    }

    fn add(&mut self, segment: Segment) -> Result<(), ImageDefect> {
        if self.segments.last().is_some_and(|last| last.end_page() > segment.first_page()) {
            return Err(ImageDefect::SegmentOverlap);
        }
        self.segments.push(segment).map_err(|_| ImageDefect::SegmentCount)
    }

    fn add_dynamic(&mut self, header: &ProgramHeader<'_>, length: u64) -> Result<(), ImageDefect> {
        let (start, bytes) = (header.offset(), header.file_size());
        let end = start.checked_add(bytes).filter(|end| *end <= length).ok_or(ImageDefect::RelocationTable)?;
        let fits = bytes > 0 && bytes <= MAX_DYNAMIC as u64 * 8 && (start | bytes) % 8 == 0;
        if !fits || !self.dynamic.is_empty() {
            return Err(ImageDefect::RelocationTable);
        }
        self.dynamic = start..end;
        Ok(())
    }

    /// Takes from a segment the right to be written: that which has exactly these pages.
    fn protect(&mut self, start: u64, bytes: u64) -> Result<(), ImageDefect> {
        let end = start.checked_add(bytes).and_then(|end| end.checked_next_multiple_of(PAGE_SIZE));
        let is_whole = |s: &&mut Segment| {
            s.protection.contains(Protection::WRITE) && s.address == start && Some(s.end_page()) == end
        };
        let segment = self.segments.iter_mut().find(is_whole).ok_or(ImageDefect::RelocationProtection)?;
        segment.protection -= Protection::WRITE;
        Ok(())
    }

    fn check_entry(&self) -> Result<(), ImageDefect> {
        if self.segments.is_empty() {
            return Err(ImageDefect::SegmentCount);
        }
        let holds = |s: &Segment| {
            s.protection.contains(Protection::EXECUTE) && (s.address..s.address + s.file_size).contains(&self.entry)
        };
        self.segments.iter().any(holds).then_some(()).ok_or(ImageDefect::BadEntry)
    }

    /// First address after it, of an image at 0.
    fn end(&self) -> u64 {
        self.segments.last().map_or(0, Segment::end_page)
    }

    /// Where in the file the bytes at an address are, of an image at 0.
    fn in_file(&self, address: u64, bytes: u64) -> Option<u64> {
        let end = address.checked_add(bytes)?;
        let segment = self.segments.iter().find(|s| s.address <= address && end <= s.address + s.file_size)?;
        Some(segment.offset + (address - segment.address))
    }
}

/// The parser slices without checks of its own: everything that it would slice is checked here first.
fn check_header(header: &Header<'_>, head: u64, length: u64) -> Result<(), ImageDefect> {
    let fits = header.pt1.class() == Class::SixtyFour && header.pt1.data() == Data::LittleEndian;
    if !fits || !matches!(header.pt2, HeaderPt2::Header64(_)) || header.pt2.machine().as_machine() != ElfMachine::X86_64
    {
        return Err(ImageDefect::WrongMachine);
    }
    if header.pt2.type_().as_type() != Type::SharedObject {
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

fn read_segment(header: &ProgramHeader<'_>, length: u64) -> Result<Segment, ImageDefect> {
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
    let below = address.checked_add(memory_size).is_some_and(|end| end <= IMAGE_MAX);
    if !below || memory_size > crate::memory::MAX_PAGES * PAGE_SIZE / 2 {
        return Err(ImageDefect::SegmentAddress);
    }
    let align = header.align();
    if align > 1 && !align.is_power_of_two() || address % PAGE_SIZE != offset % PAGE_SIZE {
        return Err(ImageDefect::SegmentAlignment);
    }
    let mut protection = Protection::empty();
    protection.set(Protection::WRITE, flags.is_write());
    protection.set(Protection::EXECUTE, flags.is_execute());
    let relocatable = if flags.is_write() { address..(address + file_size).saturating_sub(7) } else { 0..0 };
    Ok(Segment { address, memory_size, offset, file_size, protection, relocatable })
}

/// The memory of each segment of an image that is the process's own.
type Copies = Vec<Option<Ref<Memory>>, MAX_SEGMENTS>;

/// A file that is loaded.
#[derive(Clone, Copy)]
struct File {
    memory: Ref<Memory>,
    /// The capability to it, where there is one.
    through: Option<Cap>,
    /// Its first page in the memory.
    first: u64,
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
        if self.processes[process].image != (0, 0) {
            return Err(SysError::BadState.into());
        }
        if length < 64 {
            return Err(ImageDefect::Truncated.into());
        }
        let file = File { memory, through, first: start / PAGE_SIZE };
        let head = self.file_page(file, 0)?;
        let image = Image::parse(&self.mm.bytes(head)[..length.min(PAGE_SIZE) as usize], length)?;
        let table = self.read_relocations(file, &image)?;
        let base = self.place_image(image.end());
        let mut copies = Copies::new();
        for segment in &image.segments {
            // As many as there are segments: there is room.
            let _ = copies.push(self.load_segment(process, file, base, segment)?);
        }
        self.relocate(&image, &copies, &table, base)?;
        self.processes[process].image = (base, base + image.end());
        note(&self.processes[process].name, base);
        Ok(base + image.entry)
    }

    /// The frame of a page of a file.
    fn file_page(&mut self, file: File, page: u64) -> Result<Frame, SysError> {
        let address = self.commit(file.memory, file.first + page)?;
        self.mm.content(address).ok_or(SysError::BadArgument)
    }

    /// The words at bytes `range` of a file, which has them.
    fn file_words<const N: usize>(&mut self, file: File, range: Range<u64>) -> Result<Vec<u64, N>, Trouble> {
        let mut words = Vec::new();
        for at in range.step_by(8) {
            let frame = self.file_page(file, at / PAGE_SIZE)?;
            let word = self.mm.word(frame, (at % PAGE_SIZE / 8) as usize);
            words.push(word).map_err(|_| ImageDefect::RelocationCount)?;
        }
        Ok(words)
    }

    /// The table of relocations of an image, checked; an empty one where it has none.
    fn read_relocations(&mut self, file: File, image: &Image) -> Result<Table, Trouble> {
        if image.dynamic.is_empty() {
            return Ok(Table::new());
        }
        let words = self.file_words::<MAX_DYNAMIC>(file, image.dynamic.clone())?;
        let Dynamic { table, bytes } = Dynamic::read(&words)?;
        if bytes == 0 {
            return Ok(Table::new());
        }
        let start = image.in_file(table, bytes).filter(|start| start % 8 == 0).ok_or(ImageDefect::RelocationTable)?;
        let table: Table = self.file_words(file, start..start + bytes)?;
        relocation::check(&table, &image.segments)?;
        Ok(table)
    }

    /// Maps a segment; returns the memory that it was copied to, where it was.
    fn load_segment(
        &mut self,
        process: Ref<Process>,
        file: File,
        base: u64,
        segment: &Segment,
    ) -> Result<Option<Ref<Memory>>, Trouble> {
        let range = PageRange::claim(base + segment.first_page(), segment.pages())?;
        if segment.is_shareable() {
            let offset = file.first + segment.offset / PAGE_SIZE;
            match file.through {
                Some(cap) => self.map_through(cap, process, range, offset, segment.protection)?,
                None => drop(self.map(process, range, file.memory, offset, segment.protection)?),
            }
            return Ok(None);
        }
        let account = self.processes[process].account_ref();
        let private = self.create(account, Memory::anonymous(range.pages, account))?;
        if let Err(error) = self.map(process, range, private, 0, segment.protection) {
            self.memory_unreferenced(private);
            return Err(error.into());
        }
        self.copy_segment(file, private, segment)?;
        Ok(Some(private))
    }

    /// Adds `base` to every word that the table names. It was checked: each is in a segment that was copied.
    fn relocate(&mut self, image: &Image, copies: &Copies, table: &[u64], base: u64) -> Result<(), SysError> {
        let mut segments = image.segments.iter().zip(copies);
        let mut segment = segments.next();
        for (mut at, mut bits) in relocation::runs(table) {
            while bits != 0 {
                let skipped = bits.trailing_zeros();
                at += u64::from(skipped) * 8;
                bits >>= skipped;
                while segment.is_some_and(|(s, _)| at >= s.end_page()) {
                    segment = segments.next();
                }
                let Some((s, Some(copy))) = segment else { return Err(SysError::BadState) };
                let page = Frame::containing(self.commit(*copy, (at - s.first_page()) / PAGE_SIZE)?);
                let index = (at % PAGE_SIZE / 8) as u32;
                let room = PAGE_SIZE as u32 / 8 - index;
                let here = if room < 64 { bits & ((1 << room) - 1) } else { bits };
                self.mm.add_to_words(page, index as usize, here, base);
                bits = bits.checked_shr(room).unwrap_or(0);
                at += u64::from(room) * 8;
            }
        }
        Ok(())
    }

    /// Copies the file's part of a segment page by page; the rest is zero by itself.
    fn copy_segment(&mut self, file: File, private: Ref<Memory>, segment: &Segment) -> Result<(), SysError> {
        let skew = segment.address % PAGE_SIZE;
        let mut done = 0;
        while done < segment.file_size {
            let at = skew + done;
            let step = (PAGE_SIZE - at % PAGE_SIZE).min(segment.file_size - done);
            let source = self.file_page(file, (segment.offset + done) / PAGE_SIZE)?;
            let target = self.commit(private, at / PAGE_SIZE)?;
            let offset = (at % PAGE_SIZE) as usize;
            self.mm.copy(source, offset, Frame::containing(target), offset, step as usize);
            done += step;
        }
        Ok(())
    }
}

/// An image lies at `base` in a process of this name. Does nothing: a debugger stops here to learn it (`gdb.py`), and
/// finds the two where the System V ABI has them, in `rdi` and `rsi`.
#[inline(never)]
extern "C" fn note(name: &[u8; 16], base: u64) {
    core::hint::black_box((name, base));
}
