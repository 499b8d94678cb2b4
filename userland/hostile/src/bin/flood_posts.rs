//! Fills rings: the victim's, and its own.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::victim::VictimClient;
use hostile::{Given, Verdict, holds, refused};
use libipc::abi::{Message, Tag};
use libipc::{SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let message = Message { tag: Tag::new(9, 9), words: [1; 8] };
    let client = VictimClient::new(given.victim);
    let mut full = 0;
    for round in 0..20_000u64 {
        match sys::post(given.victim.handle(), message) {
            Ok(()) => {}
            Err(SysError::WouldBlock) => full += 1,
            Err(other) => return Err(alloc::format!("post: {other:?}")),
        }
        if round % 2000 == 0 {
            same("a sum", works("add", client.add(round, 1))?, round + 1)?;
        }
    }
    holds("the ring was full at times", full > 0)?;
    let own = works("a queue", given.account.create_queue(1024))?;
    for _ in 0..1024 {
        works("post", sys::post(own.handle(), message))?;
    }
    refused("one too many", SysError::WouldBlock, sys::post(own.handle(), message))?;
    for _ in 0..1024 {
        same("a message", works("receive", sys::recv(own.handle(), Some(0)))?.message.words, message.words)?;
    }
    refused("no more", SysError::TimedOut, sys::recv(own.handle(), Some(0)))?;
    let none = works("a queue", given.account.create_queue(0))?;
    refused("a ring of none", SysError::WouldBlock, sys::post(none.handle(), message))?;
    refused("a ring too long", SysError::BadArgument, given.account.create_queue(1025))
}
