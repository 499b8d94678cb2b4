//! Programming of the device's interrupt (PCI Local Bus 3.0, section 6.8.2).
//!
//! Always true:
//! 1. No entry is changed while the device could send its message: the whole function is masked meanwhile.
//! 2. Afterwards entry 0 alone is unmasked.

use crate::{
    config::{Config, ConfigError, Place},
    registers::Registers,
};

const ENABLE: u32 = 1 << 31;
const MASK_ALL: u32 = 1 << 30;
const ENTRY: usize = 16;
const MASKED: u32 = 1;

/// Where the table of messages lies, according to the capability at `at`.
pub fn table<R: Registers>(config: &Config<R>, at: usize) -> Place {
    let entries = (config.0.read32(at) >> 16 & 0x7ff) as usize + 1;
    let word = config.0.read32(at + 4);
    Place { bar: word as u8 & 7, offset: (word & !7) as usize, length: entries * ENTRY }
}

/// Lets the device raise its interrupt 0 by writing `data` to `address`; all its others stay masked.
pub fn program<R: Registers>(
    config: &Config<R>,
    at: usize,
    table: &impl Registers,
    address: u64,
    data: u32,
) -> Result<(), ConfigError> {
    let control = config.0.read32(at) & !(ENABLE | MASK_ALL);
    config.0.write32(at, control | ENABLE | MASK_ALL);
    for entry in (0..table.size()).step_by(ENTRY) {
        table.write32(entry + 12, MASKED);
    }
    table.write32(0, address as u32);
    table.write32(4, (address >> 32) as u32);
    table.write32(8, data);
    table.write32(12, 0);
    let kept = (table.read32(0), table.read32(8)) == (address as u32, data);
    config.0.write32(at, control | ENABLE);
    if kept { Ok(()) } else { Err(ConfigError::Refused("does not keep its interrupt message")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::tests::page, registers::fake::Memory};

    #[test]
    fn the_table_is_where_the_capability_says() {
        assert_eq!(table(&Config(&page()), 0x98), Place { bar: 1, offset: 0, length: 6 * 16 });
    }

    #[test]
    fn entry_0_alone_can_send_and_only_after_it_is_complete() {
        let (page, entries) = (page(), Memory::new(96));
        program(&Config(&page), 0x98, &entries, 0xfee0_0000, 0x31).unwrap();
        let words: Vec<u32> = (0..24).map(|i| entries.read32(4 * i)).collect();
        assert_eq!(words[..4], [0xfee0_0000, 0, 0x31, 0]);
        assert!(words[4..].chunks(4).all(|entry| entry[3] == 1));
        let controls: Vec<u32> = page.stores.borrow().iter().map(|(_, word)| word >> 30).collect();
        assert_eq!(controls, [0b11, 0b10], "masked as a whole first, enabled at last");
    }

    #[test]
    fn a_device_that_forgets_its_message_is_refused() {
        let entries = Memory { masks: vec![(8, 0)], ..Memory::new(96) };
        let result = program(&Config(&page()), 0x98, &entries, 0xfee0_0000, 0x31);
        assert_eq!(result, Err(ConfigError::Refused("does not keep its interrupt message")));
    }
}
