//! The log of a service: lines for whoever looks after the system, read with `svc log NAME`.
//!
//! ```
//! libipc::log!(Warning, "the disk is {} % full", 97);
//! ```
//!
//! Invariants:
//! 1. A line takes a call to the supervisor, and a bounded time. A program that was handed no log writes none; on the
//!    host it goes to standard error.
//! 2. It may be written wherever a call may be made: also in the midst of a method, whose arguments and answer are
//!    elsewhere than in the message page, but not where [`Service`](crate::Service) says that no message may be sent.

use crate::proto::log::Severity;
use core::fmt::{self, Write};
#[cfg(target_os = "none")]
pub(crate) use own::set_log;

/// Bytes of a line; the rest is cut off.
const LONGEST: usize = 512;

/// Adds a line to the log of this service: `log!(Info, "...", ...)`, with a name of [`Severity`].
#[macro_export]
macro_rules! log {
    ($severity:ident, $($text:tt)+) => {
        $crate::log::write($crate::proto::log::Severity::$severity, ::core::format_args!($($text)+))
    };
}

/// Adds a line to the log. For `log!`.
pub fn write(severity: Severity, text: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // A line that is too long is cut.
    let _ = line.write_fmt(text);
    own::send(severity, line.as_str());
}

/// A line of bounded length, so that one for want of memory needs none.
pub(crate) struct Line {
    bytes: [u8; LONGEST],
    used: usize,
}

impl Line {
    /// Empty.
    pub(crate) const fn new() -> Line {
        Line { bytes: [0; LONGEST], used: 0 }
    }
    /// What has been written.
    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.used]).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let length = text.floor_char_boundary(self.bytes.len() - self.used);
        self.bytes[self.used..self.used + length].copy_from_slice(&text.as_bytes()[..length]);
        self.used += length;
        if length == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The log that the parent has handed over.
#[cfg(target_os = "none")]
mod own {
    use crate::object::Queue;
    use crate::proto::log::{LogClient, Severity};
    use crate::sys;
    use abi::Handle;
    use core::sync::atomic::{AtomicU64, Ordering};

    /// Nanoseconds that the log has to take a line.
    const PATIENCE: u64 = 1_000_000_000;

    static LOG: AtomicU64 = AtomicU64::new(0);

    /// Says where lines go.
    pub(crate) fn set_log(log: Option<Handle>) {
        LOG.store(log.unwrap_or(Handle::NONE).raw(), Ordering::Relaxed);
    }

    pub(super) fn send(severity: Severity, line: &str) {
        let log = Handle::from_raw(LOG.load(Ordering::Relaxed));
        if !log.is_none() {
            let client = LogClient::new(Queue::new(log)).until(Some(sys::clock().saturating_add(PATIENCE)));
            // Where the log does not take it, there is nobody to tell.
            let _ = client.write(severity, line);
        }
    }
}

/// The host's standard error.
#[cfg(not(target_os = "none"))]
mod own {
    use crate::proto::log::Severity;

    pub(super) fn send(severity: Severity, line: &str) {
        std::eprintln!("{severity:?}: {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_cut_between_characters() {
        let mut line = Line::new();
        assert!(write!(line, "{}", "x".repeat(LONGEST - 1)).is_ok());
        assert!(write!(line, "ä and more").is_err());
        assert_eq!(line.as_str(), "x".repeat(LONGEST - 1));
    }
}
