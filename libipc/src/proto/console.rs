//! The console. Sessions are named by number, so that a capability's badge says it all and survives a restart.

use crate::protocol;

crate::words_enum! {
    /// How input is handed over.
    #[derive(Default)]
    pub enum Mode {
        /// Line by line, echoed, with erase and kill characters, ^C and ^D.
        #[default]
        Cooked = 0,
        /// Byte by byte as typed, without echo. ^C is a byte like others.
        Raw = 1,
    }
}

protocol! {
    /// The console, and one session of it: which one, and whether it is the session's owner, is in the badge.
    pub protocol Console = 5 version 1;
    /// What the console refuses.
    error ConsoleError {
        /// The capability does not allow it.
        NotPermitted = 1 => "operation not permitted",
        /// There is no such session.
        NoSession = 2 => "no such session",
        /// Only in exec mode is there a status to set.
        NotExec = 3 => "not in exec mode",
    }

    /// The owner's capability of session `number` (1 to 65535). For the holder of the console itself.
    idempotent fn open_session(number: u16) -> Cap = 1;
    /// Standard input, output and error of the session; they speak `stream`.
    idempotent fn streams() -> (Cap, Cap, Cap) = 2;
    /// Sets how input is handed over.
    idempotent fn set_mode(mode: Mode) = 3;
    /// From now on ^C in cooked mode signals `bits` of `event` (`SIGNAL`) instead of anything else.
    idempotent fn set_interrupt(event: Cap, bits: u64) = 4;
    /// ^C signals nobody any more.
    idempotent fn clear_interrupt() = 5;
    /// Columns and rows of the terminal; (0, 0) where nobody knows.
    idempotent fn size() -> (u32, u32) = 6;
    /// Whether the machine was started for a single command.
    idempotent fn is_exec() -> bool = 7;
    /// In exec mode: tells the host the status of the command, after all output has gone out.
    idempotent fn set_exit_status(status: i32) = 8;
}
