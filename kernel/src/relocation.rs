//! Relocations: the words of an image that hold addresses of its own.
//!
//! A position-independent image names them in a table (`DT_RELR`; System V ABI, gABI 4.3 draft, "Relative Relocation
//! Table"): an even entry is the address of such a word, an odd one has a bit for each of the 63 words that follow.
//! In the file each word has the address that is right for an image at address 0.
//!
//! Invariants:
//! 1. [`Dynamic::read`] and [`check`] refuse whatever they do not understand, with the defect.
//! 2. Words that [`check`] has taken are aligned, ascend, and lie in the file's part of a segment that begins writable: no
//!    page that is shared with the file is among those that are changed.

use crate::image::Segment;
use abi::ImageDefect;
use heapless::Vec;

/// Most words of a table.
pub const MAX_TABLE: usize = 512;
/// Most relocations: what is done within one system call.
pub const MAX_RELOCATIONS: usize = 8192;
/// Most words of a dynamic section, two to an entry.
pub const MAX_DYNAMIC: usize = 128;

/// Bytes of a word.
const WORD: u64 = 8;
/// Words that an odd entry speaks of.
const SPAN: u64 = 63;

/// What a dynamic section says of relocations: the table's address in the image, and its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// Address, as the file has it.
    pub table: u64,
    /// Bytes, a multiple of 8.
    pub bytes: u64,
}

impl Dynamic {
    /// Of the words of a dynamic section: pairs of a tag and a value up to a tag of 0 (System V ABI, chapter 5).
    pub fn read(words: &[u64]) -> Result<Dynamic, ImageDefect> {
        let (mut table, mut bytes) = (None, None);
        for [tag, value] in words.as_chunks::<2>().0 {
            match (*tag, *value) {
                (0, _) => {
                    return match (table, bytes) {
                        (Some(table), Some(bytes)) if bytes % WORD == 0 => Ok(Dynamic { table, bytes }),
                        (None, None) => Ok(Dynamic::default()),
                        _ => Err(ImageDefect::RelocationTable),
                    };
                }
                (36, address) => table = Some(address), // RELR
                (35, length) => bytes = Some(length),   // RELRSZ
                (37, WORD) => {}                        // RELRENT
                (37, _) => return Err(ImageDefect::RelocationTable),
                (2 | 8 | 18, 0) => {} // PLTRELSZ, RELASZ, RELSZ: nothing
                (2 | 7..=9 | 17..=20 | 22 | 23, _) => return Err(ImageDefect::RelocationKind),
                (30, flags) if flags & 0b1_0100 != 0 => return Err(ImageDefect::RelocationKind), // TEXTREL, STATIC_TLS
                // HASH, STRTAB, SYMTAB, STRSZ, SYMENT, SYMBOLIC, DEBUG, BIND_NOW, FLAGS, GNU_HASH, FLAGS_1
                (4..=6 | 10 | 11 | 16 | 21 | 24 | 30 | 0x6fff_fef5 | 0x6fff_fffb, _) => {}
                _ => return Err(ImageDefect::NeedsLinker),
            }
        }
        Err(ImageDefect::RelocationTable)
    }
}

/// The words that a table names, in runs of up to 64: the address of the first of them, and a bit for each, in its order.
#[inline]
pub fn runs(table: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    let mut next = 0u64;
    table.iter().map(move |entry| {
        let run = if entry & 1 == 0 { (*entry, 1) } else { (next, entry >> 1) };
        next = run.0.wrapping_add(if entry & 1 == 0 { WORD } else { WORD * SPAN });
        run
    })
}

/// The addresses of a run's words, ascending.
fn addresses((first, bits): (u64, u64)) -> impl Iterator<Item = u64> {
    (0..64).filter(move |n| bits >> n & 1 != 0).map(move |n| first.wrapping_add(n * WORD))
}

/// Checks a table against the segments of its image (invariant 2).
pub fn check(table: &[u64], segments: &[Segment]) -> Result<(), ImageDefect> {
    if table.first().is_some_and(|entry| entry & 1 != 0) {
        return Err(ImageDefect::RelocationTable);
    }
    let (mut least, mut count) = (0, 0);
    for (first, bits) in runs(table).filter(|(_, bits)| *bits != 0) {
        let lowest = first.wrapping_add(u64::from(bits.trailing_zeros()) * WORD);
        let highest = first.wrapping_add(u64::from(63 - bits.leading_zeros()) * WORD);
        let holds = |address: u64| segments.iter().any(|s| s.relocatable.contains(&address));
        // Most often the ends lie in one segment, and so all between them.
        let is_held = segments.iter().any(|s| s.relocatable.contains(&lowest) && s.relocatable.contains(&highest))
            || addresses((first, bits)).all(holds);
        if !first.is_multiple_of(WORD) || lowest < least || highest < lowest || !is_held {
            return Err(ImageDefect::RelocationTarget);
        }
        count += bits.count_ones() as usize;
        if count > MAX_RELOCATIONS {
            return Err(ImageDefect::RelocationCount);
        }
        least = highest + WORD;
    }
    Ok(())
}

