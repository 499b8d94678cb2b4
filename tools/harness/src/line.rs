//! A line on the terminal that says what is being waited for, until something else is to be written there.
//!
//! 1. It is on standard error, and only where that is a terminal: a pipe gets results alone.
//! 2. It is taken away once, before what comes after it.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

/// Takes a line away (ECMA-48: carriage return, erase in line).
pub const ERASE: &str = "\r\x1b[K";

/// The line. Dropping it takes it away.
#[derive(Debug, Default)]
pub struct Line {
    shown: AtomicBool,
}

impl Line {
    /// Shows it.
    pub fn show(text: &str) -> Line {
        let terminal = io::stderr().is_terminal();
        if terminal {
            write(text);
        }
        Line { shown: AtomicBool::new(terminal) }
    }

    /// Takes it away, if it is still there.
    pub fn hide(&self) {
        if self.shown.swap(false, Ordering::AcqRel) {
            write(ERASE);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.hide();
    }
}

fn write(text: &str) {
    let mut err = io::stderr();
    // A terminal that takes no more has nobody before it.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
