//! The checksums of ext4 and of the persistent memory.
//!
//! Where the processor has instructions for one, they are used. What is in the persistent memory is never seen by another
//! processor: it lives no longer than the machine runs.

use libipc::processor;

const fn crc32c_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut t = 1;
    while t < 8 {
        let mut i = 0;
        while i < 256 {
            let prev = tables[t - 1][i];
            tables[t][i] = (prev >> 8) ^ tables[0][(prev & 0xFF) as usize];
            i += 1;
        }
        t += 1;
    }
    tables
}

static TABLES: [[u32; 256]; 8] = crc32c_tables();

/// CRC-32C as ext4 uses it: the state goes in and comes out unchanged, without inversion.
#[inline]
pub fn crc32c(state: u32, data: &[u8]) -> u32 {
    processor::crc32c(state, data).unwrap_or_else(|| crc32c_by_tables(state, data))
}

fn crc32c_by_tables(state: u32, data: &[u8]) -> u32 {
    let mut crc = state;
    let mut chunks = data.chunks_exact(8);
    for c in &mut chunks {
        let low = crc ^ u32::from_le_bytes([c[0], c[1], c[2], c[3]]);
        crc = TABLES[7][(low & 0xFF) as usize]
            ^ TABLES[6][(low >> 8 & 0xFF) as usize]
            ^ TABLES[5][(low >> 16 & 0xFF) as usize]
            ^ TABLES[4][(low >> 24) as usize]
            ^ TABLES[3][c[4] as usize]
            ^ TABLES[2][c[5] as usize]
            ^ TABLES[1][c[6] as usize]
            ^ TABLES[0][c[7] as usize];
    }
    for &byte in chunks.remainder() {
        crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(byte)) & 0xFF) as usize];
    }
    crc
}

/// The product of two polynomials modulo that of CRC-32C, bit-reflected as it is.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 1 << 31;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 != 0 { (b >> 1) ^ 0x82F6_3B78 } else { b >> 1 };
        bit >>= 1;
    }
    product
}

/// `x` to the power of 8 times 2 to the power of the index: what 2^index zero bytes multiply a checksum by.
static ZEROS: [u32; 16] = {
    let mut powers = [0; 16];
    powers[0] = 1 << 23;
    let mut i = 1;
    while i < 16 {
        powers[i] = multiply(powers[i - 1], powers[i - 1]);
        i += 1;
    }
    powers
};

/// By how much (to be xored) the checksum of a long buffer changes, if consecutive bytes in it are xored with `flips`,
/// and `after` more bytes, fewer than 2^16, follow them.
pub fn crc32c_change(flips: impl Iterator<Item = u8>, after: usize) -> u32 {
    let crc = flips.fold(0, |crc: u32, flip| (crc >> 8) ^ TABLES[0][((crc ^ u32::from(flip)) & 0xFF) as usize]);
    (0..16).filter(|bit| after >> bit & 1 != 0).fold(crc, |crc, bit| multiply(ZEROS[bit], crc))
}

/// CRC-16 (ANSI, reflected), which group descriptors carry when only `uninit_bg` is on.
pub fn crc16(state: u16, data: &[u8]) -> u16 {
    let mut crc = state;
    for &byte in data {
        crc ^= u16::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 != 0 { (crc >> 1) ^ 0xA001 } else { crc >> 1 };
        }
    }
    crc
}

/// A fast sum over a block: sensitive to every bit and to the order of words. Not for the disk.
#[inline]
pub fn block_sum(data: &[u8]) -> u64 {
    processor::memory_sum(data).unwrap_or_else(|| block_sum_by_lanes(data))
}

