//! ELF images: what is refused, with which defect, and what is there when one was loaded.

use super::elf::{DATA, DYNAMIC, Elf, INTERPRETER, LOAD, R, RELRO, STACK, Segment, TABLE, TEXT, TLS, W, X};
use super::*;
use crate::image::Image;
use abi::{ImageDefect, ProcessState};
use proptest::prelude::*;

/// The kernel's view of a file is a page, and so aligned.
#[repr(align(4096))]
struct Page([u8; 4096]);

/// Reads the headers as the kernel does: from the first page alone.
fn parse(bytes: &[u8]) -> Result<Image, ImageDefect> {
    let mut page = Page([0; 4096]);
    let head = bytes.len().min(4096);
    page.0[..head].copy_from_slice(&bytes[..head]);
    Image::parse(&page.0[..head], bytes.len() as u64)
}

fn defect(change: impl FnOnce(&mut Elf)) -> Option<ImageDefect> {
    let mut elf = Elf::good();
    change(&mut elf);
    parse(&elf.bytes()).err()
}

#[test]
fn a_good_image_is_read_as_it_is() {
    let image = parse(&Elf::good().bytes()).unwrap();
    assert_eq!((image.entry, image.segments.len()), (TEXT + 0x200, 2));
    let data = &image.segments[1];
    assert_eq!((data.address, data.memory_size, data.offset, data.file_size), (DATA, 12_000, 0x2040, 3000));
}

