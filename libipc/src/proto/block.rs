//! The disk. Every operation may be done again with the same outcome, so none is recorded.

use crate::protocol;

crate::words_struct! {
    /// What a disk is.
    pub struct BlockInfo {
        /// Its blocks.
        pub blocks: u64,
        /// Bytes in a block.
        pub block_size: u32,
        /// It refuses writes.
        pub read_only: bool,
    }
}

protocol! {
    /// A disk of equal blocks.
    pub protocol Block = 4 version 1;
    /// What a disk refuses.
    error BlockError {
        /// Blocks beyond its end.
        OutOfRange = 1 => "block out of range",
        /// The device reported a failure.
        Io = 2 => "input/output error",
        /// It refuses writes.
        ReadOnly = 3 => "disk is read-only",
        /// The buffer is not as long as the blocks.
        BadLength = 4 => "buffer does not fit the blocks",
        /// No memory is attached, or the range lies outside it.
        NotAttached = 5 => "no memory attached for this range",
        /// A later incarnation of the client has attached.
        Superseded = 6 => "superseded by a later attach",
        /// The device does not answer, or is not there.
        NoDevice = 7 => "no such device",
    }

    /// What the disk is.
    idempotent fn info() -> BlockInfo = 1;
    /// Reads `count` blocks from `block` on.
    idempotent fn read(block: u64, count: u64, buffer: &mut [u8]) = 2;
    /// Writes `count` blocks from `block` on. Done means: the device has it, perhaps in its cache.
    idempotent fn write(block: u64, count: u64, data: &[u8]) = 3;
    /// Returns when everything written before survives a power cut.
    idempotent fn flush() = 4;
    /// Hands over the memory that `read_into` and `write_from` use: a capability with `DMA`. `epoch` is greater with each
    /// incarnation of the client; requests of an earlier epoch are refused from now on. The fence: it returns when
    /// every request that came before it has completed on the device.
    idempotent fn attach(memory: Cap, epoch: u64) = 5;
    /// Reads `count` blocks from `block` on into the attached memory, at byte `offset`, a multiple of 512.
    idempotent fn read_into(epoch: u64, block: u64, count: u64, offset: u64) = 6;
    /// Writes `count` blocks from `block` on from the attached memory, at byte `offset`, a multiple of 512.
    idempotent fn write_from(epoch: u64, block: u64, count: u64, offset: u64) = 7;
}
