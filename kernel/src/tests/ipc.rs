//! Calls, posts, replies and forwards between programs that live.

use super::*;
use abi::{Delivery, MAX_CAPS, MAX_PAYLOAD};
use proptest::prelude::*;
use std::collections::VecDeque;

/// A client and a server with a queue between them: who, and their capabilities.
struct Pair {
    client: Actor,
    server: Actor,
    queue: Handle,
    send: Handle,
    receive: Handle,
}

fn pair(w: &mut World) -> Pair {
    let (queue, client, server) = (w.queue(2), w.actor(60), w.actor(60));
    let send = w.grant(client, queue, Rights::SEND, 77);
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    Pair { client, server, queue, send, receive }
}

const WORDS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, u64::MAX];

#[test]
fn a_call_and_its_reply_carry_all_words_whoever_waits_first() {
    both_ways(|w| {
        let p = pair(w);
        let tag = Tag::new(9, 4);
        for server_first in [true, false, true, true] {
            let call = sys(Sysno::Call).on(p.send).tag(tag).words(&WORDS);
            if server_first {
                w.begin(p.server, sys(Sysno::Recv).on(p.receive));
                w.begin(p.client, call);
            } else {
                w.begin(p.client, call);
                w.begin(p.server, sys(Sysno::Recv).on(p.receive));
            }
            let got = w.received(p.server);
            assert_eq!((got.badge, got.words), (77, WORDS));
            assert_eq!((got.tag, got.tag.delivery()), (tag.delivered(Delivery::Call, 0), Delivery::Call));
            w.audit();
            let answer = WORDS.map(|n| n.wrapping_mul(3));
            w.make(p.server, sys(Sysno::Reply).token(got.id).tag(Tag::new(9, 1)).words(&answer)).unwrap();
            let reply = w.received(p.client);
            assert_eq!((reply.tag, reply.words), (Tag::new(9, 1), answer));
            w.audit();
        }
    });
}

#[test]
fn a_server_that_waits_gets_the_processor_with_the_call_and_the_client_with_the_reply() {
    both_ways(|w| {
        let p = pair(w);
        w.begin(p.server, sys(Sysno::Recv).on(p.receive));
        let bystander = w.actor(60);
        for n in 0..4 {
            w.begin(p.client, sys(Sysno::Call).on(p.send).words(&[n]));
            assert_eq!(w.k.current, Some(p.server.thread), "the call switches to the server past everybody ready");
            let got = w.received(p.server);
            assert_eq!(got.words[0], n);
            w.make_current(sys(Sysno::ReplyRecv).on(p.receive).token(got.id).words(&[n + 1]));
            assert_eq!(w.k.current, Some(p.client.thread));
            assert_eq!(w.result(p.client).unwrap()[0], n + 1);
            assert!(w.waits(p.server));
            w.audit();
        }
        assert!(!w.waits(bystander));
    });
}

#[test]
fn callers_are_served_by_priority_and_then_by_arrival() {
    both_ways(|w| {
        let p = pair(w);
        let order = [(3, 10), (1, 12), (4, 10), (2, 12), (0, 30)];
        let mut arrival = Vec::new();
        for (rank, priority) in order {
            let client = w.actor(60);
            let send = w.grant(client, p.queue, Rights::SEND, 0);
            w.switch_to(client.thread);
            w.raise(client, priority);
            w.make_current(sys(Sysno::Call).on(send).words(&[rank]));
            arrival.push(client);
        }
        w.audit();
        for rank in 0..5 {
            let got = w.receive(p.server, p.receive);
            assert_eq!(got.words[0], rank);
            w.raise(p.server, PRIORITY);
        }
    });
}

#[test]
fn a_changed_priority_moves_a_caller_that_waits() {
    let mut w = World::new();
    let p = pair(&mut w);
    let clients = [w.actor(60), w.actor(60), w.actor(60)];
    for (n, client) in clients.iter().enumerate() {
        let send = w.grant(*client, p.queue, Rights::SEND, 0);
        w.begin(*client, sys(Sysno::Call).on(send).words(&[n as u64]));
    }
    w.make(w.init, sys(Sysno::ThreadPriority).on(clients[0].control).words(&[2])).unwrap();
    w.make(w.init, sys(Sysno::ThreadPriority).on(clients[2].control).words(&[3])).unwrap();
    w.make(w.init, sys(Sysno::ThreadPriority).on(clients[0].control).words(&[3])).unwrap();
    w.audit();
    let order: Vec<u64> = (0..3).map(|_| w.receive(p.server, p.receive).words[0]).collect();
    assert_eq!(order, [1, 0, 2], "first the higher priority, then who called first");
}

#[test]
fn a_server_runs_at_no_less_than_the_priority_of_those_it_serves() {
    both_ways(|w| {
        let p = pair(w);
        let urgent = w.actor(60);
        let send = w.grant(urgent, p.queue, Rights::SEND, 0);
        // It waits for a server that is busy with somebody less urgent, and behind that with others.
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        let first = w.receive(p.server, p.receive).id;
        assert_eq!(w.k.threads[p.server.thread].priority, PRIORITY);
        w.switch_to(urgent.thread);
        w.raise(urgent, 25);
        w.make_current(sys(Sysno::Call).on(send));
        assert_eq!(w.k.threads[p.server.thread].priority, 25, "inherited while it is busy");
        let second = w.receive(p.server, p.receive).id;
        let third = w.actor_later(p.queue);
        w.begin(p.server, sys(Sysno::Recv).on(p.receive));
        assert_eq!(w.received(p.server).words[0], third);
        assert_eq!(w.k.threads[p.server.thread].priority, 25, "kept while an urgent call is not answered");
        for id in [first, second] {
            w.switch_to(p.server.thread);
            w.make_current(sys(Sysno::Reply).token(id));
        }
        w.audit();
    });
}

