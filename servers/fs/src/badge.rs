//! What the badge of a capability to the filesystem's queue says: everything about an open file.
//!
//! | bits | of an opened file or directory | of a client's own capability |
//! |---|---|---|
//! | 0..28 | inode | number of the client |
//! | 28 | may be read | 0 |
//! | 29 | may be written | 0 |
//! | 30 | writes go to its end | 0 |
//! | 31 | 1 | 0 |
//! | 32..64 | generation of the inode | 0 |
//!
//! A client's own capability is the root directory, with all rights.

use crate::store::FileId;

bitflags::bitflags! {
    /// What the holder may do with the file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u32 {
        /// Read it.
        const READ = 1 << 28;
        /// Write it; change a directory's entries.
        const WRITE = 1 << 29;
        /// Every write goes to its end.
        const APPEND = 1 << 30;
    }
}

const OPENED: u32 = 1 << 31;
/// One more than the highest inode that a badge has room for.
pub const INODES: u32 = 1 << 28;

/// Which file a capability is about, and what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Badge {
    /// The root directory, with all rights.
    Root,
    /// An opened file or directory.
    Opened(FileId, Access),
}

impl Badge {
    /// Reads a badge; `None` for one that this server has not made.
    pub fn from_raw(raw: u64) -> Option<Badge> {
        let (low, generation) = (raw as u32, (raw >> 32) as u32);
        if low & OPENED != 0 {
            let id = FileId { inode: low % INODES, generation };
            return Some(Badge::Opened(id, Access::from_bits_truncate(low)));
        }
        (raw < u64::from(INODES)).then_some(Badge::Root)
    }

    /// The badge as the kernel keeps it.
    pub fn raw(self) -> u64 {
        match self {
            Badge::Root => 0,
            Badge::Opened(id, access) => {
                u64::from(id.generation) << 32 | u64::from(OPENED | access.bits() | (id.inode % INODES))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_comes_back_as_it_was_made() {
        for access in [Access::empty(), Access::READ, Access::WRITE | Access::APPEND, Access::all()] {
            for (inode, generation) in [(2, 0), (INODES - 1, u32::MAX), (77, 5)] {
                let badge = Badge::Opened(FileId { inode, generation }, access);
                assert_eq!(Badge::from_raw(badge.raw()), Some(badge));
            }
        }
        assert_eq!(Badge::from_raw(5), Some(Badge::Root));
        assert_eq!(Badge::from_raw(1 << 40), None);
        assert_eq!(Badge::from_raw(1 << 29), None);
    }
}
