//! The two outcomes of bad input: a refusal that its maker is told, or a fault that stops it.

use abi::{FaultKind, FaultReport, ImageDefect, SysError};

/// Why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Asked for what it may not have: it gets the code and goes on.
    Refuse(SysError),
    /// The image that it named is malformed: `BadImage`, and what is wrong in word 0.
    Malformed(ImageDefect),
    /// Cannot go on: it is stopped and its supervisor is told.
    Fault(FaultReport),
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

impl Trouble {
    /// A fault of this kind, without address and code.
    pub fn fault(kind: FaultKind) -> Trouble {
        Trouble::Fault(FaultReport { kind: kind as u64, ..FaultReport::default() })
    }
}
