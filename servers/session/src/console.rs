//! The session's side of the console: the streams that the shell gets, and words to the person or program in front.

use alloc::{format, string::String};
use libipc::{
    OwnedHandle, Queue, Stream,
    proto::console::{ConsoleClient, ConsoleError},
};

/// Number of the one session that there is.
const SESSION: u16 = 1;

/// A session of the console.
pub struct Console {
    /// The owner's capability: mode, interrupt, streams.
    pub control: OwnedHandle,
    /// Standard input.
    pub input: OwnedHandle,
    /// Standard output.
    pub output: OwnedHandle,
    /// Standard error.
    pub errors: OwnedHandle,
    owner: ConsoleClient,
}

impl Console {
    /// Opens the session.
    pub fn open(console: Queue) -> Result<Console, ConsoleError> {
        let owner = ConsoleClient::new(console);
        let control = owner.open_session(SESSION)?;
        let (input, output, errors) = ConsoleClient::new(control.queue()).streams()?;
        Ok(Console { control, input, output, errors, owner })
    }

    /// Says something to whoever reads standard error.
    pub fn say(&self, text: &str) {
        let line = format!("session: {text}\n");
        // Where the console does not take it, there is nobody to tell.
        let _ = Stream::borrowed(self.errors.queue()).write_all(line.as_bytes());
    }

    /// In exec mode: tells the host the status, after all output.
    pub fn report(&self, status: i32) -> Result<(), String> {
        self.owner.set_exit_status(status).map_err(|error| format!("cannot report status {status}: {error}"))
    }
}
