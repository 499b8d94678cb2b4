//! The disk behind the block server.
//!
//! 1. Data moves straight between the device and the memory that is attached to the block server: what lies in it is
//!    named by its place, everything else goes through a buffer in it that nothing else uses.
//! 2. `open` returns only when every request of this server's predecessors has completed: the fence. Before it nothing
//!    that they have lent to the device is touched.
//! 3. Where the block server has forgotten the memory, it is attached again and the request repeated.

use libipc::{
    Memory, Queue, Rights,
    proto::block::{BlockClient, BlockError},
};

use crate::disk::{BLOCK, Disk, DiskError};

/// A client of the block server.
pub struct RemoteDisk {
    block: BlockClient,
    memory: Memory,
    /// Where `memory` is mapped.
    address: u64,
    /// Its last bytes.
    buffer: &'static mut [u8],
    epoch: u64,
    /// Disk blocks in one of ours.
    ratio: u64,
}

impl RemoteDisk {
    /// Attaches `memory`, which is mapped at `address`, and ends with `buffer`. `epoch` is higher than any predecessor's.
    ///
    /// # Errors
    /// What the block server says.
    pub fn open(
        queue: Queue,
        memory: Memory,
        address: u64,
        buffer: &'static mut [u8],
        epoch: u64,
    ) -> Result<Self, BlockError> {
        let mut disk = Self { block: BlockClient::new(queue), memory, address, buffer, epoch, ratio: 1 };
        disk.attach()?;
        // Every page must be there before a device writes to it. Not before the fence: a write of a predecessor that is
        // still with the device takes its bytes from here.
        disk.buffer.fill(0);
        let size = u64::from(disk.block.info()?.block_size);
        if size == 0 || !(BLOCK as u64).is_multiple_of(size) {
            return Err(BlockError::BadLength);
        }
        disk.ratio = BLOCK as u64 / size;
        Ok(disk)
    }

    fn attach(&self) -> Result<(), BlockError> {
        let rights = Rights::READ | Rights::WRITE | Rights::MAP | Rights::DMA;
        self.block.attach(self.memory.grant(rights), self.epoch)
    }

    /// Byte of the attached memory at which `part` begins, where all of it lies there.
    fn offset_of(&self, part: &[u8]) -> Option<u64> {
        // Exposed, as the device reaches the bytes by their place.
        let offset = (part.as_ptr().expose_provenance() as u64).checked_sub(self.address)?;
        let end = self.buffer.as_ptr().expose_provenance() as u64 + self.buffer.len() as u64 - self.address;
        (offset + part.len() as u64 <= end).then_some(offset)
    }

    /// Moves `len` bytes between the disk and the memory from byte `offset` on.
    fn transfer(&self, first: u64, offset: u64, len: usize, write: bool) -> Result<(), DiskError> {
        let block = first.checked_mul(self.ratio).ok_or(DiskError)?;
        let count = (len / BLOCK) as u64 * self.ratio;
        let once = || match write {
            true => self.block.write_from(self.epoch, block, count, offset),
            false => self.block.read_into(self.epoch, block, count, offset),
        };
        match once() {
            Err(BlockError::NotAttached) => self.attach().and_then(|()| once()),
            other => other,
        }
        .map_err(|_| DiskError)
    }
}

impl Disk for RemoteDisk {
    fn read_blocks(&mut self, first: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        if let Some(offset) = self.offset_of(buf) {
            return self.transfer(first, offset, buf.len(), false);
        }
        let size = self.buffer.len();
        let offset = self.offset_of(self.buffer).ok_or(DiskError)?;
        for (part, at) in buf.chunks_mut(size).zip((first..).step_by(size / BLOCK)) {
            self.transfer(at, offset, part.len(), false)?;
            part.copy_from_slice(&self.buffer[..part.len()]);
        }
        Ok(())
    }

    fn write_blocks(&mut self, first: u64, buf: &[u8]) -> Result<(), DiskError> {
        if let Some(offset) = self.offset_of(buf) {
            return self.transfer(first, offset, buf.len(), true);
        }
        let size = self.buffer.len();
        let offset = self.offset_of(self.buffer).ok_or(DiskError)?;
        for (part, at) in buf.chunks(size).zip((first..).step_by(size / BLOCK)) {
            self.buffer[..part.len()].copy_from_slice(part);
            self.transfer(at, offset, part.len(), true)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.block.flush().map_err(|_| DiskError)
    }
}
