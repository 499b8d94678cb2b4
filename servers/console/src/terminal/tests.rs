//! The console against a simulated machine that can die at any step: a step is a word written to persistent memory, a
//! byte taken from or given to the UART, or an answer to a client.

use super::*;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

const STDOUT: Badge = Badge::new(1, Role::Stdout);
const STDERR: Badge = Badge::new(1, Role::Stderr);

/// A client's call.
#[derive(Clone, Debug)]
enum Request {
    Write(Badge, Vec<u8>),
    Read(u64),
    Status(i32),
}

#[derive(Default)]
struct Machine {
    memory: Vec<u8>,
    wire: Vec<u8>,
    /// Bytes on their way in.
    incoming: VecDeque<u8>,
    /// A byte that left the UART and is not yet counted.
    in_hand: Option<u8>,
    /// Steps to live.
    life: Option<u64>,
    steps: u64,
    /// Where on the wire the byte belongs that was counted and not sent.
    lost: Option<usize>,
    /// How many bytes the UART takes at once, and whether it takes any at all.
    fifo: usize,
    stuck: bool,
    data: BTreeMap<u64, Vec<u8>>,
    read: BTreeMap<u64, Vec<u8>>,
    answers: BTreeMap<u64, Answer>,
    signals: Vec<(u64, u64)>,
    /// Calls whose callers do not wait any more.
    gave_up: Vec<u64>,
}

impl Machine {
    /// Whether the next step still happens.
    fn step(&mut self) -> bool {
        self.steps += 1;
        match &mut self.life {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    fn alive(&self) -> bool {
        self.life != Some(0)
    }
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Machine>>);

impl Cells for Shared {
    fn size(&self) -> usize {
        self.0.borrow().memory.len()
    }
    fn read(&self, at: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.borrow().memory[at..at + into.len()]);
    }
    fn write(&mut self, at: usize, from: &[u8]) {
        let mut machine = self.0.borrow_mut();
        for (i, word) in from.chunks(8).enumerate() {
            if machine.step() {
                machine.memory[at + 8 * i..][..word.len()].copy_from_slice(word);
            }
        }
    }
    fn load(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0.borrow().memory[at..at + 8].try_into().unwrap())
    }
    fn store(&mut self, at: usize, value: u64) {
        let mut machine = self.0.borrow_mut();
        if machine.step() {
            machine.memory[at..at + 8].copy_from_slice(&value.to_le_bytes());
            if at == 24 {
                machine.in_hand = None;
            }
        }
    }
}

impl Uart for Shared {
    fn receive(&mut self) -> Option<u8> {
        let mut machine = self.0.borrow_mut();
        if machine.incoming.is_empty() || !machine.step() {
            return None;
        }
        machine.in_hand = machine.incoming.pop_front();
        machine.in_hand
    }
    fn room(&mut self) -> usize {
        let machine = self.0.borrow();
        if machine.alive() && !machine.stuck { machine.fifo } else { 0 }
    }
    fn send(&mut self, byte: u8) {
        let mut machine = self.0.borrow_mut();
        let first = machine.alive();
        if machine.step() {
            machine.wire.push(byte);
        } else if machine.lost.is_none() && !first && machine.memory_counts_one_more() {
            machine.lost = Some(machine.wire.len());
        }
    }
    fn idle(&mut self) -> bool {
        true
    }
}

impl Machine {
    /// Whether the count of sent bytes is ahead of the wire.
    fn memory_counts_one_more(&self) -> bool {
        let sent = u64::from_le_bytes(self.memory[16..24].try_into().unwrap());
        sent == self.wire.len() as u64 + 1
    }
}

