//! Answers, forwards and copies by guessed message ids.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, raw, refused};
use libipc::SysError;
use libipc::abi::{Message, MessageId, Sysno};
use libipc::sys;

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let queue = works("a queue", given.account.create_queue(1))?;
    let mut buffer = [0u8; 8];
    let numbers = (0..64).flat_map(|thread| (0..64).map(move |sequence| sequence << 16 | thread));
    for guess in numbers.chain([u64::MAX, 1 << 63, 0xffff, 0xffff_8000_0000_0000]) {
        let id = MessageId::from_raw(guess);
        refused("reply", SysError::BadToken, sys::reply(id, Message::default()))?;
        refused("forward", SysError::BadToken, sys::forward(id, queue.handle()))?;
        refused("lease read", SysError::BadToken, sys::lease_read(id, 0, 0, &mut buffer))?;
        refused("lease write", SysError::BadToken, sys::lease_write(id, 0, 0, &buffer))?;
        let copy = raw::call(Sysno::LeaseCopy as u64, 0, 0, guess, [0, 0, 8, guess, 0, 0, 0, 0]);
        refused("lease copy", SysError::BadToken, SysError::check(copy.rax))?;
    }
    Ok(())
}
