//! What `main` may return.

use core::fmt::Display;

/// Turns what `main` returns into the status that its parent sees.
pub trait Termination {
    /// Says what went wrong, if anything, in the name of `program`; returns the status.
    fn report(self, program: &str) -> i32;
}

impl Termination for i32 {
    fn report(self, _program: &str) -> i32 {
        self
    }
}

impl Termination for () {
    fn report(self, _program: &str) -> i32 {
        0
    }
}

impl<T: Termination, E: Display> Termination for Result<T, E> {
    fn report(self, program: &str) -> i32 {
        match self {
            Ok(value) => value.report(program),
            Err(error) => {
                // A program of the shell has a standard error, a service has a log.
                crate::eprintln!("{program}: {error}");
                crate::log!(Error, "{error}");
                1
            }
        }
    }
}

/// Any error, as its text: what a `main` returns that meets errors of several kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(alloc::string::String);

// Not itself `Display`, so that this does not overlap `From<T> for T`.
impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(alloc::format!("{error}"))
    }
}

impl<T: Termination> Termination for Result<T, Failure> {
    fn report(self, program: &str) -> i32 {
        self.map_err(|failure| failure.0).report(program)
    }
}