impl World {
    /// A call by a new client of the lowest priority, made before anybody else runs again; returns its word.
    fn actor_later(&mut self, queue: Handle) -> u64 {
        let current = self.k.current.expect("somebody runs");
        let base = self.k.threads[current].priority;
        let busy = Actor { thread: current, ..self.init };
        // For the time of this the running thread steps back.
        let own = self.k.threads[current].base;
        self.raise(busy, PRIORITY);
        let client = self.actor(60);
        let send = self.grant(client, queue, Rights::SEND, 0);
        self.begin(client, sys(Sysno::Call).on(send).words(&[4711]));
        self.switch_to(current);
        self.k.threads[current].base = own;
        self.k.threads[current].priority = base;
        4711
    }
}

#[test]
fn priority_is_inherited_along_a_chain_of_calls() {
    let mut w = World::new();
    let p = pair(&mut w);
    let (below, deep) = (w.queue(0), w.actor(60));
    let onward = w.grant(p.server, below, Rights::SEND, 0);
    let deep_receive = w.grant(deep, below, Rights::RECEIVE, 0);
    w.begin(p.client, sys(Sysno::Call).on(p.send));
    w.receive(p.server, p.receive);
    w.begin(p.server, sys(Sysno::Call).on(onward));
    w.receive(deep, deep_receive);
    let urgent = w.actor(60);
    let send = w.grant(urgent, p.queue, Rights::SEND, 0);
    w.switch_to(urgent.thread);
    w.raise(urgent, 20);
    w.make_current(sys(Sysno::Call).on(send));
    assert_eq!([p.server, deep].map(|a| w.k.threads[a.thread].priority), [20, 20]);
    assert_eq!(w.k.current, Some(deep.thread));
    w.audit();
}

#[test]
fn a_call_needs_the_right_to_send_and_a_receive_the_right_to_receive() {
    both_ways(|w| {
        let p = pair(w);
        assert_eq!(w.make(p.client, sys(Sysno::Recv).on(p.send)), Err(SysError::MissingRights));
        for number in [Sysno::Call, Sysno::Post] {
            assert_eq!(w.make(p.server, sys(number).on(p.receive)), Err(SysError::MissingRights));
        }
        let event = w.event();
        let event = w.grant(p.client, event, Rights::all(), 0);
        for number in [Sysno::Call, Sysno::Post, Sysno::Recv, Sysno::ReplyRecv, Sysno::Forward] {
            assert_eq!(w.make(p.client, sys(number).on(event)), Err(SysError::WrongKind));
            assert_eq!(w.make(p.client, sys(number).on(Handle::NONE)), Err(SysError::BadHandle));
        }
    });
}

#[test]
fn a_tag_with_bits_that_are_the_kernel_s_or_counts_beyond_the_limits_is_refused() {
    both_ways(|w| {
        let p = pair(w);
        w.begin(p.server, sys(Sysno::Recv).on(p.receive));
        let bad = [
            Tag::new(0, 0).with_payload(MAX_PAYLOAD + 1),
            Tag::new(0, 0).with_caps(5),
            Tag::new(0, 0).with_leases(5),
            Tag::from_raw(1 << 49),
            Tag::new(0, 0).delivered(Delivery::Event, 0),
            Tag::new(0, 0).delivered(Delivery::Call, 1),
        ];
        for tag in bad {
            assert_eq!(w.make(p.client, sys(Sysno::Call).on(p.send).tag(tag)), Err(SysError::BadArgument), "{tag:?}");
            assert_eq!(w.make(p.client, sys(Sysno::Post).on(p.send).tag(tag)), Err(SysError::BadArgument), "{tag:?}");
        }
        for tag in [Tag::new(0, 0).with_payload(1), Tag::new(0, 0).with_caps(1), Tag::new(0, 0).with_leases(1)] {
            assert_eq!(w.make(p.client, sys(Sysno::Post).on(p.send).tag(tag)), Err(SysError::BadArgument));
        }
        assert!(w.waits(p.server), "nothing was delivered");
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        let id = w.received(p.server).id;
        for tag in bad.into_iter().chain([Tag::new(0, 0).with_leases(1)]) {
            let reply = sys(Sysno::Reply).token(id).tag(tag);
            assert_eq!(w.make(p.server, reply), Err(SysError::BadArgument), "{tag:?}");
            let reply = sys(Sysno::ReplyRecv).on(p.receive).token(id).tag(tag);
            assert_eq!(w.make(p.server, reply), Err(SysError::BadArgument), "{tag:?}");
        }
        assert!(w.waits(p.client));
        w.make(p.server, sys(Sysno::Reply).token(id)).unwrap();
        assert!(!w.waits(p.client));
    });
}

#[test]
fn a_token_is_good_once_and_only_for_the_process_that_received_the_call() {
    both_ways(|w| {
        let p = pair(w);
        let thief = w.actor(60);
        let other = w.queue(0);
        let onward = w.grant(thief, other, Rights::all(), 0);
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        let early = w.k.threads[p.client.thread].call;
        assert_eq!(w.make(p.server, sys(Sysno::Reply).token(early)), Err(SysError::BadToken), "not received yet");
        let id = w.receive(p.server, p.receive).id;
        assert_eq!(id, early);
        for forged in [0, 1, id + 1, id ^ 1 << 16, id | 1 << 63, u64::MAX] {
            assert_eq!(w.make(p.server, sys(Sysno::Reply).token(forged)), Err(SysError::BadToken));
        }
        for number in [Sysno::Reply, Sysno::LeaseRead, Sysno::LeaseWrite] {
            let call = sys(number).token(id).words(&[0, 0x10_0000, 0]);
            assert_eq!(w.make(thief, call), Err(SysError::BadToken), "stolen");
        }
        assert_eq!(w.make(thief, sys(Sysno::Forward).on(onward).token(id)), Err(SysError::BadToken));
        w.make(p.server, sys(Sysno::Reply).token(id)).unwrap();
        assert_eq!(w.make(p.server, sys(Sysno::Reply).token(id)), Err(SysError::BadToken), "used twice");
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        assert_eq!(w.make(p.server, sys(Sysno::Reply).token(id)), Err(SysError::BadToken), "late");
        w.begin(p.server, sys(Sysno::ReplyRecv).on(p.receive).token(id));
        let next = w.received(p.server).id;
        assert_ne!(next, id, "the late reply is dropped and the receive goes on");
        assert!(w.waits(p.client));
    });
}

