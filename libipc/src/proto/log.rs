//! The log.

use crate::protocol;

crate::words_enum! {
    /// How grave a line of the log is.
    pub enum Severity {
        /// Somebody must do something.
        Error = 1,
        /// Something is odd.
        Warning = 2,
        /// Something happened.
        Info = 3,
        /// For those who look for a mistake.
        Debug = 4,
    }
}

protocol! {
    /// Takes lines for the log. Who says it, the badge tells.
    pub protocol Log = 7 version 1;
    /// What the log refuses.
    error LogError {}

    /// Adds a line. Done twice it stands there twice, which harms nobody.
    idempotent fn write(severity: Severity, text: &str) = 1;
}
