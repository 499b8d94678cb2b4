//! Checksums by instructions that not every x86-64 processor has: `None` where they are lacking.
//!
//! Invariants:
//! 1. A function with instructions beyond the base is called only where `cpuid` has named them.
//! 2. What a sum comes to depends on the bytes alone, not on where they lie.

use core::arch::x86_64::{
    __cpuid, __m128i, _mm_aesenc_si128, _mm_crc32_u8, _mm_crc32_u64, _mm_cvtsi128_si64, _mm_load_si128,
    _mm_loadu_si128, _mm_set_epi64x, _mm_unpackhi_epi64, _mm_xor_si128,
};
use core::sync::atomic::{AtomicU32, Ordering};

/// Bits of `ecx` of `cpuid` leaf 1.
const SSE42: u32 = 1 << 20;
const AES: u32 = 1 << 25;
/// Says that `cpuid` was asked: a bit that it leaves to hypervisors.
const ASKED: u32 = 1 << 31;

/// What `cpuid` has said. The question is dear where a hypervisor answers it.
static FEATURES: AtomicU32 = AtomicU32::new(0);

#[inline]
fn has(feature: u32) -> bool {
    match FEATURES.load(Ordering::Relaxed) {
        0 => ask() & feature != 0,
        known => known & feature != 0,
    }
}

#[cold]
fn ask() -> u32 {
    let features = __cpuid(1).ecx | ASKED;
    FEATURES.store(features, Ordering::Relaxed);
    features
}

/// CRC-32C of `data`, from `state` on: neither is inverted.
#[inline]
pub fn crc32c(state: u32, data: &[u8]) -> Option<u32> {
    // SAFETY: the processor has SSE 4.2 (invariant 1).
    has(SSE42).then(|| unsafe { crc32c_sse42(state, data) })
}

#[target_feature(enable = "sse4.2")]
fn crc32c_sse42(state: u32, data: &[u8]) -> u32 {
    let (turns, rest) = data.as_chunks::<128>();
    let (words, bytes) = rest.as_chunks::<8>();
    let mut crc = u64::from(state);
    for turn in turns {
        for word in turn.as_chunks::<8>().0 {
            crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
        }
    }
    for word in words {
        crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
    }
    bytes.iter().fold(crc as u32, |crc, byte| _mm_crc32_u8(crc, *byte))
}

/// Bytes that one turn of [`memory_sum`] takes in.
const TURN: usize = 1024;
/// Sums that run beside each other, as a round takes several cycles.
const LANES: usize = 8;

/// A fast sum over memory, by rounds of AES without a secret: sensitive to every bit and to the order of the bytes, no
/// protection from who wants to deceive it. For what stays in this machine.
#[inline]
pub fn memory_sum(data: &[u8]) -> Option<u64> {
    if !has(AES) {
        return None;
    }
    // SAFETY: the processor has AES (invariant 1); the bytes are aligned where that is promised.
    Some(unsafe {
        match data.as_ptr().addr().is_multiple_of(size_of::<__m128i>()) {
            true => memory_sum_aes::<true>(data),
            false => memory_sum_aes::<false>(data),
        }
    })
}

/// # Safety
/// `ALIGNED` promises that `data` begins at a multiple of 16.
#[target_feature(enable = "aes")]
unsafe fn memory_sum_aes<const ALIGNED: bool>(data: &[u8]) -> u64 {
    let mut lanes: [__m128i; LANES] = core::array::from_fn(|lane| _mm_set_epi64x(lane as i64, !0));
    let (turns, rest) = data.as_chunks::<TURN>();
    for turn in turns {
        // SAFETY: a turn begins at a multiple of `TURN` from the beginning of `data`.
        unsafe { rounds::<ALIGNED>(&mut lanes, turn) };
    }
    if !rest.is_empty() {
        lanes = rounds_of_rest(lanes, rest);
    }
    // Two more rounds let every bit of the last words reach all of the sum.
    let [first, others @ ..] = lanes;
    let all = others.into_iter().fold(first, |all, lane| _mm_aesenc_si128(all, lane));
    let all = _mm_aesenc_si128(_mm_aesenc_si128(all, _mm_set_epi64x(0, data.len() as i64)), first);
    _mm_cvtsi128_si64(_mm_xor_si128(all, _mm_unpackhi_epi64(all, all))) as u64
}

