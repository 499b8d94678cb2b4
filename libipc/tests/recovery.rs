//! Death at every system call, redelivery, and the record that makes each effect happen exactly once.

use libipc::answer::Answer;
use libipc::error::Refusal;
use libipc::record::{Found, Record};
use libipc::testing::{Persistent, System};
use libipc::*;

protocol! {
    /// Counts.
    pub protocol Counter = 2001 version 1;
    /// What a counter refuses.
    error CounterError {
        /// It is at its end.
        Overflow = 1 => "counter overflow",
    }
    /// Adds to the counter; returns its value.
    recorded fn add(amount: u64) -> u64 = 1;
    /// The value.
    idempotent fn value() -> u64 = 2;
    /// Kills the server every time.
    idempotent fn poison() = 3;
}

type CounterRecord<'m> = Record<'m, 4>;

struct Counter<'m> {
    record: CounterRecord<'m>,
    suicide: Option<testing::TestProcess>,
}

impl Counter<'_> {
    fn stored(&self) -> u64 {
        u64::from_le_bytes(self.record.state().try_into().unwrap())
    }
}

impl CounterServer for Counter<'_> {
    fn recall(&mut self, id: MessageId) -> Option<Answer> {
        self.record.recall(id)
    }
    fn add(&mut self, cx: &Context, amount: u64) -> Result<Reply<u64>, CounterError> {
        sys::clock(); // a place to die before the effect
        let sum = self.stored().checked_add(amount).ok_or(CounterError::Overflow)?;
        let answer = cx.answer::<CounterAddOp>(&Ok(sum));
        let mut change = self.record.begin();
        change.state().copy_from_slice(&sum.to_le_bytes());
        sys::clock(); // a place to die in the middle of it
        change.commit(cx.id(), &answer).unwrap();
        sys::clock(); // a place to die between effect and answer
        Ok(sum.into())
    }
    fn value(&mut self, _: &Context) -> Result<Reply<u64>, CounterError> {
        Ok(self.stored().into())
    }
    fn poison(&mut self, _: &Context) -> Result<Reply<()>, CounterError> {
        self.suicide.as_ref().unwrap().kill();
        sys::clock();
        Ok(Reply::Now(()))
    }
}

impl Service for Counter<'_> {
    protocols!(CounterProtocol);
}

struct Rig {
    server: testing::TestProcess,
    client: testing::TestProcess,
    send: Handle,
}

impl Rig {
    /// With a server that dies at its `dies_at`-th system call.
    fn new(dies_at: Option<u64>) -> Rig {
        let system = System::new();
        let (server, client) = (system.process("counter"), system.process("client"));
        let queue = system.queue(0);
        let receive = server.grant(queue, Rights::RECEIVE, 0);
        let send = client.grant(queue, Rights::SEND, 0);
        let memory = Persistent::new(CounterRecord::size(8));
        let this = server.clone();
        if let Some(n) = dies_at {
            server.kill_at_call(n);
        }
        server.supervise(move || {
            memory.with(|bytes| {
                let (record, _) = Record::open(bytes, 1, 8).unwrap();
                serve(Queue::new(receive), &mut Counter { record, suicide: Some(this.clone()) })
            })
        });
        Rig { server, client, send }
    }
    fn counter(&self) -> CounterClient {
        CounterClient::new(Queue::new(self.send))
    }
}

#[test]
fn killed_at_any_call_the_server_counts_each_request_once_and_its_client_sees_nothing() {
    for n in 1..40 {
        let rig = Rig::new(Some(n));
        rig.client.enter(|| {
            for round in 1..=8 {
                assert_eq!(rig.counter().add(round), Ok((1..=round).sum()), "killed at call {n}, round {round}");
            }
            assert_eq!(rig.counter().value(), Ok(36));
        });
        let expected = if n <= rig.server.calls_made() { 2 } else { 1 };
        assert_eq!(rig.server.incarnation(), expected, "killed at call {n}");
    }
}