#[test]
fn each_defect_is_found_and_named() {
    use ImageDefect::*;
    type Change = Box<dyn FnOnce(&mut Elf)>;
    let cases: Vec<(&str, ImageDefect, Change)> = vec![
        ("a file shorter than a header", Truncated, Box::new(|e| e.length = 63)),
        ("no file at all", Truncated, Box::new(|e| e.length = 0)),
        ("another magic", NotElf, Box::new(|e| e.magic = *b"\x7fELG")),
        ("no class", NotElf, Box::new(|e| e.class = 0)),
        ("32 bits", WrongMachine, Box::new(|e| e.class = 1)),
        ("big endian", WrongMachine, Box::new(|e| e.data = 2)),
        ("ARM", WrongMachine, Box::new(|e| e.machine = 183)),
        ("an executable for a fixed address", NotExecutable, Box::new(|e| e.kind = 2)),
        ("an object file", NotExecutable, Box::new(|e| e.kind = 1)),
        ("a core dump", NotExecutable, Box::new(|e| e.kind = 4)),
        ("no program headers", SegmentCount, Box::new(|e| e.count = Some(0))),
        ("no loadable segment", SegmentCount, Box::new(|e| e.segments.retain(|s| s.kind != LOAD))),
        (
            "empty segments alone",
            SegmentCount,
            Box::new(|e| e.segments.iter_mut().for_each(|s| (s.memory_size, s.file_size) = (0, 0))),
        ),
        ("headers of another size", SegmentCount, Box::new(|e| e.header_size = 32)),
        (
            "too many segments",
            SegmentCount,
            Box::new(|e| {
                e.segments = (0..17)
                    .map(|n| Segment {
                        address: TEXT + n * 0x1000,
                        file_size: 16,
                        memory_size: 16,
                        ..e.segments[0].clone()
                    })
                    .collect();
            }),
        ),
        ("headers beyond the first page", HeadersTooFar, Box::new(|e| e.headers_at = 4096)),
        ("headers across the end of the first page", HeadersTooFar, Box::new(|e| e.headers_at = 4096 - 56)),
        ("headers inside the file's header", HeadersTooFar, Box::new(|e| e.headers_at = 56)),
        ("headers at an odd place", HeadersTooFar, Box::new(|e| e.headers_at = 68)),
        ("headers at the end of the world", HeadersTooFar, Box::new(|e| e.headers_at = u64::MAX - 7)),
        ("more headers than a page holds", HeadersTooFar, Box::new(|e| e.count = Some(73))),
        ("a writable and executable segment", WritableAndExecutable, Box::new(|e| e.segments[0].flags = R | W | X)),
        ("a segment longer than the file", SegmentOutOfFile, Box::new(|e| e.segments[1].file_size = 3001)),
        ("a segment behind the file", SegmentOutOfFile, Box::new(|e| e.segments[1].offset = 0x10_0040)),
        ("a segment that wraps in the file", SegmentOutOfFile, Box::new(|e| e.segments[1].offset = u64::MAX - 0xfbf)),
        ("more in the file than in memory", SegmentOutOfFile, Box::new(|e| e.segments[1].memory_size = 2999)),
        (
            "a segment beyond the longest image",
            SegmentAddress,
            Box::new(|e| e.segments[1].address = layout::IMAGE_MAX + 0x40),
        ),
        (
            "a segment that reaches there",
            SegmentAddress,
            Box::new(|e| e.segments[1].address = layout::IMAGE_MAX - 0x1fc0),
        ),
        ("a segment of the kernel's", SegmentAddress, Box::new(|e| e.segments[1].address = 0xffff_8000_0000_0040)),
        ("a segment that wraps", SegmentAddress, Box::new(|e| e.segments[1].address = u64::MAX - 0xfbf)),
        ("a segment of 4 GiB", SegmentAddress, Box::new(|e| e.segments[1].memory_size = 4 << 30)),
        ("a segment of all memory", SegmentAddress, Box::new(|e| e.segments[1].memory_size = u64::MAX)),
        ("an odd alignment", SegmentAlignment, Box::new(|e| e.segments[0].align = 4097)),
        ("address and offset that disagree", SegmentAlignment, Box::new(|e| e.segments[1].address += 8)),
        ("segments on one page", SegmentOverlap, Box::new(|e| e.segments[1].address -= 0x1000)),
        ("segments in descending order", SegmentOverlap, Box::new(|e| e.segments.swap(0, 1))),
        ("an entry outside", BadEntry, Box::new(|e| e.entry = 0x10_0000)),
        ("an entry in the data", BadEntry, Box::new(|e| e.entry = DATA)),
        ("an entry behind the code", BadEntry, Box::new(|e| e.entry = TEXT + 5000)),
        ("an interpreter", NeedsLinker, Box::new(|e| e.segments[2].kind = INTERPRETER)),
        ("thread-local storage", NeedsLinker, Box::new(|e| e.segments[2].kind = TLS)),
        ("an empty dynamic section", RelocationTable, Box::new(|e| e.segments[2].kind = DYNAMIC)),
        ("a dynamic section behind the file", RelocationTable, Box::new(|e| dynamic(e, 1 << 20, 64))),
        ("a dynamic section that wraps", RelocationTable, Box::new(|e| dynamic(e, u64::MAX - 7, 64))),
        ("a long dynamic section", RelocationTable, Box::new(|e| dynamic(e, DATA, 1032))),
        ("a dynamic section at an odd place", RelocationTable, Box::new(|e| dynamic(e, DATA + 4, 64))),
        ("two dynamic sections", RelocationTable, Box::new(|e| [0; 2].into_iter().for_each(|_| dynamic(e, DATA, 64)))),
        ("pages of no segment that are read-only later", RelocationProtection, Box::new(|e| protect(e, DATA + 8, 100))),
        ("a part of a segment that is read-only later", RelocationProtection, Box::new(|e| protect(e, DATA, 3000))),
        ("code that is read-only later", RelocationProtection, Box::new(|e| protect(e, TEXT, 5000))),
        ("pages that wrap", RelocationProtection, Box::new(|e| protect(e, DATA, u64::MAX - DATA))),
        (
            "the same pages twice",
            RelocationProtection,
            Box::new(|e| [0; 2].into_iter().for_each(|_| protect(e, DATA, 12_000))),
        ),
    ];
    let mut found = std::collections::BTreeSet::new();
    for (what, expected, change) in cases {
        assert_eq!(defect(change), Some(expected), "{what}");
        found.insert(expected as u64);
    }
    assert_eq!(found.len(), 15, "every defect of headers has its file");
}

