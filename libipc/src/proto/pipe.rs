//! Pipes. A pipe holds nothing but what its waiting readers and writers hold, so the server's death loses nothing.

use super::FsError;
use crate::protocol;

protocol! {
    /// The maker of pipes, and one end of a pipe: which, the badge says. Ends speak `stream` too.
    pub protocol Pipe = 8 version 1;
    error FsError;

    /// Makes a pipe: its read end and its write end. Made twice, the first is used by nobody.
    idempotent fn create() -> (Cap, Cap) = 1;
    /// On a write end: nobody writes any more; readers get the end once nothing is pending.
    idempotent fn close_write() = 2;
    /// On a read end: nobody reads any more; writers get `BrokenPipe`.
    idempotent fn close_read() = 3;
    /// On the maker of pipes: closes every pipe that was made by this capability (or others with its badge).
    idempotent fn close_all() = 4;
}
