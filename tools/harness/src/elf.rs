//! Stripping ELF files without any outside tool.
//!
//! What a loader reads stays where it is, byte for byte: the file header, the program headers and the contents of the
//! segments keep their offsets, so page congruence is kept too. What follows the last segment (symbols, debug
//! information, section headers) is cut off, and the header no longer mentions it.

use anyhow::{Context, Result, bail};

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

/// The loadable part of a 64-bit little-endian ELF file.
pub fn strip(elf: &[u8]) -> Result<Vec<u8>> {
    if elf.len() < HEADER || !elf.starts_with(b"\x7fELF\x02\x01") {
        bail!("not a 64-bit little-endian ELF file");
    }
    let (table, size, count) = (word(elf, 32)?, half(elf, 54)?, half(elf, 56)?);
    if size != PROGRAM_HEADER {
        bail!("its program headers are {size} bytes long, not {PROGRAM_HEADER}");
    }
    let mut end = table + size * count;
    for index in 0..count {
        let header = table + index * size;
        end = end.max(word(elf, header + 8)? + word(elf, header + 32)?);
    }
    let mut stripped = elf.get(..end).context("a segment reaches past the end of the file")?.to_vec();
    stripped[40..48].fill(0); // e_shoff
    stripped[58..64].fill(0); // e_shentsize, e_shnum, e_shstrndx
    Ok(stripped)
}

fn word(elf: &[u8], at: usize) -> Result<usize> {
    let bytes = elf.get(at..at + 8).context("it ends inside a header")?;
    Ok(u64::from_le_bytes(bytes.try_into()?).min(1 << 40) as usize)
}

fn half(elf: &[u8], at: usize) -> Result<usize> {
    let bytes = elf.get(at..at + 2).context("it ends inside a header")?;
    Ok(u16::from_le_bytes(bytes.try_into()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One segment of 16 bytes at 0x1000, followed by 100 bytes of section data.
    fn sample() -> Vec<u8> {
        let mut elf = vec![0; 0x1000 + 16 + 100];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[32] = 64;
        elf[40..48].copy_from_slice(&0x1010_u64.to_le_bytes());
        elf[54] = 56;
        elf[56] = 1;
        elf[58..64].fill(9);
        elf[64 + 8..64 + 16].copy_from_slice(&0x1000_u64.to_le_bytes());
        elf[64 + 32..64 + 40].copy_from_slice(&16_u64.to_le_bytes());
        elf
    }

    #[test]
    fn stripping_keeps_segments_in_place_and_forgets_sections() {
        let stripped = strip(&sample()).expect("the sample is sound");
        assert_eq!(stripped.len(), 0x1010);
        assert_eq!(stripped[40..48], [0; 8]);
        assert_eq!(stripped[58..64], [0; 6]);
        assert_eq!(stripped[64..], sample()[64..0x1010]);
    }

    #[test]
    fn stripping_twice_changes_nothing_more() {
        let once = strip(&sample()).expect("the sample is sound");
        assert_eq!(strip(&once).expect("still sound"), once);
    }

    #[test]
    fn a_segment_past_the_end_is_an_error_and_no_panic() {
        let mut elf = sample();
        elf[64 + 8..64 + 16].fill(0xff);
        assert!(strip(&elf).is_err());
        assert!(strip(b"#!/bin/sh").is_err());
        assert!(strip(&sample()[..70]).is_err());
    }

    #[test]
    fn the_tests_own_binary_strips_to_something_smaller() {
        let own = std::fs::read(std::env::current_exe().expect("it runs")).expect("it can be read");
        assert!(strip(&own).expect("it is an ELF file").len() < own.len());
    }
}
