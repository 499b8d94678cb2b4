//! Kills its parent, the victim, and whatever a handle might name.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, refused};
use libipc::{Handle, Kind, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let own = given.process.handle();
    refused("kill by its own handle", SysError::MissingRights, sys::process_kill(own, 1))?;
    refused("reset by its own handle", SysError::MissingRights, sys::process_reset(own))?;
    refused(
        "grant by its own handle",
        SysError::MissingRights,
        sys::process_grant(own, own, libipc::Rights::all(), 0),
    )?;
    for handle in given.known() {
        let kind = works("inspect", sys::inspect(handle))?.kind;
        if kind != Kind::Process {
            refused("kill", SysError::WrongKind, sys::process_kill(handle, 1))?;
            refused("reset", SysError::WrongKind, sys::process_reset(handle))?;
        }
        match kind {
            Kind::Account => refused("destroy", SysError::MissingRights, sys::account_destroy(handle))?,
            _ => refused("destroy", SysError::WrongKind, sys::account_destroy(handle))?,
        }
    }
    for index in 1..256 {
        for generation in 1..4 {
            let guess = Handle::new(index, generation);
            if given.known().all(|known| known != guess) {
                refused("a guessed process", SysError::BadHandle, sys::process_kill(guess, 1))?;
            }
        }
    }
    // The server's queue is no way to the server: it receives nothing and cannot be closed for others.
    refused("receive its calls", SysError::MissingRights, sys::recv(given.victim.handle(), Some(0)))
}