/// Adds a dynamic section that lies there in the file.
fn dynamic(elf: &mut Elf, offset: u64, file_size: u64) {
    elf.segments.push(Segment { kind: DYNAMIC, offset, file_size, ..elf.segments[1].clone() });
}

/// Has these addresses read-only after relocation.
fn protect(elf: &mut Elf, address: u64, memory_size: u64) {
    elf.segments.push(Segment { kind: RELRO, address, memory_size, ..elf.segments[1].clone() });
}

#[test]
fn what_is_unusual_but_sound_is_taken() {
    assert_eq!(defect(|e| e.segments[2].kind = 0x7000_0000), None, "segments of unknown kinds are passed over");
    assert_eq!(defect(|e| e.segments[0].align = 1), None);
    assert_eq!(defect(|e| e.segments[0].align = 0), None);
    assert_eq!(defect(|e| e.headers_at = 4096 - 3 * 56), None);
    assert_eq!(defect(|e| dynamic(e, DATA, 64)), None);
    assert_eq!(defect(|e| protect(e, DATA, 12_000)), None);
    assert_eq!(defect(|e| e.segments[1].file_size = 0), None);
    assert_eq!(defect(|e| e.entry = TEXT), None);
    assert_eq!(defect(|e| e.segments.insert(0, Segment { kind: STACK, ..e.segments[2].clone() })), None);
}

/// Where the image of a process lies.
fn base(w: &World, process: Ref<Process>) -> u64 {
    w.k.processes[process].image.0
}

/// Init puts a file into memory, loads it into a new process, and says what came of it.
fn load(w: &mut World, file: &[u8], start: u64, length: u64) -> (Handle, Ref<Process>, Result<[u64; 8], SysError>) {
    let pages = (file.len() as u64).div_ceil(PAGE_SIZE).max(1);
    let memory = w.memory(pages);
    let at = layout::MAP_START;
    w.map(layout::INIT_SELF, memory, at, pages, Rights::READ | Rights::WRITE).unwrap();
    w.poke(w.init.process, at, file).unwrap();
    let account = w.account(100);
    let (process, name) = w.process(account, None);
    let outcome = w.make(w.init, sys(Sysno::ProcessLoad).on(process).with(memory).words(&[start, length]));
    w.make(w.init, sys(Sysno::MemoryUnmap).on(layout::INIT_SELF).words(&[at, pages])).unwrap();
    w.make(w.init, sys(Sysno::Close).on(memory)).unwrap();
    (process, name, outcome)
}

#[test]
fn a_loaded_image_is_there_byte_for_byte_with_the_protections_it_asked_for() {
    let mut w = World::new();
    let file = Elf::good().bytes();
    let (_, name, outcome) = load(&mut w, &file, 0, file.len() as u64);
    let (text, data) = (base(&w, name) + TEXT, base(&w, name) + DATA);
    assert_eq!(outcome.unwrap()[0], text + 0x200);
    w.audit();
    assert_eq!(w.peek(name, text, 5000).unwrap(), file[..5000]);
    assert_eq!(w.peek(name, data, 3000).unwrap(), file[0x2040..0x2040 + 3000]);
    assert!(w.peek(name, data + 3000, 9000).unwrap().iter().all(|b| *b == 0), "the rest is zero");
    assert_eq!(w.poke(name, text, &[1]), None);
    w.poke(name, data, &[1]).unwrap();
    assert!(w.k.touch(name, text, false, true).is_ok());
    assert!(w.k.touch(name, data & !0xfff, false, true).is_err());
    for outside in [text - 1, (data + 12_000).next_multiple_of(PAGE_SIZE)] {
        assert_eq!(w.peek(name, outside, 1), None, "{outside:#x}");
    }
}

