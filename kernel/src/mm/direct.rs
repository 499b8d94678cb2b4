//! The direct map: all RAM at one constant offset.

/// Kernel address at which physical address 0 would lie. Writable, never executable, supervisor only.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;

/// Where the bytes of physical memory are. In the kernel a constant; under `cargo test` a buffer.
#[derive(Clone, Copy)]
pub struct DirectMap {
    #[cfg(not(target_os = "none"))]
    base: usize,
}

impl DirectMap {
    /// The kernel's.
    #[cfg(target_os = "none")]
    pub const fn kernel() -> DirectMap {
        DirectMap {}
    }

    /// A buffer of `bytes` zero bytes that plays physical memory from address 0. It lives for ever.
    #[cfg(not(target_os = "none"))]
    pub fn buffer(bytes: usize) -> DirectMap {
        let words: std::vec::Vec<[u8; 4096]> = std::vec![[0; 4096]; bytes / 4096 + 1];
        let start = words.leak().as_mut_ptr() as usize;
        DirectMap { base: start.next_multiple_of(4096) }
    }

    /// The address of physical address `physical`.
    #[inline(always)]
    pub(super) fn address(self, physical: u64) -> usize {
        #[cfg(target_os = "none")]
        return (DIRECT_MAP + physical) as usize;
        #[cfg(not(target_os = "none"))]
        return self.base + physical as usize;
    }
}