#[test]
fn another_thread_of_the_server_may_answer_what_the_first_received() {
    both_ways(|w| {
        let p = pair(w);
        let second = w.thread_in(p.server.handle, p.server.account, PRIORITY);
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        let id = w.receive(p.server, p.receive).id;
        w.make(second, sys(Sysno::Reply).token(id).words(&[5])).unwrap();
        assert_eq!(w.result(p.client).unwrap()[0], 5);
    });
}

#[test]
fn a_server_holds_many_calls_and_answers_them_in_any_order() {
    both_ways(|w| {
        let p = pair(w);
        let mut pending = Vec::new();
        for n in 0..6 {
            let client = w.actor(50);
            let send = w.grant(client, p.queue, Rights::SEND, n + 1);
            w.begin(client, sys(Sysno::Call).on(send).words(&[n]));
            pending.push((client, n, w.receive(p.server, p.receive).id));
        }
        for place in [3, 0, 3, 1, 1, 0] {
            let (client, n, id) = pending.remove(place);
            w.make(p.server, sys(Sysno::Reply).token(id).words(&[n * 2])).unwrap();
            assert_eq!(w.result(client).unwrap()[0], n * 2);
            w.audit();
        }
    });
}

#[test]
fn posted_messages_wait_in_the_ring_in_order_and_a_full_ring_is_told() {
    both_ways(|w| {
        let p = pair(w);
        let post = |n: u64| sys(Sysno::Post).on(p.send).tag(Tag::new(3, n as u16)).words(&[n, n + 1]);
        for round in 0..3 {
            w.make(p.client, post(round)).unwrap();
            w.make(p.client, post(round + 10)).unwrap();
            assert_eq!(w.make(p.client, post(99)), Err(SysError::WouldBlock));
            for n in [round, round + 10] {
                let got = w.receive(p.server, p.receive);
                assert_eq!((got.badge, got.id, got.words[..2].to_vec()), (77, 0, vec![n, n + 1]));
                assert_eq!(got.tag, Tag::new(3, n as u16).delivered(Delivery::Post, 0));
            }
        }
        w.begin(p.server, sys(Sysno::Recv).on(p.receive));
        w.make(p.client, post(7)).unwrap();
        assert_eq!(w.received(p.server).words[0], 7, "to a waiting receiver at once");
    });
}

#[test]
fn a_queue_without_a_ring_takes_posts_only_for_a_receiver_that_waits() {
    let mut w = World::new();
    let (queue, server) = (w.queue(0), w.actor(60));
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    assert_eq!(w.make(w.init, sys(Sysno::Post).on(queue)), Err(SysError::WouldBlock));
    w.begin(server, sys(Sysno::Recv).on(receive));
    w.make(w.init, sys(Sysno::Post).on(queue)).unwrap();
    assert!(!w.waits(server));
}

#[test]
fn calls_and_posted_messages_are_received_turn_about() {
    let mut w = World::new();
    let p = pair(&mut w);
    for n in 0..2 {
        w.make(p.client, sys(Sysno::Post).on(p.send).words(&[n])).unwrap();
        let client = w.actor(60);
        let send = w.grant(client, p.queue, Rights::SEND, 0);
        w.begin(client, sys(Sysno::Call).on(send).words(&[n + 10]));
    }
    let mut how: Vec<Delivery> = (0..4).map(|_| w.receive(p.server, p.receive).tag.delivery()).collect();
    how.dedup();
    assert_eq!(how.len(), 4, "{how:?}");
}

#[test]
fn a_forwarded_call_keeps_its_id_and_words_and_gets_the_badge_of_the_next_queue() {
    both_ways(|w| {
        let p = pair(w);
        let (below, deep) = (w.queue(0), w.actor(60));
        let onward = w.grant(p.server, below, Rights::SEND, 1234);
        let deep_receive = w.grant(deep, below, Rights::RECEIVE, 0);
        for (deep_first, and_receive) in [(false, false), (true, false), (false, true), (true, true)] {
            if deep_first {
                w.begin(deep, sys(Sysno::Recv).on(deep_receive));
            }
            w.set_payload(p.client, b"carried along");
            w.begin(p.client, sys(Sysno::Call).on(p.send).tag(Tag::new(1, 2).with_payload(13)).words(&WORDS));
            let id = w.receive(p.server, p.receive).id;
            if and_receive {
                w.begin(p.server, sys(Sysno::ForwardRecv).on(onward).with(p.receive).token(id));
            } else {
                w.make(p.server, sys(Sysno::Forward).on(onward).token(id)).unwrap();
                assert_eq!(w.make(p.server, sys(Sysno::Reply).token(id)), Err(SysError::BadToken), "given away");
            }
            if !deep_first {
                w.begin(deep, sys(Sysno::Recv).on(deep_receive));
            }
            let got = w.received(deep);
            assert_eq!((got.id, got.badge, got.words), (id, 1234, WORDS));
            assert_eq!((got.tag.attempt(), w.payload(deep, 13)), (0, b"carried along".to_vec()));
            w.make(deep, sys(Sysno::Reply).token(id).words(&[8])).unwrap();
            assert_eq!(w.result(p.client).unwrap()[0], 8);
            if and_receive {
                w.make(p.client, sys(Sysno::Post).on(p.send)).unwrap();
            }
            w.audit();
        }
    });
}

