//! Every kind of argument and result, through a protocol of its own and the stand-in kernel.

use libipc::abi::{Message, Tag};
use libipc::error::Refusal;
use libipc::testing::{ObjectId, System, TestProcess};
use libipc::*;
use proptest::prelude::*;

words_struct! {
    /// A point.
    pub struct Point {
        /// Column.
        pub x: i32,
        /// Row.
        pub y: u16,
    }
}

protocol! {
    /// One operation of each kind.
    pub protocol Sample = 2000 version 3;
    /// What the sample refuses.
    error SampleError {
        /// Always.
        Never = 9 => "refused",
    }

    /// Words both ways.
    idempotent fn mirror(point: Point, flip: bool) -> Point = 1;
    /// Texts, joined.
    idempotent fn join(left: &str, right: &str) -> String = 2;
    /// A structure both ways.
    idempotent fn sort(numbers: Vec<u32>) -> (u64, Vec<u32>) = 3;
    /// From one lease to the other; returns the bytes copied.
    idempotent fn copy(from: &[u8], into: &mut [u8]) -> u64 = 4;
    /// A capability both ways: that of `queue` comes back with badge 5.
    idempotent fn badge(queue: Cap) -> Cap = 5;
    /// Fails.
    idempotent fn fail() = 6;
    /// A lot of payload.
    idempotent fn much() -> Vec<u8> = 7;
    /// Answered by the next `release`.
    idempotent fn park(value: u64) -> u64 = 8;
    /// Answers all that is parked.
    idempotent fn release() -> u32 = 9;
    /// Drops all that is parked.
    idempotent fn discard() = 10;
    /// Says it is deferred, and is not.
    idempotent fn forget() = 11;
}

#[derive(Default)]
struct Sample {
    parked: Vec<(u64, Pending<SampleParkOp>)>,
    seen: Vec<OwnedHandle>,
    calls: u32,
}

impl SampleServer for Sample {
    fn mirror(&mut self, cx: &Context, point: Point, flip: bool) -> Result<Reply<Point>, SampleError> {
        assert_eq!((cx.badge(), cx.attempt()), (7, 0));
        self.calls += 1;
        Ok(Reply::Now(if flip { Point { x: point.x.wrapping_neg(), ..point } } else { point }))
    }
    fn join(&mut self, _: &Context, left: &str, right: &str) -> Result<Reply<String>, SampleError> {
        self.calls += 1;
        Ok(Reply::Now(format!("{left}{right}")))
    }
    fn sort(&mut self, _: &Context, mut numbers: Vec<u32>) -> Result<Reply<(u64, Vec<u32>)>, SampleError> {
        numbers.sort();
        Ok(Reply::Now((numbers.len() as u64, numbers)))
    }
    fn copy(&mut self, _: &Context, from: Lease<Read>, into: Lease<Write>) -> Result<Reply<u64>, SampleError> {
        let mut first = [0; 1];
        from.read_at(0, &mut first)?;
        let copied = from.copy_to(&into)?;
        into.write_at(0, &[first[0].to_ascii_uppercase()])?;
        assert_eq!(into.write_at(into.len(), &[0]), Err(SysError::BadLease));
        assert_eq!(from.read_at(u64::MAX, &mut first), Err(SysError::BadLease));
        Ok(Reply::Now(copied))
    }
    fn badge(&mut self, _: &Context, queue: OwnedHandle) -> Result<Reply<Grant>, SampleError> {
        let grant = queue.queue().minted(Rights::SEND, 5);
        self.seen.push(queue);
        Ok(Reply::Now(grant))
    }
    fn fail(&mut self, _: &Context) -> Result<Reply<()>, SampleError> {
        Err(SampleError::Never)
    }
    fn much(&mut self, _: &Context) -> Result<Reply<Vec<u8>>, SampleError> {
        Ok(Reply::Now(vec![0; 2000]))
    }
    fn park(&mut self, cx: &Context, value: u64) -> Result<Reply<u64>, SampleError> {
        self.parked.push((value, cx.defer()));
        Ok(Reply::Later)
    }
    fn release(&mut self, _: &Context) -> Result<Reply<u32>, SampleError> {
        let count = self.parked.len() as u32;
        for (value, pending) in self.parked.drain(..).rev() {
            pending.answer(Ok(value * 2))?;
        }
        Ok(Reply::Now(count))
    }
    fn discard(&mut self, _: &Context) -> Result<Reply<()>, SampleError> {
        self.parked.clear();
        Ok(Reply::Now(()))
    }
    fn forget(&mut self, _: &Context) -> Result<Reply<()>, SampleError> {
        Ok(Reply::Later)
    }
}

