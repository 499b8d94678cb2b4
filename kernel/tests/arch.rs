//! The parts of `arch` that are computation only, on the host: ranges of memory, and what firmware and loader hand over.
//! The kernel binary cannot be tested here, so its modules are compiled in.

#[path = "../src/arch/x86_64/loader.rs"]
mod loader;
#[path = "../src/arch/x86_64/madt.rs"]
mod madt;
#[path = "../src/arch/x86_64/multiboot2.rs"]
mod multiboot2;
#[path = "../src/arch/x86_64/physical.rs"]
mod physical;
#[path = "../src/arch/x86_64/pvh.rs"]
mod pvh;
#[path = "../src/arch/x86_64/ranges.rs"]
mod ranges;

use heapless::Vec;
use kernel::machine::PhysRange;
use madt::{IoApicAt, IsaLine, Topology};
use physical::Physical;
use proptest::prelude::*;

/// Physical memory from address `base` on.
struct Fake {
    base: u64,
    bytes: std::vec::Vec<u8>,
}

impl Physical for Fake {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(self.base)?).ok()?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

impl Fake {
    fn new() -> Fake {
        Fake { base: 0x1000, bytes: vec![0; 0x4000] }
    }
    fn put(&mut self, at: u64, bytes: &[u8]) {
        let start = (at - self.base) as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }
    /// Puts an ACPI table there: signature, length, checksum, contents.
    fn put_table(&mut self, at: u64, signature: &[u8; 4], contents: &[u8]) {
        let mut table = vec![0; 36];
        table[..4].copy_from_slice(signature);
        table.extend_from_slice(contents);
        let length = table.len() as u32;
        table[4..8].copy_from_slice(&length.to_le_bytes());
        table[9] = table.iter().fold(0u8, |sum, b| sum.wrapping_sub(*b));
        self.put(at, &table);
    }
    /// Puts a root pointer there, of ACPI 1.0 with an RSDT or of ACPI 2.0 with an XSDT.
    fn put_root(&mut self, at: u64, table: u64, extended: bool) {
        let mut root = vec![0; 36];
        root[..8].copy_from_slice(b"RSD PTR ");
        if extended {
            root[15] = 2;
            root[24..32].copy_from_slice(&table.to_le_bytes());
        } else {
            root[16..20].copy_from_slice(&(table as u32).to_le_bytes());
        }
        root[8] = root[..20].iter().fold(0u8, |sum, b| sum.wrapping_sub(*b));
        self.put(at, &root);
    }
}

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange { start, end }
}

// Interrupt controllers.

/// A MADT's contents: local APIC address, flags, then these entries.
fn madt(entries: &[&[u8]]) -> std::vec::Vec<u8> {
    let mut contents = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
    entries.iter().for_each(|e| contents.extend_from_slice(e));
    contents
}

const PROCESSOR: &[u8] = &[0, 8, 0, 0, 1, 0, 0, 0];
const IO_APIC: &[u8] = &[1, 12, 0, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0, 0];
const TIMER_ON_LINE_2: &[u8] = &[2, 10, 0, 0, 2, 0, 0, 0, 0, 0];
const LINE_9_LEVEL_LOW: &[u8] = &[2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0];

fn machine(contents: &[u8], extended: bool) -> Fake {
    let mut memory = Fake::new();
    memory.put_root(0x1000, 0x1100, extended);
    if extended {
        memory.put_table(0x1100, b"XSDT", &0x2000u64.to_le_bytes());
    } else {
        memory.put_table(0x1100, b"RSDT", &0x2000u32.to_le_bytes());
    }
    memory.put_table(0x2000, b"APIC", contents);
    memory
}

#[test]
fn the_madt_is_found_through_the_old_and_the_new_root_table() {
    let contents = madt(&[PROCESSOR, IO_APIC, TIMER_ON_LINE_2, LINE_9_LEVEL_LOW]);
    for extended in [false, true] {
        let topology = Topology::read(&machine(&contents, extended), 0x1000);
        assert_eq!(topology.io_apics.as_slice(), [IoApicAt { address: 0xfec1_0000, first_line: 24 }]);
        assert_eq!(topology.isa[0], IsaLine { gsi: 2, active_low: None, level: None });
        assert_eq!(topology.isa[4], IsaLine { gsi: 4, active_low: None, level: None });
        assert_eq!(topology.isa[9], IsaLine { gsi: 9, active_low: Some(true), level: Some(true) });
    }
}

