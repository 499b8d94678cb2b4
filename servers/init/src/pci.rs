//! PCI functions: found by walking the buses, sized, and described for the driver that is handed them.
//!
//! 1. Configuration space is reached through [`Config`] only, at offsets below 4096 that are multiples of 4.
//! 2. A base address register is sized only while the function answers to no memory access; afterwards the register
//!    holds what it held before.
//! 3. A walk visits each bus once, whatever the bridges claim.

use alloc::vec::Vec;

/// One function: where it is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Bus.
    pub bus: u8,
    /// Device on the bus, below 32.
    pub device: u8,
    /// Function of the device, below 8.
    pub function: u8,
}

impl Address {
    /// Offset of its 4 KiB of configuration space from that of bus 0.
    pub const fn ecam_offset(self) -> u64 {
        (self.bus as u64) << 20 | (self.device as u64 & 31) << 15 | (self.function as u64 & 7) << 12
    }
}

impl core::fmt::Display for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

/// Access to configuration space.
pub trait Config {
    /// Reads a register; all ones where there is no such function.
    fn read(&mut self, address: Address, offset: u16) -> u32;
    /// Writes a register.
    fn write(&mut self, address: Address, offset: u16, value: u32);
}

/// A function that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where it is.
    pub address: Address,
    /// Its maker.
    pub vendor: u16,
    /// What it is.
    pub device: u16,
}

/// A range of physical addresses to which a function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Number of its (first) register, 0 to 5.
    pub index: u8,
    /// Physical address.
    pub start: u64,
    /// Bytes, a power of two.
    pub length: u64,
}

const COMMAND: u16 = 0x04;
const HEADER_TYPE: u16 = 0x0c;
const BAR_0: u16 = 0x10;
const BUSES: u16 = 0x18;
const MEMORY_SPACE: u32 = 1 << 1;
const BUS_MASTER: u32 = 1 << 2;
const INTX_DISABLE: u32 = 1 << 10;

/// Every function on `first_bus` and the buses behind its bridges, up to `last_bus`.
pub fn functions(config: &mut impl Config, first_bus: u8, last_bus: u8) -> Vec<Function> {
    let mut found = Vec::new();
    let mut seen = [false; 256];
    let mut buses = alloc::vec![first_bus];
    while let Some(bus) = buses.pop() {
        if !(first_bus..=last_bus).contains(&bus) || core::mem::replace(&mut seen[usize::from(bus)], true) {
            continue;
        }
        for device in 0..32 {
            scan_device(config, bus, device, &mut found, &mut buses);
        }
    }
    found
}

fn scan_device(config: &mut impl Config, bus: u8, device: u8, found: &mut Vec<Function>, buses: &mut Vec<u8>) {
    const MULTI_FUNCTION: u32 = 0x80;
    for function in 0..8 {
        let address = Address { bus, device, function };
        let id = config.read(address, 0);
        if id as u16 == 0xffff {
            if function == 0 {
                return;
            }
            continue;
        }
        found.push(Function { address, vendor: id as u16, device: (id >> 16) as u16 });
        let header = config.read(address, HEADER_TYPE) >> 16;
        if header & 0x7f == 1 {
            buses.push((config.read(address, BUSES) >> 8) as u8);
        }
        if function == 0 && header & MULTI_FUNCTION == 0 {
            return;
        }
    }
}

/// Switches the function's answers to memory accesses and its own accesses to memory off (and INTx for good), and
/// measures its memory ranges. I/O port ranges are left out.
pub fn measure(config: &mut impl Config, address: Address) -> Vec<Bar> {
    let command = config.read(address, COMMAND) & 0xffff;
    config.write(address, COMMAND, command & !(MEMORY_SPACE | BUS_MASTER) | INTX_DISABLE);
    let mut bars = Vec::new();
    let mut index = 0;
    while index < 6 {
        let (bar, wide) = measure_one(config, address, index);
        bars.extend(bar);
        index += if wide { 2 } else { 1 };
    }
    bars
}

/// The range behind register `index`, and whether it takes the next register as well.
fn measure_one(config: &mut impl Config, address: Address, index: u8) -> (Option<Bar>, bool) {
    let register = BAR_0 + 4 * u16::from(index);
    let low = config.read(address, register);
    let is_memory = low & 1 == 0;
    let wide = is_memory && low >> 1 & 3 == 2 && index < 5;
    if !is_memory {
        return (None, false);
    }
    let (low, low_mask) = probe(config, address, register);
    let (high, high_mask) = if wide { probe(config, address, register + 4) } else { (0, u32::MAX) };
    let start = u64::from(high) << 32 | u64::from(low & !0xf);
    let mask = u64::from(high_mask) << 32 | u64::from(low_mask & !0xf);
    let length = (!mask).wrapping_add(1);
    let sound = low_mask & !0xf != 0 || (wide && high_mask != 0);
    let bar = (sound && start != 0 && length.is_power_of_two()).then_some(Bar { index, start, length });
    (bar, wide)
}