#[test]
fn a_refused_forward_receives_nothing_and_keeps_the_token() {
    let mut w = World::new();
    let p = pair(&mut w);
    w.begin(p.client, sys(Sysno::Call).on(p.send));
    let id = w.receive(p.server, p.receive).id;
    w.make(w.init, sys(Sysno::Post).on(p.queue)).unwrap();
    for bad in [Handle::NONE, p.receive] {
        let forward = sys(Sysno::ForwardRecv).on(bad).with(p.receive).token(id);
        assert!(matches!(w.make(p.server, forward), Err(SysError::BadHandle | SysError::MissingRights)));
    }
    let onward = w.grant(p.server, p.queue, Rights::SEND, 0);
    let forward = sys(Sysno::ForwardRecv).on(onward).with(p.receive).token(id + 1);
    assert_eq!(w.make(p.server, forward), Err(SysError::BadToken));
    let posted = w.receive(p.server, p.receive);
    assert_eq!(posted.tag.delivery(), Delivery::Post, "it is still there");
    w.make(p.server, sys(Sysno::Reply).token(id)).unwrap();
}

#[test]
fn payload_travels_both_ways_up_to_its_limit_and_no_byte_further() {
    both_ways(|w| {
        let p = pair(w);
        for bytes in [0, 1, 7, 8, 1023, 1024] {
            let text: Vec<u8> = (0..1024).map(|n| (n * 7 + bytes) as u8).collect();
            w.set_payload(p.client, &text);
            w.set_payload(p.server, &[0xee; 1024]);
            w.begin(p.client, sys(Sysno::Call).on(p.send).tag(Tag::new(0, 0).with_payload(bytes)));
            let got = w.receive(p.server, p.receive);
            let there = w.payload(p.server, 1024);
            assert_eq!(there[..bytes], text[..bytes]);
            assert!(there[bytes..].iter().all(|b| *b == 0xee));
            w.set_payload(p.server, &[bytes as u8; 1024]);
            let tag = Tag::new(0, 0).with_payload(1024 - bytes);
            w.make(p.server, sys(Sysno::Reply).token(got.id).tag(tag)).unwrap();
            let back = w.payload(p.client, 1024);
            assert!(back[..1024 - bytes].iter().all(|b| *b == bytes as u8));
            assert_eq!(back[1024 - bytes..], text[1024 - bytes..]);
        }
    });
}

#[test]
fn capabilities_in_a_message_are_derived_with_no_more_rights_than_the_sender_s() {
    both_ways(|w| {
        let p = pair(w);
        let (event, other) = (w.event(), w.queue(0));
        let weak = w.grant(p.client, event, Rights::SIGNAL, 0);
        let mint = w.grant(p.client, other, Rights::SEND | Rights::MINT, 5);
        let caps = [
            CapDescriptor::copy(weak, Rights::all()),
            CapDescriptor::mint(mint, Rights::SEND, 99),
            CapDescriptor::copy(mint, Rights::empty()),
            CapDescriptor::copy(p.send, Rights::SEND),
        ];
        w.set_caps(p.client, &caps);
        w.begin(p.client, sys(Sysno::Call).on(p.send).tag(Tag::new(0, 0).with_caps(MAX_CAPS)));
        let id = w.receive(p.server, p.receive).id;
        let expected = [(6, Rights::SIGNAL, 0), (5, Rights::SEND, 99), (5, Rights::empty(), 5), (5, Rights::SEND, 77)];
        for (n, (kind, rights, badge)) in expected.into_iter().enumerate() {
            let handle = w.received_cap(p.server, n);
            let words = w.make(p.server, sys(Sysno::Inspect).on(handle)).unwrap();
            assert_eq!(words[..3], [kind, rights.bits().into(), badge]);
        }
        w.audit();
        // What the sender gives up goes from the receiver's table with a revoke, not with a close.
        let taken = w.received_cap(p.server, 0);
        w.make(w.init, sys(Sysno::Revoke).on(event)).unwrap();
        assert_eq!(w.make(p.server, sys(Sysno::Inspect).on(taken)), Err(SysError::BadHandle));
        let back = w.received_cap(p.server, 1);
        w.set_caps(p.server, &[CapDescriptor::copy(back, Rights::all())]);
        w.make(p.server, sys(Sysno::Reply).token(id).tag(Tag::new(0, 0).with_caps(1))).unwrap();
        let handle = w.received_cap(p.client, 0);
        assert_eq!(w.make(p.client, sys(Sysno::Inspect).on(handle)).unwrap()[..3], [5, 1, 99]);
    });
}

#[test]
fn a_message_with_a_capability_that_the_sender_lacks_is_refused_before_anybody_sees_it() {
    both_ways(|w| {
        let p = pair(w);
        w.begin(p.server, sys(Sysno::Recv).on(p.receive));
        let tag = Tag::new(0, 0).with_caps(2);
        let good = CapDescriptor::copy(p.send, Rights::all());
        for (bad, error) in [
            (CapDescriptor::copy(Handle::NONE, Rights::all()), SysError::BadHandle),
            (CapDescriptor::copy(Handle::new(p.send.index(), 77), Rights::all()), SysError::BadHandle),
            (CapDescriptor::mint(p.send, Rights::all(), 1), SysError::MissingRights),
        ] {
            w.set_caps(p.client, &[good, bad]);
            assert_eq!(w.make(p.client, sys(Sysno::Call).on(p.send).tag(tag)), Err(error));
        }
        assert!(w.waits(p.server));
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        let id = w.received(p.server).id;
        w.set_caps(p.server, &[CapDescriptor::copy(Handle::NONE, Rights::all())]);
        let reply = sys(Sysno::Reply).token(id).tag(Tag::new(0, 0).with_caps(1));
        assert_eq!(w.make(p.server, reply), Err(SysError::BadHandle));
        assert!(w.waits(p.client), "the reply was not sent");
    });
}

