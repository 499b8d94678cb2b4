//! Changes a lease's descriptor, and its memory, while the receiver copies.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, given, holds, raw};
use libipc::abi::{LeaseDescriptor, Message, MessagePage, Sysno, Tag};
use libipc::sys::{self, ThreadStart};
use libipc::{Rights, SysError};

hostile::attack!(run, "lender" => lend);

/// Copies that are made.
const ROUNDS: u32 = 2000;

fn run(given: &Given) -> Verdict {
    let queue = works("a queue", given.account.create_queue(1))?;
    let mut command = given.part("lender");
    command.grant("queue", queue.handle(), Rights::SEND);
    let child = works("start", command.spawn(&given.image, given.account))?;
    let received = works("receive", sys::recv(queue.handle(), None))?;
    // A second thread of the lender rewrites the descriptor, without end.
    let start = ThreadStart {
        entry: works("its address", child.process().address_of(rewrite as *const () as u64))?,
        stack: child.places().thread_area(2),
        page: child.places().thread_area(1),
        argument: 0,
        priority: given::PRIORITY,
    };
    let stack = works("a stack", given.account.create_memory(4))?;
    let bottom = start.stack - 4 * 4096;
    works("map", child.process().map(stack.memory(), bottom, 0, 4, Rights::READ | Rights::WRITE))?;
    works("a thread", child.process().start(start))?;
    let mut bytes = [0; 128];
    let (mut good, mut bad) = (0, 0);
    for round in 0..ROUNDS {
        match sys::lease_read(received.id, 0, 0, &mut bytes) {
            Ok(()) => good += 1,
            Err(SysError::BadLease | SysError::BadToken) => bad += 1,
            Err(other) => return Err(alloc::format!("a copy: {other:?}")),
        }
        holds("only the lender's bytes come", bytes.iter().all(|byte| *byte == 0 || *byte == 0x77))?;
        if round % 16 == 0 {
            sys::yield_now();
        }
    }
    holds("both were seen", good > 0 && bad > 0)?;
    works("kill", child.kill())
}

/// Lends its own bytes.
fn lend(given: &Given) -> Verdict {
    let queue = works("queue", given.startup.queue("queue"))?;
    let memory = works("memory", given.account.create_memory(1))?;
    let mut mapping = works("map", memory.memory().map(true))?;
    works("fill", mapping.write(0, &[0x77; 4096]))?;
    raw::set_lease(0, LeaseDescriptor { start: mapping.address(), length: 128, of: 0, access: 1, index: 0 });
    let tag = Tag::new(5, 6).with_leases(1).raw();
    raw::call(Sysno::Call as u64, queue.handle().raw(), tag, 0, Message::default().words);
    Ok(())
}

/// The rewriting thread: the descriptor is in the first thread's message page.
extern "C" fn rewrite() -> ! {
    let first = libipc::memory::own_places().thread_area(0) + core::mem::offset_of!(MessagePage, leases) as u64;
    let (length, start) = (first + 8, first + 7);
    loop {
        // The length is 128 or 0; the address is the lender's or far up in the kernel's half.
        for (address, value) in [(length, 0), (length, 128), (start, 0xff), (start, 0)] {
            raw::poke(address, value);
            sys::yield_now();
        }
    }
}