#[test]
fn relocated_words_and_no_others_have_the_base_added_and_the_file_stays_as_it_is() {
    let mut w = World::new();
    // A word, then of those behind it the first and the third; then one on the last page of the file.
    let table = [DATA + 64, 0b1011, 0x2be8];
    let file = Elf::relocated(&table).bytes();
    let (_, name, outcome) = load(&mut w, &file, 0, file.len() as u64);
    outcome.unwrap();
    let mut expected = file.clone();
    for at in [DATA + 64, DATA + 72, DATA + 88, 0x2be8].map(|at| at as usize) {
        let word = u64::from_le_bytes(expected[at..at + 8].try_into().unwrap());
        expected[at..at + 8].copy_from_slice(&word.wrapping_add(base(&w, name)).to_le_bytes());
    }
    assert_eq!(w.peek(name, base(&w, name) + DATA, 3000).unwrap(), expected[DATA as usize..]);
    assert_eq!(w.peek(name, base(&w, name) + TEXT, 5000).unwrap(), file[..5000]);
    w.audit();
}

#[test]
fn what_is_read_only_after_relocation_is_so_from_the_first_instruction_on() {
    let mut w = World::new();
    let mut elf = Elf::relocated(&[DATA + 64]);
    protect(&mut elf, DATA, 12_000);
    let file = elf.bytes();
    let (_, name, outcome) = load(&mut w, &file, 0, file.len() as u64);
    outcome.unwrap();
    let (at, word) = (base(&w, name) + DATA + 64, &file[DATA as usize + 64..][..8]);
    let relocated = u64::from_le_bytes(word.try_into().unwrap()).wrapping_add(base(&w, name));
    assert_eq!(w.peek(name, at, 8).unwrap(), relocated.to_le_bytes());
    assert_eq!(w.poke(name, at, &[1]), None);
    assert_eq!(w.peek(name, base(&w, name) + DATA + 3000, 100).unwrap(), [0; 100]);
    w.audit();
}

#[test]
fn relocations_that_are_wrong_are_refused_with_what_is_wrong_before_anything_is_mapped() {
    use ImageDefect::*;
    let with = |at: u64, word: u64| {
        let mut elf = Elf::relocated(&[DATA + 64]);
        elf.words.push((at, word));
        elf
    };
    let mut long = with(DATA + 8, TEXT);
    long.words.push((DATA + 24, 513 * 8));
    let cases = [
        ("no end", RelocationTable, with(DATA + 48, 21)),
        ("a table behind the file", RelocationTable, with(DATA + 8, 0x10_0000)),
        ("a table that wraps", RelocationTable, with(DATA + 8, u64::MAX - 7)),
        ("a table in memory alone", RelocationTable, with(DATA + 8, DATA + 4000)),
        ("a table at an odd place", RelocationTable, with(DATA + 8, TABLE + 4)),
        ("a table that begins with bits", RelocationTable, Elf::relocated(&[3])),
        ("a table with a tail", RelocationTable, with(DATA + 24, 9)),
        ("a table longer than is taken", RelocationCount, long),
        ("relocations with addends", RelocationKind, with(DATA + 32, 7)),
        ("a library that is needed", NeedsLinker, with(DATA + 32, 1)),
        ("a relocation in the code", RelocationTarget, Elf::relocated(&[TEXT + 0x100])),
        ("a relocation in the kernel", RelocationTarget, Elf::relocated(&[0xffff_8000_0000_0000])),
        ("a relocation that leaves its segment", RelocationTarget, Elf::relocated(&[DATA + 2992, 3])),
        ("a relocation behind the file's part", RelocationTarget, Elf::relocated(&[DATA + 3000])),
        ("relocations that descend", RelocationTarget, Elf::relocated(&[DATA + 72, DATA + 64])),
    ];
    for (what, expected, elf) in cases {
        let mut w = World::new();
        let file = elf.bytes();
        let (process, name, outcome) = load(&mut w, &file, 0, file.len() as u64);
        assert_eq!(outcome, Err(SysError::BadImage), "{what}");
        assert_eq!(w.k.processes[name].region_count, 0, "{what}");
        let memory = w.memory(3);
        w.map(layout::INIT_SELF, memory, layout::MAP_START, 3, Rights::READ | Rights::WRITE).unwrap();
        w.poke(w.init.process, layout::MAP_START, &file).unwrap();
        w.begin(w.init, sys(Sysno::ProcessLoad).on(process).with(memory).words(&[0, file.len() as u64]));
        assert_eq!(w.result(w.init), Err(SysError::BadImage), "{what}");
        assert_eq!(w.k.threads[w.init.thread].words()[0], expected as u64, "{what}");
        w.audit();
    }
}

