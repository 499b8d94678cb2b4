//! What can go wrong, each precise enough for a client to act on.

/// Why an operation was refused. Unless stated otherwise nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Error {
    /// No entry of that name.
    NotFound = 1,
    /// An entry of that name exists already.
    Exists,
    /// A directory was needed.
    NotADirectory,
    /// Something other than a directory was needed.
    IsADirectory,
    /// The directory still has entries.
    NotEmpty,
    /// No free block or no free inode is left.
    NoSpace,
    /// A name is longer than 255 bytes.
    NameTooLong,
    /// An argument has no meaning here: an empty name, a slash in a name, a directory moved into itself.
    Invalid,
    /// The file was deleted, or its inode now belongs to another file.
    Stale,
    /// The file would exceed what ext4 can hold, or a directory its link count.
    TooLarge,
    /// The disk reported an error.
    Io,
    /// The disk holds something that is not valid ext4.
    Corrupt,
    /// Valid ext4, using a feature that this server does not know.
    Unsupported,
    /// The memory handed in as cache is too small (`Fs::open`), or the operation does not fit into it.
    CacheFull,
    /// The client's memory could not be read or written.
    BadBuffer,
}

/// The result of every operation.
pub type Result<T> = core::result::Result<T, Error>;