/// What the register holds, and what it holds of all ones.
fn probe(config: &mut impl Config, address: Address, register: u16) -> (u32, u32) {
    let before = config.read(address, register);
    config.write(address, register, u32::MAX);
    let mask = config.read(address, register);
    config.write(address, register, before);
    (before, mask)
}

/// Lets the function answer to memory accesses and access memory itself, without line interrupts.
pub fn enable(config: &mut impl Config, address: Address) {
    let command = config.read(address, COMMAND) & 0xffff;
    config.write(address, COMMAND, command | MEMORY_SPACE | BUS_MASTER | INTX_DISABLE);
}

/// Stops the function's own accesses to memory: nothing of a dead driver's requests lands after this.
pub fn silence(config: &mut impl Config, address: Address) {
    let command = config.read(address, COMMAND) & 0xffff;
    config.write(address, COMMAND, command & !BUS_MASTER | INTX_DISABLE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{collections::BTreeMap, vec};

    /// Functions with 64 registers each; bits of a base address register outside its mask do not change.
    #[derive(Default)]
    struct Board {
        registers: BTreeMap<u64, [u32; 64]>,
        masks: BTreeMap<(u64, u16), u32>,
        sized_while_enabled: bool,
    }

    impl Board {
        fn plug(&mut self, bus: u8, device: u8, function: u8, id: u32, header: u32) -> &mut [u32; 64] {
            let address = Address { bus, device, function };
            let registers = self.registers.entry(address.ecam_offset()).or_insert([0; 64]);
            registers[0] = id;
            registers[3] = header << 16;
            registers
        }
    }

    impl Config for Board {
        fn read(&mut self, address: Address, offset: u16) -> u32 {
            self.registers.get(&address.ecam_offset()).map_or(u32::MAX, |r| r[usize::from(offset / 4)])
        }
        fn write(&mut self, address: Address, offset: u16, value: u32) {
            let Some(registers) = self.registers.get_mut(&address.ecam_offset()) else { return };
            let is_bar = (0x10..0x28).contains(&offset);
            self.sized_while_enabled |= is_bar && registers[1] & MEMORY_SPACE != 0;
            let mask = if is_bar { *self.masks.get(&(address.ecam_offset(), offset)).unwrap_or(&0) } else { u32::MAX };
            let register = &mut registers[usize::from(offset / 4)];
            *register = *register & !mask | value & mask;
        }
    }

    #[test]
    fn functions_behind_bridges_are_found_and_loops_end() {
        let mut board = Board::default();
        board.plug(0, 0, 0, 0x1237_8086, 0);
        board.plug(0, 2, 0, 0x000c_1b36, 0x81)[6] = 0x0001_0100;
        board.plug(0, 2, 3, 0x000c_1b36, 1)[6] = 0x0000_0000; // claims the bus it sits on
        board.plug(1, 0, 0, 0x1042_1af4, 0);
        board.plug(0, 5, 1, 0x1042_1af4, 0); // no function 0: not there
        let found = functions(&mut board, 0, 255);
        let ids: Vec<_> = found.iter().map(|f| (f.address.bus, f.address.device, f.device)).collect();
        assert_eq!(ids, [(0, 0, 0x1237), (0, 2, 0xc), (0, 2, 0xc), (1, 0, 0x1042)]);
        assert_eq!(functions(&mut board, 0, 0).len(), 3, "bus 1 is out of range");
    }

    #[test]
    fn ranges_are_measured_while_the_function_is_silent_and_left_as_they_were() {
        let mut board = Board::default();
        let address = Address { bus: 0, device: 4, function: 0 };
        let at = address.ecam_offset();
        let registers = board.plug(0, 4, 0, 0x1042_1af4, 0);
        registers[1] = 7;
        registers[4] = 0xc041; // ports
        registers[5] = 0xfebd_5000;
        registers[8] = 0x0000_400c; // 64-bit, prefetchable
        registers[9] = 0x0000_00fe;
        board.masks.extend([((at, 0x10), !0x7f), ((at, 0x14), !0xfff), ((at, 0x20), !0x3fff), ((at, 0x24), u32::MAX)]);
        let before = board.registers[&at];
        let bars = measure(&mut board, address);
        assert_eq!(
            bars,
            vec![
                Bar { index: 1, start: 0xfebd_5000, length: 0x1000 },
                Bar { index: 4, start: 0xfe_0000_4000, length: 0x4000 }
            ]
        );
        assert_eq!(board.registers[&at][4..10], before[4..10]);
        assert!(!board.sized_while_enabled);
        assert_eq!(board.registers[&at][1] & 7, 1, "memory and bus mastering are off");
        enable(&mut board, address);
        assert_eq!(board.registers[&at][1], 7 | INTX_DISABLE);
        silence(&mut board, address);
        assert_eq!(board.registers[&at][1] & BUS_MASTER, 0);
    }

    #[test]
    fn registers_that_are_not_there_give_no_range() {
        let mut board = Board::default();
        board.plug(0, 4, 0, 0x1042_1af4, 0);
        assert_eq!(measure(&mut board, Address { bus: 0, device: 4, function: 0 }), []);
        assert_eq!(measure(&mut board, Address { bus: 9, device: 4, function: 0 }), [], "nobody there: all ones");
    }
}
