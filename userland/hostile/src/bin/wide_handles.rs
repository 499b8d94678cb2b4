//! Handles with an index or a generation out of range, in every system call that takes one.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::operations::{OPERATIONS, Zoo};
use hostile::{Given, Verdict, raw, refused};
use libipc::abi::Sysno;
use libipc::{Handle, SysError};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let zoo = Zoo::new(given)?;
    let known = given.account.handle();
    let wild = [
        Handle::NONE,
        Handle::new(0, known.generation()),
        Handle::new(128, 0),
        Handle::new(128, 1),
        Handle::new(131_072, 1),
        Handle::new(u32::MAX, 1),
        Handle::new(u32::MAX, u32::MAX),
        Handle::new(1 << 31, 0),
        Handle::new(known.index(), 0),
        Handle::new(known.index(), known.generation() + 1),
        Handle::new(known.index(), u32::MAX),
        Handle::from_raw(0xffff_8000_0000_0000),
    ];
    for handle in wild {
        for operation in OPERATIONS {
            let result = raw::request(operation.number, handle, zoo.second(operation), [0; 8]);
            refused(operation.number.name(), SysError::BadHandle, result)?;
            if let (Some(_), Some(first)) = (operation.second, zoo.get(operation.kind)) {
                let result = raw::request(operation.number, first, handle.raw(), [0; 8]);
                refused(operation.number.name(), SysError::BadHandle, result)?;
            }
        }
        for number in [Sysno::Duplicate, Sysno::Close, Sysno::Revoke, Sysno::Inspect, Sysno::PortsOpen] {
            refused(number.name(), SysError::BadHandle, raw::request(number, handle, 0, [0; 8]))?;
        }
    }
    Ok(())
}