impl Service for Sample {
    protocols!(SampleProtocol);
}

struct Rig {
    system: System,
    queue: ObjectId,
    server: TestProcess,
    client: TestProcess,
    send: Handle,
}

fn rig() -> Rig {
    let system = System::new();
    let (server, client) = (system.process("server"), system.process("client"));
    let queue = system.queue(4);
    let receive = server.grant(queue, Rights::RECEIVE | Rights::MINT | Rights::SEND, 0);
    let send = client.grant(queue, Rights::SEND, 7);
    server.run(move || serve(Queue::new(receive), &mut Sample::default()));
    Rig { system, queue, server, client, send }
}

fn with_client(test: impl FnOnce(SampleClient)) {
    let rig = rig();
    rig.client.enter(|| test(SampleClient::new(Queue::new(rig.send))));
}

#[test]
fn words_travel_both_ways() {
    with_client(|client| {
        assert_eq!(client.mirror(Point { x: -3, y: 65535 }, true), Ok(Point { x: 3, y: 65535 }));
        assert_eq!(client.mirror(Point { x: i32::MIN, y: 0 }, false), Ok(Point { x: i32::MIN, y: 0 }));
    });
}

#[test]
fn texts_and_structures_travel_both_ways() {
    with_client(|client| {
        assert_eq!(client.join("grüß ", "dich"), Ok("grüß dich".into()));
        assert_eq!(client.join("", ""), Ok(String::new()));
        assert_eq!(client.sort(&vec![3, 1, 2]), Ok((3, vec![1, 2, 3])));
    });
}

#[test]
fn what_is_too_long_for_a_message_is_refused_on_either_side() {
    with_client(|client| {
        assert_eq!(client.join(&"x".repeat(1200), ""), Err(SampleError::Refused(Refusal::TooLong)));
        assert_eq!(client.join(&"x".repeat(600), &"y".repeat(600)), Err(SampleError::Refused(Refusal::TooLong)));
        assert_eq!(client.much(), Err(SampleError::Refused(Refusal::TooLong)));
        assert_eq!(client.join("still", " there"), Ok("still there".into()));
    });
}

#[test]
fn leases_are_read_written_and_bounded() {
    with_client(|client| {
        let from = b"hello".repeat(50_000);
        let mut into = vec![0; 200_000];
        assert_eq!(client.copy(&from, &mut into), Ok(200_000));
        assert_eq!(into[0], b'H');
        assert_eq!(into[1..], from[1..200_000]);
        // An empty range has no first byte.
        assert_eq!(client.copy(b"", &mut into), Err(SampleError::Sys(SysError::BadLease)));
    });
}

#[test]
fn a_capability_travels_both_ways_and_is_minted() {
    let rig = rig();
    let other = rig.system.queue(1);
    let handle = rig.client.grant(other, Rights::all(), 0);
    let before = rig.client.caps();
    rig.client.enter(|| {
        let client = SampleClient::new(Queue::new(rig.send));
        let back = client.badge(Queue::new(handle).grant(Rights::SEND | Rights::MINT)).unwrap();
        assert_eq!(sys::inspect(back.handle()).unwrap().badge, 5);
        assert_eq!(sys::inspect(back.handle()).unwrap().rights, Rights::SEND);
    });
    assert_eq!(rig.client.caps(), before, "the answer's capability was not given up");
}

#[test]
fn errors_come_back_as_themselves() {
    with_client(|client| assert_eq!(client.fail(), Err(SampleError::Never)));
}

#[test]
fn deferred_calls_are_answered_in_any_order() {
    let rig = rig();
    let send = rig.send;
    let parked: Vec<_> = (1..=5).map(|n| rig.client.run(move || SampleClient::new(Queue::new(send)).park(n))).collect();
    rig.client.enter(|| {
        let client = SampleClient::new(Queue::new(send));
        let mut released = 0;
        while released < 5 {
            released += client.release().unwrap();
        }
    });
    for (n, thread) in (1..=5).zip(parked) {
        assert_eq!(thread.join().unwrap(), Ok(2 * n));
    }
}

#[test]
fn a_dropped_token_answers_that_the_call_was_dropped() {
    let rig = rig();
    let send = rig.send;
    let parked = rig.client.run(move || SampleClient::new(Queue::new(send)).park(1));
    rig.client.enter(|| {
        while !parked.is_finished() {
            SampleClient::new(Queue::new(send)).discard().unwrap();
        }
    });
    assert_eq!(parked.join().unwrap(), Err(SampleError::Refused(Refusal::Dropped)));
}

