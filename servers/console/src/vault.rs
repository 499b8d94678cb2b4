//! State in memory that survives the server, committed in one step.
//!
//! The memory holds two copies of the [`State`], a pointer to the one that counts, the rings of bytes that the state
//! describes, and two counters of their own: how many bytes of output have gone to the UART, and how many have come.
//!
//! Always true, whatever instruction the server dies at:
//! 1. The copy that the pointer names is whole: it was written before the pointer, and its checksum says so.
//! 2. A commit is one store of the pointer; before it nothing has happened, after it everything.
//! 3. Bytes of a ring between its committed ends are never written.
//! 4. A counter grows by one store for each byte: of output *before* the byte is handed to the UART, of input *after*
//!    the byte is in the ring. So a death takes with it at most the one byte that was between the UART and its counter;
//!    no byte is sent twice, and none is received twice. (The UART cannot be asked whether it has taken a byte, so
//!    one of the two must be possible; the store stands right before the port access, so only a death within these few
//!    instructions does it.)
//! 5. Memory whose magic, pointer, checksum or numbers are wrong is discarded as a whole, never trusted.

use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use zerocopy::{FromBytes, IntoBytes};

use crate::state::State;

/// Bytes of the output ring.
pub const OUTPUT: u64 = 32 * 1024;
/// Bytes of the input ring.
pub const INPUT: u64 = 16 * 1024;
/// Bytes of the ring of bytes received and not yet looked at.
pub const RECEIVED: u64 = 2048;

const MAGIC_AT: usize = 0;
const POINTER_AT: usize = 8;
const SENT_AT: usize = 16;
const RECEIVED_AT: usize = 24;
const SLOTS_AT: usize = 64;
const SLOT: usize = (size_of::<State>() + 16).next_multiple_of(64);
const RECEIVED_RING_AT: usize = SLOTS_AT + 2 * SLOT;
const INPUT_RING_AT: usize = RECEIVED_RING_AT + RECEIVED as usize;
const OUTPUT_RING_AT: usize = INPUT_RING_AT + INPUT as usize;
/// Bytes of persistent memory that a vault needs.
pub const SIZE: usize = OUTPUT_RING_AT + OUTPUT as usize;

/// Changes whenever the layout does: a successor of another version starts afresh.
const MAGIC: u64 = u64::from_le_bytes(*b"console\x01") ^ (size_of::<State>() as u64) << 32;

/// Memory that survives the server.
pub trait Cells {
    /// Bytes.
    fn size(&self) -> usize;
    /// Copies out.
    fn read(&self, at: usize, into: &mut [u8]);
    /// Copies in; a death leaves any part of it done.
    fn write(&mut self, at: usize, from: &[u8]);
    /// One word; `at` is a multiple of 8.
    fn load(&self, at: usize) -> u64;
    /// One word, in one instruction, after everything that was written before.
    fn store(&mut self, at: usize, value: u64);
}

/// Mapped memory.
pub struct Mapped<'a>(pub &'a mut [u8]);

impl Mapped<'_> {
    #[inline(always)]
    fn word(bytes: &mut [u8]) -> Option<&mut AtomicU64> {
        AtomicU64::mut_from_bytes(bytes).ok()
    }
}

impl Cells for Mapped<'_> {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn read(&self, at: usize, into: &mut [u8]) {
        if let Some(from) = self.0.get(at..at + into.len()) {
            into.copy_from_slice(from);
        }
    }

    fn write(&mut self, at: usize, from: &[u8]) {
        if let Some(into) = self.0.get_mut(at..at + from.len()) {
            into.copy_from_slice(from);
        }
    }

    fn load(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        self.read(at, &mut word);
        u64::from_le_bytes(word)
    }

    #[inline(always)]
    fn store(&mut self, at: usize, value: u64) {
        if let Some(word) = self.0.get_mut(at..at + 8).and_then(Self::word) {
            // Who looks at it next is the successor of this process, on this CPU's view of memory: the order of
            // instructions is all that counts, and the compiler may not move accesses across these fences.
            compiler_fence(Ordering::SeqCst);
            word.store(value, Ordering::Release);
            compiler_fence(Ordering::SeqCst);
        }
    }
}

/// The persistent memory of the console.
pub struct Vault<C> {
    cells: C,
    sequence: u64,
}

impl<C: Cells> Vault<C> {
    /// Opens the vault in `cells`: with the state that was committed last, or empty where there is none to trust.
    /// `None`: the memory is smaller than [`SIZE`].
    pub fn open(cells: C) -> Option<(Vault<C>, Option<State>)> {
        if cells.size() < SIZE {
            return None;
        }
        let mut vault = Vault { cells, sequence: 0 };
        let state = vault.recover();
        if state.is_none() {
            vault.format();
        }
        Some((vault, state))
    }

    fn recover(&mut self) -> Option<State> {
        if self.cells.load(MAGIC_AT) != MAGIC {
            return None;
        }
        let sequence = self.cells.load(POINTER_AT);
        let at = slot(sequence);
        let mut state = State::default();
        self.cells.read(at + 16, state.as_mut_bytes());
        let whole = self.cells.load(at) == sequence && self.cells.load(at + 8) == checksum(sequence, &state);
        self.sequence = sequence;
        (whole && state.is_sane(self.sent(), self.received())).then_some(state)
    }

    fn format(&mut self) {
        self.cells.store(MAGIC_AT, 0);
        self.cells.store(SENT_AT, 0);
        self.cells.store(RECEIVED_AT, 0);
        self.sequence = 0;
        self.commit(&State::default());
        self.cells.store(MAGIC_AT, MAGIC);
    }

