//! Reading what firmware and loader left in physical memory.

/// Physical memory as far as it can be read now.
pub trait Physical {
    /// The `length` bytes from `address` on, or `None` where they cannot be read.
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]>;

    /// The little-endian 32-bit number at `address`.
    fn u32(&self, address: u64) -> Option<u32> {
        self.bytes(address, 4)?.try_into().ok().map(u32::from_le_bytes)
    }
    /// The little-endian 64-bit number at `address`.
    fn u64(&self, address: u64) -> Option<u64> {
        self.bytes(address, 8)?.try_into().ok().map(u64::from_le_bytes)
    }
}
