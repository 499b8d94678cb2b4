//! Tests of the whole: real images made by `mke2fs`, judged by `e2fsck` and `debugfs`.

mod big;
mod corrupt;
mod disks;
pub mod fuse;
mod images;
mod kill;
mod model;
mod power;
mod protocols;
mod simple;

use crate::{FileId, FileStore, Fs};
use disks::SharedDisk;

/// A clock that stands still, so that runs can be compared.
pub fn clock() -> u64 {
    1_700_000_000_123_456_789
}

/// Cache memory of `kib` KiB.
pub fn memory(kib: usize) -> Vec<u8> {
    vec![0; kib << 10]
}

/// Opens an image.
pub fn open<'m>(memory: &'m mut [u8], disk: &SharedDisk) -> Fs<'m, SharedDisk> {
    Fs::open(memory, disk.clone(), clock).expect("the image opens")
}

/// Brings the disk to rest and ends the use of it.
pub fn close(mut fs: Fs<'_, SharedDisk>) -> crate::Result<SharedDisk> {
    fs.rest()?;
    Ok(fs.cache.disk)
}

/// Writes all of `data` at `offset`, in as many operations as it takes, with ids from `id` on.
pub fn write_all(
    fs: &mut Fs<'_, SharedDisk>,
    id: &mut u64,
    file: FileId,
    mut offset: u64,
    data: &[u8],
) -> crate::Result<()> {
    let mut rest = data;
    while !rest.is_empty() {
        *id += 1;
        let n = fs.write(*id, file, offset, rest)?;
        assert!(n > 0);
        offset += n as u64;
        rest = &rest[n..];
    }
    Ok(())
}

/// The whole contents of a file.
pub fn read_all(fs: &mut Fs<'_, SharedDisk>, file: FileId) -> crate::Result<Vec<u8>> {
    let mut data = vec![0; fs.stat(file)?.size as usize];
    let n = fs.read(file, 0, &mut data)?;
    assert_eq!(n, data.len());
    Ok(data)
}

/// Bytes that differ from place to place.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    (0..len.div_ceil(8)).flat_map(|i| crate::crc::mix(seed << 32 | i as u64).to_le_bytes()).take(len).collect()
}

/// A small random number generator.
pub struct Rng(pub u64);

impl Rng {
    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        crate::crc::mix(self.0) % bound
    }
}
