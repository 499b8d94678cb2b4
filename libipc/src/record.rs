//! The exactly-once record: a server's small state and its last answers, in memory that survives the server.
//!
//! An effect and its answer are committed as one unit, so that a death between any two instructions leaves either both
//! or neither; a redelivered call that has taken effect is answered by [`Record::recall`].
//!
//! Layout: a header with two checksummed marks of the last commit, then `N` slots; commit number s lies in slot s mod N.
//! A slot has the commit's number, the call's id, the answer's length, the whole state, the answer, and a checksum over them.
//!
//! Invariants:
//! 1. A commit happens when its slot's checksum is right; until then the slot of the commit before is the state.
//! 2. After a commit its mark follows. A mark beyond the last right slot, or a wrong slot that is not the one to be
//!    written next, means damage: then all is discarded, never trusted.
//! 3. The slot to be written next holds the oldest answer, `N` - 1 commits old. So at most `N` - 1 recorded calls may
//!    be unanswered at a time.

use crate::answer::Answer;
use abi::MessageId;
use core::sync::atomic::{Ordering, compiler_fence};

const MAGIC: u64 = u64::from_le_bytes(*b"tessrec\x02");
const HEADER: usize = 64;
const MARKS: usize = 32;
const SLOT_HEAD: usize = 32;
/// Most bytes of one recorded answer: words, capabilities, and some payload.
pub const MAX_ANSWER: usize = 256;

/// How [`Record::open`] found the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Never used, or of another version or size: started anew.
    Fresh,
    /// In order: state and answers are those of the last commit.
    Kept,
    /// Damaged: started anew.
    Damaged,
}

/// Why something was not committed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The memory is smaller than [`Record::size`].
    TooSmall,
    /// The answer is longer than [`MAX_ANSWER`].
    AnswerTooLong,
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            RecordError::TooSmall => "the persistent memory is too small for the record",
            RecordError::AnswerTooLong => "the answer is too long to be recorded",
        })
    }
}
impl core::error::Error for RecordError {}

/// A record of the last `N` commits (at least 2), each with a state of fixed size.
pub struct Record<'m, const N: usize> {
    memory: &'m mut [u8],
    state: usize,
    last: u64,
}

/// Mixes bytes into a checksum, eight at a time.
#[inline]
fn mix(sum: u64, bytes: &[u8]) -> u64 {
    let step = |sum: u64, word: u64| {
        let sum = (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        sum ^ sum >> 29
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = words.iter().fold(sum, |sum, w| step(sum, u64::from_le_bytes(*w)));
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        sum = step(sum, u64::from_le_bytes(last));
    }
    step(sum, bytes.len() as u64)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk::<8>()).map_or(0, |b| u64::from_le_bytes(*b))
}

