//! Every system call with every other kind of object.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::operations::{OPERATIONS, Zoo};
use hostile::{Given, Verdict, raw, refused};
use libipc::SysError;
use libipc::abi::Sysno;

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let zoo = Zoo::new(given)?;
    for (kind, handle) in zoo.all() {
        for operation in OPERATIONS.iter().filter(|operation| operation.kind != kind) {
            let result = raw::request(operation.number, handle, zoo.second(operation), [0; 8]);
            refused(operation.number.name(), SysError::WrongKind, result)?;
        }
        if kind != libipc::Kind::Process {
            refused("PortsOpen", SysError::WrongKind, raw::request(Sysno::PortsOpen, handle, 0, [0; 8]))?;
        }
        for operation in OPERATIONS.iter().filter(|operation| operation.second.is_some_and(|second| second != kind)) {
            let Some(first) = zoo.get(operation.kind) else { continue };
            if operation.number == Sysno::ProcessGrant {
                continue; // It takes any kind.
            }
            let result = raw::request(operation.number, first, handle.raw(), [0; 8]);
            refused(operation.number.name(), SysError::WrongKind, result)?;
        }
    }
    Ok(())
}
