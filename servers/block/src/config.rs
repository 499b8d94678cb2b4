//! The PCI configuration page of the device: what it is, its capabilities, its memory ranges (PCI Local Bus 3.0, chapter
//! 6; virtio 1.2, section 4.1.4).
//!
//! Always true:
//! 1. Only registers of type-0 headers are touched, by 32-bit accesses, as every bridge understands them.
//! 2. A capability list of any shape, even one that bites its tail, ends the walk.

use crate::registers::Registers;
use core::fmt;

/// Vendor of all virtio devices.
pub const VIRTIO_VENDOR: u16 = 0x1af4;
/// A block device of virtio 1.0, and one that can also be driven as an older one.
pub const BLOCK_DEVICES: [u16; 2] = [0x1042, 0x1001];

const COMMAND: usize = 0x04;
const BARS: usize = 0x10;
const CAPABILITIES: usize = 0x34;
/// The header's 256 bytes: where the capability list lies.
const HEADER: usize = 0x100;

/// The device answers memory accesses.
pub const MEMORY_SPACE: u16 = 1 << 1;
/// The device may write and read memory on its own, and send interrupts.
pub const BUS_MASTER: u16 = 1 << 2;
/// The device does not use its interrupt wire.
pub const NO_WIRE: u16 = 1 << 10;

/// Capability of a vendor's own.
pub const VENDOR_CAPABILITY: u8 = 0x09;
/// Message-signalled interrupts, extended.
pub const MSIX_CAPABILITY: u8 = 0x11;

/// Why the device cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// It is no virtio block device; what it says it is.
    NotOurs {
        /// Vendor.
        vendor: u16,
        /// Device.
        device: u16,
    },
    /// It lacks a structure that every virtio device has.
    Missing(&'static str),
    /// A structure does not lie in the memory range that it names.
    Outside(&'static str),
    /// The memory range of this number has no address, or is not of memory.
    NoMemory(u8),
    /// The device takes no driver (it said so, or it broke down).
    Refused(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs { vendor, device } => write!(f, "{vendor:04x}:{device:04x} is no virtio block device"),
            Self::Missing(what) => write!(f, "the device has no {what}"),
            Self::Outside(what) => write!(f, "the device's {what} lies outside of its memory range"),
            Self::NoMemory(bar) => write!(f, "the device's memory range {bar} is not there"),
            Self::Refused(what) => write!(f, "the device {what}"),
        }
    }
}

/// A structure of the device: so many bytes from an offset on, in the memory range of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the memory range (BAR).
    pub bar: u8,
    /// First byte in it.
    pub offset: usize,
    /// Bytes.
    pub length: usize,
}

/// What of the configuration the driver needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structures {
    /// Virtio's common configuration.
    pub common: Place,
    /// Where the device is told of new requests.
    pub notify: Place,
    /// By how many bytes each queue's place in `notify` differs from that of the queue before.
    pub notify_step: u32,
    /// The block device's own configuration.
    pub device: Place,
    /// Offset of the MSI-X capability.
    pub msix: usize,
}

/// The configuration page.
pub struct Config<R>(pub R);

impl<R: Registers> Config<R> {
    /// Checks that it is of a virtio block device.
    pub fn check(&self) -> Result<(), ConfigError> {
        let word = self.0.read32(0);
        let (vendor, device) = (word as u16, (word >> 16) as u16);
        match vendor == VIRTIO_VENDOR && BLOCK_DEVICES.contains(&device) {
            true => Ok(()),
            false => Err(ConfigError::NotOurs { vendor, device }),
        }
    }

    /// Sets bits of the command register, and clears others.
    pub fn command(&self, set: u16, clear: u16) {
        // The upper half is the status register, whose bits are cleared by writing ones.
        let command = self.0.read32(COMMAND) as u16;
        self.0.write32(COMMAND, u32::from(command & !clear | set));
    }

    /// The physical address of memory range `bar`.
    pub fn address(&self, bar: u8) -> Result<u64, ConfigError> {
        let missing = Err(ConfigError::NoMemory(bar));
        if bar > 5 {
            return missing;
        }
        let at = BARS + 4 * usize::from(bar);
        let low = self.0.read32(at);
        let high = match low >> 1 & 3 {
            2 if bar < 5 => self.0.read32(at + 4),
            0 => 0,
            _ => return missing,
        };
        let address = u64::from(high) << 32 | u64::from(low & !0xf);
        if low & 1 != 0 || address == 0 { missing } else { Ok(address) }
    }

    /// Finds the structures.
    pub fn structures(&self) -> Result<Structures, ConfigError> {
        let common = self.virtio(1).ok_or(ConfigError::Missing("common configuration"))?;
        let notify = self.virtio(2).ok_or(ConfigError::Missing("notification area"))?;
        let device = self.virtio(4).ok_or(ConfigError::Missing("device configuration"))?;
        let msix = self.capabilities().find(|c| c.1 == MSIX_CAPABILITY).ok_or(ConfigError::Missing("MSI-X"))?.0;
        Ok(Structures {
            common: self.place(common),
            notify: self.place(notify),
            notify_step: self.0.read32(notify + 16),
            device: self.place(device),
            msix,
        })
    }