#[inline]
fn set_word(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

impl<'m, const N: usize> Record<'m, N> {
    /// Bytes that a record with `state` bytes of state needs.
    pub const fn size(state: usize) -> usize {
        HEADER + N * Self::slot_size(state)
    }
    const fn slot_size(state: usize) -> usize {
        (SLOT_HEAD + state + MAX_ANSWER).next_multiple_of(8)
    }

    /// Opens the record in `memory`; one that is damaged, or of another `version` or size of state, begins anew with a
    /// state of zeros.
    pub fn open(memory: &'m mut [u8], version: u32, state: usize) -> Result<(Record<'m, N>, Found), RecordError> {
        const { assert!(N >= 2, "a record needs two slots") };
        if memory.len() < Self::size(state) {
            return Err(RecordError::TooSmall);
        }
        let memory = &mut memory[..Self::size(state)];
        let mut record = Record { memory, state, last: 0 };
        let found = record.examine(version);
        if found != Found::Kept {
            record.format(version);
        }
        Ok((record, found))
    }

    fn identity(&self, version: u32) -> [u64; 3] {
        [MAGIC, u64::from(version), (N as u64) << 32 | self.state as u64]
    }

    fn examine(&mut self, version: u32) -> Found {
        if (0..3).map(|i| word(self.memory, 8 * i)).ne(self.identity(version)) {
            return Found::Fresh;
        }
        let Some(last) = (0..N as u64).filter_map(|slot| self.number_in(slot)).max() else { return Found::Damaged };
        let marked = (0..2).filter_map(|copy| self.mark(copy)).max();
        // Commit s + 1 - N may be half overwritten by commit s + 1.
        let oldest = last.saturating_sub(N as u64 - 2);
        let whole = (oldest..=last).all(|number| self.number_in(number % N as u64) == Some(number));
        match marked {
            Some(marked) if marked <= last && whole => {
                self.last = last;
                Found::Kept
            }
            _ => Found::Damaged,
        }
    }

    fn format(&mut self, version: u32) {
        self.memory.fill(0);
        self.last = 0;
        self.seal(0, MessageId::NONE, 0);
        self.set_mark(0);
        // The identity last: a death before it leaves memory that is not a record yet.
        compiler_fence(Ordering::SeqCst);
        for (index, value) in self.identity(version).into_iter().enumerate() {
            set_word(self.memory, 8 * index, value);
        }
    }

    fn slot(&self, number: u64) -> core::ops::Range<usize> {
        let start = HEADER + (number % N as u64) as usize * Self::slot_size(self.state);
        start..start + Self::slot_size(self.state)
    }
    fn state_range(&self, number: u64) -> core::ops::Range<usize> {
        let start = self.slot(number).start + SLOT_HEAD;
        start..start + self.state
    }
    /// The number of the commit in a slot, where its checksum is right.
    fn number_in(&self, slot: u64) -> Option<u64> {
        let bytes = &self.memory[self.slot(slot)];
        let number = word(bytes, 8);
        let answer = usize::try_from(word(bytes, 24)).ok().filter(|answer| *answer <= MAX_ANSWER)?;
        let used = &bytes[8..SLOT_HEAD + self.state + answer];
        (word(bytes, 0) == mix(MAGIC, used) && number % N as u64 == slot).then_some(number)
    }
    /// Makes the slot of commit `number` right, whose answer has so many bytes.
    fn seal(&mut self, number: u64, id: MessageId, answer: usize) {
        let range = self.slot(number);
        let bytes = &mut self.memory[range];
        set_word(bytes, 8, number);
        set_word(bytes, 16, id.raw());
        set_word(bytes, 24, answer as u64);
        let sum = mix(MAGIC, &bytes[8..SLOT_HEAD + self.state + answer]);
        compiler_fence(Ordering::SeqCst);
        set_word(bytes, 0, sum);
        compiler_fence(Ordering::SeqCst);
    }
    fn mark(&self, copy: usize) -> Option<u64> {
        let at = MARKS + 16 * copy;
        let number = word(self.memory, at);
        (word(self.memory, at + 8) == mix(MAGIC, &number.to_le_bytes())).then_some(number)
    }
    fn set_mark(&mut self, number: u64) {
        let at = MARKS + 16 * (number % 2) as usize;
        set_word(self.memory, at, number);
        compiler_fence(Ordering::SeqCst);
        set_word(self.memory, at + 8, mix(MAGIC, &number.to_le_bytes()));
    }

    /// The state as of the last commit.
    pub fn state(&self) -> &[u8] {
        &self.memory[self.state_range(self.last)]
    }
    /// Number of the last commit; 0 before the first.
    pub fn commits(&self) -> u64 {
        self.last
    }
    /// The answer to call `id`, where it is among the last commits.
    pub fn recall(&self, id: MessageId) -> Option<Answer> {
        if id.is_none() {
            return None;
        }
        let oldest = self.last.saturating_sub(N as u64 - 2).max(1);
        let number = (oldest..=self.last).rev().find(|n| word(&self.memory[self.slot(*n)], 16) == id.raw())?;
        let slot = &self.memory[self.slot(number)];
        let length = usize::try_from(word(slot, 24)).ok()?;
        let start = SLOT_HEAD + self.state;
        Answer::from_bytes(slot.get(start..start.checked_add(length)?)?)
    }
    /// Begins a change of the state. Dropped without commit, nothing has happened.
    pub fn begin(&mut self) -> Change<'_, 'm, N> {
        let number = self.last + 1;
        let (from, to) = (self.state_range(self.last), self.state_range(number));
        // Wrong from the first byte on, whatever the slot held before.
        let checksum = self.slot(number).start;
        set_word(self.memory, checksum, 0);
        compiler_fence(Ordering::SeqCst);
        self.memory.copy_within(from, to.start);
        Change { record: self, number }
    }
}

/// A change of a record's state that has not happened yet.
#[must_use = "dropped without commit, nothing has happened"]
pub struct Change<'r, 'm, const N: usize> {
    record: &'r mut Record<'m, N>,
    number: u64,
}

impl<const N: usize> Change<'_, '_, N> {
    /// The state as it is to be.
    pub fn state(&mut self) -> &mut [u8] {
        let range = self.record.state_range(self.number);
        &mut self.record.memory[range]
    }
    /// Commits the state and the answer to call `id` as one unit.
    pub fn commit(self, id: MessageId, answer: &Answer) -> Result<(), RecordError> {
        let start = self.record.state_range(self.number).end;
        let room = &mut self.record.memory[start..start + MAX_ANSWER];
        let length = answer.write_to(room).ok_or(RecordError::AnswerTooLong)?;
        self.finish(id, length);
        Ok(())
    }
    /// Commits a state that is no answer to anybody.
    pub fn commit_alone(self) {
        self.finish(MessageId::NONE, 0);
    }
    fn finish(self, id: MessageId, answer: usize) {
        self.record.seal(self.number, id, answer);
        self.record.last = self.number;
        self.record.set_mark(self.number);
    }
}