/// A table as it was read.
pub type Table = Vec<u64, MAX_TABLE>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::Protection;
    use proptest::prelude::*;

    /// Tables as a linker packs them.
    fn packed(addresses: &[u64]) -> std::vec::Vec<u64> {
        let mut table = std::vec::Vec::new();
        let mut at = 0;
        while at < addresses.len() {
            let mut next = addresses[at] + WORD;
            table.push(addresses[at]);
            at += 1;
            loop {
                let here = addresses[at..].iter().take_while(|a| **a < next + SPAN * WORD).count();
                if here == 0 {
                    break;
                }
                let bits = addresses[at..at + here].iter().fold(0, |bits, a| bits | 2 << ((a - next) / WORD));
                table.push(bits | 1);
                (at, next) = (at + here, next + SPAN * WORD);
            }
        }
        table
    }

    fn segment(relocatable: core::ops::Range<u64>) -> Segment {
        Segment {
            address: 0x1000,
            memory_size: 1 << 20,
            offset: 0,
            file_size: 0,
            protection: Protection::WRITE,
            relocatable,
        }
    }

    proptest! {
        #[test]
        fn a_packed_table_names_the_words_that_were_packed_and_no_others(
            words in prop::collection::btree_set(0u64..3000, 0..400)
        ) {
            let wanted: std::vec::Vec<u64> = words.into_iter().map(|n| 0x2000 + n * WORD).collect();
            let table = packed(&wanted);
            prop_assert_eq!(runs(&table).flat_map(addresses).collect::<std::vec::Vec<u64>>(), wanted);
            prop_assert_eq!(check(&table, &[segment(0x2000..0x2000 + 3000 * WORD - 7)]), Ok(()));
            let halves = [segment(0x2000..0x3ff9), segment(0x4000..0x2000 + 3000 * WORD - 7)];
            prop_assert_eq!(check(&table, &halves), Ok(()), "a run may lie in two segments");
        }

        #[test]
        fn of_any_words_only_those_are_taken_that_keep_the_promise(
            table in prop::collection::vec(prop_oneof![0u64..0x4000, any::<u64>(), any::<u64>().prop_map(|n| n | 1)], 0..40)
        ) {
            let segments = [segment(0x1000..0x1ff9), segment(0x3000..0x3800)];
            if check(&table, &segments).is_ok() {
                let all: std::vec::Vec<u64> = runs(&table).flat_map(addresses).collect();
                prop_assert!(all.is_sorted_by(|a, b| a + WORD <= *b) && all.len() <= MAX_RELOCATIONS);
                prop_assert!(all.iter().all(|a| a.is_multiple_of(WORD) && segments.iter().any(|s| s.relocatable.contains(a))));
            }
        }
    }

    #[test]
    fn a_table_that_is_wrong_is_refused_with_what_is_wrong() {
        use ImageDefect::*;
        let segments = [segment(0x1000..0x1ff9), segment(0x10_0000..0x50_0000)];
        let full = |entries| core::iter::once(0x10_0000).chain(core::iter::repeat_n(u64::MAX, entries)).collect();
        let cases: [(std::vec::Vec<u64>, Result<(), ImageDefect>); 13] = [
            (vec![], Ok(())),
            (vec![0x1000, 3, 0x1ff8], Ok(())),
            (vec![0x1000, 1, 1, 3], Ok(())),
            (vec![1], Err(RelocationTable)),
            (vec![3, 0x1000], Err(RelocationTable)),
            (vec![0x1004], Err(RelocationTarget)),
            (vec![0xff8], Err(RelocationTarget)),
            (vec![0x1ff8, 3], Err(RelocationTarget)),
            (vec![0x1ff0, 0x17], Err(RelocationTarget)),
            (vec![0x1010, 0x1008], Err(RelocationTarget)),
            (vec![0x1010, 3, 0x1018], Err(RelocationTarget)),
            (full(130), Ok(())),
            (full(131), Err(RelocationCount)),
        ];
        for (table, expected) in cases {
            assert_eq!(check(&table, &segments), expected, "{table:x?}");
        }
    }

    #[test]
    fn a_dynamic_section_that_is_not_understood_is_refused_with_what_is_wrong() {
        use ImageDefect::*;
        let table = |table, bytes| Ok(Dynamic { table, bytes });
        let cases: [(&[u64], Result<Dynamic, ImageDefect>); 17] = [
            (&[0, 0], table(0, 0)),
            (&[36, 0x280, 35, 16, 37, 8, 0, 0], table(0x280, 16)),
            (&[30, 8, 0x6fff_fffb, 1, 21, 0, 6, 1, 11, 24, 5, 1, 10, 1, 0x6fff_fef5, 1, 4, 1, 0, 0], table(0, 0)),
            (&[8, 0, 0, 0], table(0, 0)),
            (&[], Err(RelocationTable)),
            (&[36, 0x280, 35, 16, 37, 8], Err(RelocationTable)),
            (&[36, 0x280, 0, 0], Err(RelocationTable)),
            (&[35, 16, 0, 0], Err(RelocationTable)),
            (&[36, 0x280, 35, 17, 0, 0], Err(RelocationTable)),
            (&[37, 16, 0, 0], Err(RelocationTable)),
            (&[7, 0x280, 8, 24, 9, 24, 0, 0], Err(RelocationKind)),
            (&[17, 0x280, 0, 0], Err(RelocationKind)),
            (&[23, 0x280, 0, 0], Err(RelocationKind)),
            (&[22, 0, 0, 0], Err(RelocationKind)),
            (&[30, 4, 0, 0], Err(RelocationKind)),
            (&[1, 5, 0, 0], Err(NeedsLinker)),
            (&[25, 0x1000, 0, 0], Err(NeedsLinker)),
        ];
        for (words, expected) in cases {
            assert_eq!(Dynamic::read(words), expected, "{words:x?}");
        }
    }
}