#[test]
fn each_process_has_its_image_elsewhere_and_a_seed_has_it_in_the_same_place_again() {
    let bases = |start: u64| {
        let mut w = World::new();
        w.k.machine.random = Some(start);
        let file = Elf::good().bytes();
        [0; 3].map(|_| {
            let (_, name, outcome) = load(&mut w, &file, 0, file.len() as u64);
            assert_eq!(outcome.unwrap()[1] >> 63, 0, "the places of the rest");
            base(&w, name)
        })
    };
    let (one, again, two) = (bases(1), bases(1), bases(2));
    assert_eq!(one, again);
    assert!(one[0] != one[1] && one[1] != one[2] && one[0] != two[0], "{one:x?} {two:x?}");
}

#[test]
fn two_processes_of_one_image_share_its_code_and_not_its_data() {
    let mut w = World::new();
    let file = Elf::good().bytes();
    let memory = w.memory(3);
    w.map(layout::INIT_SELF, memory, layout::MAP_START, 3, Rights::READ | Rights::WRITE).unwrap();
    w.poke(w.init.process, layout::MAP_START, &file).unwrap();
    let names = [0, 1].map(|_| {
        let account = w.account(60);
        let (process, name) = w.process(account, None);
        w.make(w.init, sys(Sysno::ProcessLoad).on(process).with(memory).words(&[0, file.len() as u64])).unwrap();
        name
    });
    let (one, two) = (base(&w, names[0]), base(&w, names[1]));
    assert_ne!(one, two);
    let at = |w: &mut World, name, address| w.k.touch(name, address, false, false).unwrap();
    assert_eq!(at(&mut w, names[0], one + TEXT), at(&mut w, names[1], two + TEXT));
    w.poke(names[0], one + DATA, b"mine").unwrap();
    assert_eq!(w.peek(names[1], two + DATA, 4).unwrap(), file[0x2040..0x2044]);
    assert_eq!(w.peek(w.init.process, layout::MAP_START + 0x2040, 4).unwrap(), file[0x2040..0x2044]);
    w.audit();
}

#[test]
fn a_malformed_image_is_refused_with_its_defect_and_nothing_is_mapped() {
    let mut w = World::new();
    let mut elf = Elf::good();
    elf.machine = 3;
    let file = elf.bytes();
    let (_, name, outcome) = load(&mut w, &file, 0, file.len() as u64);
    assert_eq!(outcome, Err(SysError::BadImage));
    assert_eq!(w.k.processes[name].region_count, 0);
    let memory = w.memory(1);
    let (process, _) = w.process(layout::INIT_ACCOUNT, None);
    w.begin(w.init, sys(Sysno::ProcessLoad).on(process).with(memory).words(&[0, 64]));
    assert_eq!(w.result(w.init), Err(SysError::BadImage));
    assert_eq!(w.k.threads[w.init.thread].words()[0], ImageDefect::NotElf as u64);
    w.audit();
}

#[test]
fn a_file_is_loaded_from_a_page_boundary_inside_its_memory_alone() {
    let mut w = World::new();
    let file = [vec![0; 4096], Elf::good().bytes()].concat();
    let length = file.len() as u64 - 4096;
    let (_, name, outcome) = load(&mut w, &file, 4096, length);
    assert_eq!(outcome.unwrap()[0], base(&w, name) + TEXT + 0x200);
    assert_eq!(w.peek(name, base(&w, name) + DATA, 100).unwrap(), file[4096 + 0x2040..4096 + 0x2040 + 100]);
    for (start, length) in [(1, length), (4096, 16 << 10), (u64::MAX - 4095, 4096), (0, u64::MAX), (1 << 20, 64)] {
        let (_, _, outcome) = load(&mut w, &file, start, length);
        assert_eq!(outcome, Err(SysError::BadArgument), "{start} {length}");
    }
    let (_, _, outcome) = load(&mut w, &file, 4096, 0);
    assert_eq!(outcome, Err(SysError::BadImage));
    w.audit();
}