#[test]
fn a_capability_that_finds_no_room_arrives_as_none_and_the_message_all_the_same() {
    let mut w = World::new();
    let p = pair(&mut w);
    let account: Ref<crate::account::Account> = w.object(w.init, p.server.account);
    // The server's table has one page; it is filled, and its account too.
    let own = w.grant(p.server, p.queue, Rights::RECEIVE, 0);
    while w.k.processes[p.server.process].caps_table.pages() == 1 {
        let room = w.k.accounts[account].limit - w.k.accounts[account].used;
        w.k.accounts[account].charge(crate::account::Purpose::Other, room).unwrap();
        let full = w.make(p.server, sys(Sysno::Duplicate).on(own)).is_err();
        w.k.accounts[account].refund(crate::account::Purpose::Other, room);
        if full {
            w.k.accounts[account].charge(crate::account::Purpose::Other, room).unwrap();
            w.set_caps(p.client, &[CapDescriptor::copy(p.send, Rights::all())]);
            w.begin(p.client, sys(Sysno::Call).on(p.send).tag(Tag::new(0, 0).with_caps(1)).words(&[3]));
            assert_eq!(w.receive(p.server, p.receive).words[0], 3);
            assert_eq!(w.received_cap(p.server, 0), Handle::NONE);
            w.k.accounts[account].refund(crate::account::Purpose::Other, room);
            w.audit();
            return;
        }
    }
    panic!("the table was never full");
}

#[test]
fn a_call_that_was_not_received_by_its_deadline_timed_out_and_one_that_was_has_an_unknown_outcome() {
    both_ways(|w| {
        let p = pair(w);
        let timed = sys(Sysno::Call).on(p.send).flags(CallFlags::DEADLINE);
        w.set_deadline(p.client, w.k.machine.now + SECOND);
        w.begin(p.client, timed);
        w.pass(SECOND / 2);
        assert!(w.waits(p.client));
        w.pass(SECOND);
        assert_eq!(w.result(p.client), Err(SysError::TimedOut));
        w.audit();
        for forwarded in [false, true] {
            w.set_deadline(p.client, w.k.machine.now + SECOND);
            w.begin(p.client, timed);
            let id = w.receive(p.server, p.receive).id;
            if forwarded {
                let (nowhere, onward) = (w.queue(0), p.server);
                let onward_send = w.grant(onward, nowhere, Rights::SEND, 0);
                w.make(p.server, sys(Sysno::Forward).on(onward_send).token(id)).unwrap();
            }
            w.pass(2 * SECOND);
            assert_eq!(w.result(p.client), Err(SysError::OutcomeUnknown), "forwarded: {forwarded}");
            assert_eq!(w.make(p.server, sys(Sysno::Reply).token(id)), Err(SysError::BadToken));
            w.audit();
        }
        w.set_deadline(p.client, w.k.machine.now);
        assert_eq!(w.make(p.client, timed), Err(SysError::TimedOut), "a deadline that has passed: do not wait");
    });
}

#[test]
fn a_receive_with_a_deadline_takes_what_is_there_or_times_out() {
    both_ways(|w| {
        let p = pair(w);
        let receive = sys(Sysno::Recv).on(p.receive).flags(CallFlags::DEADLINE);
        w.set_deadline(p.server, 0);
        assert_eq!(w.make(p.server, receive), Err(SysError::TimedOut));
        w.make(p.client, sys(Sysno::Post).on(p.send).words(&[6])).unwrap();
        assert_eq!(w.make(p.server, receive).unwrap()[0], 6);
        w.set_deadline(p.server, w.k.machine.now + MILLISECOND);
        w.begin(p.server, receive);
        assert!(w.waits(p.server));
        w.pass(2 * MILLISECOND);
        assert_eq!(w.result(p.server), Err(SysError::TimedOut));
        // A call goes to nobody who has given up.
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        assert!(w.waits(p.client) && !w.waits(p.server));
    });
}

#[test]
fn a_call_without_a_deadline_ends_when_its_patience_does() {
    both_ways(|w| {
        let p = pair(w);
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        w.pass(Sysno::CALL_PATIENCE - SECOND);
        assert!(w.waits(p.client));
        w.pass(4 * SECOND);
        assert_eq!(w.result(p.client), Err(SysError::TimedOut));
        w.begin(p.server, sys(Sysno::Recv).on(p.receive));
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        w.pass(Sysno::CALL_PATIENCE + 3 * SECOND);
        assert_eq!(w.result(p.client), Err(SysError::OutcomeUnknown));
        w.audit();
    });
}

#[test]
fn a_call_that_would_close_a_cycle_is_refused() {
    both_ways(|w| {
        let p = pair(w);
        let own = w.grant(p.server, p.queue, Rights::SEND, 0);
        // To itself, once it is the one that serves the queue.
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        let id = w.receive(p.server, p.receive).id;
        assert_eq!(w.make(p.server, sys(Sysno::Call).on(own)), Err(SysError::Deadlock));
        // In a ring of three.
        let (second, third) = (w.queue(0), w.queue(0));
        let (b, c) = (w.actor(60), w.actor(60));
        let to_second = w.grant(p.server, second, Rights::SEND, 0);
        let (b_receive, b_send) = (w.grant(b, second, Rights::RECEIVE, 0), w.grant(b, third, Rights::SEND, 0));
        let (c_receive, c_send) = (w.grant(c, third, Rights::RECEIVE, 0), w.grant(c, p.queue, Rights::SEND, 0));
        w.begin(b, sys(Sysno::Recv).on(b_receive));
        w.begin(c, sys(Sysno::Recv).on(c_receive));
        w.begin(p.server, sys(Sysno::Call).on(to_second));
        w.begin(b, sys(Sysno::Call).on(b_send));
        assert_eq!(w.make(c, sys(Sysno::Call).on(c_send)), Err(SysError::Deadlock));
        let c_id = w.k.threads[b.thread].call;
        w.make(c, sys(Sysno::Reply).token(c_id)).unwrap();
        let b_id = w.k.threads[p.server.thread].call;
        w.make(b, sys(Sysno::Reply).token(b_id)).unwrap();
        w.make(p.server, sys(Sysno::Reply).token(id)).unwrap();
        assert!(!w.waits(p.client));
    });
}

