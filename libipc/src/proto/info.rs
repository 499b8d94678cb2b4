//! What a file is.

crate::words_enum! {
    /// What a name in a directory stands for.
    #[derive(Default)]
    pub enum FileKind {
        /// A file.
        #[default]
        File = 1,
        /// A directory.
        Directory = 2,
        /// A symbolic link.
        Link = 3,
        /// Something that this system has no use for (a device node, a socket).
        Other = 4,
    }
}

crate::words_struct! {
    /// What a file is.
    pub struct FileInfo {
        /// Its number in the file system.
        pub inode: u64,
        /// Its bytes.
        pub size: u64,
        /// When it was last changed, seconds since 1970-01-01.
        pub mtime: i64,
        /// Bytes that it takes on the disk.
        pub allocated: u64,
        /// Unix permission bits.
        pub mode: u32,
        /// Names that it has.
        pub links: u32,
        /// What it is.
        pub kind: FileKind,
    }
}

crate::words_struct! {
    /// What a file system is and has.
    pub struct FsInfo {
        /// Bytes in a block.
        pub block_size: u32,
        /// Blocks.
        pub blocks: u64,
        /// Blocks that are free.
        pub free_blocks: u64,
        /// Inodes.
        pub inodes: u64,
        /// Inodes that are free.
        pub free_inodes: u64,
    }
}