#[test]
fn loading_needs_control_the_right_to_read_and_a_process_without_threads() {
    let mut w = World::new();
    let file = Elf::good().bytes();
    let (process, name, outcome) = load(&mut w, &file, 0, file.len() as u64);
    outcome.unwrap();
    let memory = w.memory(3);
    let load = |process, memory| sys(Sysno::ProcessLoad).on(process).with(memory).words(&[0, 4096]);
    let actor = w.actor(60);
    let weak_process = w.grant(actor, process, Rights::all() - Rights::CONTROL, 0);
    let weak_memory = w.grant(actor, memory, Rights::all() - Rights::READ, 0);
    let (good_process, good_memory) =
        (w.grant(actor, process, Rights::CONTROL, 0), w.grant(actor, memory, Rights::READ, 0));
    for call in [load(weak_process, good_memory), load(good_process, weak_memory)] {
        assert_eq!(w.make(actor, call), Err(SysError::MissingRights));
    }
    let device = sys(Sysno::MemoryPhysical).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT);
    let (fresh, _) = w.process(layout::INIT_ACCOUNT, None);
    for start in [1 << 32, 1 << 44, (1 << 44) + (64 << 12)] {
        let device = w.get(w.init, device.words(&[start, 3]));
        assert_eq!(w.make(w.init, load(fresh, device)), Err(SysError::BadArgument), "a device is no file");
    }
    let running = w.actor(60);
    assert_eq!(w.make(w.init, load(running.handle, memory)), Err(SysError::BadState));
    assert_eq!(w.k.processes[name].state, ProcessState::Empty);
    w.audit();
}

#[test]
fn a_second_image_is_refused_until_the_process_is_reset() {
    let mut w = World::new();
    let file = Elf::good().bytes();
    let memory = w.memory(3);
    w.map(layout::INIT_SELF, memory, layout::MAP_START, 3, Rights::READ | Rights::WRITE).unwrap();
    w.poke(w.init.process, layout::MAP_START, &file).unwrap();
    let account = w.account(60);
    let (process, _) = w.process(account, None);
    let load = sys(Sysno::ProcessLoad).on(process).with(memory).words(&[0, file.len() as u64]);
    w.make(w.init, load).unwrap();
    assert_eq!(w.make(w.init, load), Err(SysError::BadState));
    w.make(w.init, sys(Sysno::ProcessReset).on(process)).unwrap();
    w.make(w.init, load).unwrap();
    w.audit();
}

/// A segment of any shape, near enough to sense to get far.
fn any_segment() -> impl Strategy<Value = Segment> {
    let sizes = prop_oneof![0u64..0x3000, any::<u64>()];
    let address = prop_oneof![(0u64..12).prop_map(|n| n * 0x800), any::<u64>()];
    let kinds = prop_oneof![8 => Just(LOAD), 1 => Just(STACK), 1 => Just(RELRO), 1 => Just(DYNAMIC), 1 => any::<u32>()];
    (
        kinds,
        0u32..8,
        prop_oneof![(0u64..6).prop_map(|n| n * 0x800), any::<u64>()],
        address,
        sizes.clone(),
        sizes,
        0u64..4,
    )
        .prop_map(|(kind, flags, offset, address, file_size, memory_size, align)| Segment {
            kind,
            flags,
            offset,
            address,
            file_size,
            memory_size,
            align: align * 2048,
        })
}

/// An entry of a table of relocations, near enough to sense.
fn any_entry() -> impl Strategy<Value = u64> {
    prop_oneof![4 => (0u64..400).prop_map(|n| DATA + n * 8), 4 => any::<u64>().prop_map(|n| n | 1), 1 => any::<u64>()]
}

