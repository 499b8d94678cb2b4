//! ACPI tables: what init needs of them to find PCI functions and to switch the machine off.
//!
//! 1. Tables are read through [`Physical`] only; every length in them is checked before it is used, and bounded.
//! 2. A table whose checksum is wrong is not used.
//! 3. No AML is interpreted: of `\_S5` only the package of small integers is read, as every firmware writes it.

use alloc::{vec, vec::Vec};

/// Most bytes of one table that are read.
const MAX_TABLE: usize = 1 << 20;
const HEADER: usize = 36;

/// Physical memory that can be read.
pub trait Physical {
    /// Fills `into` from physical address `address`; `None` where that cannot be read.
    fn read(&mut self, address: u64, into: &mut [u8]) -> Option<()>;
}

/// Why there is no usable table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiError {
    /// The boot loader handed over no root pointer.
    NoRoot,
    /// Memory of a table could not be read.
    Unreadable,
    /// A table has a wrong signature, length or checksum.
    Damaged,
    /// The root table lists no table with this signature.
    Missing([u8; 4]),
}

impl core::fmt::Display for AcpiError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AcpiError::NoRoot => f.write_str("the boot loader gave no ACPI root pointer"),
            AcpiError::Unreadable => f.write_str("an ACPI table lies in memory that cannot be read"),
            AcpiError::Damaged => f.write_str("an ACPI table is damaged (length or checksum)"),
            AcpiError::Missing(name) => {
                write!(f, "the firmware has no ACPI table {}", core::str::from_utf8(name).unwrap_or("????"))
            }
        }
    }
}

/// A stretch of PCI configuration space mapped at a physical address (ECAM), from the MCFG table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecam {
    /// Physical address of bus 0's space (whether or not bus 0 is in range).
    pub base: u64,
    /// First bus in range.
    pub first_bus: u8,
    /// Last bus in range.
    pub last_bus: u8,
}

/// How the machine is switched off and started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Port and value that switch it off (PM1a control, `SLP_TYP | SLP_EN`), and PM1b's where there is one.
    pub off: Option<(u16, u16)>,
    /// The same for PM1b.
    pub off_b: Option<(u16, u16)>,
    /// Port and value that reset it.
    pub reset: Option<(u16, u8)>,
}

/// The tables of a machine.
pub struct Tables<P> {
    memory: P,
    entries: Vec<u64>,
}

impl<P: Physical> Tables<P> {
    /// Reads the root table that the root pointer at `rsdp` names.
    pub fn open(mut memory: P, rsdp: u64) -> Result<Tables<P>, AcpiError> {
        if rsdp == 0 {
            return Err(AcpiError::NoRoot);
        }
        let mut root = [0; 36];
        memory.read(rsdp, &mut root[..20]).ok_or(AcpiError::Unreadable)?;
        if &root[..8] != b"RSD PTR " || sum(&root[..20]) != 0 {
            return Err(AcpiError::Damaged);
        }
        let extended = root[15] >= 2 && memory.read(rsdp, &mut root).is_some() && sum(&root) == 0;
        let (address, signature, width) = match u64_at(&root, 24) {
            Some(xsdt) if extended && xsdt != 0 => (xsdt, *b"XSDT", 8),
            _ => (u32_at(&root, 16).unwrap_or(0).into(), *b"RSDT", 4),
        };
        let table = read_table(&mut memory, address, signature)?;
        let entry = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let entries = table[HEADER..].chunks_exact(width).map(entry).collect();
        Ok(Tables { memory, entries })
    }

    /// The whole table with this signature.
    pub fn table(&mut self, signature: [u8; 4]) -> Result<Vec<u8>, AcpiError> {
        for address in &self.entries {
            let mut found = [0; 4];
            if self.memory.read(*address, &mut found).is_some() && found == signature {
                return read_table(&mut self.memory, *address, signature);
            }
        }
        Err(AcpiError::Missing(signature))
    }

    /// The stretches of configuration space of PCI segment 0.
    pub fn ecam(&mut self) -> Result<Vec<Ecam>, AcpiError> {
        let mcfg = self.table(*b"MCFG")?;
        let entries = mcfg.get(HEADER + 8..).unwrap_or(&[]).chunks_exact(16);
        let segment_0 = entries.filter(|entry| entry[8..10] == [0, 0] && entry[10] <= entry[11]);
        let ecam =
            |entry: &[u8]| Ecam { base: u64_at(entry, 0).unwrap_or(0), first_bus: entry[10], last_bus: entry[11] };
        Ok(segment_0.map(ecam).filter(|ecam| ecam.base != 0 && ecam.base.is_multiple_of(4096)).collect())
    }