fn block_sum_by_lanes(data: &[u8]) -> u64 {
    let mut a = [0x5445_5353u64; 4];
    let mut b = [0u64; 4];
    // Four lanes, which the compiler keeps in vector registers, and long turns, so that the loop itself costs little.
    let (turns, _) = data.as_chunks::<128>();
    for turn in turns {
        let (words, _) = turn.as_chunks::<8>();
        for row in 0..4 {
            for lane in 0..4 {
                a[lane] = a[lane].wrapping_add(u64::from_le_bytes(words[row * 4 + lane]));
                b[lane] = b[lane].wrapping_add(a[lane]);
            }
        }
    }
    (0..4).fold(0, |sum, lane| mix(sum ^ a[lane]) ^ mix(b[lane].wrapping_add(lane as u64)))
}

/// A fast sum over a few words in their order: two at a time are multiplied with each other, and the halves of the product
/// folded. A change is missed by the chance of 64 bits. Not for the disk.
#[derive(Clone, Copy)]
pub struct WordSum(u64);

impl WordSum {
    /// The sum of nothing, different for each `seed`.
    #[inline]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The sum with these words after what is in it.
    #[inline(always)]
    pub fn with(self, words: &[u64]) -> Self {
        let (pairs, rest) = words.as_chunks::<2>();
        let sum = pairs.iter().fold(self, |sum, [first, second]| sum.step(*first, *second));
        rest.iter().fold(sum, |sum, word| sum.step(*word, 0))
    }

    /// What it comes to.
    #[inline]
    pub fn value(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn step(self, first: u64, second: u64) -> Self {
        let product = u128::from(self.0 ^ first) * u128::from(second ^ 0x9E37_79B9_7F4A_7C15);
        Self(product as u64 ^ (product >> 64) as u64)
    }
}

/// Spreads the bits of a word.
#[inline]
pub fn mix(word: u64) -> u64 {
    let x = (word ^ (word >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_gives_the_published_check_value() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        assert_eq!(!crc32c_by_tables(!0, b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_changed_checksum_is_that_of_the_changed_buffer() {
        let mut data: Vec<u8> = (0..4096u32).map(|i| (i * 7 % 251) as u8).collect();
        for (at, len) in [(0, 1), (5, 3), (4095, 1), (4000, 96), (1234, 17), (0, 4096)] {
            let before = (data.clone(), crc32c(77, &data));
            data[at..at + len].iter_mut().for_each(|b| *b = b.wrapping_mul(3).wrapping_add(1));
            let change = crc32c_change((at..at + len).map(|i| before.0[i] ^ data[i]), 4096 - at - len);
            assert_eq!(crc32c(77, &data), before.1 ^ change);
        }
    }

    #[test]
    fn every_flipped_bit_changes_the_sums() {
        let data: Vec<u8> = (0..4096u32).map(|i| (i * 7 % 251) as u8).collect();
        let sums = [block_sum(&data), block_sum_by_lanes(&data)];
        for bit in 0..8 * 4096 {
            let mut other = data.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(block_sum(&other) != sums[0] && block_sum_by_lanes(&other) != sums[1]);
        }
        let mut swapped = data.clone();
        swapped.swap(256, 0);
        swapped.swap(320, 328);
        assert!(block_sum(&swapped) != sums[0] && block_sum_by_lanes(&swapped) != sums[1]);
    }

    #[test]
    fn every_flipped_bit_and_the_order_of_words_change_their_sum() {
        let words: [u64; 6] = core::array::from_fn(|i| mix(i as u64 + 1));
        let of = |words: &[u64]| WordSum::new(7).with(words).value();
        for bit in 0..6 * 64 {
            let mut other = words;
            other[bit / 64] ^= 1 << (bit % 64);
            assert_ne!(of(&other), of(&words));
        }
        let mut swapped = words;
        swapped.swap(1, 4);
        assert_ne!(of(&swapped), of(&words));
        assert_ne!(of(&words[..5]), of(&words));
        assert_ne!(WordSum::new(8).with(&words).value(), of(&words));
    }

    #[test]
    fn crc16_gives_the_published_check_value() {
        assert_eq!(crc16(0xFFFF, b"123456789"), 0x4B37);
    }
}