#[test]
fn without_a_good_madt_the_topology_is_that_of_a_pc() {
    let good = machine(&madt(&[IO_APIC]), true);
    assert_eq!(Topology::read(&good, 0), Topology::standard(), "no root pointer");
    assert_eq!(Topology::read(&good, 0x1001), Topology::standard(), "a wrong root pointer");
    assert_eq!(Topology::read(&machine(&madt(&[PROCESSOR]), true), 0x1000), Topology::standard(), "no I/O APIC");
    for spoilt in [0x1005, 0x1100, 0x1124, 0x2010] {
        let mut memory = machine(&madt(&[IO_APIC]), false);
        let at = (spoilt - memory.base) as usize;
        memory.bytes[at] ^= 0x55;
        assert_eq!(Topology::read(&memory, 0x1000), Topology::standard(), "a spoilt byte at {spoilt:#x}");
    }
}

#[test]
fn an_entry_of_length_zero_or_beyond_the_table_ends_the_walk() {
    for bad in [&[2, 0, 0, 9, 9, 0][..], &[2, 1, 0, 9], &[2, 200, 0, 9, 9, 0, 0, 0, 15, 0]] {
        let topology = Topology::read(&machine(&madt(&[IO_APIC, bad, LINE_9_LEVEL_LOW]), true), 0x1000);
        assert_eq!(topology.io_apics.len(), 1);
        assert_eq!(topology.isa[9].level, None);
    }
}

proptest! {
    #[test]
    fn no_contents_of_a_madt_can_do_harm(entries in proptest::collection::vec(any::<u8>(), 0..300)) {
        let topology = Topology::read(&machine(&madt(&[&entries]), true), 0x1000);
        prop_assert!(!topology.io_apics.is_empty());
    }

    #[test]
    fn no_contents_of_memory_can_do_harm(bytes in proptest::collection::vec(any::<u8>(), 64..2000), at in 0u64..2100) {
        let memory = Fake { base: 0x1000, bytes };
        prop_assert!(!Topology::read(&memory, 0x1000 + at).io_apics.is_empty());
        let _ = pvh::read(&memory, 0x1000 + at);
        let _ = multiboot2::read(&memory, 0x1000 + at);
    }

    #[test]
    fn no_change_of_a_good_boot_information_can_do_harm(at in 0usize..200, byte in any::<u8>(), keep in 0usize..300) {
        let mut memory = informed(&everything());
        memory.bytes[at] = byte;
        memory.bytes.truncate(keep.max(16));
        if let Ok(found) = multiboot2::read(&memory, 0x1000) {
            prop_assert!(found.archive.start < found.archive.end && in_order(&found.ram));
        }
    }
}

// The PVH loader.

/// A loader's memory with these entries (start, size, type) in its map, one module and a command line.
fn loaded(map: &[(u64, u64, u32)], cmdline: &[u8], module: Option<(u64, u64)>) -> Fake {
    let mut memory = Fake::new();
    let mut info = 0x336e_c578u32.to_le_bytes().to_vec();
    info.extend_from_slice(&1u32.to_le_bytes());
    info.extend_from_slice(&0u32.to_le_bytes());
    info.extend_from_slice(&u32::from(module.is_some()).to_le_bytes());
    for address in [0x1100u64, 0x2000, 0xf5000, 0x1200] {
        info.extend_from_slice(&address.to_le_bytes());
    }
    info.extend_from_slice(&(map.len() as u32).to_le_bytes());
    memory.put(0x1000, &info);
    if let Some((start, size)) = module {
        memory.put(0x1100, &start.to_le_bytes());
        memory.put(0x1108, &size.to_le_bytes());
    }
    for (index, (start, size, kind)) in map.iter().enumerate() {
        let at = 0x1200 + 24 * index as u64;
        memory.put(at, &start.to_le_bytes());
        memory.put(at + 8, &size.to_le_bytes());
        memory.put(at + 16, &kind.to_le_bytes());
    }
    memory.put(0x2000, cmdline);
    memory
}

const MODULE: Option<(u64, u64)> = Some((0x30_0000, 1234));

#[test]
fn a_loader_s_memory_map_module_and_command_line_are_read() {
    let memory = loaded(&[(0, 0x9fc00, 1), (0xf0000, 0x10000, 2), (0x10_0000, 0x70_0000, 1)], b"exec=6c73\0", MODULE);
    let found = pvh::read(&memory, 0x1000).unwrap();
    assert_eq!(found.ram.as_slice(), [range(0, 0x9fc00), range(0x10_0000, 0x80_0000)]);
    assert_eq!(found.archive, range(0x30_0000, 0x30_0000 + 1234));
    assert_eq!(found.cmdline.as_str(), "exec=6c73");
    assert_eq!(found.rsdp, 0xf5000);
}

