//! The virtio registers of a PCI device (virtio 1.2, section 4.1.4.3), as `virtio-drivers` wants them.
//!
//! That crate has a PCI transport of its own, which does not know MSI-X; this one does, asks the device for nothing that
//! it knows already when it notifies it, and needs no `unsafe`.

use crate::registers::Registers;
use virtio_drivers::{
    Error, PhysAddr,
    transport::{DeviceStatus, DeviceType, InterruptStatus, Transport},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

bitflags::bitflags! {
    /// What a block device offers, of what this driver understands.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// It refuses writes.
        const READ_ONLY = 1 << 5;
        /// It has a cache that can be flushed. A device whose driver does not take this up writes through instead.
        const FLUSH = 1 << 9;
        /// It follows virtio 1.0 or later.
        const VERSION_1 = 1 << 32;
    }
}

const DEVICE_FEATURE_SELECT: usize = 0x00;
const DEVICE_FEATURE: usize = 0x04;
const DRIVER_FEATURE_SELECT: usize = 0x08;
const DRIVER_FEATURE: usize = 0x0c;
const CONFIG_VECTOR: usize = 0x10;
const STATUS: usize = 0x14;
const CONFIG_GENERATION: usize = 0x15;
const QUEUE_SELECT: usize = 0x16;
const QUEUE_SIZE: usize = 0x18;
const QUEUE_VECTOR: usize = 0x1a;
const QUEUE_ENABLE: usize = 0x1c;
const QUEUE_NOTIFY_OFFSET: usize = 0x1e;
const QUEUE_DESCRIPTORS: usize = 0x20;
const QUEUE_DRIVER: usize = 0x28;
const QUEUE_DEVICE: usize = 0x30;
/// Bytes of the common configuration.
pub const COMMON_SIZE: usize = 0x38;

/// No interrupt.
const NO_VECTOR: u16 = 0xffff;
/// How often the status register is read while the device resets, before it counts as broken. It is one read for an
/// emulated device, which finishes what is in flight before it answers.
const RESET_READS: usize = 10_000_000;

/// The registers of one device.
#[derive(Debug)]
pub struct Pci<R> {
    common: R,
    notify: R,
    device: R,
    notify_step: u32,
    notify_at: usize,
}

impl<R: Registers> Pci<R> {
    /// The device with these structures.
    pub fn new(common: R, notify: R, device: R, notify_step: u32) -> Pci<R> {
        Pci { common, notify, device, notify_step, notify_at: usize::MAX }
    }

    /// Resets the device. When it is done, the device uses no memory and sends no interrupt. `false`: it does not get
    /// done.
    pub fn reset(&mut self) -> bool {
        self.common.write8(STATUS, 0);
        (0..RESET_READS).any(|_| self.common.read8(STATUS) == 0)
    }

    /// Lets queue 0 raise interrupt 0, and changes of the configuration none. To be done between reset and
    /// [`Transport::finish_init`]. `false`: the device has no vector for it.
    pub fn route_interrupt(&mut self) -> bool {
        self.common.write16(CONFIG_VECTOR, NO_VECTOR);
        self.common.write16(QUEUE_SELECT, 0);
        self.common.write16(QUEUE_VECTOR, 0);
        self.common.read16(QUEUE_VECTOR) == 0
    }

    /// What the device itself has accepted so far.
    pub fn status(&self) -> u8 {
        self.common.read8(STATUS)
    }

    fn write64(&self, at: usize, value: u64) {
        self.common.write32(at, value as u32);
        self.common.write32(at + 4, (value >> 32) as u32);
    }

    fn select(&self, queue: u16) {
        self.common.write16(QUEUE_SELECT, queue);
    }
}