#[test]
fn whoever_waits_at_a_queue_that_goes_is_told() {
    both_ways(|w| {
        let p = pair(w);
        let (held, other) = (w.actor(60), w.actor(60));
        let send = w.grant(held, p.queue, Rights::SEND, 0);
        w.begin(held, sys(Sysno::Call).on(send));
        let id = w.receive(p.server, p.receive).id;
        w.begin(p.client, sys(Sysno::Call).on(p.send));
        w.make(w.init, sys(Sysno::Revoke).on(p.queue)).unwrap();
        assert!(w.waits(p.client), "the queue is still there");
        w.make(w.init, sys(Sysno::Close).on(p.queue)).unwrap();
        assert_eq!(w.finish(p.client), Err(SysError::Closed));
        w.audit();
        assert_eq!(w.make(p.client, sys(Sysno::Call).on(p.send)), Err(SysError::BadHandle));
        w.make(p.server, sys(Sysno::Reply).token(id).words(&[1])).unwrap();
        assert_eq!(w.result(held).unwrap()[0], 1, "what was received is still answered");
        assert!(!w.waits(other));
        let next = w.queue(0);
        let receive = w.grant(p.server, next, Rights::RECEIVE, 0);
        w.begin(p.server, sys(Sysno::Recv).on(receive));
        w.make(w.init, sys(Sysno::Revoke).on(next)).unwrap();
        w.make(w.init, sys(Sysno::Close).on(next)).unwrap();
        assert_eq!(w.finish(p.server), Err(SysError::Closed));
    });
}

// Two worlds side by side.

/// What programs can see: registers, and who waits.
fn visible(w: &World, actors: &[Actor]) -> Vec<String> {
    let view = |a: &Actor| {
        let t = &w.k.threads[a.thread];
        let r = &t.context.registers;
        // Whoever waits does not see its status register yet.
        let rax = if t.wait == Wait::Nothing { r.rax } else { 0 };
        let page = t.message.expect("a message page");
        let body = (w.k.mm.words::<2>(page, 0), w.k.mm.word(page, offset_of!(MessagePage, received) / 8));
        let timed = t.deadline != NEVER;
        let registers = format!("rax {rax} rdi {} rsi {:x} r15 {} {:?}", r.rdi, r.rsi, r.r15, t.words());
        format!("{:?} {registers} {body:x?} timed {timed} priority {}", t.wait, t.priority)
    };
    actors.iter().map(view).chain([format!("{:?}", w.k.current)]).collect()
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn the_handoff_has_every_effect_of_the_general_path(
        steps in proptest::collection::vec((0..6usize, 0..13u8, 0..4u64, 0..4u8, 10..14u8), 1..60),
    ) {
        let run = |way: Way| {
            let mut w = World::new();
            let queues = [w.queue(1), w.queue(0)];
            let event = w.event();
            let actors: Vec<Actor> = (0..6).map(|_| w.actor(60)).collect();
            let mut caps = Vec::new();
            for (n, actor) in actors.iter().enumerate() {
                let event = w.grant(*actor, event, Rights::all(), 0);
                caps.push((queues.map(|q| w.grant(*actor, q, Rights::all(), n as u64 + 1)), event));
            }
            w.way = way;
            let mut seen = Vec::new();
            for (who, what, which, body, priority) in &steps {
                let actor = actors[*who];
                for other in actors.iter().chain([&w.init]).copied().collect::<Vec<_>>() {
                    if !w.waits(other) {
                        w.raise(other, PRIORITY);
                    }
                }
                if w.waits(actor) {
                    continue;
                }
                w.switch_to(actor.thread);
                w.raise(actor, *priority);
                let (queues, event) = caps[*who];
                let (queue, other) = (queues[(*which % 2) as usize], queues[(1 - *which % 2) as usize]);
                let held: Vec<u64> = actors.iter().map(|a| &w.k.threads[a.thread])
                    .filter(|t| t.holder == Some(actor.process)).map(|t| t.call).collect();
                let token = held.get((*which / 2) as usize).copied().unwrap_or(1);
                let words = [*which + 10, who.wrapping_mul(7) as u64];
                // Some messages have a payload, or a capability; some waits end in the far future.
                w.write_words(actor, 0, &[seen.len() as u64, u64::from(*priority)]);
                w.write_words(actor, offset_of!(MessagePage, caps), &[queue.raw(), Rights::SEND.bits().into(), 0]);
                w.write_words(actor, offset_of!(MessagePage, deadline), &[w.k.machine.now + 1_000_000 * SECOND]);
                let tag = Tag::new(0, 7).with_payload(if *body & 1 != 0 { 16 } else { 0 });
                let tag = tag.with_caps(usize::from(*body & 2 != 0));
                let until = if *body == 3 { CallFlags::DEADLINE } else { CallFlags::empty() };
                w.make_current(match what {
                    0 | 1 => sys(Sysno::Call).on(queue).tag(tag).words(&words).flags(until),
                    2 => sys(Sysno::Recv).on(queue).flags(until),
                    3 => sys(Sysno::Reply).token(token).tag(tag).words(&words),
                    4 | 5 => sys(Sysno::ReplyRecv).on(queue).token(token).tag(tag).words(&words).flags(until),
                    6 => sys(Sysno::Post).on(queue).words(&words),
                    7 | 8 => sys(Sysno::ForwardRecv).on(other).with(queue).token(token).flags(until),
                    9 => sys(Sysno::Forward).on(other).token(token),
                    10 => sys(Sysno::EventSignal).on(event).words(&[1 << *which]),
                    11 => sys(Sysno::EventWait).on(event).words(&[1 << *which]).flags(until),
                    _ => sys(Sysno::Yield),
                });
                seen.push(visible(&w, &actors));
                w.audit();
            }
            seen
        };
        prop_assert_eq!(run(Way::Handoff), run(Way::General));
    }
}