#[test]
fn what_the_map_calls_ram_and_reserved_at_once_is_reserved() {
    let memory = loaded(&[(0x20_0000, 0x1000, 2), (0x10_0000, 0x70_0000, 1)], b"\0", MODULE);
    let found = pvh::read(&memory, 0x1000).unwrap();
    assert_eq!(found.ram.as_slice(), [range(0x10_0000, 0x20_0000), range(0x20_1000, 0x80_0000)]);
}

#[test]
fn a_loader_without_archive_or_with_a_bad_command_line_is_refused_with_the_reason() {
    let map = [(0x10_0000, 0x70_0000, 1)];
    let error = |cmdline: &[u8], module| pvh::read(&loaded(&map, cmdline, module), 0x1000).unwrap_err();
    assert!(error(b"\0", None).contains("no boot archive"));
    assert!(error(b"\0", Some((0x30_0000, 0))).contains("empty"));
    assert!(error(b"\0", Some((0x30_0001, 5))).contains("start on a page"));
    assert!(error(b"\0", Some((!0xfff, 0x2000))).contains("cannot be read"));
    assert!(error(&[b'a'; 1000], MODULE).contains("longer than 960"));
    assert!(error(b"a\nb\0", MODULE).contains("printable"));
    let mut wrong = loaded(&map, b"\0", MODULE);
    wrong.put(0x1000, &[0]);
    assert!(pvh::read(&wrong, 0x1000).unwrap_err().contains("magic"));
}

// The Multiboot2 loader.

/// A tag.
fn tag(kind: u32, content: &[u8]) -> std::vec::Vec<u8> {
    let mut tag = [kind.to_le_bytes(), (8 + content.len() as u32).to_le_bytes()].concat();
    tag.extend_from_slice(content);
    tag.resize(tag.len().next_multiple_of(8), 0);
    tag
}

/// A memory map of these entries (start, size, type), `stride` bytes each.
fn memory_map(stride: u32, map: &[(u64, u64, u32)]) -> std::vec::Vec<u8> {
    let mut content = [stride.to_le_bytes(), 0u32.to_le_bytes()].concat();
    for (start, size, kind) in map {
        let mut entry = [start.to_le_bytes(), size.to_le_bytes()].concat();
        entry.extend_from_slice(&kind.to_le_bytes());
        entry.resize(stride.max(20) as usize, 0);
        content.extend_from_slice(&entry);
    }
    tag(6, &content)
}

fn module(start: u32, end: u32) -> std::vec::Vec<u8> {
    tag(3, &[&start.to_le_bytes()[..], &end.to_le_bytes(), b"boot.tar\0"].concat())
}

const MAP: &[(u64, u64, u32)] =
    &[(0, 0x9fc00, 1), (0xf0000, 0x10000, 2), (0x10_0000, 0x70_0000, 1), (0x20_0000, 0x1000, 3)];

/// What GRUB hands over, and a tag of which nothing is known.
fn everything() -> [std::vec::Vec<u8>; 7] {
    let root = |revision| [&b"RSD PTR \0OEMID_"[..], &[revision; 21]].concat();
    [
        tag(1, b"exec=6c73\0"),
        tag(777, &[1, 2, 3]),
        module(0x30_0000, 0x30_04d2),
        module(0x40_0000, 0x40_0001),
        memory_map(24, MAP),
        tag(14, &root(0)),
        tag(15, &root(2)),
    ]
}

/// A loader's memory with these tags in its boot information, at 0x1000.
fn informed(tags: &[std::vec::Vec<u8>]) -> Fake {
    let mut memory = Fake::new();
    let tags = [&tags.concat()[..], &tag(0, &[])].concat();
    memory.put(0x1000, &(8 + tags.len() as u32).to_le_bytes());
    memory.put(0x1008, &tags);
    memory
}

#[test]
fn a_boot_information_gives_memory_map_archive_command_line_and_root_pointer() {
    let found = multiboot2::read(&informed(&everything()), 0x1000).unwrap();
    // The page of the loader's copy of the root pointer is nobody's.
    let ram = [range(0, 0x1000), range(0x2000, 0x9fc00), range(0x10_0000, 0x20_0000), range(0x20_1000, 0x80_0000)];
    assert_eq!(found.ram.as_slice(), ram);
    assert_eq!(found.archive, range(0x30_0000, 0x30_04d2));
    assert_eq!(found.cmdline.as_str(), "exec=6c73");
    let memory = informed(&everything());
    assert_eq!(memory.bytes(found.rsdp, 16).unwrap()[15], 2, "the newer of the two root pointers");
}

