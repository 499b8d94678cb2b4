//! The console's session, as the shell uses it.
//!
//! Invariant: while a job runs the terminal hands over lines and ^C signals the shell's event; while the shell edits a line
//! it hands over every byte.

use libipc::proto::console::{ConsoleClient, Mode};
use libipc::{Event, Queue, Rights};

/// A session of the console.
pub struct Terminal {
    client: ConsoleClient,
    raw: bool,
}

impl Terminal {
    /// The session behind this capability. ^C signals `bits` of `event` from now on.
    pub fn new(queue: Queue, event: Event, bits: u64) -> Terminal {
        let mut terminal = Terminal { client: ConsoleClient::new(queue), raw: true };
        terminal.lend(event, bits);
        terminal
    }

    /// The capability.
    pub fn queue(&self) -> Queue {
        self.client.queue()
    }

    /// For a job: lines, echo, ^C. Another shell may have used the session meanwhile, so nothing is taken for granted.
    pub fn lend(&mut self, event: Event, bits: u64) {
        // A console that refuses leaves the job without ^C, and is no reason not to run it.
        let _ = self.client.set_interrupt(event.grant(Rights::SIGNAL), bits);
        if self.raw {
            self.raw = self.client.set_mode(Mode::Cooked).is_err();
        }
    }

    /// For the line editor: bytes as they are typed.
    pub fn claim(&mut self) {
        self.raw = true;
        let _ = self.client.set_mode(Mode::Raw);
    }
}
