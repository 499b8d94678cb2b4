//! The memory that outlives the supervisor: its saved state, and the last lines of the log.
//!
//! 1. The state is committed as one unit, together with the answer that a caller gets for it; what is damaged is
//!    discarded, never trusted.
//! 2. Each line of the log has a cell of its own with a checksum, found by the line's number; a damaged cell is a line
//!    less, nothing else.

use crate::saved::Saved;
use abi::MessageId;
use alloc::vec::Vec;
use libipc::{
    answer::Answer,
    record::{Found, Record, RecordError},
};

/// Raised when the saved state changes its form.
const VERSION: u32 = 1;
/// Bytes of the saved state.
const STATE: usize = 16 << 10;
/// Answers that are remembered.
const ANSWERS: usize = 8;
const RECORD: usize = Record::<ANSWERS>::size(STATE).next_multiple_of(4096);
const CELL: usize = 1088;
const HEAD: usize = 24;
/// Bytes that are needed, and then some lines more for each page.
pub const LEAST: usize = RECORD + CELL;

/// The memory, in use.
pub struct Lasting<'m> {
    record: Record<'m, ANSWERS>,
    cells: &'m mut [u8],
}

impl<'m> Lasting<'m> {
    /// In `memory`, which has at least [`LEAST`] bytes; and how it was found.
    pub fn open(memory: &'m mut [u8]) -> Result<(Lasting<'m>, Found), RecordError> {
        if memory.len() < LEAST {
            return Err(RecordError::TooSmall);
        }
        let (record, cells) = memory.split_at_mut(RECORD);
        let (record, found) = Record::open(record, VERSION, STATE)?;
        Ok((Lasting { record, cells }, found))
    }

    /// The state that was committed last.
    pub fn state(&self) -> Option<Saved> {
        let (length, bytes) = self.record.state().split_first_chunk::<4>()?;
        Saved::decode(bytes.get(..u32::from_le_bytes(*length) as usize).filter(|bytes| !bytes.is_empty())?)
    }

    /// Commits `state`, and with it the answer to a call. Whether it has room.
    pub fn commit(&mut self, state: &Saved, answer: Option<(MessageId, &Answer)>) -> bool {
        let bytes = state.encode();
        let mut change = self.record.begin();
        let (length, room) = change.state().split_at_mut(4);
        let Some(room) = room.get_mut(..bytes.len()) else { return false };
        length.copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        room.copy_from_slice(&bytes);
        match answer {
            Some((id, answer)) => change.commit(id, answer).is_ok(),
            None => {
                change.commit_alone();
                true
            }
        }
    }

    /// The answer to a call that was committed.
    pub fn recall(&self, id: MessageId) -> Option<Answer> {
        self.record.recall(id)
    }

    /// Keeps a line of the log: its number, above 0 and those of all lines before, and whose it is.
    pub fn keep_line(&mut self, number: u64, who: usize, text: &str) {
        let count = self.cells.len() / CELL;
        let at = (number % count as u64) as usize * CELL;
        let Some(cell) = self.cells.get_mut(at..at + CELL) else { return };
        let text = &text.as_bytes()[..text.floor_char_boundary(CELL - HEAD)];
        cell[..8].fill(0);
        cell[8..16].copy_from_slice(&number.to_le_bytes());
        cell[16..20].copy_from_slice(&(who as u32).to_le_bytes());
        cell[20..24].copy_from_slice(&(text.len() as u32).to_le_bytes());
        cell[HEAD..HEAD + text.len()].copy_from_slice(text);
        let sum = checksum(&cell[8..HEAD + text.len()]);
        cell[..8].copy_from_slice(&sum.to_le_bytes());
    }

    /// The lines that are kept, in their order: number, whose, text.
    pub fn lines(&self) -> impl Iterator<Item = (u64, usize, &str)> {
        let mut lines: Vec<_> = self.cells.chunks_exact(CELL).filter_map(line).collect();
        lines.sort_unstable_by_key(|(number, ..)| *number);
        lines.into_iter()
    }
}

