//! Tries to come under another badge.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::puppet::Puppet;
use hostile::victim::{ATTACK, CLIENT, VictimClient};
use hostile::{Given, Verdict, raw, refused};
use libipc::abi::{CapDescriptor, Message, Sysno, Tag};
use libipc::{Rights, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let victim = given.victim.handle();
    refused("mint", SysError::MissingRights, sys::duplicate(victim, Rights::SEND, CLIENT))?;
    refused("mint with all", SysError::MissingRights, sys::duplicate(victim, Rights::all(), CLIENT))?;
    let puppet = Puppet::start(given)?;
    let forged = CapDescriptor::mint(victim, Rights::SEND, CLIENT);
    refused("mint by message", SysError::MissingRights, puppet.take(forged))?;
    refused("mint by grant", SysError::MissingRights, puppet.process().give(victim, Rights::SEND, CLIENT))?;
    let event = works("an event", given.account.create_event())?;
    refused("a badge for an event", SysError::WrongKind, sys::duplicate(event.handle(), Rights::all(), 5))?;
    // What stands in the registers is no badge either.
    let client = VictimClient::new(given.victim);
    same("the server sees", works("who", client.who())?.0, ATTACK)?;
    let own = works("a queue", given.account.create_queue(1))?;
    let minted = works("mint", sys::duplicate(own.handle(), Rights::SEND | Rights::RECEIVE, 99))?;
    refused("mint again", SysError::MissingRights, sys::duplicate(minted, Rights::SEND, 100))?;
    let message = Message { tag: Tag::new(1, 1), words: [CLIENT; 8] };
    works("post", sys::post(minted, message))?;
    same("badge", works("receive", sys::recv(own.handle(), Some(0)))?.badge, 99)?;
    let post = raw::call(Sysno::Post as u64, minted.raw(), Tag::new(1, 1).raw(), CLIENT, [CLIENT; 8]);
    works("post", SysError::check(post.rax))?;
    same("badge", works("receive", sys::recv(own.handle(), Some(0)))?.badge, 99)
}
