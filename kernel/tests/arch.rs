//! The parts of `arch` that are computation only, on the host: ranges of memory, and what firmware and loader hand over.
//! The kernel binary cannot be tested here, so its modules are compiled in.

#[path = "../src/arch/x86_64/madt.rs"]
mod madt;
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
    assert!(error(b"\0", Some((u64::MAX & !0xfff, 0x2000))).contains("cannot be read"));
    assert!(error(&[b'a'; 1000], MODULE).contains("longer than 960"));
    assert!(error(b"a\nb\0", MODULE).contains("printable"));
    let mut wrong = loaded(&map, b"\0", MODULE);
    wrong.put(0x1000, &[0]);
    assert!(pvh::read(&wrong, 0x1000).unwrap_err().contains("magic"));
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
