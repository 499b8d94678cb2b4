//! The whole console but for the hardware: bytes and calls in, bytes and answers out.
//!
//! Always true:
//! 1. A call is answered only after its effect has been committed to the vault, together with its record.
//! 2. A call that comes again after the server's death finds its record, and goes on where the record says.
//! 3. Output leaves in the order in which it was accepted; input arrives in the order in which it was received.
//! 4. Nothing is lost for lack of room: a full output ring keeps writers waiting, full input leaves bytes in the UART.
//!    (Interactive input beyond [`UNREAD_MAX`] is refused with a bell, so that ^C still gets through.)

use alloc::{collections::VecDeque, vec::Vec};

use crate::{
    badge::{Badge, Role},
    fair::{Turns, Write},
    frame::{self, Meaning},
    line::{ECHO_MAX, Line, Mode, PASS_MAX, Sink},
    state::{Interrupt, Record, State},
    vault::{self, Cells, Vault},
};

/// Most bytes of a write that are accepted in one step, and so the largest frame.
pub const CHUNK: usize = frame::MAX_PAYLOAD;
/// Room in the output ring that writers leave to the echo of what is typed.
pub const ECHO_RESERVE: u64 = 2 * ECHO_MAX as u64;
/// Most bytes of input that wait for a reader. The rest of the ring keeps what readers have taken, in case that they
/// have to be told again.
pub const UNREAD_MAX: u64 = vault::INPUT / 2;
/// Most bytes that one read takes.
pub const READ_MAX: usize = frame::MAX_PAYLOAD;

/// In exec mode received bytes are looked at when there are so many, or when they complete a header or a payload: a
/// commit for every few bytes that a UART holds would be most of the work.
const BATCH: u64 = vault::RECEIVED / 2;

/// Most bytes that go to the UART at once: what its queue holds.
const BURST: usize = 16;

const CONTROL_C: u8 = 3;
/// In the record of a write: what was accepted of it stops in the middle of a line.
const IN_LINE: u64 = 1;

/// The serial line.
pub trait Uart {
    /// The next byte that came in.
    fn receive(&mut self) -> Option<u8>;
    /// How many bytes can be sent without waiting.
    fn room(&mut self) -> usize;
    /// Sends a byte; there is room.
    fn send(&mut self, byte: u8);
    /// Whether everything sent has left the device.
    fn idle(&mut self) -> bool;
}

/// What a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// So many bytes were written or read.
    Bytes(u64),
    /// It is done.
    Done,
    /// The lent memory cannot be reached.
    BadLease,
    /// The call came again, and what it got before is no longer there.
    Lost,
}

/// Clients, as the kernel shows them. A call is named by its message id.
pub trait World {
    /// Copies from the memory that `call` lent, from `offset` on. `false`: it is not there.
    fn fetch(&mut self, call: u64, offset: u64, into: &mut [u8]) -> bool;
    /// Copies to the start of the memory that `call` lent. `false`: it is not there.
    fn deliver(&mut self, call: u64, bytes: &[u8]) -> bool;
    /// Whether the caller of a read still waits; it is forgotten otherwise.
    fn waits(&mut self, call: u64) -> bool;
    /// Answers `call`.
    fn answer(&mut self, call: u64, answer: Answer);
    /// Signals an event.
    fn signal(&mut self, event: u64, bits: u64);
}

#[derive(Clone, Copy, Debug)]
struct Read {
    call: u64,
    length: u64,
}

/// The console.
pub struct Terminal<C> {
    vault: Vault<C>,
    state: State,
    exec: bool,
    turns: Turns,
    readers: VecDeque<Read>,
    /// Calls that wait until everything is sent; with the exit status that they set.
    drains: Vec<(u64, Option<i32>)>,
}

impl<C: Cells> Terminal<C> {
    /// The console whose state lies in `cells`, and whether it goes on with what a predecessor left there. `exec`:
    /// frames on the line instead of a person. `None`: `cells` is smaller than [`vault::SIZE`].
    pub fn open(cells: C, exec: bool) -> Option<(Terminal<C>, bool)> {
        let (vault, found) = Vault::open(cells)?;
        let recovered = found.is_some();
        let state = found.unwrap_or_default();
        let (turns, readers, drains) = (Turns::default(), VecDeque::new(), Vec::new());
        let mut terminal = Terminal { vault, state, exec, turns, readers, drains };
        match recovered {
            true => terminal.state.drop_mortal_interrupts(),
            false => terminal.begin_anew(),
        }
        Some((terminal, recovered))
    }