    /// How to switch off and reset, as far as the firmware tells.
    pub fn power(&mut self) -> Result<Power, AcpiError> {
        const SLP_EN: u16 = 1 << 13;
        const RESET_SUPPORTED: u32 = 1 << 10;
        const IN_PORTS: u8 = 1;
        let fadt = self.table(*b"FACP")?;
        let mut power = Power::default();
        if u32_at(&fadt, 112).is_some_and(|flags| flags & RESET_SUPPORTED != 0) && fadt.get(116) == Some(&IN_PORTS) {
            let port = u64_at(&fadt, 120).and_then(|port| u16::try_from(port).ok());
            power.reset = port.zip(fadt.get(128).copied());
        }
        let dsdt = u64_at(&fadt, 140).filter(|x| *x != 0).or(u32_at(&fadt, 40).map(u64::from)).unwrap_or(0);
        let dsdt = read_table(&mut self.memory, dsdt, *b"DSDT")?;
        if let Some((a, b)) = sleep_types(&dsdt[HEADER..]) {
            let port = |at| u32_at(&fadt, at).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
            power.off = port(64).map(|port| (port, u16::from(a) << 10 | SLP_EN));
            power.off_b = port(68).map(|port| (port, u16::from(b) << 10 | SLP_EN));
        }
        Ok(power)
    }
}

fn read_table<P: Physical>(memory: &mut P, address: u64, signature: [u8; 4]) -> Result<Vec<u8>, AcpiError> {
    let mut header = [0; HEADER];
    memory.read(address, &mut header).ok_or(AcpiError::Unreadable)?;
    let length = u32_at(&header, 4).unwrap_or(0) as usize;
    if header[..4] != signature || !(HEADER..=MAX_TABLE).contains(&length) {
        return Err(AcpiError::Damaged);
    }
    let mut table = vec![0; length];
    memory.read(address, &mut table).ok_or(AcpiError::Unreadable)?;
    if sum(&table) == 0 { Ok(table) } else { Err(AcpiError::Damaged) }
}

/// The sleep types of soft-off: `Name (\_S5, Package () { a, b, ... })` in AML (ACPI 6.5, sections 20.2.2 and 20.2.5).
fn sleep_types(aml: &[u8]) -> Option<(u8, u8)> {
    const NAME_OP: u8 = 0x08;
    const PACKAGE_OP: u8 = 0x12;
    let named = |at: &usize| {
        let before = aml[..*at].strip_suffix(b"\\").unwrap_or(&aml[..*at]);
        before.last() == Some(&NAME_OP)
    };
    let at = (0..aml.len()).filter(|at| aml[*at..].starts_with(b"_S5_")).find(named)?;
    let rest = aml[at + 4..].strip_prefix(&[PACKAGE_OP])?;
    let length_bytes = 1 + usize::from(*rest.first()? >> 6);
    let elements = rest.get(length_bytes + 1..)?; // the byte between is the number of elements
    let (a, elements) = small_integer(elements)?;
    let (b, _) = small_integer(elements).unwrap_or((a, elements));
    Some((a & 7, b & 7))
}

