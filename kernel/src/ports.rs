//! I/O ports: ranges that a process may be given through the TSS bitmap, never by IOPL.
//!
//! Invariants:
//! 1. The open ports of the processor are those of the process whose address space is loaded.
//! 2. A process holds a port range only as a copy of one in an IoPorts object that it was opened from.

use crate::account::Account;
use crate::machine::PortRange;
use crate::mm::{FrameKind, Object, Ref};
use abi::SysError;

/// One range of ports.
#[derive(Default)]
pub struct IoPorts {
    /// The range.
    pub range: PortRange,
    /// The account that pays.
    pub account: Option<Ref<Account>>,
    /// First capability to it.
    pub caps: u32,
}

impl Object for IoPorts {
    const FRAME: FrameKind = FrameKind::IoPorts;
    fn vacant() -> IoPorts {
        IoPorts::default()
    }
}

impl PortRange {
    /// Checks that the range is not empty and ends at port 65,535 at the latest.
    pub fn claim(first: u64, count: u64) -> Result<PortRange, SysError> {
        let fits = count > 0 && first.checked_add(count).is_some_and(|end| end <= 0x1_0000);
        fits.then_some(PortRange { first: first as u16, count: count as u32 }).ok_or(SysError::BadArgument)
    }
}