impl World for Shared {
    fn fetch(&mut self, call: u64, offset: u64, into: &mut [u8]) -> bool {
        let machine = self.0.borrow();
        let Some(from) = machine.data.get(&call).and_then(|d| d.get(offset as usize..offset as usize + into.len()))
        else {
            return false;
        };
        into.copy_from_slice(from);
        true
    }
    fn deliver(&mut self, call: u64, bytes: &[u8]) -> bool {
        let mut machine = self.0.borrow_mut();
        if machine.step() {
            machine.read.insert(call, bytes.to_vec());
        }
        true
    }
    fn waits(&mut self, call: u64) -> bool {
        !self.0.borrow().gave_up.contains(&call)
    }
    fn answer(&mut self, call: u64, answer: Answer) {
        let mut machine = self.0.borrow_mut();
        if machine.step() {
            assert!(machine.answers.insert(call, answer).is_none(), "call {call} was answered twice");
        }
    }
    fn signal(&mut self, event: u64, bits: u64) {
        let mut machine = self.0.borrow_mut();
        if machine.step() {
            machine.signals.push((event, bits));
        }
    }
}

struct Rig {
    shared: Shared,
    terminal: Terminal<Shared>,
    exec: bool,
    calls: Vec<(u64, Request)>,
    next: u64,
}

impl Rig {
    fn new(exec: bool) -> Rig {
        let machine = Machine { memory: vec![0; vault::SIZE], fifo: 16, ..Machine::default() };
        let shared = Shared(Rc::new(RefCell::new(machine)));
        let terminal = Terminal::open(shared.clone(), exec).unwrap().0;
        Rig { shared, terminal, exec, calls: Vec::new(), next: 1 }
    }

    fn submit(&mut self, call: u64, request: &Request) {
        let mut world = self.shared.clone();
        match request {
            Request::Write(badge, bytes) => self.terminal.write(call, *badge, bytes.len() as u64, &mut world),
            Request::Read(length) => self.terminal.read(call, *length, &mut world),
            Request::Status(status) => self.terminal.drain(call, Some(*status)),
        }
    }

    fn call(&mut self, request: Request) -> u64 {
        let call = self.next;
        self.next += 1;
        if let Request::Write(_, bytes) = &request {
            self.shared.0.borrow_mut().data.insert(call, bytes.clone());
        }
        self.submit(call, &request);
        self.calls.push((call, request));
        call
    }

    fn write(&mut self, badge: Badge, bytes: &[u8]) -> u64 {
        self.call(Request::Write(badge, bytes.to_vec()))
    }

    fn run(&mut self) {
        let (mut world, mut uart) = (self.shared.clone(), self.shared.clone());
        self.terminal.step(&mut world, &mut uart);
    }

    fn typed(&mut self, bytes: &[u8]) {
        self.shared.0.borrow_mut().incoming.extend(bytes);
        self.run();
    }

    /// The next incarnation, with the calls that were not answered, as the kernel delivers them again.
    fn revive(&mut self) {
        {
            let mut machine = self.shared.0.borrow_mut();
            machine.life = None;
            if let Some(byte) = machine.in_hand.take() {
                machine.incoming.push_front(byte);
            }
        }
        self.terminal = Terminal::open(self.shared.clone(), self.exec).unwrap().0;
        for (call, request) in self.calls.clone() {
            if !self.shared.0.borrow().answers.contains_key(&call) {
                self.submit(call, &request);
            }
        }
    }

    fn wire(&self) -> Vec<u8> {
        self.shared.0.borrow().wire.clone()
    }

    fn text(&self) -> String {
        String::from_utf8(self.wire()).unwrap()
    }

    fn answer(&self, call: u64) -> Option<Answer> {
        self.shared.0.borrow().answers.get(&call).copied()
    }

    fn got(&self, call: u64) -> Vec<u8> {
        self.shared.0.borrow().read.get(&call).cloned().unwrap_or_default()
    }
}

/// What arrived on each channel of the host's side; the order of exit and the rest is kept in `last`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arrived {
    streams: BTreeMap<u8, Vec<u8>>,
    log: Vec<u8>,
    last: u8,
}

