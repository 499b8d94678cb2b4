//! What the console keeps across its own death: plain numbers, laid out without gaps.
//!
//! Always true of a committed state (and checked of one that is found, [`State::is_sane`]):
//! 1. `sent <= output_head`, `input_read <= input_head`, `digested <= received`, each at most a ring apart.
//! 2. `marks` ascend and lie in `input_read..=input_head`.
//! 3. A record stands for a call that has taken effect, wholly or in part, and may not have been answered.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    frame::Decoder,
    line::{Line, Mode},
    vault,
};

/// Most sessions with a mode and an interrupt event of their own.
pub const SESSIONS: usize = 8;
/// Most calls that have taken effect and are not answered.
pub const RECORDS: usize = 32;
/// Most ends of file typed ahead.
pub const MARKS: usize = 8;

/// What ^C signals.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Interrupt {
    /// The handle of an event; 0 is none.
    pub event: u64,
    /// Its bits.
    pub bits: u64,
    /// 1 if the handle is good for every incarnation: a capability that came in a message dies with its receiver,
    /// unless the console has granted it to itself.
    pub lasting: u64,
}

/// A session that has set something.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Session {
    /// Its number plus one; 0 is a free place.
    pub name: u64,
    /// 1 for [`Mode::Raw`].
    pub raw: u64,
    /// What ^C signals.
    pub interrupt: Interrupt,
}

/// What a call has done so far.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Record {
    /// The call; 0 is a free place.
    pub call: u64,
    /// Of a read: where its bytes start in the input. Of a write: not used.
    pub start: u64,
    /// Of a read: how many bytes it got. Of a write: how many were accepted.
    pub count: u64,
    /// When it was made, counted in records, plus one; of a read with [`Record::READ`] added.
    pub made: u64,
}

impl Record {
    /// Set in `made` of a read's record.
    pub const READ: u64 = 1 << 63;

    /// Whether it is of a read.
    pub fn is_read(&self) -> bool {
        self.made & Self::READ != 0
    }
}

/// Everything but the rings' bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct State {
    /// End of the output that was accepted.
    pub output_head: u64,
    /// Received bytes that have had their effect.
    pub digested: u64,
    /// End of the input.
    pub input_head: u64,
    /// Input that readers have taken.
    pub input_read: u64,
    /// Places in the input where a reader sees the end of file.
    pub marks: [u64; MARKS],
    /// How many of them count.
    pub mark_count: u64,
    /// Records made so far.
    pub records_made: u64,
    /// Effects of calls that may not have been answered.
    pub records: [Record; RECORDS],
    /// Sessions that have set something.
    pub sessions: [Session; SESSIONS],
    /// Which of them (name plus one) the keyboard belongs to; 0 is none.
    pub foreground: u64,
    /// 1 when ^C was typed and the event has not been signalled yet.
    pub signal_due: u64,
    /// 1 when standard input has ended (exec mode).
    pub input_ended: u64,
    /// 1 when the exit status has been accepted (exec mode).
    pub exited: u64,
    /// The line being edited.
    pub line: Line,
    /// The frame being received (exec mode).
    pub decoder: Decoder,
    /// Fills up to a multiple of 8 bytes.
    pub spare: u32,
}

impl State {
    /// Whether the numbers can have come about, given how many bytes were sent and received.
    pub fn is_sane(&self, sent: u64, received: u64) -> bool {
        let within = |low: u64, high: u64, size: u64| low <= high && high - low <= size;
        let marks = self.marks.get(..self.mark_count as usize);
        within(sent, self.output_head, vault::OUTPUT)
            && within(self.digested, received, vault::RECEIVED)
            && within(self.input_read, self.input_head, vault::INPUT)
            && marks.is_some_and(|m| m.is_sorted() && m.iter().all(|p| (self.input_read..=self.input_head).contains(p)))
            && self.line.is_sane()
            && self.decoder.is_sane()
    }

    /// The mode of the keyboard.
    pub fn mode(&self) -> Mode {
        match self.current() {
            Some(session) if session.raw != 0 => Mode::Raw,
            _ => Mode::Cooked,
        }
    }

    /// The session that the keyboard belongs to.
    pub fn current(&self) -> Option<&Session> {
        self.sessions.iter().find(|s| s.name != 0 && s.name == self.foreground)
    }

