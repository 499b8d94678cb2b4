//! A disk in memory. It speaks the block protocol, so that whatever works on the driver's disk works on this one.
//!
//! Invariants:
//! 1. The blocks lie in persistent memory, behind a first page that notes what is attached. They survive the server;
//!    they do not survive the machine.
//! 2. Every write is whole when it is answered. A death in the middle of one leaves some of it, and its call comes again.
//! 3. An attachment that was answered is there after a death, see [`attachment`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod attachment;
#[cfg(test)]
mod tests;

use attachment::Attachment;
use core::ops::Range;
use libipc::proto::block::{BlockError, BlockInfo, BlockProtocol, BlockServer};
use libipc::{Context, Failure, Lease, Mapping, OwnedHandle, Queue, Read, Reply, Service, Write, protocols, serve};

/// Bytes in a block.
pub const BLOCK: usize = 512;
/// Bytes of the memory that are no blocks.
pub const HEAD: usize = 4096;

/// A disk over persistent memory.
struct RamDisk<'m> {
    head: &'m mut [u8],
    blocks: &'m mut [u8],
    attached: Option<Attachment>,
}

impl RamDisk<'_> {
    /// Where `count` blocks from `block` on lie.
    fn range(&self, block: u64, count: u64) -> Result<Range<usize>, BlockError> {
        let end = block.checked_add(count).filter(|end| *end <= (self.blocks.len() / BLOCK) as u64);
        end.map(|end| block as usize * BLOCK..end as usize * BLOCK).ok_or(BlockError::OutOfRange)
    }
}

/// The memory that a client of this epoch may use.
fn window(attached: &mut Option<Attachment>, epoch: u64) -> Result<&mut Mapping, BlockError> {
    match attached {
        None => Err(BlockError::NotAttached),
        Some(attachment) if epoch < attachment.epoch => Err(BlockError::Superseded),
        Some(attachment) => Ok(&mut attachment.mapping),
    }
}

/// Where in attached memory the transfer is, which begins at a multiple of 512.
fn place(offset: u64) -> Result<usize, BlockError> {
    let offset = usize::try_from(offset).ok().filter(|offset| offset.is_multiple_of(BLOCK));
    offset.ok_or(BlockError::BadLength)
}

impl BlockServer for RamDisk<'_> {
    fn info(&mut self, _: &Context) -> Result<Reply<BlockInfo>, BlockError> {
        let blocks = (self.blocks.len() / BLOCK) as u64;
        Ok(BlockInfo { blocks, block_size: BLOCK as u32, read_only: false }.into())
    }

    fn read(&mut self, _: &Context, block: u64, count: u64, buffer: Lease<Write>) -> Result<Reply<()>, BlockError> {
        let range = self.range(block, count)?;
        if buffer.len() != range.len() as u64 {
            return Err(BlockError::BadLength);
        }
        buffer.write_at(0, &self.blocks[range])?;
        Ok(().into())
    }

    fn write(&mut self, _: &Context, block: u64, count: u64, data: Lease<Read>) -> Result<Reply<()>, BlockError> {
        let range = self.range(block, count)?;
        if data.len() != range.len() as u64 {
            return Err(BlockError::BadLength);
        }
        data.read_at(0, &mut self.blocks[range])?;
        Ok(().into())
    }

    fn flush(&mut self, _: &Context) -> Result<Reply<()>, BlockError> {
        Ok(().into())
    }

    fn attach(&mut self, _: &Context, memory: OwnedHandle, epoch: u64) -> Result<Reply<()>, BlockError> {
        if self.attached.as_ref().is_some_and(|attachment| epoch < attachment.epoch) {
            return Err(BlockError::Superseded);
        }
        let attachment = Attachment::new(memory, epoch)?;
        attachment.note(self.head);
        self.attached = Some(attachment);
        Ok(().into())
    }

    fn read_into(
        &mut self,
        _: &Context,
        epoch: u64,
        block: u64,
        count: u64,
        offset: u64,
    ) -> Result<Reply<()>, BlockError> {
        let (range, at) = (self.range(block, count)?, place(offset)?);
        window(&mut self.attached, epoch)?.write(at, &self.blocks[range]).map_err(|_| BlockError::NotAttached)?;
        Ok(().into())
    }

    fn write_from(
        &mut self,
        _: &Context,
        epoch: u64,
        block: u64,
        count: u64,
        offset: u64,
    ) -> Result<Reply<()>, BlockError> {
        let (range, at) = (self.range(block, count)?, place(offset)?);
        window(&mut self.attached, epoch)?.read(at, &mut self.blocks[range]).map_err(|_| BlockError::NotAttached)?;
        Ok(().into())
    }
}

impl Service for RamDisk<'_> {
    protocols!(BlockProtocol);
}

/// Serves a disk in `memory`: of all whole blocks behind its first [`HEAD`] bytes.
///
/// # Errors
/// The memory has no room for a block, or the queue cannot be received from.
pub fn run(queue: Queue, memory: &mut [u8]) -> Result<(), Failure> {
    let (head, blocks) = memory.split_at_mut_checked(HEAD).ok_or("the memory of the disk is too small")?;
    let attached = Attachment::noted(head);
    Ok(serve(queue, &mut RamDisk { head, blocks, attached })?)
}
