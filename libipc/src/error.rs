//! What a call by a protocol may come back with, and how it travels: as the status in the reply's tag.
//!
//! | status | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 to 0xFDFF | an error of the protocol's own |
//! | 0xFE00 + n | the server was refused by the kernel with [`SysError`] n |
//! | 0xFF00 + n | the message was refused before the server's code saw it: [`Refusal`] n |

use abi::{SysError, numbered};

/// First status that stands for a [`SysError`].
pub const SYS_STATUS: u16 = 0xFE00;
/// First status that stands for a [`Refusal`].
pub const REFUSAL_STATUS: u16 = 0xFF00;

numbered! {
    /// Why a message never reached a server's code, or its answer never reached the client's.
    pub enum Refusal: u16 {
        /// The server does not speak this protocol.
        UnknownProtocol = 1, "server does not speak this protocol";
        /// It speaks another version.
        WrongVersion = 2, "server speaks another version of the protocol";
        /// It knows no such operation.
        UnknownOperation = 3, "server knows no such operation";
        /// An argument does not decode, or capabilities, leases or payload do not match the operation.
        Malformed = 4, "malformed message";
        /// A text or structure is longer than a message carries.
        TooLong = 5, "too long for a message";
        /// The server dropped the call without an answer.
        Dropped = 6, "server dropped the call";
        /// The answer does not decode.
        BadAnswer = 7, "malformed answer";
        /// The capability by which it was sent does not allow the operation.
        NotAllowed = 8, "operation not permitted";
    }
}

impl Refusal {
    /// As a status.
    pub const fn status(self) -> u16 {
        REFUSAL_STATUS + self as u16
    }
    /// The refusal with this status; a number that nobody sends reads as `BadAnswer`.
    pub fn from_status(status: u16) -> Refusal {
        Self::ALL.into_iter().find(|r| r.status() == status).unwrap_or(Refusal::BadAnswer)
    }
}

/// An error type of a protocol; made by [`errors!`](crate::errors).
pub trait ProtocolError: Sized + From<u16> + From<SysError> + From<Refusal> + core::fmt::Display {
    /// The status that stands for it, not 0.
    fn status(&self) -> u16;
}

/// Defines the errors of a protocol: each with a number (1 to 0xFDFF) and a text for people. `Sys` and `Refused` are
/// added; with `From<u16>`, `From<SysError>`, `From<Refusal>` and `Display`.
///
/// ```
/// libipc::errors! {
///     /// What a counter refuses.
///     pub enum CounterError {
///         /// It is at its end.
///         Overflow = 1 => "counter overflow",
///     }
/// }
/// assert_eq!(CounterError::from(1), CounterError::Overflow);
/// ```
#[macro_export]
macro_rules! errors {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $( $(#[$doc:meta])* $variant:ident = $number:literal => $text:literal ),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $( $(#[$doc])* $variant, )*
            /// The kernel refused the call, or something that the server needed for it.
            Sys($crate::SysError),
            /// The message was refused before the server's code saw it.
            Refused($crate::error::Refusal),
            /// An error with a number that this program does not know.
            Unknown(u16),
        }
        impl $name {
            /// A sentence part for people.
            pub const fn text(&self) -> &'static str {
                match self {
                    $( $name::$variant => $text, )*
                    $name::Sys(e) => e.text(),
                    $name::Refused(r) => r.text(),
                    $name::Unknown(_) => "unknown error",
                }
            }
        }
        impl From<u16> for $name {
            fn from(status: u16) -> Self {
                match status {
                    $( $number => $name::$variant, )*
                    $crate::error::SYS_STATUS..$crate::error::REFUSAL_STATUS => {
                        $name::Sys($crate::SysError::from_raw((status - $crate::error::SYS_STATUS) as u64))
                    }
                    $crate::error::REFUSAL_STATUS.. => {
                        $name::Refused($crate::error::Refusal::from_status(status))
                    }
                    _ => $name::Unknown(status),
                }
            }
        }
        impl From<$crate::SysError> for $name {
            fn from(e: $crate::SysError) -> Self { $name::Sys(e) }
        }
        impl From<$crate::error::Refusal> for $name {
            fn from(r: $crate::error::Refusal) -> Self { $name::Refused(r) }
        }
        impl $crate::error::ProtocolError for $name {
            fn status(&self) -> u16 {
                match self {
                    $( $name::$variant => {
                        const { assert!($number > 0 && $number < $crate::error::SYS_STATUS) };
                        $number
                    } )*
                    $name::Sys(e) => $crate::error::SYS_STATUS + *e as u16,
                    $name::Refused(r) => r.status(),
                    $name::Unknown(0) => $crate::error::Refusal::BadAnswer.status(),
                    $name::Unknown(n) => *n,
                }
            }
        }
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { f.write_str(self.text()) }
        }
        impl core::error::Error for $name {}
    };
}