fn line(cell: &[u8]) -> Option<(u64, usize, &str)> {
    let number = u64::from_le_bytes(cell[8..16].try_into().ok()?);
    let who = u32::from_le_bytes(cell[16..20].try_into().ok()?);
    let length = u32::from_le_bytes(cell[20..24].try_into().ok()?) as usize;
    let text = cell.get(HEAD..HEAD.checked_add(length)?)?;
    let sum = u64::from_le_bytes(cell[..8].try_into().ok()?);
    let whole = number != 0 && sum == checksum(&cell[8..HEAD + length]);
    Some((number, who as usize, core::str::from_utf8(text).ok()?)).filter(|_| whole)
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::tests::sample;
    use alloc::{format, vec};

    #[test]
    fn the_state_that_was_committed_last_is_found_again() {
        let mut memory = vec![0; LEAST];
        let (mut lasting, found) = Lasting::open(&mut memory).expect("it is large enough");
        assert_eq!((found, lasting.state()), (Found::Fresh, None));
        let mut state = sample();
        for n in 0..20 {
            state.programs_pages = n;
            assert!(lasting.commit(&state, None));
        }
        let (lasting, found) = Lasting::open(&mut memory).expect("it is large enough");
        assert_eq!((found, lasting.state()), (Found::Kept, Some(state)));
    }

    #[test]
    fn a_damaged_state_is_discarded_wherever_the_damage_is() {
        let mut memory = vec![0; LEAST];
        let (mut lasting, _) = Lasting::open(&mut memory).expect("it is large enough");
        assert!(lasting.commit(&sample(), None));
        let sound = memory.clone();
        let mut kept = 0;
        for at in (0..RECORD).step_by(97) {
            memory.copy_from_slice(&sound);
            memory[at] ^= 0x40;
            let (lasting, found) = Lasting::open(&mut memory).expect("it is large enough");
            match found {
                Found::Kept => {
                    assert_eq!(lasting.state(), Some(sample()), "byte {at}: what is kept is right");
                    kept += 1;
                }
                Found::Fresh | Found::Damaged => assert_eq!(lasting.state(), None),
            }
        }
        assert!(kept < RECORD / 97, "damage in the last commit is noticed");
    }

    #[test]
    fn a_state_without_room_is_refused_and_the_one_before_stays() {
        let mut memory = vec![0; LEAST];
        let (mut lasting, _) = Lasting::open(&mut memory).expect("it is large enough");
        assert!(lasting.commit(&sample(), None));
        let mut large = sample();
        large.memories = vec![u64::MAX; STATE / 8];
        assert!(!lasting.commit(&large, None));
        assert_eq!(lasting.state(), Some(sample()));
    }

    #[test]
    fn the_last_lines_come_back_in_their_order_without_the_damaged_ones() {
        let mut memory = vec![0; RECORD + 4 * CELL];
        let (mut lasting, _) = Lasting::open(&mut memory).expect("it is large enough");
        for number in 1..=6 {
            lasting.keep_line(number, 2, &format!("line {number}"));
        }
        memory[RECORD + CELL + HEAD] ^= 1; // line 5 is in the second cell
        let (lasting, _) = Lasting::open(&mut memory).expect("it is large enough");
        assert!(lasting.lines().eq([(3, 2, "line 3"), (4, 2, "line 4"), (6, 2, "line 6")]));
    }

    #[test]
    fn memory_of_any_content_is_read_without_harm() {
        let mut memory = vec![0xff; LEAST + 3 * CELL];
        let (mut lasting, found) = Lasting::open(&mut memory).expect("it is large enough");
        assert_eq!((found, lasting.lines().count()), (Found::Fresh, 0));
        lasting.keep_line(u64::MAX, usize::MAX, &"ä".repeat(CELL));
        assert_eq!(lasting.lines().count(), 1);
        assert!(Lasting::open(&mut [0; 100]).is_err());
    }
}