fn arrived(mut wire: &[u8]) -> Arrived {
    let mut all = Arrived::default();
    while let Some((&first, rest)) = wire.split_first() {
        if first != frame::MARK {
            all.log.push(first);
            wire = rest;
            continue;
        }
        let length = usize::from(u16::from_le_bytes([wire[2], wire[3]]));
        all.streams.entry(wire[1]).or_default().extend(&wire[4..4 + length]);
        all.last = wire[1];
        wire = &wire[4 + length..];
    }
    all
}

fn input_frames(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in bytes.chunks(700) {
        all.extend(frame::header(frame::STDIN, part.len()));
        all.extend(part);
    }
    all.extend(frame::header(frame::STDIN_END, 0));
    all
}

#[test]
fn a_write_comes_out_and_is_answered_with_its_length() {
    let mut rig = Rig::new(false);
    let call = rig.write(STDOUT, b"hello\nworld\n");
    rig.run();
    assert_eq!((rig.answer(call), rig.text()), (Some(Answer::Bytes(12)), "hello\r\nworld\r\n".into()));
}

#[test]
fn exec_mode_frames_are_binary_safe_and_keep_streams_apart() {
    let mut rig = Rig::new(true);
    let all: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    rig.write(STDOUT, &all);
    rig.write(STDERR, b"oops\n");
    rig.write(Badge::OWNER, b"log \x1dO text\n");
    rig.run();
    let arrived = arrived(&rig.wire());
    assert_eq!(arrived.streams[&b'O'], all);
    assert_eq!(arrived.streams[&b'E'], b"oops\n");
    assert_eq!(arrived.log, b"log ?O text\n");
}

#[test]
fn the_exit_frame_comes_last_and_its_caller_waits_until_it_is_out() {
    let mut rig = Rig::new(true);
    rig.shared.0.borrow_mut().stuck = true;
    rig.write(STDOUT, &[7; 100_000]);
    let status = rig.call(Request::Status(-3));
    rig.run();
    assert_eq!(rig.answer(status), None);
    rig.shared.0.borrow_mut().stuck = false;
    rig.run();
    assert_eq!(rig.answer(status), Some(Answer::Done));
    let arrived = arrived(&rig.wire());
    assert_eq!((arrived.last, arrived.streams[&b'X'].as_slice()), (b'X', &(-3i32).to_le_bytes()[..]));
    assert_eq!(arrived.streams[&b'O'].len(), 100_000);
}

#[test]
fn a_writer_is_not_answered_before_its_bytes_have_room() {
    let mut rig = Rig::new(false);
    rig.shared.0.borrow_mut().stuck = true;
    let big = rig.write(STDOUT, &[b'x'; 60_000]);
    let small = rig.write(Badge::new(2, Role::Stdout), b"y");
    rig.run();
    assert_eq!((rig.answer(big), rig.answer(small), rig.wire().len()), (None, None, 0));
    rig.shared.0.borrow_mut().stuck = false;
    rig.run();
    assert_eq!((rig.answer(big), rig.answer(small)), (Some(Answer::Bytes(60_000)), Some(Answer::Bytes(1))));
    assert_eq!(rig.text(), "x".repeat(60_000) + "y");
}

#[test]
fn lines_of_several_writers_never_mix() {
    let mut rig = Rig::new(false);
    rig.shared.0.borrow_mut().stuck = true;
    let text = |session: u16| format!("{}\n", char::from(b'a' + session as u8).to_string().repeat(99)).repeat(300);
    for session in 0..5 {
        rig.write(Badge::new(session, Role::Stdout), text(session).as_bytes());
    }
    rig.run();
    rig.shared.0.borrow_mut().stuck = false;
    rig.run();
    let mut turns = Vec::new();
    for line in rig.text().lines() {
        assert_eq!(line.len(), 99);
        assert!(line.bytes().all(|b| b == line.as_bytes()[0]), "{line}");
        turns.push(line.as_bytes()[0]);
    }
    assert_eq!(turns.len(), 5 * 300);
    turns.dedup();
    assert_eq!(&turns[..5], b"abcde", "every writer has its turn");
}