#[test]
fn many_clients_and_many_deaths_lose_nothing_and_double_nothing() {
    let rig = Rig::new(None);
    let send = rig.send;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            rig.client.run(move || {
                for _ in 0..50 {
                    CounterClient::new(Queue::new(send)).add(1).unwrap();
                }
            })
        })
        .collect();
    for n in [3, 7, 2, 11, 5, 13, 4] {
        let before = rig.server.incarnation();
        rig.server.kill_at_call(n);
        while rig.server.incarnation() == before && !clients.iter().all(|c| c.is_finished()) {
            std::thread::yield_now();
        }
    }
    clients.into_iter().for_each(|c| c.join().unwrap());
    rig.client.enter(|| assert_eq!(rig.counter().value(), Ok(200)));
}

#[test]
fn a_call_that_kills_its_server_each_time_is_answered_that_it_died_and_the_service_goes_on() {
    let rig = Rig::new(None);
    rig.client.enter(|| {
        assert_eq!(rig.counter().add(5), Ok(5));
        assert_eq!(rig.counter().poison(), Err(CounterError::Sys(SysError::ServerDied)));
        assert_eq!(rig.counter().add(5), Ok(10));
        assert_eq!(rig.server.incarnation(), 4);
    });
}

#[test]
fn an_error_changes_nothing_and_is_not_recorded() {
    let rig = Rig::new(None);
    rig.client.enter(|| {
        assert_eq!(rig.counter().add(u64::MAX), Ok(u64::MAX));
        assert_eq!(rig.counter().add(1), Err(CounterError::Overflow));
        assert_eq!(rig.counter().value(), Ok(u64::MAX));
    });
}

fn answer(bytes: &[u8]) -> Answer {
    let mut whole = vec![0; Answer::FIXED];
    whole[..8].copy_from_slice(&abi::Tag::new(1, 0).with_payload(bytes.len()).raw().to_le_bytes());
    whole.extend_from_slice(bytes);
    Answer::from_bytes(&whole).unwrap()
}

/// Commits states 1 to `count` with ids equal to them.
fn filled(count: u64) -> Vec<u8> {
    let mut memory = vec![0; CounterRecord::size(8)];
    let (mut record, found) = CounterRecord::open(&mut memory, 1, 8).unwrap();
    assert_eq!(found, Found::Fresh);
    for n in 1..=count {
        let mut change = record.begin();
        change.state().copy_from_slice(&n.to_le_bytes());
        change.commit(MessageId::from_raw(n), &answer(&n.to_le_bytes())).unwrap();
    }
    memory
}

fn reopened(memory: &mut [u8]) -> (Found, u64, Vec<u64>) {
    let (record, found) = CounterRecord::open(memory, 1, 8).unwrap();
    let recalled =
        (1..20).filter(|n| record.recall(MessageId::from_raw(*n)).is_some_and(|a| a == answer(&n.to_le_bytes())));
    let recalled = recalled.collect();
    (found, u64::from_le_bytes(record.state().try_into().unwrap()), recalled)
}

#[test]
fn a_record_keeps_state_and_the_last_answers_across_openings() {
    for count in 0..12 {
        let mut memory = filled(count);
        let (found, state, recalled) = reopened(&mut memory);
        assert_eq!((found, state), (Found::Kept, count));
        let expected: Vec<u64> = (count.saturating_sub(2).max(1)..=count).collect();
        assert_eq!(recalled, expected);
    }
}

#[test]
fn a_commit_cut_off_at_any_byte_leaves_the_state_before_or_after_it_and_never_a_mixture() {
    for count in 1..10 {
        let (before, after) = (filled(count), filled(count + 1));
        let changed: Vec<usize> = (0..before.len()).filter(|i| before[*i] != after[*i]).collect();
        // The checksum of the slot and then the marks are written last, whatever the order of the rest.
        for cut in 0..=changed.len() {
            for reverse in [false, true] {
                let mut memory = before.clone();
                let order: Vec<usize> = match reverse {
                    false => changed.clone(),
                    true => changed.iter().rev().copied().collect(),
                };
                let is_mark = |i: &usize| *i < 64;
                let slot_done = order.iter().take(cut).filter(|i| !is_mark(i)).count()
                    == order.iter().filter(|i| !is_mark(i)).count();
                for i in order.iter().take(cut).filter(|i| slot_done || !is_mark(i)) {
                    memory[*i] = after[*i];
                }
                let (found, state, _) = reopened(&mut memory);
                assert_eq!(found, Found::Kept);
                assert_eq!(state, if slot_done { count + 1 } else { count }, "cut at {cut} of {}", changed.len());
            }
        }
    }
}

