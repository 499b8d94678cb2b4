//! Bytes in and out: console sessions, pipe ends and open files alike.

use super::FsError;
use crate::protocol;

protocol! {
    /// A stream of bytes. Console sessions and pipes ignore the offset; files use it, unless opened for appending.
    pub protocol Stream = 1 version 1;
    error FsError;

    /// Reads into `buffer` from byte `offset` on; returns the bytes read, 0 at the end of the stream.
    ///
    /// Recorded: what a pipe or a console hands out is gone from it. A file, where reading changes nothing, records
    /// nothing and recalls nothing.
    recorded fn read(offset: u64, buffer: &mut [u8]) -> u64 = 1;

    /// Writes `data` from byte `offset` on; returns the bytes written, at least 1 unless `data` is empty.
    recorded fn write(offset: u64, data: &[u8]) -> u64 = 2;
}