    /// The place of session `number`, which now owns the keyboard. The place of the longest unused other one is taken
    /// where there is none free.
    pub fn session(&mut self, number: u16) -> &mut Session {
        let name = u64::from(number) + 1;
        self.foreground = name;
        let at = self.sessions.iter().position(|s| s.name == name).unwrap_or(SESSIONS - 1);
        // The most recently used comes first.
        self.sessions[..=at].rotate_right(1);
        let place = &mut self.sessions[0];
        if place.name != name {
            *place = Session { name, ..Session::default() };
        }
        place
    }

    /// Forgets the events whose handles died with the incarnation that received them.
    pub fn drop_mortal_interrupts(&mut self) {
        for session in self.sessions.iter_mut().filter(|s| s.interrupt.lasting == 0) {
            session.interrupt = Interrupt::default();
        }
    }

    /// The record of `call`.
    pub fn record(&self, call: u64) -> Option<Record> {
        self.records.iter().find(|r| r.call == call && call != 0).copied()
    }

    /// Drops the record of `call`: it has been answered.
    pub fn forget(&mut self, call: u64) {
        for record in self.records.iter_mut().filter(|r| r.call == call) {
            *record = Record::default();
        }
    }

    /// Notes what `call` has done. The place of the oldest call that is not `pending` is taken where there is none
    /// free: it was answered just before the server died, or its caller is gone. `false`: every record is in use.
    pub fn note(&mut self, call: u64, start: u64, count: u64, flags: u64, pending: impl Fn(u64) -> bool) -> bool {
        let own = |r: &&mut Record| r.call == call || r.call == 0;
        let found = match self.records.iter().any(|r| r.call == call) {
            true => self.records.iter_mut().find(|r| r.call == call),
            false if self.records.iter().any(|r| r.call == 0) => self.records.iter_mut().find(own),
            false => self.records.iter_mut().filter(|r| !pending(r.call)).min_by_key(|r| r.made & !Record::READ),
        };
        let Some(place) = found else { return false };
        self.records_made += 1;
        *place = Record { call, start, count, made: self.records_made | flags };
        true
    }

    /// Where a reader sees the end of file next.
    pub fn mark(&self) -> Option<u64> {
        (self.mark_count > 0).then_some(self.marks[0])
    }

    /// Drops the marks before the `count`th.
    pub fn drop_mark(&mut self) {
        self.marks.rotate_left(1);
        self.mark_count = self.mark_count.saturating_sub(1);
    }

    /// Notes an end of file after the input that there is. More than [`MARKS`] of them at once count as that many.
    pub fn add_mark(&mut self) {
        if let Some(mark) = self.marks.get_mut(self.mark_count as usize) {
            *mark = self.input_head;
            self.mark_count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_state_is_sane_and_impossible_numbers_are_not() {
        assert!(State::default().is_sane(0, 0));
        assert!(!State::default().is_sane(1, 0));
        assert!(!State { output_head: vault::OUTPUT + 1, ..State::default() }.is_sane(0, 0));
        assert!(!State { input_read: 1, ..State::default() }.is_sane(0, 0));
        assert!(!State { mark_count: u64::MAX, ..State::default() }.is_sane(0, 0));
        assert!(!State { mark_count: 1, marks: [5; MARKS], ..State::default() }.is_sane(0, 0));
    }

    #[test]
    fn a_record_is_found_until_it_is_forgotten() {
        let mut state = State::default();
        assert!(state.note(7, 1, 2, Record::READ, |_| true));
        assert!(state.note(7, 3, 4, 0, |_| true));
        assert_eq!(state.record(7).map(|r| (r.start, r.count, r.is_read())), Some((3, 4, false)));
        state.forget(7);
        assert_eq!(state.record(7), None);
        assert_eq!(state.record(0), None);
    }

    #[test]
    fn a_full_table_gives_up_the_oldest_call_that_nobody_waits_for() {
        let mut state = State::default();
        for call in 1..=RECORDS as u64 {
            assert!(state.note(call, 0, 0, 0, |_| true));
        }
        assert!(!state.note(100, 0, 0, 0, |_| true));
        assert!(state.note(100, 0, 0, 0, |call| call < 3));
        assert_eq!((state.record(3), state.record(2).is_some()), (None, true));
    }

    #[test]
    fn sessions_keep_their_settings_and_the_longest_unused_is_replaced() {
        let mut state = State::default();
        for number in 0..SESSIONS as u16 {
            state.session(number).interrupt.bits = u64::from(number);
        }
        state.session(0).raw = 1;
        state.session(100);
        assert_eq!(state.session(0).raw, 1);
        assert_eq!(state.mode(), Mode::Raw);
        assert_eq!(state.session(1).interrupt.bits, 0);
        assert_eq!(state.mode(), Mode::Cooked);
    }
}