/// What the loader promises of an image that it takes.
fn assert_promises(bytes: &[u8]) -> bool {
    let Ok(image) = parse(bytes) else { return false };
    let mut end = 0;
    for s in &image.segments {
        assert!(s.address & !0xfff >= end && s.file_size <= s.memory_size);
        assert!(s.offset + s.file_size <= bytes.len() as u64);
        assert!(!s.protection.contains(crate::mm::Protection::WRITE | crate::mm::Protection::EXECUTE));
        assert_eq!(s.address % PAGE_SIZE, s.offset % PAGE_SIZE);
        end = (s.address + s.memory_size).next_multiple_of(PAGE_SIZE);
    }
    assert!(end <= layout::IMAGE_MAX);
    true
}

/// Files that nobody should write; findings are added to them.
#[test]
fn the_saved_corpus_is_refused_file_by_file() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/corpus");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("it can be read");
        assert_promises(&bytes);
        let mut w = World::new();
        let before = w.audit();
        let (process, _, outcome) = load(&mut w, &bytes, 0, bytes.len() as u64);
        assert!(outcome.is_err(), "{} is loaded", path.display());
        w.make(w.init, sys(Sysno::ProcessKill).on(process)).unwrap();
        w.audit();
        assert!(before.free > 0);
        seen += 1;
    }
    assert!(seen >= 33, "{seen} files");
}

proptest! {
    #![proptest_config(cases(256))]
    #[test]
    fn no_bytes_panic_the_loader_and_what_it_takes_keeps_its_promises(
        flips in proptest::collection::vec((0..300usize, any::<u8>()), 0..12),
        length in prop_oneof![3 => Just(usize::MAX), 1 => 0usize..12_000],
        segments in proptest::option::of(proptest::collection::vec(any_segment(), 1..5)),
    ) {
        let mut elf = Elf::good();
        elf.segments = segments.unwrap_or(elf.segments);
        let mut bytes = elf.bytes();
        for (at, byte) in flips {
            bytes[at] = byte;
        }
        bytes.truncate(length);
        assert_promises(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(32))]
    #[test]
    fn any_image_is_loaded_exactly_or_refused(
        flips in proptest::collection::vec((0..240usize, any::<u8>()), 0..3),
        segments in proptest::option::of(proptest::collection::vec(any_segment(), 1..5)),
        relocated in proptest::option::of(proptest::collection::vec(any_entry(), 0..6)),
        words in proptest::collection::vec((0u64..8, prop_oneof![0u64..40, any_entry()]), 0..3),
    ) {
        let mut elf = relocated.as_ref().map_or_else(Elf::good, |table| Elf::relocated(table));
        elf.segments = segments.unwrap_or(elf.segments);
        if relocated.is_some() {
            elf.words.extend(words.into_iter().map(|(n, word)| (DATA + n * 8, word)));
        }
        let mut file = elf.bytes();
        flips.into_iter().for_each(|(at, byte)| file[at] = byte);
        let mut w = World::new();
        let before = w.audit();
        let (process, name, outcome) = load(&mut w, &file, 0, file.len() as u64);
        w.audit();
        if outcome.is_ok() {
            let base = base(&w, name);
            for s in parse(&file).unwrap().segments {
                let wanted = &file[s.offset as usize..(s.offset + s.file_size) as usize];
                let found = w.peek(name, base + s.address, wanted.len()).unwrap();
                prop_assert!(found == wanted || !s.relocatable.is_empty() && relocated.is_some(), "{s:?}");
                if s.memory_size > s.file_size {
                    let zeroes = w.peek(name, base + s.address + s.file_size, (s.memory_size - s.file_size).min(5000) as usize);
                    prop_assert!(zeroes.unwrap().iter().all(|b| *b == 0));
                }
            }
        }
        let account = w.k.processes[name].account_ref();
        w.make(w.init, sys(Sysno::Inspect).on(process)).unwrap();
        let handle = (5..127).map(|n| Handle::new(n, 1)).find(|h| {
            w.k.lookup(w.init.process, *h).is_ok_and(|c| c.kind == abi::Kind::Account && w.k.object::<crate::account::Account>(c) == account)
        });
        w.make(w.init, sys(Sysno::AccountDestroy).on(handle.unwrap())).unwrap();
        let after = w.audit();
        prop_assert_eq!(after.objects, before.objects);
    }
}
