//! The verdict on an attack.

use alloc::{format, string::String};
use core::fmt::Debug;
use libipc::SysError;

/// Nothing, or what should not have happened.
pub type Verdict = Result<(), String>;

/// The kernel must have refused with exactly this error.
pub fn refused<T: Debug>(what: &str, expected: SysError, result: Result<T, SysError>) -> Verdict {
    match result {
        Err(error) if error == expected => Ok(()),
        other => Err(format!("{what}: {other:?}, not Err({expected:?})")),
    }
}

/// This must be so.
pub fn holds(what: &str, is_so: bool) -> Verdict {
    if is_so { Ok(()) } else { Err(format!("{what}: it is not so")) }
}

/// These must be the same.
pub fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Verdict {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}

/// This must have worked, or the attack cannot even begin.
pub fn works<T, E: Debug>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: refused with {error:?}"))
}
