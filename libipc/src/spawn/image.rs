//! A program's file in memory.

use crate::file::File;
use crate::memory::Mapping;
use crate::object::{Account, Memory};
use crate::owned::OwnedHandle;
use crate::proto::FsError;
use abi::{PAGE_SIZE, SysError};

/// An ELF file in a memory object.
#[derive(Debug)]
pub struct Image {
    memory: Memory,
    /// Keeps the capability, where the image is its owner.
    #[allow(dead_code, reason = "dropped with the image")]
    owner: Option<OwnedHandle>,
    offset: u64,
    length: u64,
}

impl Image {
    /// The file at byte `offset` (a multiple of the page size) of `memory`, `length` bytes long.
    pub const fn borrowed(memory: Memory, offset: u64, length: u64) -> Image {
        Image { memory, owner: None, offset, length }
    }
    /// Reads a file into memory that `account` pays for.
    pub fn read(file: &mut File, account: Account) -> Result<Image, FsError> {
        let length = file.info()?.size;
        if length == 0 {
            return Ok(Image { memory: Memory::new(abi::Handle::NONE), owner: None, offset: 0, length });
        }
        let owner = account.create_memory(length.div_ceil(PAGE_SIZE))?;
        let mut mapping: Mapping = owner.memory().map(true)?;
        let bytes = mapping.bytes_mut().ok_or(SysError::MissingRights)?;
        file.seek(0);
        let read = file.read_full(&mut bytes[..length as usize])?;
        Ok(Image { memory: owner.memory(), owner: Some(owner), offset: 0, length: read as u64 })
    }
    /// The memory.
    pub fn memory(&self) -> Memory {
        self.memory
    }
    /// Where in it the file begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }
    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }
}