    fn begin_anew(&mut self) {
        if self.exec {
            Effects { vault: &mut self.vault, state: &mut self.state }.frame(frame::READY, &[]);
            self.vault.commit(&self.state);
        }
    }

    /// A client writes `length` bytes that it lends.
    pub fn write(&mut self, call: u64, badge: Badge, length: u64, world: &mut impl World) {
        let done = self.state.record(call).map_or(0, |r| r.count);
        if done >= length {
            world.answer(call, Answer::Bytes(length));
            self.state.forget(call);
            return;
        }
        let in_line = self.state.record(call).is_some_and(|r| r.start == IN_LINE);
        self.turns.push(Write { call, badge: badge.raw(), length, done }, in_line);
    }

    /// A client reads up to `length` bytes into memory that it lends.
    pub fn read(&mut self, call: u64, length: u64, world: &mut impl World) {
        match self.state.record(call).filter(Record::is_read) {
            Some(record) => {
                self.hand_over(call, record.start, record.count, world);
            }
            None if length == 0 => world.answer(call, Answer::Bytes(0)),
            None => {
                // Those that gave up must not pile up before a key is typed.
                self.readers.retain(|reader| world.waits(reader.call));
                self.readers.push_back(Read { call, length });
            }
        }
    }

    /// Session `number` takes the keyboard, in this mode. Doing it again changes nothing.
    pub fn set_mode(&mut self, number: u16, mode: Mode) {
        let before = self.state.mode();
        self.state.session(number).raw = u64::from(mode == Mode::Raw);
        match (before, mode) {
            (Mode::Cooked, Mode::Raw) => self.release_line(),
            (Mode::Raw, Mode::Cooked) => self.cook_unread(),
            _ => {}
        }
        self.vault.commit(&self.state);
    }

    /// Session `number` takes the keyboard, and ^C signals `interrupt` from now on. Doing it again changes nothing.
    /// Returns the one that it replaces, to be given up.
    pub fn set_interrupt(&mut self, number: u16, interrupt: Interrupt) -> Interrupt {
        let session = self.state.session(number);
        let before = core::mem::replace(&mut session.interrupt, interrupt);
        self.vault.commit(&self.state);
        before
    }

    /// Answers `call` when everything accepted so far has been sent; with `status`, after an exit frame with it (exec
    /// mode; of several statuses the first counts).
    pub fn drain(&mut self, call: u64, status: Option<i32>) {
        self.drains.push((call, status));
    }

    /// Whether there is something to send, or a caller who wants to know when it is sent.
    pub fn wants_to_send(&self) -> bool {
        self.unsent() > 0 || !self.drains.is_empty()
    }

    /// Whether there is room for a byte from the UART.
    pub fn wants_to_receive(&self) -> bool {
        self.vault.received() - self.state.digested < vault::RECEIVED
    }

    /// Does everything that can be done now without waiting.
    pub fn step(&mut self, world: &mut impl World, uart: &mut impl Uart) {
        loop {
            let mut progress = self.take_in(uart);
            progress |= self.digest(world);
            progress |= self.serve_reader(world);
            progress |= self.accept(world);
            progress |= self.transmit(uart);
            progress |= self.accept_status();
            if !progress {
                break;
            }
        }
        self.finish_drains(world, uart);
    }

    fn unsent(&self) -> u64 {
        self.state.output_head - self.vault.sent()
    }

    fn room(&self) -> u64 {
        vault::OUTPUT - self.unsent()
    }

    fn unread(&self) -> u64 {
        self.state.input_head - self.state.input_read
    }

    fn take_in(&mut self, uart: &mut impl Uart) -> bool {
        let mut progress = false;
        while self.wants_to_receive() {
            let Some(byte) = uart.receive() else { break };
            self.vault.receive(byte);
            progress = true;
        }
        progress
    }

