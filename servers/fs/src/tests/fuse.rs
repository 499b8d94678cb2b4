//! Death at the n-th store to the persistent memory, or the n-th use of the disk: the event is counted here, and the
//! one at which the fuse burns down is carried out by half and ends in a panic.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Once;

/// The panic's payload.
pub struct Killed;

thread_local! {
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    static BURNT: Cell<bool> = const { Cell::new(false) };
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

/// Counts an event. Returns what of `data` still gets through.
pub fn burn<T>(data: &[T]) -> &[T] {
    SEEN.set(SEEN.get() + 1);
    match LEFT.get() {
        Some(0) => {
            BURNT.set(true);
            &data[..data.len() / 2]
        }
        Some(n) => {
            LEFT.set(Some(n - 1));
            data
        }
        None => data,
    }
}

/// The second half of the event.
pub fn die_if_burnt() {
    if BURNT.replace(false) {
        LEFT.set(None);
        panic_any(Killed);
    }
}

/// Runs `f` and kills it at event number `at`. `None` if it died.
pub fn until<T>(at: u64, f: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let old = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Killed>() {
                old(info);
            }
        }));
    });
    LEFT.set(Some(at));
    let result = catch_unwind(AssertUnwindSafe(f));
    LEFT.set(None);
    match result {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Killed>() => None,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Number of events in `f`.
pub fn count<T>(f: impl FnOnce() -> T) -> (T, u64) {
    let before = SEEN.get();
    let value = f();
    (value, SEEN.get() - before)
}
