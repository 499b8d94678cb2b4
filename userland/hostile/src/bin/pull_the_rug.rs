//! Closes every capability that it has, one after the other, and then ends.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::{Given, Verdict, refused};
use libipc::{SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let known: alloc::vec::Vec<_> = given.known().collect();
    let mut verdict = Ok(());
    for handle in known {
        verdict = verdict.and(sys::revoke(handle).and_then(|()| sys::close(handle)));
        if refused("the closed one", SysError::BadHandle, sys::inspect(handle)).is_err() {
            sys::exit(1);
        }
    }
    sys::exit(if verdict.is_ok() { 43 } else { 2 })
}
