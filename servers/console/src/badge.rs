//! What a capability on the console's queue is for: its badge says it all, so it stays good when the console restarts.
//!
//! Badges with bit 63 are the console's own: bits 0..8 are the [`Role`], bits 8..24 the session, the rest is 0. All
//! other badges are given out by the supervisor to those that the system's description lets use the console: they are
//! of [`Role::Owner`].

/// What the holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Open sessions, set the exit status, write to the log.
    Owner = 0,
    /// Read what is typed (interactive) or sent (exec mode).
    Stdin = 1,
    /// Write to standard output.
    Stdout = 2,
    /// Write to standard error.
    Stderr = 3,
    /// Set mode and interrupt event of the session, have its streams, set the exit status.
    Control = 4,
}

/// A session and a role in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Badge {
    /// Whose: 1 to 65535; of the owner it is 0.
    pub session: u16,
    /// What for.
    pub role: Role,
}

const OWN: u64 = 1 << 63;

impl Badge {
    /// Of a capability that the supervisor has given out.
    pub const OWNER: Badge = Badge { session: 0, role: Role::Owner };

    /// The badge of `role` in `session`.
    pub const fn new(session: u16, role: Role) -> Badge {
        Badge { session, role }
    }

    /// The badge as the kernel delivers it.
    pub const fn raw(self) -> u64 {
        match self.role {
            Role::Owner => 0,
            role => OWN | (self.session as u64) << 8 | role as u64,
        }
    }

    /// What a delivered badge means; `None` for one that nobody has minted.
    pub fn from_raw(raw: u64) -> Option<Badge> {
        use Role::*;
        if raw & OWN == 0 {
            return Some(Badge::OWNER);
        }
        let role = [Stdin, Stdout, Stderr, Control].into_iter().find(|r| *r as u64 == raw & 0xff)?;
        let session = u16::try_from((raw & !OWN) >> 8).ok()?;
        Some(Badge { session, role })
    }

    /// Whether it may write.
    pub const fn writes(self) -> bool {
        matches!(self.role, Role::Stdout | Role::Stderr | Role::Owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_survives_the_way_through_the_kernel() {
        for role in [Role::Stdin, Role::Stdout, Role::Stderr, Role::Control] {
            let badge = Badge::new(0xfffe, role);
            assert_eq!(Badge::from_raw(badge.raw()), Some(badge));
        }
    }

    #[test]
    fn what_the_supervisor_gives_out_is_the_owners_and_never_a_stream() {
        for raw in [0, 1, 2, 4, 0x101, u64::MAX >> 1] {
            assert_eq!(Badge::from_raw(raw), Some(Badge::OWNER), "{raw:#x}");
        }
    }

    #[test]
    fn a_badge_that_nobody_mints_is_refused() {
        for raw in [OWN, OWN | 5, OWN | 0xff, OWN | 1 << 24 | 1, u64::MAX] {
            assert_eq!(Badge::from_raw(raw), None, "{raw:#x}");
        }
    }
}
