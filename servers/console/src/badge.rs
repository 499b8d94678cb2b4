//! What a capability on the console's queue is for: its badge says it all, so it stays good when the console restarts.
//!
//! Bits 0..8 are the [`Role`], bits 8..24 the session, the rest is 0. A badge of 0 (an unbadged capability, the
//! supervisor's own) has no role and is refused.

/// What the holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Read what is typed (interactive) or sent (exec mode).
    Stdin = 1,
    /// Write to standard output.
    Stdout = 2,
    /// Write to standard error.
    Stderr = 3,
    /// Set mode and interrupt event, mint streams of the session, set the exit status.
    Control = 4,
    /// Write outside of every frame: the system's log.
    Log = 5,
}

/// A session and a role in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Badge {
    /// Whose: 0 to 65535.
    pub session: u16,
    /// What for.
    pub role: Role,
}

impl Badge {
    /// The badge of `role` in `session`.
    pub const fn new(session: u16, role: Role) -> Badge {
        Badge { session, role }
    }

    /// The badge as the kernel delivers it.
    pub const fn raw(self) -> u64 {
        (self.session as u64) << 8 | self.role as u64
    }

    /// What a delivered badge means; `None` for a number that no badge has.
    pub fn from_raw(raw: u64) -> Option<Badge> {
        use Role::*;
        let role = [Stdin, Stdout, Stderr, Control, Log].into_iter().find(|r| *r as u64 == raw & 0xff)?;
        let session = u16::try_from(raw >> 8).ok()?;
        Some(Badge { session, role })
    }

    /// Whether it may write.
    pub const fn writes(self) -> bool {
        matches!(self.role, Role::Stdout | Role::Stderr | Role::Log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_survives_the_way_through_the_kernel() {
        for role in [Role::Stdin, Role::Stdout, Role::Stderr, Role::Control, Role::Log] {
            let badge = Badge::new(0xfffe, role);
            assert_eq!(Badge::from_raw(badge.raw()), Some(badge));
        }
    }

    #[test]
    fn a_number_that_no_badge_has_is_refused() {
        for raw in [0, 6, 0x100, 0xff, 1 << 24 | 1, u64::MAX] {
            assert_eq!(Badge::from_raw(raw), None, "{raw:#x}");
        }
    }
}
