//! What streams, files and directories refuse, in the words that people know from Unix.

crate::errors! {
    /// An error of a stream, file or directory.
    pub enum FsError {
        /// No file or directory has this name.
        NotFound = 1 => "no such file or directory",
        /// The name is taken.
        Exists = 2 => "file exists",
        /// A part of the path, or the capability, is no directory.
        NotDirectory = 3 => "not a directory",
        /// The operation is for files.
        IsDirectory = 4 => "is a directory",
        /// The directory has entries.
        NotEmpty = 5 => "directory not empty",
        /// The disk is full.
        NoSpace = 6 => "no space left on device",
        /// The disk has no inode left.
        NoInodes = 7 => "no inodes left on device",
        /// The capability does not allow it.
        NotPermitted = 8 => "operation not permitted",
        /// A name is longer than 255 bytes, or the path than a message carries.
        NameTooLong = 9 => "file name too long",
        /// A name is empty or has a byte that no name may have.
        BadName = 10 => "invalid file name",
        /// The device failed.
        Io = 11 => "input/output error",
        /// The file system is damaged.
        Corrupt = 12 => "file system is damaged",
        /// The file was removed.
        Stale = 13 => "file was removed",
        /// Nobody reads this pipe any more.
        BrokenPipe = 14 => "broken pipe",
        /// Offset or length are out of range.
        BadArgument = 15 => "invalid argument",
        /// A file would become larger than the file system holds.
        TooLarge = 16 => "file too large",
        /// A directory would come to lie below itself.
        Loop = 17 => "cannot move a directory into itself",
        /// The file system is mounted read-only.
        ReadOnly = 18 => "read-only file system",
        /// Too many links, or symbolic links that lead to each other.
        TooManyLinks = 19 => "too many links",
        /// The object cannot do this.
        Unsupported = 20 => "operation not supported",
        /// Reading was interrupted (^C).
        Interrupted = 21 => "interrupted",
    }
}