#[test]
fn longer_entries_of_a_memory_map_are_stepped_over() {
    let found = multiboot2::read(&informed(&[memory_map(40, MAP), module(0x30_0000, 0x30_0001)]), 0x1000).unwrap();
    assert_eq!(found.ram.len(), 3);
    assert_eq!((found.rsdp, found.cmdline.as_str()), (0, ""));
}

#[test]
fn a_boot_information_that_lacks_or_spoils_something_is_refused_with_the_reason() {
    let map = || memory_map(24, MAP);
    let archive = || module(0x30_0000, 0x30_0001);
    for (tags, reason) in [
        (std::vec![map()], "no boot archive (with GRUB: module2 FILE)"),
        (std::vec![archive()], "no memory map"),
        (std::vec![memory_map(16, MAP), archive()], "too small"),
        (std::vec![map(), module(0x30_0000, 0x30_0000)], "empty"),
        (std::vec![map(), module(0x30_0001, 0x30_0005)], "start on a page"),
        (std::vec![map(), tag(3, &[0; 7])], "too short"),
        (std::vec![map(), archive(), tag(1, b"no end")], "command line cannot be read"),
        (std::vec![map(), archive(), tag(1, b"a\tb\0")], "printable"),
    ] {
        assert_eq!(multiboot2::read(&informed(&tags), 0x1000).map(|_| ()).map_err(|e| e.contains(reason)), Err(true));
    }
    let sized = |size: u32| {
        let mut memory = informed(&everything());
        memory.put(0x1000, &size.to_le_bytes());
        multiboot2::read(&memory, 0x1000).unwrap_err()
    };
    assert!(sized(0).contains("believable") && sized(u32::MAX).contains("believable"));
    assert!(sized(0x8000).contains("outside"));
    assert!(sized(32).contains("no memory map"), "what lies behind the end is not read");
}

#[test]
fn a_tag_of_no_size_or_beyond_the_end_ends_the_list() {
    for size in [0u32, 7, 0x2000, u32::MAX] {
        let mut memory = informed(&everything());
        memory.put(0x100c, &size.to_le_bytes());
        assert!(multiboot2::read(&memory, 0x1000).unwrap_err().contains("no memory map"), "{size}");
    }
}

// Sets of memory.

#[test]
fn rounding_inward_gives_whole_pages_and_outward_all_pages_touched() {
    assert_eq!(ranges::inward(range(1, 0x2fff)), range(0x1000, 0x2000));
    assert_eq!(ranges::outward(range(1, 0x2001)), range(0, 0x3000));
    assert_eq!(ranges::length(ranges::inward(range(1, 0xfff))), 0);
    assert_eq!(ranges::length(ranges::inward(range(u64::MAX - 5, u64::MAX))), 0);
}

/// Whether the list is as the module's first invariant has it.
fn in_order(list: &[PhysRange]) -> bool {
    list.iter().all(|r| r.start < r.end) && list.windows(2).all(|w| w[0].end < w[1].start)
}

fn covers(list: &[PhysRange], at: u64) -> bool {
    list.iter().any(|r| (r.start..r.end).contains(&at))
}

proptest! {
    #[test]
    fn a_list_of_ranges_is_the_set_that_was_added_and_subtracted(
        steps in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 0..40),
    ) {
        let mut list: Vec<PhysRange, 32> = Vec::new();
        let mut model = [false; 80];
        for (adding, start, size) in steps {
            let step = range(start, start + size);
            if adding { ranges::add(&mut list, step) } else { ranges::subtract(&mut list, step) }
            (start..start + size).for_each(|at| model[at as usize] = adding);
            prop_assert!(in_order(&list));
            for (at, expected) in model.iter().enumerate() {
                prop_assert_eq!(covers(&list, at as u64), *expected);
            }
        }
    }

    #[test]
    fn a_full_list_covers_more_when_adding_and_less_when_subtracting(
        starts in proptest::collection::vec(0u64..60, 0..30), holes in proptest::collection::vec(0u64..60, 0..10),
    ) {
        let mut added: Vec<PhysRange, 3> = Vec::new();
        for start in &starts {
            ranges::add(&mut added, range(*start, start + 1));
            prop_assert!(in_order(&added));
        }
        prop_assert!(starts.iter().all(|at| covers(&added, *at)));
        for hole in &holes {
            let before = added.clone();
            ranges::subtract(&mut added, range(*hole, hole + 1));
            prop_assert!(in_order(&added) && !covers(&added, *hole));
            prop_assert!((0..61).all(|at| covers(&before, at) || !covers(&added, at)));
        }
    }
}
