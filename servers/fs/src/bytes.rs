//! Numbers in byte buffers. Offsets are constants inside buffers of known size; a short buffer reads as zero.

macro_rules! accessors {
    ($get:ident, $put:ident, $type:ty, $from:ident, $to:ident, $doc:literal) => {
        #[doc = $doc]
        #[inline]
        pub fn $get(bytes: &[u8], at: usize) -> $type {
            const N: usize = size_of::<$type>();
            match bytes.get(at..at + N).and_then(|b| <[u8; N]>::try_from(b).ok()) {
                Some(b) => <$type>::$from(b),
                None => 0,
            }
        }

        #[doc = $doc]
        #[inline]
        pub fn $put(bytes: &mut [u8], at: usize, value: $type) {
            if let Some(b) = bytes.get_mut(at..at + size_of::<$type>()) {
                b.copy_from_slice(&value.$to());
            }
        }
    };
}

accessors!(get16, put16, u16, from_le_bytes, to_le_bytes, "16 bits, little-endian.");
accessors!(get32, put32, u32, from_le_bytes, to_le_bytes, "32 bits, little-endian.");
accessors!(get64, put64, u64, from_le_bytes, to_le_bytes, "64 bits, little-endian.");
accessors!(be32, put_be32, u32, from_be_bytes, to_be_bytes, "32 bits, big-endian.");
accessors!(be64, put_be64, u64, from_be_bytes, to_be_bytes, "64 bits, big-endian.");