#[test]
fn a_method_that_defers_without_a_token_does_not_hang_its_client() {
    with_client(|client| assert_eq!(client.forget(), Err(SampleError::Refused(Refusal::Dropped))));
}

#[test]
fn malformed_messages_are_refused_before_the_servers_code() {
    let rig = rig();
    let own = rig.client.grant(rig.queue, Rights::SEND, 1);
    let caps_before = rig.server.caps();
    rig.client.enter(|| {
        let refused = |tag: Tag, words: [u64; 8]| {
            let reply = sys::call(rig.send, Message { tag, words }).unwrap();
            Refusal::from_status(reply.tag.operation())
        };
        let op = |number: u16| Tag::new(2000, 3 << 8 | number);
        let full = [u64::MAX; 8];
        assert_eq!(refused(Tag::new(1999, 3 << 8 | 1), [0; 8]), Refusal::UnknownProtocol);
        assert_eq!(refused(Tag::new(2000, 2 << 8 | 1), [0; 8]), Refusal::WrongVersion);
        assert_eq!(refused(op(200), [0; 8]), Refusal::UnknownOperation);
        assert_eq!(refused(op(1), full), Refusal::Malformed);
        assert_eq!(refused(op(1), [0, 0, 2, 0, 0, 0, 0, 0]), Refusal::Malformed);
        assert_eq!(refused(op(1).with_payload(1), [0; 8]), Refusal::Malformed);
        assert_eq!(refused(op(2), [0; 8]), Refusal::Malformed);
        assert_eq!(refused(op(4), [0; 8]), Refusal::Malformed);
        assert_eq!(refused(op(5), [0; 8]), Refusal::Malformed);
        for junk in [&[9u8, 0, 1][..], &[1, 0, 0xff, 0, 0], &[0, 0, 0, 0, 7], &[0xff; 1024]] {
            page::write_payload(0, junk);
            assert_eq!(refused(op(2).with_payload(junk.len()), [0; 8]), Refusal::Malformed);
            page::write_payload(0, junk);
            assert_eq!(refused(op(3).with_payload(junk.len()), [0; 8]), Refusal::Malformed);
        }
        for tag in [op(1), op(200), Tag::new(1, 1), op(5)] {
            (0..4).for_each(|i| page::set_cap(i, Grant::copy(own, Rights::SEND)));
            refused(tag.with_caps(4), [0; 8]);
        }
    });
    assert_eq!(rig.server.caps(), caps_before, "capabilities of refused messages were not given up");
}

/// Operations that are answered at once, and some that there are not.
const ANSWERED: [u16; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 200, 255];

/// A server gets this message, and answers it; it goes on, and keeps no capability of it.
fn assert_answered(rig: &Rig, tag: Tag, words: [u64; 8], payload: &[u8]) {
    rig.client.enter(|| {
        page::write_payload(0, payload);
        let reply = sys::call(rig.send, Message { tag: tag.with_payload(payload.len()), words });
        assert!(reply.is_ok(), "{tag:?} {words:x?} {payload:x?}: {reply:?}");
        assert_eq!(SampleClient::new(Queue::new(rig.send)).join("a", "b"), Ok("ab".into()));
    });
}

/// Payloads that nobody should send, to every operation; findings are added to them.
#[test]
fn the_saved_payloads_are_refused_or_answered_by_every_operation() {
    let rig = rig();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/messages");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("they are there") {
        let payload = std::fs::read(entry.expect("an entry").path()).expect("it can be read");
        for number in ANSWERED {
            for words in [[0; 8], [1; 8], [u64::MAX; 8]] {
                assert_answered(&rig, Tag::new(2000, 3 << 8 | number), words, &payload);
            }
        }
        seen += 1;
    }
    assert!(seen >= 14, "{seen} files");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_message_is_refused_or_answered(
        messages in prop::collection::vec((
            prop_oneof![9 => Just(2000u16), 1 => any::<u16>()],
            prop::sample::select(ANSWERED.to_vec()),
            prop::array::uniform8(prop_oneof![0u64..3, any::<u64>()]),
            prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..64),
        ), 1..12),
    ) {
        let rig = rig();
        for (protocol, number, words, payload) in messages {
            assert_answered(&rig, Tag::new(protocol, 3 << 8 | number), words, &payload);
        }
    }
}

#[test]
fn the_loop_answers_pings_without_the_servers_code() {
    let rig = rig();
    rig.client.enter(|| assert_eq!(server::ping(Queue::new(rig.send), None), Ok(())));
}