// A model of queues.

/// A call as the model knows it.
#[derive(Clone, Debug)]
struct Sent {
    word: u64,
    badge: u64,
    priority: u8,
    order: u64,
    attempts: u8,
}

#[derive(Default)]
struct ModelQueue {
    callers: Vec<(usize, Sent)>,
    ring: VecDeque<u64>,
    receivers: VecDeque<usize>,
    ring_first: bool,
}

impl ModelQueue {
    /// Behind those of its priority.
    fn push(&mut self, client: usize, call: Sent) {
        let at = self.callers.iter().position(|(_, c)| c.priority < call.priority).unwrap_or(self.callers.len());
        self.callers.insert(at, (client, call));
    }
    /// Before the first of its priority that called later.
    fn push_back(&mut self, client: usize, call: Sent) {
        let later = |c: &Sent| c.priority < call.priority || c.priority == call.priority && c.order > call.order;
        let at = self.callers.iter().position(|(_, c)| later(c)).unwrap_or(self.callers.len());
        self.callers.insert(at, (client, call));
    }
}

const CLIENTS: usize = 5;
const SERVERS: usize = 3;
const RING: usize = 2;

/// What a server last received, as the model expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Call { word: u64, badge: u64, attempt: u8 },
    Post { word: u64, badge: u64 },
}

struct Model {
    queues: [ModelQueue; 2],
    /// Calls that a server holds, of which client.
    held: Vec<Vec<(usize, Sent, usize)>>,
    /// What a server has received and not looked at.
    got: Vec<Option<Got>>,
    /// What a client's call came to.
    answers: Vec<Option<Result<u64, SysError>>>,
    calling: Vec<bool>,
    order: u64,
}

impl Model {
    fn new() -> Model {
        Model {
            queues: Default::default(),
            held: vec![Vec::new(); SERVERS],
            got: vec![None; SERVERS],
            answers: vec![None; CLIENTS],
            calling: vec![false; CLIENTS],
            order: 0,
        }
    }
    fn is_receiving(&self, server: usize) -> bool {
        self.queues.iter().any(|q| q.receivers.contains(&server))
    }
    fn deliver(&mut self, server: usize, queue: usize, client: usize, mut call: Sent) {
        self.got[server] = Some(Got::Call { word: call.word, badge: call.badge, attempt: call.attempts });
        call.attempts += 1;
        self.held[server].push((client, call, queue));
    }
    fn call(&mut self, client: usize, queue: usize, priority: u8, word: u64) {
        self.order += 1;
        let call = Sent { word, badge: client_badge(client, queue), priority, order: self.order, attempts: 0 };
        self.calling[client] = true;
        match self.queues[queue].receivers.pop_front() {
            Some(server) => self.deliver(server, queue, client, call),
            None => self.queues[queue].push(client, call),
        }
    }
    fn receive(&mut self, server: usize, queue: usize) {
        let q = &mut self.queues[queue];
        let ring_turn = !q.ring.is_empty() && (q.ring_first || q.callers.is_empty());
        if ring_turn {
            q.ring_first = false;
            let word = q.ring.pop_front().unwrap();
            self.got[server] = Some(Got::Post { word, badge: 900 + queue as u64 });
        } else if q.callers.is_empty() {
            q.receivers.push_back(server);
        } else {
            q.ring_first = true;
            let (client, call) = q.callers.remove(0);
            self.deliver(server, queue, client, call);
        }
    }
    fn answer(&mut self, server: usize, place: usize, word: u64) {
        let (client, ..) = self.held[server].remove(place);
        self.answers[client] = Some(Ok(word));
        self.calling[client] = false;
    }
    fn forward(&mut self, server: usize, place: usize, queue: usize) {
        let (client, mut call, _) = self.held[server].remove(place);
        (call.badge, call.attempts) = (server_badge(server, queue), 0);
        match self.queues[queue].receivers.pop_front() {
            Some(next) => self.deliver(next, queue, client, call),
            None => self.queues[queue].push(client, call),
        }
    }
    fn post(&mut self, queue: usize, word: u64) -> Result<(), SysError> {
        if let Some(server) = self.queues[queue].receivers.pop_front() {
            self.got[server] = Some(Got::Post { word, badge: 900 + queue as u64 });
        } else if self.queues[queue].ring.len() == RING {
            return Err(SysError::WouldBlock);
        } else {
            self.queues[queue].ring.push_back(word);
        }
        Ok(())
    }
    fn reset(&mut self, server: usize) {
        for q in &mut self.queues {
            q.receivers.retain(|r| *r != server);
        }
        let mut back = std::mem::take(&mut self.held[server]);
        back.sort_by_key(|(client, ..)| *client);
        for (client, call, queue) in back {
            if let Some(other) = self.queues[queue].receivers.pop_front() {
                self.deliver(other, queue, client, call);
            } else {
                self.queues[queue].push_back(client, call);
            }
        }
        self.got[server] = None;
    }
}