    /// Offset of the first virtio capability of this type.
    fn virtio(&self, kind: u8) -> Option<usize> {
        let long_enough = if kind == 2 { 20 } else { 16 };
        let fits = |(at, id): &(usize, u8)| {
            let word = self.0.read32(*at);
            *id == VENDOR_CAPABILITY && (word >> 24) as u8 == kind && word >> 16 & 0xff >= long_enough
        };
        self.capabilities().find(fits).map(|c| c.0)
    }

    fn place(&self, at: usize) -> Place {
        let [bar, offset, length] = [4, 8, 12].map(|o| self.0.read32(at + o));
        Place { bar: bar as u8, offset: offset as usize, length: length as usize }
    }

    /// Offsets and ids of the capabilities.
    pub fn capabilities(&self) -> impl Iterator<Item = (usize, u8)> + '_ {
        let has_list = self.0.read32(COMMAND) >> 16 & 1 << 4 != 0;
        let first = if has_list { self.0.read32(CAPABILITIES) as usize & 0xfc } else { 0 };
        let next = |at: &usize| Some((self.0.read32(*at) >> 8 & 0xfc) as usize);
        core::iter::successors(Some(first), next)
            .take_while(|at| (0x40..HEADER).contains(at))
            .take(HEADER / 4)
            .map(|at| (at, self.0.read32(at) as u8))
    }
}

#[cfg(test)]
#[allow(missing_docs)]
pub mod tests {
    use super::*;
    use crate::registers::fake::Memory;

    /// The configuration page as QEMU shows it for `virtio-blk-pci,disable-legacy=on`.
    pub fn page() -> Memory {
        let memory = Memory::new(4096);
        let words = [
            (0x00, 0x1042_1af4),
            (0x04, 0x0010_0000),
            (0x10 + 4, 0xfebd_0000),
            (0x10 + 16, 0x0000_400c),
            (0x10 + 20, 0x0000_0008),
            (0x34, 0x98),
            (0x98, 0x8005_8411 & !0x8000_0000),
            (0x9c, 0x0000_0001),
            (0xa0, 0x0000_0801),
            (0x84, 0x0514_7009),
            (0x70, 0x0214_6009),
            (0x74, 4),
            (0x78, 0x3000),
            (0x7c, 0x1000),
            (0x80, 4),
            (0x60, 0x0410_5009),
            (0x64, 4),
            (0x68, 0x2000),
            (0x6c, 0x1000),
            (0x50, 0x0310_4009),
            (0x54, 4),
            (0x58, 0x1000),
            (0x5c, 0x1000),
            (0x40, 0x0110_0009),
            (0x44, 4),
            (0x48, 0),
            (0x4c, 0x1000),
        ];
        for (at, word) in words {
            memory.set32(at, word);
        }
        memory
    }

    #[test]
    fn the_structures_of_a_real_device_are_found() {
        let page = page();
        let config = Config(&page);
        assert_eq!(config.check(), Ok(()));
        let place = |offset| Place { bar: 4, offset, length: 0x1000 };
        let expected =
            Structures { common: place(0), notify: place(0x3000), notify_step: 4, device: place(0x2000), msix: 0x98 };
        assert_eq!(config.structures(), Ok(expected));
    }

    #[test]
    fn addresses_of_memory_ranges_are_read_in_both_widths() {
        let page = page();
        let config = Config(&page);
        assert_eq!(config.address(1), Ok(0xfebd_0000));
        assert_eq!(config.address(4), Ok(0x8_0000_4000));
        for bar in [0, 2, 3, 6, 255] {
            assert_eq!(config.address(bar), Err(ConfigError::NoMemory(bar)));
        }
        page.set32(0x10, 0xc001);
        assert_eq!(config.address(0), Err(ConfigError::NoMemory(0)), "a range of I/O ports");
        page.set32(0x24, 0xfeb0_0004);
        assert_eq!(config.address(5), Err(ConfigError::NoMemory(5)), "a 64-bit range without upper half");
    }

    #[test]
    fn another_device_is_refused_by_name() {
        let page = page();
        page.set32(0, 0x1000_1af4);
        assert_eq!(Config(&page).check(), Err(ConfigError::NotOurs { vendor: 0x1af4, device: 0x1000 }));
    }

    #[test]
    fn a_capability_list_that_bites_its_tail_ends() {
        let page = page();
        page.set32(0x40, 0x0110_9809);
        assert!(Config(&page).capabilities().count() <= 64);
        assert!(Config(&page).structures().is_ok());
    }

    #[test]
    fn a_device_without_a_structure_is_refused_by_the_name_of_it() {
        let page = page();
        page.set32(0x60, 0x0410_0009 & 0x00ff_ffff);
        assert!(matches!(Config(&page).structures(), Err(ConfigError::Missing(_))));
        page.set32(0x04, 0);
        assert_eq!(Config(&page).structures(), Err(ConfigError::Missing("common configuration")));
    }

    #[test]
    fn the_command_register_is_changed_without_clearing_status_bits() {
        let page = page();
        page.set32(4, 0xf810_0003);
        Config(&page).command(BUS_MASTER | NO_WIRE, 1);
        assert_eq!(page.stores.borrow().as_slice(), &[(4, 0x0406)]);
    }
}