    fn transmit(&mut self, uart: &mut impl Uart) -> bool {
        let mut burst = [0; BURST];
        let sent = self.vault.sent();
        let count = self.unsent().min(uart.room() as u64).min(BURST as u64);
        let Some(burst) = burst.get_mut(..count as usize).filter(|burst| !burst.is_empty()) else { return false };
        self.vault.output(sent, burst);
        for (counted, byte) in (sent + 1..).zip(burst) {
            self.vault.count_sent(counted);
            uart.send(*byte);
        }
        true
    }

    /// Gives received bytes their effect.
    fn digest(&mut self, world: &mut impl World) -> bool {
        let received = self.vault.received();
        let before = self.state.digested;
        if self.exec && received - before < self.state.decoder.needs().min(BATCH) {
            return false;
        }
        while self.state.digested < received && self.may_digest() {
            let byte = self.vault.received_byte(self.state.digested);
            self.state.digested += 1;
            if self.exec { self.digest_frame(byte) } else { self.digest_typed(byte) }
        }
        let progress = self.state.digested > before;
        if progress {
            self.vault.commit(&self.state);
        }
        self.signal_interrupt(world);
        progress
    }

    fn may_digest(&self) -> bool {
        match self.exec {
            true => self.unread() < UNREAD_MAX,
            false => self.room() >= ECHO_RESERVE,
        }
    }

    fn digest_frame(&mut self, byte: u8) {
        match self.state.decoder.feed(byte) {
            Meaning::Input(byte) => Effects { vault: &mut self.vault, state: &mut self.state }.pass(&[byte]),
            Meaning::End => self.state.input_ended = 1,
            Meaning::Nothing => {}
        }
    }

    fn digest_typed(&mut self, byte: u8) {
        let mode = self.state.mode();
        let full = self.unread() + PASS_MAX as u64 > UNREAD_MAX;
        let mut line = self.state.line;
        let mut effects = Effects { vault: &mut self.vault, state: &mut self.state };
        match full && byte != CONTROL_C {
            true => effects.echo(b"\x07"),
            false => line.feed(mode, byte, &mut effects),
        }
        self.state.line = line;
    }

    fn signal_interrupt(&mut self, world: &mut impl World) {
        if self.state.signal_due == 0 {
            return;
        }
        if let Some(session) = self.state.current().filter(|s| s.interrupt.event != 0) {
            world.signal(session.interrupt.event, session.interrupt.bits);
        }
        self.state.signal_due = 0;
        self.vault.commit(&self.state);
    }

    /// What is typed ahead of a change to raw mode goes to the reader as far as it is.
    fn release_line(&mut self) {
        let mut line = self.state.line;
        line.take(&mut Effects { vault: &mut self.vault, state: &mut self.state });
        self.state.line = line;
    }

    /// What is typed ahead of a change to cooked mode is treated as if it were typed now.
    fn cook_unread(&mut self) {
        let mut unread = alloc::vec![0; self.unread() as usize];
        self.vault.input(self.state.input_read, &mut unread);
        // The bytes are put again where they are, so the room is there; a shorter result leaves the old end behind.
        let mut cooked = Cooked { passed: Vec::new(), ends: Vec::new(), echo: Vec::new(), interrupted: false };
        let mut line = Line::default();
        for byte in unread {
            line.feed(Mode::Cooked, byte, &mut cooked);
        }
        self.state.line = line;
        self.put_cooked(cooked);
    }

    fn put_cooked(&mut self, cooked: Cooked) {
        // A successor that dies in here finds the old state, whose bytes must still be there: the new ones go behind.
        self.state.input_read = self.state.input_head;
        self.state.mark_count = 0;
        let mut effects = Effects { vault: &mut self.vault, state: &mut self.state };
        let mut from = 0;
        for end in cooked.ends {
            effects.pass(cooked.passed.get(from..end).unwrap_or(&[]));
            effects.end();
            from = end;
        }
        effects.pass(cooked.passed.get(from..).unwrap_or(&[]));
        effects.state.signal_due |= u64::from(cooked.interrupted);
        if self.room() >= ECHO_RESERVE + 2 * cooked.echo.len() as u64 {
            Effects { vault: &mut self.vault, state: &mut self.state }.echo(&cooked.echo);
        }
    }

