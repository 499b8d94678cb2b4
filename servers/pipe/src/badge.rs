//! What the badge of a capability to the pipe server's queue says.
//!
//! | bits | of an end of a pipe | of a client's own capability |
//! |---|---|---|
//! | 0..16 | slot of the pipe | number of the client |
//! | 16..18 | 1 = read end, 2 = write end | 0 |
//! | 32..64 | generation of the slot | |

/// One of the two ends of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What was written comes out here.
    Read = 1,
    /// It goes in here.
    Write = 2,
}

/// Whom a message comes from, or which pipe it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Badge {
    /// A client that may make pipes; the badge's low bits tell clients apart.
    Client(u64),
    /// The end of a pipe.
    Pipe {
        /// Its slot.
        slot: u16,
        /// The slot's generation.
        generation: u32,
        /// Which end.
        end: End,
    },
}

impl Badge {
    /// Reads a badge; `None` for one that this server has not made.
    pub fn from_raw(raw: u64) -> Option<Badge> {
        let (slot, generation) = (raw as u16, (raw >> 32) as u32);
        match raw >> 16 & 0xffff {
            0 => Some(Badge::Client(raw)),
            1 => Some(Badge::Pipe { slot, generation, end: End::Read }),
            2 => Some(Badge::Pipe { slot, generation, end: End::Write }),
            _ => None,
        }
    }

    /// The badge as the kernel keeps it.
    pub fn raw(self) -> u64 {
        match self {
            Badge::Client(raw) => raw,
            Badge::Pipe { slot, generation, end } => u64::from(generation) << 32 | (end as u64) << 16 | u64::from(slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_comes_back_as_it_was_made_and_is_never_zero() {
        for end in [End::Read, End::Write] {
            for (slot, generation) in [(0, 0), (0, u32::MAX), (u16::MAX, 1), (7, 9)] {
                let badge = Badge::Pipe { slot, generation, end };
                assert_eq!(Badge::from_raw(badge.raw()), Some(badge));
                assert_ne!(badge.raw(), 0);
            }
        }
        assert_eq!(Badge::from_raw(5), Some(Badge::Client(5)));
        assert_eq!(Badge::from_raw(3 << 16), None);
    }
}