#[test]
fn a_change_that_is_dropped_has_not_happened() {
    let mut memory = filled(5);
    {
        let (mut record, _) = CounterRecord::open(&mut memory, 1, 8).unwrap();
        let mut change = record.begin();
        change.state().fill(0xff);
    }
    assert_eq!(reopened(&mut memory).1, 5);
}

#[test]
fn a_damaged_record_is_discarded_or_unharmed_but_never_wrong() {
    let good = filled(7);
    let mut discarded = 0;
    for at in 0..good.len() {
        let mut memory = good.clone();
        memory[at] ^= 0x40;
        match reopened(&mut memory) {
            (Found::Kept, state, recalled) => {
                assert_eq!((state, recalled), (7, vec![5, 6, 7]), "byte {at}");
            }
            (_, state, recalled) => {
                discarded += 1;
                assert_eq!((state, recalled), (0, vec![]), "byte {at}");
            }
        }
    }
    // All that says something in the three slots that count: what stands before the state, the state, the answer.
    assert!(discarded >= 3 * (32 + 8 + Answer::FIXED), "{discarded}");
}

#[test]
fn a_record_of_another_version_size_or_too_little_memory_is_not_taken() {
    let mut memory = filled(3);
    assert_eq!(CounterRecord::open(&mut memory, 2, 8).unwrap().1, Found::Fresh);
    let mut memory = filled(3);
    assert_eq!(CounterRecord::open(&mut memory, 1, 4).unwrap().1, Found::Fresh);
    let mut memory = vec![0; CounterRecord::size(8) - 1];
    assert!(CounterRecord::open(&mut memory, 1, 8).is_err());
}

#[test]
fn an_answer_survives_its_bytes_and_junk_is_no_answer() {
    let whole = answer(b"payload").to_bytes();
    assert_eq!(Answer::from_bytes(&whole), Some(answer(b"payload")));
    for length in 0..whole.len() {
        assert_eq!(Answer::from_bytes(&whole[..length]), None);
    }
    let mut junk = whole.clone();
    junk[5] = 0xff;
    assert_eq!(Answer::from_bytes(&junk), None);
}

#[test]
fn a_server_that_is_killed_does_not_run_its_destructors_effects() {
    struct Parking(Vec<Pending<CounterValueOp>>);
    impl CounterServer for Parking {
        fn recall(&mut self, _: MessageId) -> Option<Answer> {
            None
        }
        fn add(&mut self, _: &Context, amount: u64) -> Result<Reply<u64>, CounterError> {
            Ok(amount.into())
        }
        fn value(&mut self, cx: &Context) -> Result<Reply<u64>, CounterError> {
            if cx.attempt() > 0 {
                return Ok(u64::from(cx.attempt()).into());
            }
            self.0.push(cx.defer());
            Ok(Reply::Later)
        }
        fn poison(&mut self, _: &Context) -> Result<Reply<()>, CounterError> {
            Err(Refusal::NotAllowed.into())
        }
    }
    impl Service for Parking {
        protocols!(CounterProtocol);
    }
    let system = System::new();
    let (server, client) = (system.process("parking"), system.process("client"));
    let queue = system.queue(0);
    let receive = server.grant(queue, Rights::RECEIVE, 0);
    let send = client.grant(queue, Rights::SEND, 0);
    server.supervise(move || serve(Queue::new(receive), &mut Parking(Vec::new())));
    let parked = client.run(move || CounterClient::new(Queue::new(send)).value());
    while server.calls_made() < 2 {
        std::thread::yield_now();
    }
    server.kill();
    // Redelivered to the next incarnation: not answered `Dropped` by the first one's unwinding.
    assert_eq!(parked.join().unwrap(), Ok(1));
}
