//! What an open file can do beyond `stream`.

use super::FsError;
use super::info::FileInfo;
use crate::protocol;

protocol! {
    /// An open file; it also speaks `stream`.
    pub protocol File = 2 version 1;
    error FsError;

    /// What it is.
    idempotent fn info() -> FileInfo = 1;
    /// Cuts it to `size` bytes, or extends it with zeros.
    recorded fn truncate(size: u64) = 2;
    /// Returns when what was written to it survives a power cut.
    idempotent fn sync() = 3;
    /// Sets when it was last changed, seconds since 1970-01-01.
    idempotent fn set_mtime(seconds: i64) = 4;
}