/// An AML integer of at most a byte, and what follows it.
fn small_integer(aml: &[u8]) -> Option<(u8, &[u8])> {
    match aml {
        [value @ (0 | 1), rest @ ..] => Some((*value, rest)), // ZeroOp, OneOp
        [0x0a, value, rest @ ..] => Some((*value, rest)),     // BytePrefix
        _ => None,
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 KiB of physical memory from address 0xe0000.
    struct Ram(Vec<u8>);
    const BASE: u64 = 0xe0000;

    impl Physical for &Ram {
        fn read(&mut self, address: u64, into: &mut [u8]) -> Option<()> {
            let at = usize::try_from(address.checked_sub(BASE)?).ok()?;
            into.copy_from_slice(self.0.get(at..at.checked_add(into.len())?)?);
            Some(())
        }
    }

    fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut table = signature.to_vec();
        table.extend_from_slice(&(HEADER as u32 + body.len() as u32).to_le_bytes());
        table.resize(HEADER, 0);
        table.extend_from_slice(body);
        table[9] = 0u8.wrapping_sub(sum(&table));
        table
    }

    fn put(ram: &mut Ram, at: u64, bytes: &[u8]) {
        let at = (at - BASE) as usize;
        ram.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn machine() -> Ram {
        let mut ram = Ram(vec![0; 65536]);
        let mut root = b"RSD PTR \0OEMID_\0\0\0\0\0".to_vec();
        root.truncate(20);
        root[16..20].copy_from_slice(&(BASE as u32 + 0x1000).to_le_bytes());
        root[8] = 0u8.wrapping_sub(sum(&root));
        put(&mut ram, BASE, &root);
        let lists = [0x2000, 0x3000].map(|at| (BASE as u32 + at).to_le_bytes()).concat();
        put(&mut ram, BASE + 0x1000, &table(b"RSDT", &lists));
        let mut mcfg = vec![0; 8];
        mcfg.extend_from_slice(&0xb000_0000u64.to_le_bytes());
        mcfg.extend_from_slice(&[0, 0, 0, 255, 0, 0, 0, 0]);
        put(&mut ram, BASE + 0x2000, &table(b"MCFG", &mcfg));
        let mut fadt = vec![0; 244 - HEADER];
        fadt[40 - HEADER..44 - HEADER].copy_from_slice(&(BASE as u32 + 0x4000).to_le_bytes());
        fadt[64 - HEADER..68 - HEADER].copy_from_slice(&0x604u32.to_le_bytes());
        fadt[112 - HEADER..116 - HEADER].copy_from_slice(&(1u32 << 10).to_le_bytes());
        fadt[116 - HEADER] = 1;
        fadt[120 - HEADER..128 - HEADER].copy_from_slice(&0xcf9u64.to_le_bytes());
        fadt[128 - HEADER] = 0x0f;
        put(&mut ram, BASE + 0x3000, &table(b"FACP", &fadt));
        let aml = b"_S5_\x12\x00\x08_S5_\x12\x06\x04\x0a\x05\x01\x00\x00";
        put(&mut ram, BASE + 0x4000, &table(b"DSDT", aml));
        ram
    }

    #[test]
    fn configuration_space_is_found_through_the_root_pointer() {
        let ram = machine();
        let mut tables = Tables::open(&ram, BASE).expect("the tables are sound");
        assert_eq!(tables.ecam(), Ok(vec![Ecam { base: 0xb000_0000, first_bus: 0, last_bus: 255 }]));
        assert_eq!(tables.table(*b"HPET"), Err(AcpiError::Missing(*b"HPET")));
    }

    #[test]
    fn soft_off_and_reset_are_read_from_fadt_and_dsdt() {
        let ram = machine();
        let power = Tables::open(&ram, BASE).expect("sound").power().expect("told");
        assert_eq!(power.off, Some((0x604, 5 << 10 | 1 << 13)));
        assert_eq!((power.off_b, power.reset), (None, Some((0xcf9, 0x0f))));
    }

    #[test]
    fn no_single_flipped_byte_panics_and_one_in_a_table_is_noticed() {
        let good = machine();
        for at in [0..36, 0x1000..0x1030, 0x2000..0x2040, 0x3000..0x30f4, 0x4000..0x4040].into_iter().flatten() {
            let mut bad = Ram(good.0.clone());
            bad.0[at] ^= 0xff;
            if let Ok(mut tables) = Tables::open(&bad, BASE) {
                let changed_mcfg = (0x2000..0x2000 + HEADER + 24).contains(&at);
                assert_eq!(tables.ecam().is_err(), changed_mcfg, "byte {at:#x}");
                let _ = tables.power();
            }
        }
    }

    #[test]
    fn a_machine_without_tables_says_what_is_missing() {
        let ram = machine();
        assert_eq!(Tables::open(&ram, 0).err(), Some(AcpiError::NoRoot));
        assert_eq!(Tables::open(&ram, BASE + 0x8000).err(), Some(AcpiError::Damaged));
        assert_eq!(Tables::open(&ram, 0x10).err(), Some(AcpiError::Unreadable));
    }

    #[test]
    fn a_package_cut_off_anywhere_gives_no_sleep_type() {
        let aml = b"\x08\\_S5_\x12\x06\x04\x0a\x05\x0a\x06";
        assert_eq!(sleep_types(aml), Some((5, 6)));
        for length in 0..aml.len() - 4 {
            assert_eq!(sleep_types(&aml[..length]), None, "{length} bytes");
        }
    }
}