    /// Answers the first reader if there is something for it.
    fn serve_reader(&mut self, world: &mut impl World) -> bool {
        let Some(&Read { call, length }) = self.readers.front() else { return false };
        let Some(count) = self.available(length) else { return false };
        let before = self.state;
        let start = self.state.input_read;
        if !self.state.note(call, start, count, Record::READ, |call| self.turns.contains(call)) {
            return false;
        }
        // An end of file after part of a line ends that line; one after a whole line is for the next read.
        if self.state.mark() == Some(start + count) && (count == 0 || self.input_byte(start + count - 1) != b'\n') {
            self.state.drop_mark();
        }
        self.state.input_read += count;
        self.vault.commit(&self.state);
        self.readers.pop_front();
        if !self.hand_over(call, start, count, world) {
            // Nobody got the bytes: they are for the next reader.
            self.state = before;
            self.vault.commit(&self.state);
        }
        true
    }

    fn input_byte(&self, position: u64) -> u8 {
        let mut byte = [0];
        self.vault.input(position, &mut byte);
        byte[0]
    }

    /// How many bytes a reader of up to `length` gets now; 0 is the end; `None`: it waits.
    fn available(&self, length: u64) -> Option<u64> {
        let unread = self.unread();
        let most = length.min(READ_MAX as u64);
        if let Some(mark) = self.state.mark() {
            let until = mark - self.state.input_read;
            return Some(self.line_end(until.min(most)));
        }
        match (unread, self.exec) {
            (0, true) if self.state.input_ended != 0 => Some(0),
            (0, _) => None,
            (_, true) => Some(unread.min(most)),
            (_, false) => Some(self.line_end(unread.min(most))),
        }
    }

    /// `most`, or less if a line of a person ends before.
    fn line_end(&self, most: u64) -> u64 {
        if self.exec || self.state.mode() == Mode::Raw {
            return most;
        }
        let mut bytes = alloc::vec![0; most as usize];
        self.vault.input(self.state.input_read, &mut bytes);
        bytes.iter().position(|b| *b == b'\n').map_or(most, |at| at as u64 + 1)
    }

    fn hand_over(&mut self, call: u64, start: u64, count: u64, world: &mut impl World) -> bool {
        let there = count <= READ_MAX as u64 && self.state.input_head.wrapping_sub(start) <= vault::INPUT;
        if !there {
            world.answer(call, Answer::Lost);
            self.state.forget(call);
            return true;
        }
        let mut bytes = alloc::vec![0; count as usize];
        self.vault.input(start, &mut bytes);
        let delivered = count == 0 || world.deliver(call, &bytes);
        world.answer(call, if delivered { Answer::Bytes(count) } else { Answer::BadLease });
        self.state.forget(call);
        delivered
    }

    /// Accepts a piece of the write whose turn it is.
    fn accept(&mut self, world: &mut impl World) -> bool {
        let Some(write) = self.turns.next() else { return false };
        let left = write.length - write.done;
        let Some(take) = self.acceptable(left) else { return false };
        let mut bytes = alloc::vec![0; take];
        if !world.fetch(write.call, write.done, &mut bytes) {
            self.turns.remove(write.call);
            self.state.forget(write.call);
            world.answer(write.call, Answer::BadLease);
            return true;
        }
        if (take as u64) < left {
            let line_end = bytes.iter().rposition(|b| *b == b'\n').map_or(take, |at| at + 1);
            bytes.truncate(line_end);
        }
        self.put_written(write, &bytes, world)
    }

    fn put_written(&mut self, write: Write, bytes: &[u8], world: &mut impl World) -> bool {
        let done = write.done + bytes.len() as u64;
        let in_line = bytes.last().is_some_and(|b| *b != b'\n');
        if !self.state.note(write.call, u64::from(in_line), done, 0, |call| self.turns.contains(call)) {
            return false;
        }
        self.emit(Badge::from_raw(write.badge).map(|b| b.role), bytes);
        self.vault.commit(&self.state);
        self.turns.progress(write.call, done, in_line);
        if done == write.length {
            world.answer(write.call, Answer::Bytes(write.length));
            self.state.forget(write.call);
        }
        true
    }

