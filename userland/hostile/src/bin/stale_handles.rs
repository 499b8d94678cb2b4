//! Uses closed handles: they never name the next occupant of their slot.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::vec::Vec;
use hostile::check::works;
use hostile::operations::OPERATIONS;
use hostile::{Given, Verdict, holds, raw, refused};
use libipc::{Handle, SysError, sys};

hostile::attack!(run);

fn run(given: &Given) -> Verdict {
    let mut old: Vec<Handle> = Vec::new();
    for _ in 0..64 {
        let event = works("an event", given.account.create_event())?.leak();
        holds("a handle is never given twice", !old.contains(&event))?;
        for stale in &old {
            refused("inspect", SysError::BadHandle, sys::inspect(*stale))?;
            refused("close", SysError::BadHandle, sys::close(*stale))?;
        }
        works("the new one", sys::event_signal(event, 1))?;
        works("close", sys::close(event))?;
        old.push(event);
    }
    let _occupant = works("an event", given.account.create_event())?;
    for operation in OPERATIONS.iter().filter(|operation| operation.second.is_none()) {
        refused(operation.number.name(), SysError::BadHandle, raw::request(operation.number, old[0], 0, [0; 8]))?;
    }
    Ok(())
}
