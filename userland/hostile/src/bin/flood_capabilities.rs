//! Sends capabilities to a server that wants none, until it would have no room left.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::victim::VictimClient;
use hostile::{Given, Verdict, raw};
use libipc::abi::{CapDescriptor, Message, Tag};
use libipc::{Rights, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let event = works("an event", given.account.create_event())?;
    let client = VictimClient::new(given.victim);
    for round in 0..3000u64 {
        for index in 0..4 {
            raw::set_cap(index, CapDescriptor::copy(event.handle(), Rights::all()));
        }
        // Now of a protocol that it does not speak, now of one that takes no capabilities.
        let tag = Tag::new(if round % 2 == 0 { 77 } else { 1100 }, 0x101).with_caps(4).with_payload(1024);
        let _ = works("call", sys::call(given.victim.handle(), Message { tag, words: [round; 8] }))?;
    }
    same("a sum", works("add", client.add(1, 2))?, 3)
}