#[test]
fn a_typed_line_is_echoed_and_read() {
    let mut rig = Rig::new(false);
    let call = rig.call(Request::Read(100));
    rig.typed(b"ls -k\x7fl");
    assert_eq!(rig.answer(call), None);
    rig.typed(b"\r");
    assert_eq!((rig.answer(call), rig.got(call)), (Some(Answer::Bytes(6)), b"ls -l\n".to_vec()));
    assert_eq!(rig.text(), "ls -k\x08 \x08l\r\n");
}

#[test]
fn a_read_gets_one_line_at_a_time_and_a_short_one_gets_a_part() {
    let mut rig = Rig::new(false);
    rig.typed(b"one\rtwo\r");
    let calls = [rig.call(Request::Read(100)), rig.call(Request::Read(2)), rig.call(Request::Read(100))];
    rig.run();
    assert_eq!(calls.map(|c| rig.got(c)), [b"one\n".to_vec(), b"tw".to_vec(), b"o\n".to_vec()]);
}

#[test]
fn control_d_ends_the_file_once_and_after_a_whole_line_is_not_lost() {
    let mut rig = Rig::new(false);
    rig.typed(b"a\r\x04b\x04\x04c\r");
    let calls: Vec<u64> = (0..5).map(|_| rig.call(Request::Read(100))).collect();
    rig.run();
    let got: Vec<Vec<u8>> = calls.iter().map(|c| rig.got(*c)).collect();
    assert_eq!(got, [&b"a\n"[..], b"", b"b", b"", b"c\n"]);
    assert!(calls.iter().all(|c| rig.answer(*c).is_some()));
}

#[test]
fn control_c_signals_the_event_of_the_session_and_drops_what_was_typed_ahead() {
    let mut rig = Rig::new(false);
    rig.terminal.set_interrupt(3, Interrupt { event: 77, bits: 0b10, lasting: 0 });
    rig.typed(b"ahead\rpartial\x03after\r");
    let call = rig.call(Request::Read(100));
    rig.run();
    assert_eq!(rig.shared.0.borrow().signals, [(77, 0b10)]);
    assert_eq!(rig.got(call), b"after\n");
}

#[test]
fn an_event_granted_for_good_is_signalled_by_the_next_incarnation_and_another_is_not() {
    for (lasting, signals) in [(1, vec![(77, 1)]), (0, vec![])] {
        let mut rig = Rig::new(false);
        rig.terminal.set_interrupt(1, Interrupt { event: 77, bits: 1, lasting });
        rig.revive();
        rig.typed(b"\x03");
        assert_eq!(rig.shared.0.borrow().signals, signals);
    }
}

#[test]
fn exec_mode_begins_with_the_ready_frame_once() {
    let mut rig = Rig::new(true);
    rig.run();
    rig.revive();
    rig.run();
    assert_eq!(rig.wire(), frame::header(frame::READY, 0));
}

#[test]
fn raw_mode_passes_keys_at_once_and_without_echo() {
    let mut rig = Rig::new(false);
    rig.terminal.set_mode(1, Mode::Raw);
    let call = rig.call(Request::Read(100));
    rig.typed(b"\x03\x1b[A");
    assert_eq!((rig.got(call), rig.text()), (b"\x03\x1b[A".to_vec(), String::new()));
}

#[test]
fn what_is_typed_ahead_of_a_change_of_mode_is_not_lost() {
    let mut rig = Rig::new(false);
    rig.typed(b"ls");
    rig.terminal.set_mode(1, Mode::Raw);
    rig.typed(b"\rcat\rx\x7f");
    rig.terminal.set_mode(1, Mode::Cooked);
    rig.typed(b"y\r");
    let calls: Vec<u64> = (0..3).map(|_| rig.call(Request::Read(100))).collect();
    rig.run();
    let got: Vec<Vec<u8>> = calls.iter().map(|c| rig.got(*c)).collect();
    assert_eq!(got, [&b"ls\n"[..], b"cat\n", b"y\n"]);
}

