//! Whether a service still answers: it is asked now and then, and taken for hung when it has not answered for too long.
//!
//! 1. A service is asked [`ASKED`] times within its limit, so that one slow request of somebody else is not a hang.
//! 2. Time counts from its last answer; before the first one it has [`PREPARES`] times as long, to recover what its
//!    predecessor left.

/// How often a service is asked within its limit.
pub const ASKED: u64 = 8;
/// How many limits a service has from its start to its first answer.
pub const PREPARES: u64 = 4;
const MILLISECOND: u64 = 1_000_000;

/// What is known of one service.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// Nanoseconds without an answer after which it is hung; `None`: it is not watched.
    limit: Option<u64>,
    answered: u64,
    next: u64,
}

impl Watch {
    /// A service that must answer within `limit_ms`.
    pub fn new(limit_ms: Option<u32>) -> Watch {
        Watch { limit: limit_ms.filter(|ms| *ms > 0).map(|ms| u64::from(ms) * MILLISECOND), answered: 0, next: 0 }
    }

    /// It was started.
    pub fn started(&mut self, now: u64) {
        let limit = self.limit.unwrap_or(0);
        self.alive(now);
        self.answered = now.saturating_add(limit.saturating_mul(PREPARES - 1));
    }

    /// It has answered.
    pub fn alive(&mut self, now: u64) {
        self.answered = now;
        self.next = now.saturating_add(self.limit.unwrap_or(0) / ASKED);
    }

    /// It was asked and has not answered. Whether it is hung.
    pub fn silent(&mut self, now: u64) -> bool {
        let Some(limit) = self.limit else { return false };
        self.next = now.saturating_add(limit / ASKED);
        now.saturating_sub(self.answered) >= limit
    }

    /// When it is to be asked next.
    pub fn due(&self) -> Option<u64> {
        self.limit.map(|_| self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_answers_is_never_hung() {
        let mut watch = Watch::new(Some(80));
        watch.alive(0);
        for _ in 0..1000 {
            let now = watch.due().expect("it is watched");
            watch.alive(now);
        }
        assert_eq!(watch.due(), Some(1001 * 10 * MILLISECOND));
    }

    #[test]
    fn silence_for_the_whole_limit_is_a_hang_and_not_before() {
        let mut watch = Watch::new(Some(80));
        watch.alive(5);
        let mut asked = 0;
        loop {
            let now = watch.due().expect("it is watched");
            asked += 1;
            if watch.silent(now) {
                assert_eq!((now, asked), (5 + 80 * MILLISECOND, ASKED));
                return;
            }
        }
    }

    #[test]
    fn a_service_that_has_just_started_gets_longer() {
        let mut watch = Watch::new(Some(80));
        watch.started(0);
        assert!(!watch.silent(PREPARES * 80 * MILLISECOND - 1));
        assert!(watch.silent(PREPARES * 80 * MILLISECOND));
    }

    #[test]
    fn one_answer_among_silence_starts_anew() {
        let mut watch = Watch::new(Some(80));
        watch.alive(0);
        for _ in 0..ASKED - 1 {
            let now = watch.due().expect("it is watched");
            assert!(!watch.silent(now));
        }
        watch.alive(75 * MILLISECOND);
        assert!(!watch.silent(154 * MILLISECOND));
        assert!(watch.silent(155 * MILLISECOND));
    }

    #[test]
    fn a_service_without_a_limit_is_not_asked() {
        let mut watch = Watch::new(None);
        watch.alive(0);
        assert_eq!((watch.due(), watch.silent(u64::MAX)), (None, false));
        assert_eq!(Watch::new(Some(0)).due(), None);
    }
}
