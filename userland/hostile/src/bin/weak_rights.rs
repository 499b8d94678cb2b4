//! Every operation with a capability that has every right but the one that it needs.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::operations::{OPERATIONS, Zoo};
use hostile::{Given, Verdict, raw, refused};
use libipc::abi::Sysno;
use libipc::{Rights, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let zoo = Zoo::new(given)?;
    for operation in OPERATIONS {
        let Some(strong) = zoo.get(operation.kind) else { continue };
        let weak = works("derive", sys::duplicate(strong, Rights::all().difference(operation.right), 0))?;
        let result = raw::request(operation.number, weak, zoo.second(operation), [0; 8]);
        refused(operation.number.name(), SysError::MissingRights, result)?;
        works("close", sys::close(weak))?;
    }
    let process = given.startup.require("self").map_err(|missing| alloc::format!("{missing}"))?;
    for number in [Sysno::ProcessKill, Sysno::ProcessReset, Sysno::ThreadCreate] {
        refused(number.name(), SysError::MissingRights, raw::request(number, process, 0, [0; 8]))?;
    }
    let blind = works("derive", sys::duplicate(process, Rights::INSPECT, 0))?;
    refused("PortsOpen", SysError::MissingRights, raw::request(Sysno::PortsOpen, blind, 0, [0; 8]))
}