fn client_badge(client: usize, queue: usize) -> u64 {
    (100 * (client + 1) + queue) as u64
}

fn server_badge(server: usize, queue: usize) -> u64 {
    (5000 + 100 * server + queue) as u64
}

/// The kernel's side of the model test.
struct Stage {
    w: World,
    clients: Vec<(Actor, [Handle; 2])>,
    servers: Vec<(Actor, [Handle; 2])>,
    posts: [Handle; 2],
}

fn stage() -> Stage {
    let mut w = World::of(2048);
    let queues = [w.queue(RING as u64), w.queue(RING as u64)];
    let poster = w.init;
    let mint = |w: &mut World, n: usize| w.get(poster, sys(Sysno::Duplicate).on(queues[n]).words(&[1, 900 + n as u64]));
    let posts = [mint(&mut w, 0), mint(&mut w, 1)];
    let mut clients = Vec::new();
    for c in 0..CLIENTS {
        let actor = w.actor(40);
        clients.push((actor, [0, 1].map(|q| w.grant(actor, queues[q], Rights::SEND, client_badge(c, q)))));
    }
    let mut servers = Vec::new();
    for s in 0..SERVERS {
        let actor = w.actor(40);
        servers.push((actor, [0, 1].map(|q| w.grant(actor, queues[q], Rights::all(), server_badge(s, q)))));
    }
    Stage { w, clients, servers, posts }
}

impl Stage {
    /// Everybody who does not wait is of one priority again, so that anybody can be made to run.
    fn level(&mut self) {
        let all: Vec<Actor> = self.clients.iter().chain(&self.servers).map(|(a, _)| *a).chain([self.w.init]).collect();
        for actor in all {
            if !self.w.waits(actor) || matches!(self.w.k.threads[actor.thread].wait, Wait::Message(_)) {
                self.w.raise(actor, PRIORITY);
            }
        }
    }

    fn check(&mut self, model: &mut Model) {
        for (n, (client, _)) in self.clients.iter().enumerate() {
            assert_eq!(self.w.waits(*client), model.calling[n], "client {n}");
            if let Some(expected) = model.answers[n].take() {
                assert_eq!(self.w.result(*client).map(|words| words[0]), expected, "client {n}");
            }
        }
        for (n, (server, _)) in self.servers.iter().enumerate() {
            assert_eq!(self.w.waits(*server), model.is_receiving(n), "server {n}");
            if let Some(expected) = model.got[n].take() {
                let got = self.w.received(*server);
                let seen = match got.tag.delivery() {
                    Delivery::Call => Got::Call { word: got.words[0], badge: got.badge, attempt: got.tag.attempt() },
                    _ => Got::Post { word: got.words[0], badge: got.badge },
                };
                assert_eq!(seen, expected, "server {n}");
            }
        }
        self.w.audit();
    }

    fn token(&self, client: usize) -> u64 {
        self.w.k.threads[self.clients[client].0.thread].call
    }

    fn step(&mut self, model: &mut Model, step: (u8, usize, usize, u8), word: u64) {
        let (what, who, which, priority) = step;
        let queue = which % 2;
        let (client, server) = (who % CLIENTS, who % SERVERS);
        let (actor, caps) = self.servers[server];
        let free = !model.is_receiving(server);
        let held = model.held[server].len();
        let chosen = if held > 0 { which / 2 % held } else { 0 };
        let token = model.held[server].get(chosen).map_or(1, |(c, ..)| self.token(*c));
        self.level();
        match what {
            0..=4 if !model.calling[client] => {
                let (actor, caps) = self.clients[client];
                self.w.switch_to(actor.thread);
                self.w.raise(actor, priority);
                self.w.make_current(sys(Sysno::Call).on(caps[queue]).words(&[word]));
                model.call(client, queue, priority, word);
            }
            5 | 6 if free => {
                self.w.begin(actor, sys(Sysno::Recv).on(caps[queue]));
                model.receive(server, queue);
            }
            7 if free && held > 0 => {
                self.w.begin(actor, sys(Sysno::Reply).token(token).words(&[word]));
                model.answer(server, chosen, word);
            }
            8 | 9 if free => {
                self.w.begin(actor, sys(Sysno::ReplyRecv).on(caps[queue]).token(token).words(&[word]));
                if held > 0 {
                    model.answer(server, chosen, word);
                }
                model.receive(server, queue);
            }
            10 if free && held > 0 => {
                self.w.begin(actor, sys(Sysno::Forward).on(caps[queue]).token(token));
                model.forward(server, chosen, queue);
            }
            11 if free && held > 0 => {
                self.w.begin(actor, sys(Sysno::ForwardRecv).on(caps[queue]).with(caps[1 - queue]).token(token));
                model.forward(server, chosen, queue);
                model.receive(server, 1 - queue);
            }
            12 => {
                let posted = self.w.make(self.w.init, sys(Sysno::Post).on(self.posts[queue]).words(&[word]));
                assert_eq!(posted.map(|_| ()), model.post(queue, word));
            }
            13 => {
                self.w.raise(self.w.init, 20);
                self.w.make(self.w.init, sys(Sysno::ProcessReset).on(actor.handle)).unwrap();
                self.servers[server].0 = self.w.thread_in(actor.handle, actor.account, PRIORITY);
                self.w.raise(self.w.init, PRIORITY);
                model.reset(server);
            }
            _ => {}
        }
        self.level();
        self.check(model);
    }
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn queues_match_a_model_whatever_is_sent_answered_forwarded_and_killed(
        steps in proptest::collection::vec((0..14u8, 0..30usize, 0..8usize, 10..14u8), 1..80),
    ) {
        let mut stage = stage();
        let mut model = Model::new();
        for (n, step) in steps.into_iter().enumerate() {
            stage.step(&mut model, step, n as u64 + 1000);
        }
    }
}
