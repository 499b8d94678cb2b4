//! The interrupt controllers, out of ACPI's MADT (ACPI specification 6.5, sections 5.2.5 to 5.2.8 and 5.2.12).
//!
//! Invariants:
//! 1. Tables are firmware's claims: every length is checked, every read goes through [`Physical`], and a table with a
//!    bad checksum is as good as none.
//! 2. Whatever stands there, the result is usable: without a MADT it is the PC's one I/O APIC at its usual place.

use heapless::Vec;

use super::physical::Physical;

/// I/O APICs that are used; more are ignored.
pub const MAX_IO_APICS: usize = 8;
/// ISA interrupt lines.
pub const ISA_LINES: usize = 16;
/// Most tables that the root table is believed to have.
const MAX_TABLES: u64 = 128;
/// Bytes of the header that every table starts with.
const HEADER: u32 = 36;
/// Longest table that is read.
const MAX_TABLE: u32 = 1 << 20;

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApicAt {
    /// Physical address of its registers.
    pub address: u64,
    /// Number of its first line among all lines.
    pub first_line: u32,
}

/// Where an ISA line ends, and how it signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsaLine {
    /// I/O APIC line.
    pub gsi: u32,
    /// `Some(true)`: active low. `None`: as the bus has it.
    pub active_low: Option<bool>,
    /// `Some(true)`: level-triggered. `None`: as the bus has it.
    pub level: Option<bool>,
}

/// The interrupt controllers of the machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Topology {
    /// The I/O APICs.
    pub io_apics: Vec<IoApicAt, MAX_IO_APICS>,
    /// The ISA lines.
    pub isa: [IsaLine; ISA_LINES],
}

impl Topology {
    /// The PC as it is where nobody says otherwise.
    pub fn standard() -> Topology {
        Topology {
            io_apics: Vec::from_iter([IoApicAt { address: 0xfec0_0000, first_line: 0 }]),
            isa: core::array::from_fn(|line| IsaLine { gsi: line as u32, active_low: None, level: None }),
        }
    }

    /// The topology that the ACPI tables below the root pointer at `rsdp` tell of, or the standard one.
    pub fn read(memory: &impl Physical, rsdp: u64) -> Topology {
        let table = find_madt(memory, rsdp);
        table.map(Topology::parse).filter(|t| !t.io_apics.is_empty()).unwrap_or_else(Topology::standard)
    }

    /// The topology in a whole MADT.
    fn parse(table: &[u8]) -> Topology {
        let mut topology = Topology { io_apics: Vec::new(), ..Topology::standard() };
        let mut rest = table.get(HEADER as usize + 8..).unwrap_or(&[]);
        while let [kind, length, ..] = *rest {
            let Some((entry, next)) = rest.split_at_checked(usize::from(length)) else { break };
            if entry.len() < 2 {
                break;
            }
            topology.note(kind, entry);
            rest = next;
        }
        topology
    }

    /// Takes in one entry of the MADT; unknown and short ones are skipped.
    fn note(&mut self, kind: u8, entry: &[u8]) {
        match (kind, word(entry, 4)) {
            (1, Some(address)) => {
                let Some(first_line) = word(entry, 8) else { return };
                // The ninth I/O APIC and those after it are ignored.
                let _ = self.io_apics.push(IoApicAt { address: u64::from(address), first_line });
            }
            (2, Some(gsi)) => {
                let (Some(&source), Some(&flags)) = (entry.get(3), entry.get(8)) else { return };
                if let Some(line) = self.isa.get_mut(usize::from(source)) {
                    *line = IsaLine { gsi, active_low: choice(flags), level: choice(flags >> 2) };
                }
            }
            _ => {}
        }
    }
}

/// The 32-bit number at byte `at` of `bytes`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// Two bits of an interrupt source override: 1 is the first choice (high, edge), 3 the second (low, level).
fn choice(flags: u8) -> Option<bool> {
    match flags & 3 {
        1 => Some(false),
        3 => Some(true),
        _ => None,
    }
}

/// The MADT below the root pointer at `rsdp`.
fn find_madt(memory: &impl Physical, rsdp: u64) -> Option<&[u8]> {
    let root = memory.bytes(rsdp, 20).filter(|r| rsdp != 0 && r.starts_with(b"RSD PTR ") && sums_to_zero(r))?;
    let extended = root[15] >= 2;
    let (at, entry_size) =
        if extended { (memory.u64(rsdp.checked_add(24)?)?, 8) } else { (u64::from(word(root, 16)?), 4) };
    let root_table = table(memory, at, if extended { b"XSDT" } else { b"RSDT" })?;
    let entries = root_table.get(HEADER as usize..)?.chunks_exact(entry_size);
    entries.take(MAX_TABLES as usize).find_map(|entry| {
        let mut address = [0; 8];
        address[..entry_size].copy_from_slice(entry);
        table(memory, u64::from_le_bytes(address), b"APIC")
    })
}

/// The table at `address`, if it has this signature and a good checksum.
fn table<'m>(memory: &'m impl Physical, address: u64, signature: &[u8; 4]) -> Option<&'m [u8]> {
    memory.bytes(address, 4).filter(|s| s == signature)?;
    let length = memory.u32(address.checked_add(4)?).filter(|l| (HEADER..=MAX_TABLE).contains(l))?;
    memory.bytes(address, length as usize).filter(|t| sums_to_zero(t))
}

/// Whether the bytes add up to 0, as those of every ACPI structure do.
fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}
