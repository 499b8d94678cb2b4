//! Tags with the kernel's bits set, and with counts beyond the limits.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, raw, refused};
use libipc::SysError;
use libipc::abi::{Sysno, Tag};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let victim = given.victim.handle();
    let plain = Tag::new(1, 1);
    let send = |number: Sysno, tag: u64| SysError::check(raw::call(number as u64, victim.raw(), tag, 0, [0; 8]).rax);
    for bit in 49..64 {
        refused("call", SysError::BadArgument, send(Sysno::Call, plain.raw() | 1 << bit))?;
        refused("post", SysError::BadArgument, send(Sysno::Post, plain.raw() | 1 << bit))?;
    }
    for tag in [
        plain.with_payload(1025),
        plain.with_payload(2047),
        plain.with_caps(5),
        plain.with_caps(7),
        plain.with_leases(5),
        plain.with_leases(7),
    ] {
        refused("call", SysError::BadArgument, send(Sysno::Call, tag.raw()))?;
    }
    for tag in [plain.with_payload(1), plain.with_caps(1), plain.with_leases(1)] {
        refused("post", SysError::BadArgument, send(Sysno::Post, tag.raw()))?;
    }
    let queue = works("a queue", given.account.create_queue(1))?;
    let reply = raw::call(Sysno::ReplyRecv as u64, queue.handle().raw(), u64::MAX, 5, [0; 8]);
    refused("reply", SysError::BadArgument, SysError::check(reply.rax))
}
