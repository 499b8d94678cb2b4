//! Why a system call was refused. What cannot go on at all faults instead: see [`crate::fault`], with types of its own.

use abi::{ImageDefect, SysError};

/// Why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Asked for what it may not have: it gets the code and goes on.
    Refuse(SysError),
    /// The image that it named is malformed: `BadImage`, and what is wrong in word 0.
    Malformed(ImageDefect),
}

impl From<SysError> for Trouble {
    fn from(error: SysError) -> Trouble {
        Trouble::Refuse(error)
    }
}

impl From<ImageDefect> for Trouble {
    fn from(defect: ImageDefect) -> Trouble {
        Trouble::Malformed(defect)
    }
}