#[test]
fn input_that_nobody_reads_stays_in_the_uart_in_exec_mode() {
    let mut rig = Rig::new(true);
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
    rig.typed(&input_frames(&bytes));
    assert!(!rig.terminal.wants_to_receive());
    assert!(rig.shared.0.borrow().incoming.len() > 80_000);
    let mut all = Vec::new();
    loop {
        let call = rig.call(Request::Read(3000));
        rig.run();
        match rig.answer(call) {
            Some(Answer::Bytes(0)) => break,
            _ => all.extend(rig.got(call)),
        }
    }
    assert!(all == bytes);
    let again = rig.call(Request::Read(10));
    rig.run();
    assert_eq!(rig.answer(again), Some(Answer::Bytes(0)));
}

#[test]
fn a_reader_whose_memory_is_gone_takes_nothing_with_it() {
    struct Gone(Shared);
    impl World for Gone {
        fn fetch(&mut self, _: u64, _: u64, _: &mut [u8]) -> bool {
            false
        }
        fn deliver(&mut self, _: u64, _: &[u8]) -> bool {
            false
        }
        fn waits(&mut self, _: u64) -> bool {
            true
        }
        fn answer(&mut self, call: u64, answer: Answer) {
            self.0.answer(call, answer);
        }
        fn signal(&mut self, _: u64, _: u64) {}
    }
    let mut rig = Rig::new(false);
    rig.typed(b"text\r");
    rig.terminal.read(900, 10, &mut Gone(rig.shared.clone()));
    rig.terminal.step(&mut Gone(rig.shared.clone()), &mut rig.shared.clone());
    assert_eq!(rig.answer(900), Some(Answer::BadLease));
    let call = rig.call(Request::Read(10));
    rig.run();
    assert_eq!(rig.got(call), b"text\n");
    let mut gone = Gone(rig.shared.clone());
    rig.terminal.write(901, STDOUT, 10, &mut gone);
    rig.terminal.step(&mut gone, &mut rig.shared.clone());
    assert_eq!(rig.answer(901), Some(Answer::BadLease));
}

#[test]
fn readers_that_gave_up_are_forgotten_when_the_next_one_comes() {
    let mut rig = Rig::new(false);
    for call in 900..1000 {
        rig.terminal.read(call, 10, &mut rig.shared.clone());
        rig.shared.0.borrow_mut().gave_up.push(call);
    }
    let call = rig.call(Request::Read(10));
    assert_eq!(rig.terminal.readers.len(), 1);
    rig.typed(b"q\r");
    rig.run();
    assert_eq!(rig.got(call), b"q\n");
}

/// Standard input of [`exec_story`], in which no two places look alike.
fn sent() -> Vec<u8> {
    (0..900u32).flat_map(|i| [(i / 30) as u8, (i % 30) as u8]).take(900).collect()
}

/// Everything at once in exec mode: input, several writers, chunks, an exit status.
fn exec_story(rig: &mut Rig) {
    rig.shared.0.borrow_mut().incoming.extend(input_frames(&sent()));
    rig.call(Request::Read(400));
    rig.write(STDOUT, &[b'o'; 300]);
    rig.run();
    rig.call(Request::Read(4096));
    rig.write(STDERR, b"error\nin two lines\n");
    rig.call(Request::Read(4096));
    rig.write(STDOUT, &[b'p'; CHUNK + 50]);
    rig.run();
    rig.call(Request::Read(10));
    rig.call(Request::Status(5));
    rig.run();
}

/// The same with a person: typing, echo, reading, writers, an end of file.
fn typed_story(rig: &mut Rig) {
    rig.call(Request::Read(100));
    rig.write(STDOUT, b"prompt> ");
    rig.run();
    rig.typed(b"ab\x7fc\r");
    rig.write(STDOUT, b"one\ntwo\n");
    rig.call(Request::Read(3));
    rig.typed(b"defg\rh\x04\x04");
    rig.call(Request::Read(100));
    rig.call(Request::Read(100));
    rig.call(Request::Read(100));
    rig.run();
}

