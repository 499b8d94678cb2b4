//! Tries to gain rights by deriving, sending and granting.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::operations::Zoo;
use hostile::puppet::Puppet;
use hostile::{Given, Verdict};
use libipc::abi::{CapDescriptor, Sysno};
use libipc::{Handle, Rights, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let zoo = Zoo::new(given)?;
    let puppet = Puppet::start(given)?;
    for (kind, handle) in zoo.all() {
        let all = works("inspect", sys::inspect(handle))?.rights;
        same(kind.text(), all, kind.all_rights())?;
        for bit in all.iter() {
            let weak = works("derive", sys::duplicate(handle, all.difference(bit), 0))?;
            let left = all.difference(bit);
            let stronger = works("derive again", sys::duplicate(weak, Rights::all(), 0))?;
            same("derived", works("inspect", sys::inspect(stronger))?.rights, left)?;
            same(
                "sent",
                rights_there(&puppet, works("take", puppet.take(CapDescriptor::copy(weak, Rights::all())))?)?,
                left,
            )?;
            let every = CapDescriptor { handle: weak, rights: u64::MAX, badge: 0 };
            same("sent with every bit", rights_there(&puppet, works("take", puppet.take(every))?)?, left)?;
            let granted = works("grant", puppet.process().give(weak, Rights::all(), 0))?;
            same("granted", rights_there(&puppet, granted)?, left)?;
            for done in [weak, stronger] {
                works("close", sys::close(done))?;
            }
        }
    }
    Ok(())
}

fn rights_there(puppet: &Puppet, handle: Handle) -> Result<Rights, alloc::string::String> {
    let found = works("inspect there", puppet.request(Sysno::Inspect, handle, 0, [0; 4]))?;
    works("close there", puppet.request(Sysno::Close, handle, 0, [0; 4]))?;
    Ok(Rights::from_bits_retain(found.words[1] as u16))
}
