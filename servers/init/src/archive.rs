//! The boot archive: a `ustar` file in memory, out of which programs are loaded in place.
//!
//! 1. Every offset and length read from the archive is checked against it; a damaged archive ends the walk early.
//! 2. A member's content starts at a multiple of the page size, or the member cannot be loaded as a program.

const BLOCK: usize = 512;
const MAGIC: core::ops::Range<usize> = 257..262;
const SIZE: core::ops::Range<usize> = 124..136;
const CHECKSUM: core::ops::Range<usize> = 148..156;

/// One file of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where its content begins in the archive.
    pub offset: usize,
    /// Its content.
    pub content: &'a [u8],
}

/// Walks the members in their order. Ends at the empty block, and at the first header that makes no sense.
#[derive(Clone)]
pub struct Members<'a> {
    archive: &'a [u8],
    at: usize,
}

/// The members of `archive`.
pub fn members(archive: &[u8]) -> Members<'_> {
    Members { archive, at: 0 }
}

/// The member of this name.
pub fn find<'a>(archive: &'a [u8], name: &str) -> Option<Member<'a>> {
    members(archive).find(|member| member.name == name)
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let offset = self.at.checked_add(BLOCK)?;
        let header = self.archive.get(self.at..offset)?;
        let member = parse(header, self.archive, offset);
        self.at = match &member {
            Some(member) => offset + member.content.len().next_multiple_of(BLOCK),
            None => self.archive.len(),
        };
        member
    }
}

fn parse<'a>(header: &'a [u8], archive: &'a [u8], offset: usize) -> Option<Member<'a>> {
    if &header[MAGIC] != b"ustar" || octal(&header[CHECKSUM])? != checksum(header) {
        return None;
    }
    let size = usize::try_from(octal(&header[SIZE])?).ok()?;
    let content = archive.get(offset..offset.checked_add(size)?)?;
    let length = header[..100].iter().position(|byte| *byte == 0).unwrap_or(100);
    Some(Member { name: core::str::from_utf8(&header[..length]).ok()?, offset, content })
}

/// The sum of the header's bytes, its own field counted as spaces.
fn checksum(header: &[u8]) -> u64 {
    let byte = |(at, byte): (usize, &u8)| if CHECKSUM.contains(&at) { u64::from(b' ') } else { u64::from(*byte) };
    header.iter().enumerate().map(byte).sum()
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.iter().skip_while(|byte| **byte == b' ').take_while(|byte| !matches!(**byte, 0 | b' '));
    let mut value = None;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value = Some(value.unwrap_or(0u64).checked_mul(8)?.checked_add(digit.into())?);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec, vec::Vec};

    fn append(archive: &mut Vec<u8>, name: &str, content: &[u8]) {
        let mut header = [0u8; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[SIZE].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[MAGIC].copy_from_slice(b"ustar");
        let sum = checksum(&header);
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }

    fn sample() -> Vec<u8> {
        let mut archive = Vec::new();
        append(&mut archive, "manifest", b"abc");
        append(&mut archive, "empty", b"");
        append(&mut archive, "init", &[7; 1025]);
        archive.resize(archive.len() + 2 * BLOCK, 0);
        archive
    }

    #[test]
    fn members_come_in_order_with_their_content() {
        let archive = sample();
        let seen: Vec<_> = members(&archive).map(|member| (member.name, member.content.len())).collect();
        assert_eq!(seen, [("manifest", 3), ("empty", 0), ("init", 1025)]);
        let init = find(&archive, "init").expect("it is there");
        assert_eq!(&archive[init.offset..init.offset + 1025], &[7; 1025]);
        assert_eq!(find(&archive, "ini"), None);
    }

    #[test]
    fn a_truncated_archive_yields_only_whole_members() {
        let archive = sample();
        for length in 0..archive.len() {
            for member in members(&archive[..length]) {
                assert!(member.offset + member.content.len() <= length);
            }
        }
    }

    #[test]
    fn a_flipped_bit_in_a_header_ends_the_walk_and_never_panics() {
        let archive = sample();
        for at in 0..BLOCK {
            let mut bad = archive.clone();
            bad[at] ^= 0x10;
            assert!(members(&bad).next().is_none_or(|member| member.name == "manifest"), "byte {at}");
        }
    }

    #[test]
    fn a_size_beyond_the_archive_is_refused() {
        let mut archive = Vec::new();
        append(&mut archive, "big", &vec![1; 4096]);
        assert_eq!(members(&archive[..2048]).count(), 0);
    }

    #[test]
    fn octal_fields_with_other_digits_or_too_many_are_refused() {
        assert_eq!(octal(b"0000017\0"), Some(15));
        assert_eq!(octal(b"  17 \0"), Some(15));
        assert_eq!(octal(b"18\0"), None);
        assert_eq!(octal(b"\0\0"), None);
        assert_eq!(octal(b"7777777777777777777777777"), None);
    }
}
