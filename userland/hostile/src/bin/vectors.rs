//! Looks into the vector registers after calls to a server that fills them with a secret.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::{same, works};
use hostile::cpu::{self, Vectors};
use hostile::{Given, Verdict};
use libipc::abi::{Sysno, Tag};
use libipc::{Rights, SysError};

hostile::attack!(run, "keeper" => keep);

/// The control words that a program of these tests sets.
const OWN: (u32, u16) = (0x7f80, 0x0f7f);

fn run(given: &Given) -> Verdict {
    let queue = works("a queue", given.account.create_queue(1))?;
    let keeper = given.start("keeper", &[("queue", &queue, Rights::RECEIVE)])?;
    for round in 0..200 {
        let secret = 0x5ec0_0000_0000_0000 | round;
        let tag = Tag::new(5, 6).raw();
        let (rax, found) = cpu::call_with_secret(secret, Sysno::Call as u64, queue.handle().raw(), tag, 0);
        works("call", SysError::check(rax))?;
        same("after a call", found, Vectors::CLEAR)?;
        // A switch by the clock rather than by a call; the keeper spins with its secret meanwhile.
        let (rax, found) = cpu::call_with_secret(secret, Sysno::Yield as u64, 0, 0, 0);
        works("yield", SysError::check(rax))?;
        let words = (found.mxcsr, found.control);
        hostile::holds(
            "control words after a yield",
            words == OWN || words == (Vectors::CLEAR.mxcsr, Vectors::CLEAR.control),
        )?;
        let foreign = found.registers.iter().flatten().any(|word| *word != 0 && *word != secret);
        hostile::holds("no foreign word after a yield", !foreign)?;
    }
    works("kill", keeper.kill())
}

/// Answers with a secret in every vector register.
fn keep(given: &Given) -> Verdict {
    let queue = works("queue", given.startup.queue("queue"))?;
    let mut token = works("receive", libipc::sys::recv(queue.handle(), None))?.id;
    loop {
        let secret = 0xdead_beef_0bad_cafe;
        let (rax, found) = cpu::call_with_secret(secret, Sysno::Reply as u64, 0, 0, token.raw());
        works("reply", SysError::check(rax))?;
        let foreign = found.registers.iter().flatten().any(|word| *word != 0 && *word != secret);
        hostile::holds("no foreign word", !foreign)?;
        token = works("receive", libipc::sys::recv(queue.handle(), None))?.id;
    }
}
