//! Revokes from the middle of a tree: its own descendants go, nobody else's.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::puppet::Puppet;
use hostile::{Given, Verdict, refused};
use libipc::abi::{CapDescriptor, Sysno};
use libipc::{Rights, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let puppet = Puppet::start(given)?;
    let root = works("an event", given.account.create_event())?;
    let middle = works("derive", root.derive(Rights::all(), 0))?;
    let sibling = works("derive", root.derive(Rights::all(), 0))?;
    let below = works("derive", middle.derive(Rights::all(), 0))?;
    let there = works("send", puppet.take(CapDescriptor::copy(middle.handle(), Rights::SIGNAL)))?;
    works("revoke there", puppet.request(Sysno::Revoke, there, 0, [0; 4]))?;
    for kept in [&root, &middle, &sibling, &below] {
        works("what is not below it stays", kept.event().signal(1))?;
    }
    works("revoke the middle", middle.revoke())?;
    refused("below", SysError::BadHandle, sys::inspect(below.leak()))?;
    refused("there", SysError::BadHandle, puppet.request(Sysno::Inspect, there, 0, [0; 4]))?;
    for kept in [&root, &middle, &sibling] {
        works("stays", kept.event().signal(1))?;
    }
    // A closed parent's children belong to its parent from then on.
    let grandchild = works("derive", middle.derive(Rights::all(), 0))?;
    drop(middle);
    works("it outlives its parent", grandchild.event().signal(1))?;
    works("revoke the root", root.revoke())?;
    refused("grandchild", SysError::BadHandle, sys::inspect(grandchild.leak()))?;
    refused("sibling", SysError::BadHandle, sys::inspect(sibling.leak()))
}
