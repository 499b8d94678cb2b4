//! The machine's tables and buses, reached through capabilities: physical memory that is mapped for the moment.
//!
//! 1. What is mapped here is unmapped and given up when its owner is dropped; only what a service is handed stays.

use crate::{
    acpi::{AcpiError, Ecam, Physical, Power, Tables},
    pci::{self, Address, Config, Function},
};
use abi::PAGE_SIZE;
use alloc::{vec, vec::Vec};
use libipc::{Account, Machine, OwnedHandle, SysError, ports::Ports, registers::Registers};

/// Reads physical memory outside of RAM, some pages at a time.
pub struct Window {
    machine: Machine,
    account: Account,
}

impl Physical for Window {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Option<()> {
        let first = address / PAGE_SIZE * PAGE_SIZE;
        let end = address.checked_add(into.len() as u64)?;
        let pages = (end - first).div_ceil(PAGE_SIZE).max(1);
        let memory = self.machine.physical(self.account, first, pages).ok()?;
        let mapping = memory.memory().map(false).ok()?;
        mapping.read((address - first) as usize, into).ok()
    }
}

/// The ACPI tables of this machine.
pub fn tables(machine: Machine, account: Account, rsdp: u64) -> Result<Tables<Window>, AcpiError> {
    Tables::open(Window { machine, account }, rsdp)
}

/// Configuration space, mapped a bus at a time.
pub struct Buses {
    machine: Machine,
    account: Account,
    ecam: Vec<Ecam>,
    mapped: Vec<(u8, Registers, OwnedHandle)>,
}

const BUS_PAGES: u64 = 256;

impl Buses {
    /// The buses in these stretches of configuration space.
    pub fn new(machine: Machine, account: Account, ecam: Vec<Ecam>) -> Buses {
        Buses { machine, account, ecam, mapped: Vec::new() }
    }

    /// Every function.
    pub fn functions(&mut self) -> Vec<Function> {
        let ranges = self.ecam.clone();
        ranges.iter().flat_map(|ecam| pci::functions(self, ecam.first_bus, ecam.last_bus)).collect()
    }

    /// The memory of one function's configuration space.
    pub fn config_page(&self, function: Address) -> Result<OwnedHandle, SysError> {
        let ecam = self.range(function.bus).ok_or(SysError::BadArgument)?;
        self.machine.physical(self.account, ecam.base + function.ecam_offset(), 1)
    }

    fn range(&self, bus: u8) -> Option<&Ecam> {
        self.ecam.iter().find(|ecam| (ecam.first_bus..=ecam.last_bus).contains(&bus))
    }

    fn bus(&mut self, bus: u8) -> Option<&mut Registers> {
        let at = match self.mapped.iter().position(|(mapped, ..)| *mapped == bus) {
            Some(at) => at,
            None => {
                let start = self.range(bus)?.base + (u64::from(bus) << 20);
                let memory = self.machine.physical(self.account, start, BUS_PAGES).ok()?;
                let registers = Registers::map(memory.memory()).ok()?;
                self.mapped.push((bus, registers, memory));
                self.mapped.len() - 1
            }
        };
        self.mapped.get_mut(at).map(|(_, registers, _)| registers)
    }
}

fn place(address: Address, offset: u16) -> usize {
    (address.ecam_offset() & 0xf_ffff) as usize + usize::from(offset & 0xffc)
}

impl Config for Buses {
    fn read(&mut self, address: Address, offset: u16) -> u32 {
        self.bus(address.bus).map_or(u32::MAX, |bus| bus.read_u32(place(address, offset)))
    }
    fn write(&mut self, address: Address, offset: u16, value: u32) {
        if let Some(bus) = self.bus(address.bus) {
            bus.write_u32(place(address, offset), value);
        }
    }
}

/// How the machine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Off.
    PowerOff,
    /// Off and on again.
    Reboot,
}

/// Takes the machine down. Returns only where every way has failed.
pub fn leave(machine: Machine, account: Account, power: Power, how: Exit) {
    const KEYBOARD: u16 = 0x64;
    const RESET_CONTROL: u16 = 0xcf9;
    match how {
        Exit::PowerOff => {
            for (port, value) in [power.off_b, power.off].into_iter().flatten() {
                output(machine, account, port, 2, |ports| ports.write_u16(0, value));
            }
        }
        Exit::Reboot => {
            if let Some((port, value)) = power.reset {
                output(machine, account, port, 1, |ports| ports.write_u8(0, value));
            }
            output(machine, account, RESET_CONTROL, 1, |ports| ports.write_u8(0, 0x06));
            output(machine, account, KEYBOARD, 1, |ports| ports.write_u8(0, 0xfe));
        }
    }
}

fn output(machine: Machine, account: Account, port: u16, count: u32, write: impl FnOnce(&mut Ports)) {
    let Ok(handle) = machine.ports(account, port, count) else { return };
    if let Ok(mut ports) = Ports::open(handle.ports(), port) {
        write(&mut ports);
    }
}

/// What is known of the machine's ways down; nothing where its tables tell nothing.
pub fn power(machine: Machine, account: Account, rsdp: u64) -> Result<Power, AcpiError> {
    tables(machine, account, rsdp)?.power()
}

/// A device's memory ranges as capabilities, with their register number.
pub fn bar_memories(machine: Machine, account: Account, bars: &[pci::Bar]) -> Result<Vec<(u8, OwnedHandle)>, SysError> {
    let mut memories = vec![];
    for bar in bars.iter().filter(|bar| bar.start.is_multiple_of(PAGE_SIZE)) {
        let pages = bar.length.div_ceil(PAGE_SIZE);
        memories.push((bar.index, machine.physical(account, bar.start, pages)?));
    }
    Ok(memories)
}
