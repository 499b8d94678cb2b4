//! System-call numbers and flags that do not exist.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::{Given, Verdict, raw, refused};
use libipc::SysError;
use libipc::abi::Sysno;

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let account = given.account.handle().raw();
    let tried = |rax| SysError::check(raw::call(rax, account, account, 1, [1; 8]).rax);
    for number in (0..256).filter(|number| Sysno::try_from(*number).is_err()) {
        refused("a number", SysError::BadSyscall, tried(number))?;
    }
    for bit in 10..64 {
        refused("a flag", SysError::BadSyscall, tried(Sysno::Clock as u64 | 1 << bit))?;
    }
    refused("all ones", SysError::BadSyscall, tried(u64::MAX))
}