/// Tells a story with a death at every step of it (the first `every`th, the second, ...), twice in a row, and gives
/// each resulting rig to `check`.
fn with_death_at_every_step(exec: bool, every: u64, story: fn(&mut Rig), check: impl Fn(&mut Rig, &[u8])) {
    let mut reference = Rig::new(exec);
    story(&mut reference);
    let steps = reference.shared.0.borrow().steps;
    assert!(steps > 1000);
    for life in (0..steps).step_by(every as usize) {
        let mut rig = Rig::new(exec);
        rig.shared.0.borrow_mut().life = Some(life);
        story(&mut rig);
        rig.revive();
        // The successor dies as well, soon after it began.
        rig.shared.0.borrow_mut().life = Some(life % 97);
        rig.run();
        let second_lost = rig.shared.0.borrow().lost;
        rig.revive();
        rig.run();
        // Put the one byte back that was counted and not sent: it is the only one that may be missing.
        let mut wire = rig.wire();
        if let Some(at) = second_lost {
            wire.insert(at, LOST);
        }
        check(&mut rig, &wire);
    }
}

/// Stands for a byte that a death took with it.
const LOST: u8 = 0xff;

#[test]
fn a_death_at_any_step_loses_no_input_repeats_none_and_answers_every_call_once() {
    with_death_at_every_step(true, 7, exec_story, |rig, _| {
        for (call, request) in &rig.calls {
            let expected = match request {
                Request::Write(_, bytes) => Answer::Bytes(bytes.len() as u64),
                Request::Read(_) => Answer::Bytes(rig.got(*call).len() as u64),
                Request::Status(_) => Answer::Done,
            };
            assert_eq!(rig.answer(*call), Some(expected));
        }
        // Some of the input is still to be read.
        while rig.calls.last().is_none_or(|(call, _)| rig.answer(*call) != Some(Answer::Bytes(0))) {
            rig.call(Request::Read(4096));
            rig.run();
        }
        let read: Vec<u8> = rig.calls.iter().flat_map(|(call, _)| rig.got(*call)).collect();
        assert!(read == sent(), "{read:?}");
    });
}

#[test]
fn a_death_at_any_step_takes_at_most_the_byte_on_its_way_and_prints_nothing_twice() {
    with_death_at_every_step(true, 11, exec_story, |_, wire| {
        assert!(wire.iter().filter(|b| **b == LOST).count() <= 1);
        if wire.contains(&LOST) {
            return assert_eq!(wire.len(), 300 + 19 + CHUNK + 50 + 4 + 6 * frame::HEADER);
        }
        let arrived = arrived(wire);
        let expected = [vec![b'o'; 300], vec![b'p'; CHUNK + 50]].concat();
        assert!(arrived.streams[&b'O'] == expected);
        assert_eq!(arrived.streams[&b'E'], b"error\nin two lines\n");
        assert_eq!((arrived.last, arrived.streams[&b'X'].as_slice()), (b'X', &5i32.to_le_bytes()[..]));
    });
    with_death_at_every_step(false, 1, typed_story, |rig, wire| {
        let written: [&[u8]; 2] = [b"prompt> ", b"one\r\ntwo\r\n"];
        let echoed = b"ab\x08 \x08c\r\ndefg\r\nh";
        // Echo and writers may fall in another order after a death; each is whole and in its own order.
        let length = written.concat().len() + echoed.len();
        assert_eq!(wire.len(), length, "{:?}", String::from_utf8_lossy(wire));
        let got: Vec<Vec<u8>> =
            rig.calls.iter().filter(|c| matches!(c.1, Request::Read(_))).map(|c| rig.got(c.0)).collect();
        assert_eq!(got.concat(), b"ac\ndefg\nh");
    });
}
