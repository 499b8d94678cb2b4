//! Guesses handles: what the program was not given names nothing.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::{Given, Verdict, holds};
use libipc::{Handle, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let mut found = 0;
    for generation in (0..4).chain([u32::MAX]) {
        for index in 0..2048 {
            let handle = Handle::new(index, generation);
            match sys::inspect(handle) {
                Ok(_) => {
                    found += 1;
                    holds("only what was given has a handle", given.known().any(|known| known == handle))?;
                }
                Err(error) => holds("a guessed handle is BadHandle", error == SysError::BadHandle)?,
            }
        }
    }
    holds("all that was given is found", found == given.known().count())
}