    /// Makes `state`, and the bytes that were put into the rings for it, what a successor finds.
    pub fn commit(&mut self, state: &State) {
        let sequence = self.sequence.wrapping_add(1);
        let at = slot(sequence);
        self.cells.store(at, sequence);
        self.cells.store(at + 8, checksum(sequence, state));
        self.cells.write(at + 16, state.as_bytes());
        self.cells.store(POINTER_AT, sequence);
        self.sequence = sequence;
    }

    /// How many bytes of output have been handed to the UART.
    pub fn sent(&self) -> u64 {
        self.cells.load(SENT_AT)
    }

    /// Copies output from `position` on.
    pub fn output(&self, position: u64, into: &mut [u8]) {
        self.get(OUTPUT_RING_AT, OUTPUT, position, into);
    }

    /// Says that `sent` bytes of output have been handed to the UART, the last of them right after this.
    #[inline(always)]
    pub fn count_sent(&mut self, sent: u64) {
        self.cells.store(SENT_AT, sent);
    }

    /// How many bytes have been received.
    pub fn received(&self) -> u64 {
        self.cells.load(RECEIVED_AT)
    }

    /// Keeps a byte that was received.
    pub fn receive(&mut self, byte: u8) {
        let position = self.received();
        self.put(RECEIVED_RING_AT, RECEIVED, position, &[byte]);
        self.cells.store(RECEIVED_AT, position + 1);
    }

    /// The byte that was received at `position`.
    pub fn received_byte(&self, position: u64) -> u8 {
        let mut byte = [0];
        self.get(RECEIVED_RING_AT, RECEIVED, position, &mut byte);
        byte[0]
    }

    /// Puts output at `position`, which lies behind the committed end.
    pub fn put_output(&mut self, position: u64, bytes: &[u8]) {
        self.put(OUTPUT_RING_AT, OUTPUT, position, bytes);
    }

    /// Puts input at `position`, which lies behind the committed end.
    pub fn put_input(&mut self, position: u64, bytes: &[u8]) {
        self.put(INPUT_RING_AT, INPUT, position, bytes);
    }

    /// Copies input from `position` on.
    pub fn input(&self, position: u64, into: &mut [u8]) {
        self.get(INPUT_RING_AT, INPUT, position, into);
    }

    fn get(&self, ring: usize, size: u64, position: u64, into: &mut [u8]) {
        let offset = (position % size) as usize;
        let (first, second) = into.split_at_mut(into.len().min(size as usize - offset));
        self.cells.read(ring + offset, first);
        self.cells.read(ring, second);
    }

    fn put(&mut self, ring: usize, size: u64, position: u64, bytes: &[u8]) {
        let offset = (position % size) as usize;
        let (first, second) = bytes.split_at(bytes.len().min(size as usize - offset));
        self.cells.write(ring + offset, first);
        self.cells.write(ring, second);
    }
}

fn slot(sequence: u64) -> usize {
    SLOTS_AT + (sequence as usize & 1) * SLOT
}

/// Mixes every word in, so that a copy that is half old and half new, or random, does not pass (but by a chance of
/// one in 2^64).
fn checksum(sequence: u64, state: &State) -> u64 {
    let (words, _) = state.as_bytes().as_chunks::<8>();
    words.iter().fold(sequence ^ MAGIC, |sum, word| {
        (sum.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

const _: () = assert!(size_of::<State>().is_multiple_of(8));

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Vec<u64> {
        vec![0u64; SIZE.div_ceil(8)]
    }

    fn reopen(memory: &mut [u64]) -> Option<State> {
        Vault::open(Mapped(memory.as_mut_bytes())).unwrap().1
    }

    fn state(read: u64) -> State {
        State { input_head: read, input_read: read, ..State::default() }
    }

    #[test]
    fn fresh_memory_has_no_state_and_then_the_committed_one() {
        let mut memory = memory();
        let (mut vault, found) = Vault::open(Mapped(memory.as_mut_bytes())).unwrap();
        assert!(found.is_none());
        for read in 1..5 {
            vault.commit(&state(read));
        }
        assert_eq!(reopen(&mut memory).unwrap().input_read, 4);
    }

    #[test]
    fn memory_too_small_is_refused() {
        let mut memory = memory();
        assert!(Vault::open(Mapped(&mut memory.as_mut_bytes()[..SIZE - 8])).is_none());
    }

    #[test]
    fn a_flipped_bit_anywhere_in_the_state_discards_it() {
        let mut memory = memory();
        Vault::open(Mapped(memory.as_mut_bytes())).unwrap().0.commit(&state(9));
        let at = slot(2);
        for byte in (at..at + 16 + size_of::<State>()).chain(0..16) {
            let mut damaged = memory.clone();
            damaged.as_mut_bytes()[byte] ^= 0x10;
            assert!(reopen(&mut damaged).is_none(), "byte {byte}");
        }
        assert!(reopen(&mut memory).is_some());
    }

    #[test]
    fn discarded_memory_is_good_for_a_new_beginning() {
        let mut memory = memory();
        memory.as_mut_bytes().fill(0xa5);
        assert!(reopen(&mut memory).is_none());
        assert_eq!(reopen(&mut memory), Some(State::default()));
    }

    #[test]
    fn ring_bytes_wrap_round_the_end() {
        let mut memory = memory();
        let (mut vault, _) = Vault::open(Mapped(memory.as_mut_bytes())).unwrap();
        let bytes: Vec<u8> = (0..200).collect();
        vault.put_input(INPUT - 100, &bytes);
        let mut back = vec![0; 200];
        vault.input(INPUT - 100, &mut back);
        assert_eq!(back, bytes);
    }
}