/// Takes in what is less than a turn, and zeros. Apart, so that who has none of it needs no room for it.
#[target_feature(enable = "aes")]
#[cold]
fn rounds_of_rest(mut lanes: [__m128i; LANES], rest: &[u8]) -> [__m128i; LANES] {
    let mut last = [0; TURN];
    last[..rest.len()].copy_from_slice(rest);
    // SAFETY: nothing is promised.
    unsafe { rounds::<false>(&mut lanes, &last) };
    lanes
}

/// Takes in one turn. A round is a bijection of the lane, and of the word: a single changed word always changes the lane.
///
/// # Safety
/// `ALIGNED` promises that `turn` begins at a multiple of 16.
#[target_feature(enable = "aes")]
#[inline]
unsafe fn rounds<const ALIGNED: bool>(lanes: &mut [__m128i; LANES], turn: &[u8; TURN]) {
    for row in turn.as_chunks::<{ 16 * LANES }>().0 {
        for (lane, word) in lanes.iter_mut().zip(row.as_chunks::<16>().0) {
            let word = core::ptr::from_ref(word).cast::<__m128i>();
            // SAFETY: 16 bytes of `turn`, at a multiple of 16 from its beginning.
            let word = unsafe { if ALIGNED { _mm_load_si128(word) } else { _mm_loadu_si128(word) } };
            *lane = _mm_aesenc_si128(*lane, word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Bytes of which none is like its neighbours, from an address that is a multiple of 16 on.
    #[repr(align(16))]
    struct Bytes([u8; 4096]);

    fn bytes() -> Bytes {
        Bytes(core::array::from_fn(|at| (at * 7 % 251) as u8))
    }

    /// CRC-32C bit by bit.
    fn reference(state: u32, data: &[u8]) -> u32 {
        data.iter().fold(state, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 != 0 { 0x82F6_3B78 } else { 0 })
        })
    }

    #[test]
    fn crc32c_is_that_of_the_definition_for_every_length_and_place() {
        let data = bytes().0;
        for (from, to) in (0..20).flat_map(|from| (from..300).map(move |to| (from, to))).chain([(0, 4096), (3, 4095)]) {
            if let Some(crc) = crc32c(77, &data[from..to]) {
                assert_eq!(crc, reference(77, &data[from..to]), "{from}..{to}");
            }
        }
    }

    #[test]
    fn the_sum_of_memory_changes_with_every_bit_the_order_and_the_length() {
        let mut data = bytes();
        let Some(sum) = memory_sum(&data.0) else { return };
        for bit in 0..8 * data.0.len() {
            data.0[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(memory_sum(&data.0), Some(sum), "bit {bit}");
            data.0[bit / 8] ^= 1 << (bit % 8);
        }
        for distance in [16, 128, 512, 2048] {
            for byte in 0..16 {
                data.0.swap(byte, distance + byte);
            }
            assert_ne!(memory_sum(&data.0), Some(sum), "words {distance} bytes apart");
            for byte in 0..16 {
                data.0.swap(byte, distance + byte);
            }
        }
        let zeros: Vec<Option<u64>> = (0..=600).map(|length| memory_sum(&[0; 600][..length])).collect();
        assert!((1..=600).all(|length| !zeros[..length].contains(&zeros[length])), "zeros of different lengths");
    }

    #[test]
    fn the_sum_of_memory_is_the_same_wherever_it_lies() {
        let data = bytes();
        let mut moved = [0; 4096 + 16];
        for shift in 0..16 {
            for length in [0, 5, 511, 512, 1000, 4096] {
                moved[shift..shift + length].copy_from_slice(&data.0[..length]);
                assert_eq!(memory_sum(&moved[shift..shift + length]), memory_sum(&data.0[..length]));
            }
        }
    }
}
