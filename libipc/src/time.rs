//! The clock that never goes back.

use crate::sys;
use core::time::Duration;

/// A moment since power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// Now.
    pub fn now() -> Instant {
        Instant(sys::clock())
    }
    /// Nanoseconds since power-on.
    pub const fn nanoseconds(self) -> u64 {
        self.0
    }
    /// Since then.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(sys::clock().saturating_sub(self.0))
    }
}

/// Ticks of the processor's time-stamp counter, for measuring: no call of the kernel.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the counter, and the kernel leaves it open to programs (CR4.TSD is clear; Intel
    //         SDM vol. 2, RDTSC). Reading it changes nothing.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The deadline `after` from now.
pub fn deadline(after: Duration) -> sys::Deadline {
    Some(sys::clock().saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
}

/// Sleeps.
pub fn sleep(duration: Duration) {
    let Some(end) = deadline(duration) else { return };
    while sys::clock() < end {
        sys::sleep_until(end);
    }
}