impl<R: Registers> Transport for Pci<R> {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }

    fn read_device_features(&mut self) -> u64 {
        self.common.write32(DEVICE_FEATURE_SELECT, 0);
        let low = self.common.read32(DEVICE_FEATURE);
        self.common.write32(DEVICE_FEATURE_SELECT, 1);
        u64::from(self.common.read32(DEVICE_FEATURE)) << 32 | u64::from(low)
    }

    fn write_driver_features(&mut self, features: u64) {
        self.common.write32(DRIVER_FEATURE_SELECT, 0);
        self.common.write32(DRIVER_FEATURE, features as u32);
        self.common.write32(DRIVER_FEATURE_SELECT, 1);
        self.common.write32(DRIVER_FEATURE, (features >> 32) as u32);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.select(queue);
        self.common.read16(QUEUE_SIZE).into()
    }

    fn notify(&mut self, queue: u16) {
        self.notify.write16(self.notify_at, queue);
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(self.common.read8(STATUS).into())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.common.write8(STATUS, status.bits() as u8);
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        self.select(queue);
        self.common.write16(QUEUE_SIZE, size as u16);
        self.write64(QUEUE_DESCRIPTORS, descriptors);
        self.write64(QUEUE_DRIVER, driver);
        self.write64(QUEUE_DEVICE, device);
        let offset = usize::from(self.common.read16(QUEUE_NOTIFY_OFFSET));
        self.notify_at = offset.saturating_mul(self.notify_step as usize);
        self.common.write16(QUEUE_ENABLE, 1);
    }

    /// Over PCI a queue is taken back by a reset of the device alone.
    fn queue_unset(&mut self, _: u16) {}

    fn queue_used(&mut self, queue: u16) -> bool {
        self.select(queue);
        self.common.read16(QUEUE_ENABLE) == 1
    }

    /// With MSI-X there is nothing to acknowledge at the device.
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::QUEUE_INTERRUPT
    }

    fn read_config_generation(&self) -> u32 {
        self.common.read8(CONFIG_GENERATION).into()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let mut value = T::new_zeroed();
        let bytes = value.as_mut_bytes();
        if offset.checked_add(bytes.len()).is_none_or(|end| end > self.device.size()) {
            return Err(Error::ConfigSpaceTooSmall);
        }
        // The device wants accesses of the fields' own width.
        match (bytes.len() % 4, bytes.len() % 2) {
            (0, _) => bytes
                .chunks_mut(4)
                .enumerate()
                .for_each(|(i, b)| b.copy_from_slice(&self.device.read32(offset + 4 * i).to_le_bytes())),
            (_, 0) => bytes
                .chunks_mut(2)
                .enumerate()
                .for_each(|(i, b)| b.copy_from_slice(&self.device.read16(offset + 2 * i).to_le_bytes())),
            _ => bytes.iter_mut().enumerate().for_each(|(i, b)| *b = self.device.read8(offset + i)),
        }
        Ok(value)
    }

    /// A block device has nothing there that this driver writes.
    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<(), Error> {
        Err(Error::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registers::fake::Memory;

    fn device() -> (Memory, Memory, Memory) {
        (Memory::new(COMMON_SIZE), Memory::new(4096), Memory::new(64))
    }

    #[test]
    fn a_queue_is_described_before_it_is_enabled_and_notified_at_its_place() {
        let (common, notify, config) = device();
        common.bytes.borrow_mut()[QUEUE_NOTIFY_OFFSET] = 3;
        let mut pci = Pci::new(&common, &notify, &config, 4);
        pci.queue_set(0, 64, 0x1_2345_6000, 0x1_2345_7000, 0x1_2345_8000);
        pci.notify(0);
        let stores = common.stores.borrow();
        assert_eq!(stores.last(), Some(&(QUEUE_ENABLE, 1)));
        for (at, low) in [(QUEUE_DESCRIPTORS, 0x2345_6000), (QUEUE_DRIVER, 0x2345_7000), (QUEUE_DEVICE, 0x2345_8000)] {
            assert_eq!((common.read32(at), common.read32(at + 4)), (low, 1));
        }
        assert_eq!(notify.stores.borrow().as_slice(), &[(12, 0)]);
    }

    #[test]
    fn notifying_a_queue_that_was_never_set_touches_nothing() {
        let (common, notify, config) = device();
        Pci::new(&common, &notify, &config, 4).notify(0);
        assert!(notify.bytes.borrow().iter().all(|b| *b == 0));
    }

    #[test]
    fn a_device_that_does_not_reset_is_noticed() {
        let (common, notify, config) = device();
        assert!(Pci::new(&common, &notify, &config, 4).reset());
        // A broken device answers all ones.
        let broken = Memory::new(0);
        let mut pci = Pci::new(&broken, &notify, &config, 4);
        assert!(!pci.reset());
        assert!(!pci.route_interrupt());
    }

    #[test]
    fn the_interrupt_goes_to_queue_0_alone() {
        let (common, notify, config) = device();
        assert!(Pci::new(&common, &notify, &config, 4).route_interrupt());
        let expected = [(CONFIG_VECTOR, 0xffff), (QUEUE_SELECT, 0), (QUEUE_VECTOR, 0)];
        assert_eq!(common.stores.borrow().as_slice(), &expected);
    }

    #[test]
    fn the_flush_feature_is_taken_up_when_offered() {
        let (common, notify, config) = device();
        // The fake shows the same word in both halves: bits 0 and 9 stand for VERSION_1 and FLUSH.
        common.set32(DEVICE_FEATURE, 1 << 9 | 1);
        let mut pci = Pci::new(&common, &notify, &config, 4);
        let features = pci.begin_init(Features::all());
        assert_eq!(features, Features::FLUSH | Features::VERSION_1);
        let written: Vec<u32> =
            common.stores.borrow().iter().filter(|(at, _)| *at == DRIVER_FEATURE).map(|s| s.1).collect();
        assert_eq!(written, [1 << 9, 1]);
        assert_eq!(pci.status(), 0b1011);
    }

    #[test]
    fn the_device_configuration_is_read_within_its_bounds() {
        let (common, notify, config) = device();
        config.set32(0, 0x8000);
        let pci = Pci::new(&common, &notify, &config, 4);
        assert_eq!(pci.read_config_space::<u32>(0), Ok(0x8000));
        assert_eq!(pci.read_config_space::<u16>(0), Ok(0x8000));
        assert_eq!(pci.read_config_space::<u32>(62), Err(Error::ConfigSpaceTooSmall));
        assert_eq!(pci.read_config_space::<u32>(usize::MAX), Err(Error::ConfigSpaceTooSmall));
    }
}
