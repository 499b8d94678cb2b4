//! The checksums of ext4 and of the persistent memory.

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
pub fn crc32c(state: u32, data: &[u8]) -> u32 {
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
pub fn block_sum(data: &[u8]) -> u64 {
    let mut a = [0x5445_5353u64; 4];
    let mut b = [0u64; 4];
    for chunk in data.chunks_exact(32) {
        for lane in 0..4 {
            let mut word = [0; 8];
            word.copy_from_slice(&chunk[lane * 8..lane * 8 + 8]);
            a[lane] = a[lane].wrapping_add(u64::from_le_bytes(word));
            b[lane] = b[lane].wrapping_add(a[lane]);
        }
    }
    (0..4).fold(0, |sum, lane| mix(sum ^ a[lane]) ^ mix(b[lane].wrapping_add(lane as u64)))
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
    }

    #[test]
    fn crc16_gives_the_published_check_value() {
        assert_eq!(crc16(0xFFFF, b"123456789"), 0x4B37);
    }
}