    /// How many of `left` bytes there is room for, if that is worth a step.
    fn acceptable(&self, left: u64) -> Option<usize> {
        let room = match self.exec {
            true => self.room().saturating_sub(frame::HEADER as u64),
            false => self.room().saturating_sub(ECHO_RESERVE) / 2,
        };
        let take = left.min(room).min(CHUNK as u64);
        (take >= left.min(CHUNK as u64 / 2)).then_some(take as usize)
    }

    fn emit(&mut self, role: Option<Role>, bytes: &[u8]) {
        let mut effects = Effects { vault: &mut self.vault, state: &mut self.state };
        match (self.exec, role) {
            (false, _) => effects.echo(bytes),
            (true, Some(Role::Stdout)) => effects.frame(frame::STDOUT, bytes),
            (true, Some(Role::Stderr)) => effects.frame(frame::STDERR, bytes),
            (true, _) => effects.log(bytes),
        }
    }

    /// Puts the exit frame behind everything that was written.
    fn accept_status(&mut self) -> bool {
        let status = self.drains.iter().find_map(|(_, status)| *status);
        let Some(status) = status.filter(|_| self.state.exited == 0 && self.turns.is_empty()) else { return false };
        if self.exec {
            if self.room() < (frame::HEADER + 4) as u64 {
                return false;
            }
            let mut effects = Effects { vault: &mut self.vault, state: &mut self.state };
            effects.frame(frame::EXIT, &status.to_le_bytes());
        }
        self.state.exited = 1;
        self.vault.commit(&self.state);
        true
    }

    /// Answers those who wait until everything is sent.
    fn finish_drains(&mut self, world: &mut impl World, uart: &mut impl Uart) {
        if self.drains.is_empty() || self.unsent() > 0 || !self.turns.is_empty() || !uart.idle() {
            return;
        }
        for (call, _) in self.drains.drain(..) {
            world.answer(call, Answer::Done);
        }
    }
}

/// Where effects of a byte or a write go: into the rings, behind their committed ends.
struct Effects<'a, C> {
    vault: &'a mut Vault<C>,
    state: &'a mut State,
}

impl<C: Cells> Effects<'_, C> {
    fn put(&mut self, bytes: &[u8]) {
        self.vault.put_output(self.state.output_head, bytes);
        self.state.output_head += bytes.len() as u64;
    }

    fn frame(&mut self, channel: u8, bytes: &[u8]) {
        self.put(&frame::header(channel, bytes.len()));
        self.put(bytes);
    }

    /// Log text between frames must not look like one.
    fn log(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|b| *b == frame::MARK) {
            match part.split_last() {
                Some((&frame::MARK, text)) => {
                    self.put(text);
                    self.put(b"?");
                }
                _ => self.put(part),
            }
        }
    }
}

impl<C: Cells> Sink for Effects<'_, C> {
    /// Shows text on a person's screen, where a line feed alone does not return the carriage.
    fn echo(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            match part.split_last() {
                Some((b'\n', text)) => {
                    self.put(text);
                    self.put(b"\r\n");
                }
                _ => self.put(part),
            }
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.vault.put_input(self.state.input_head, bytes);
        self.state.input_head += bytes.len() as u64;
    }

    fn end(&mut self) {
        self.state.add_mark();
    }

    fn interrupt(&mut self) {
        self.state.input_read = self.state.input_head;
        self.state.mark_count = 0;
        self.state.signal_due = 1;
    }
}

/// What bytes typed ahead come to.
struct Cooked {
    passed: Vec<u8>,
    ends: Vec<usize>,
    echo: Vec<u8>,
    interrupted: bool,
}

impl Sink for Cooked {
    fn echo(&mut self, bytes: &[u8]) {
        self.echo.extend_from_slice(bytes);
    }
    fn pass(&mut self, bytes: &[u8]) {
        self.passed.extend_from_slice(bytes);
    }
    fn end(&mut self) {
        self.ends.push(self.passed.len());
    }
    fn interrupt(&mut self) {
        self.passed.clear();
        self.ends.clear();
        self.interrupted = true;
    }
}

#[cfg(test)]
mod tests;
