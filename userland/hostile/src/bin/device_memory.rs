//! Asks for physical memory, ports and interrupts with everything it has.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::operations::Zoo;
use hostile::{Given, Verdict, holds, raw, refused};
use libipc::SysError;
use libipc::abi::Sysno;

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let zoo = Zoo::new(given)?;
    let account = given.account.handle().raw();
    let wishes = [
        (Sysno::MemoryPhysical, [0xfee0_0000, 1, 0, 0, 0, 0, 0, 0]),
        (Sysno::MemoryPhysical, [0x10_0000, 1, 0, 0, 0, 0, 0, 0]),
        (Sysno::PortsCreate, [0x3f8, 8, 0, 0, 0, 0, 0, 0]),
        (Sysno::IrqCreate, [4, 0, 0, 0, 0, 0, 0, 0]),
        (Sysno::IrqCreate, [u64::MAX, 0, 0, 0, 0, 0, 0, 0]),
        (Sysno::MachineInfo, [0; 8]),
        (Sysno::MachineLog, [8, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for handle in zoo.all().map(|(_, handle)| handle).chain(given.known()) {
        for (number, words) in wishes {
            refused(number.name(), SysError::WrongKind, raw::request(number, handle, account, words))?;
        }
        let open = raw::request(Sysno::PortsOpen, given.process.handle(), handle.raw(), [0; 8]);
        refused("open ports", SysError::WrongKind, open)?;
    }
    holds("there was something to ask with", given.known().count() > 2)
}
