//! What becomes of calls when their server dies: they go back to the queue, until they have killed too often.

use super::*;
use abi::MAX_ATTEMPTS;

struct Service {
    queue: Handle,
    server: Actor,
    receive: Handle,
}

fn service(w: &mut World) -> Service {
    let (queue, server) = (w.queue(4), w.actor(60));
    let receive = w.grant(server, queue, Rights::RECEIVE | Rights::SEND, 0);
    Service { queue, server, receive }
}

fn client(w: &mut World, s: &Service, badge: u64) -> (Actor, Handle) {
    let client = w.actor(60);
    let send = w.grant(client, s.queue, Rights::SEND, badge);
    (client, send)
}

impl Service {
    /// The next incarnation, with a thread.
    fn restart(&mut self, w: &mut World) {
        w.make(w.init, sys(Sysno::ProcessReset).on(self.server.handle)).unwrap();
        self.server = w.thread_in(self.server.handle, self.server.account, PRIORITY);
    }
}

#[test]
fn the_next_incarnation_receives_the_same_calls_in_their_order_with_their_ids_and_marked() {
    for kill_first in [false, true] {
        let mut w = World::new();
        let mut s = service(&mut w);
        let clients: Vec<_> = (0..4).map(|n| client(&mut w, &s, n + 1)).collect();
        for (n, (actor, send)) in clients.iter().enumerate() {
            w.set_payload(*actor, &[n as u8; 16]);
            w.begin(*actor, sys(Sysno::Call).on(*send).tag(Tag::new(1, 1).with_payload(16)).words(&[n as u64, 42]));
        }
        let ids: Vec<u64> = (0..3).map(|_| w.receive(s.server, s.receive).id).collect();
        if kill_first {
            w.make(w.init, sys(Sysno::ProcessKill).on(s.server.handle)).unwrap();
            w.audit();
        }
        s.restart(&mut w);
        w.audit();
        for n in 0..4u64 {
            let got = w.receive(s.server, s.receive);
            assert_eq!((got.badge, got.words[0], got.words[1]), (n + 1, n, 42));
            assert_eq!(got.tag.attempt(), u8::from(n < 3), "marked as redelivered where it is");
            assert_eq!(w.payload(s.server, 16), [n as u8; 16]);
            if let Some(id) = ids.get(n as usize) {
                assert_eq!(got.id, *id);
            }
            w.make(s.server, sys(Sysno::Reply).token(got.id).words(&[n * 3])).unwrap();
            assert_eq!(w.result(clients[n as usize].0).unwrap()[0], n * 3);
        }
    }
}

#[test]
fn a_server_s_fault_and_its_own_exit_give_calls_back_as_a_kill_does() {
    for how in 0..3 {
        let mut w = World::new();
        let s = service(&mut w);
        let (actor, send) = client(&mut w, &s, 9);
        w.begin(actor, sys(Sysno::Call).on(send).words(&[5]));
        let id = w.receive(s.server, s.receive).id;
        match how {
            0 => w.begin(s.server, sys(Sysno::Exit)),
            1 => w.begin(s.server, sys(Sysno::ThreadExit)),
            _ => w.fault(s.server, 0, 0, 0),
        }
        w.audit();
        let again = w.receive(w.init, s.queue);
        assert_eq!((again.id, again.words[0], again.tag.attempt()), (id, 5, 1));
        w.make(w.init, sys(Sysno::Reply).token(id)).unwrap();
    }
}

#[test]
fn a_faulted_server_keeps_its_calls_until_its_supervisor_decides() {
    let mut w = World::new();
    let (queue, end, account) = (w.queue(0), w.event(), w.account(60));
    let server = w.actor_of(account, Some((end, 4)));
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    let mut s = Service { queue, server, receive };
    let (actor, send) = client(&mut w, &s, 1);
    w.begin(actor, sys(Sysno::Call).on(send));
    w.receive(s.server, s.receive);
    w.fault(s.server, 14, 4, 0xdead_b000);
    assert_eq!(w.make(w.init, sys(Sysno::EventWait).on(end).words(&[4])).unwrap()[0], 4);
    assert!(w.waits(actor));
    w.audit();
    s.restart(&mut w);
    assert_eq!(w.receive(s.server, s.receive).tag.attempt(), 1);
}

#[test]
fn a_call_that_has_killed_its_server_too_often_is_answered_server_died() {
    let mut w = World::new();
    let mut s = service(&mut w);
    let (poison, send) = client(&mut w, &s, 1);
    w.begin(poison, sys(Sysno::Call).on(send));
    for attempt in 0..MAX_ATTEMPTS {
        assert!(w.waits(poison));
        assert_eq!(w.receive(s.server, s.receive).tag.attempt(), attempt);
        w.fault(s.server, 14, 4, 0xdead_b000);
        s.restart(&mut w);
        w.audit();
    }
    assert_eq!(w.result(poison), Err(SysError::ServerDied));
    let (fine, send) = client(&mut w, &s, 2);
    w.begin(fine, sys(Sysno::Call).on(send));
    assert_eq!(w.receive(s.server, s.receive).badge, 2, "the service lives on");
}

#[test]
fn a_queue_says_how_often_a_server_may_die_at_a_call_of_it() {
    for allowed in [1, 2, 7, 255] {
        let mut w = World::new();
        let queue = w.get(w.init, sys(Sysno::QueueCreate).on(layout::INIT_ACCOUNT).words(&[0, allowed]));
        let server = w.actor(60);
        let receive = w.grant(server, queue, Rights::RECEIVE, 0);
        let mut s = Service { queue, server, receive };
        let (poison, send) = client(&mut w, &s, 1);
        w.begin(poison, sys(Sysno::Call).on(send));
        for death in 1..=allowed {
            assert!(w.waits(poison), "it was given up after {} of {allowed} deaths", death - 1);
            w.receive(s.server, s.receive);
            w.fault(s.server, 14, 4, 0xdead_b000);
            s.restart(&mut w);
        }
        assert_eq!(w.result(poison), Err(SysError::ServerDied), "after {allowed} deaths");
        w.audit();
    }
    let mut w = World::new();
    let more = sys(Sysno::QueueCreate).on(layout::INIT_ACCOUNT).words(&[0, 256]);
    assert_eq!(w.make(w.init, more), Err(SysError::BadArgument));
}

#[test]
fn a_call_that_a_server_merely_holds_outlives_any_number_of_its_deaths() {
    let mut w = World::new();
    let mut s = service(&mut w);
    let (parked, send) = client(&mut w, &s, 1);
    w.begin(parked, sys(Sysno::Call).on(send));
    for attempt in 0..3 * MAX_ATTEMPTS {
        assert_eq!(w.receive(s.server, s.receive).tag.attempt(), attempt);
        if attempt % 2 == 0 {
            // Another call is what the server is at when it faults.
            let (fatal, send) = client(&mut w, &s, 2);
            w.begin(fatal, sys(Sysno::Call).on(send).flags(CallFlags::ONCE));
            assert_eq!(w.receive(s.server, s.receive).badge, 2);
            w.fault(s.server, 14, 4, 0xdead_b000);
        }
        s.restart(&mut w);
        assert!(w.waits(parked), "death {attempt} was not its doing");
    }
    w.audit();
}

#[test]
fn a_call_to_be_delivered_once_is_answered_server_died_at_the_first_death() {
    let mut w = World::new();
    let mut s = service(&mut w);
    let (actor, send) = client(&mut w, &s, 1);
    let once = sys(Sysno::Call).on(send).flags(CallFlags::ONCE);
    w.begin(actor, once);
    s.restart(&mut w);
    assert!(w.waits(actor), "not received: nothing has happened to it");
    w.receive(s.server, s.receive);
    s.restart(&mut w);
    assert_eq!(w.result(actor), Err(SysError::ServerDied));
    w.audit();
}

#[test]
fn a_redelivered_call_that_runs_out_of_time_or_loses_its_queue_has_an_unknown_outcome() {
    let mut w = World::new();
    let mut s = service(&mut w);
    let (actor, send) = client(&mut w, &s, 1);
    w.set_deadline(actor, w.k.machine.now + SECOND);
    w.begin(actor, sys(Sysno::Call).on(send).flags(CallFlags::DEADLINE));
    w.receive(s.server, s.receive);
    s.restart(&mut w);
    w.pass(2 * SECOND);
    assert_eq!(w.result(actor), Err(SysError::OutcomeUnknown), "the dead server had received it");
    w.begin(actor, sys(Sysno::Call).on(send));
    w.receive(s.server, s.receive);
    s.restart(&mut w);
    w.make(w.init, sys(Sysno::Revoke).on(s.queue)).unwrap();
    w.make(w.init, sys(Sysno::Close).on(s.queue)).unwrap();
    assert_eq!(w.finish(actor), Err(SysError::OutcomeUnknown));
    w.audit();
}

#[test]
fn a_call_whose_queue_is_gone_dies_with_its_server() {
    let mut w = World::new();
    let s = service(&mut w);
    let (actor, send) = client(&mut w, &s, 1);
    w.begin(actor, sys(Sysno::Call).on(send));
    w.receive(s.server, s.receive);
    w.make(w.init, sys(Sysno::Revoke).on(s.queue)).unwrap();
    w.make(w.init, sys(Sysno::Close).on(s.queue)).unwrap();
    w.audit();
    w.make(w.init, sys(Sysno::ProcessKill).on(s.server.handle)).unwrap();
    assert_eq!(w.finish(actor), Err(SysError::ServerDied));
    w.audit();
}

#[test]
fn a_client_that_dies_takes_its_call_along_wherever_that_is() {
    let mut w = World::new();
    let s = service(&mut w);
    let (waiting, send) = client(&mut w, &s, 1);
    w.begin(waiting, sys(Sysno::Call).on(send));
    w.make(w.init, sys(Sysno::ProcessKill).on(waiting.handle)).unwrap();
    let (held, send) = client(&mut w, &s, 2);
    w.begin(held, sys(Sysno::Call).on(send));
    let got = w.receive(s.server, s.receive);
    assert_eq!(got.badge, 2, "the first is gone");
    w.make(w.init, sys(Sysno::ProcessKill).on(held.handle)).unwrap();
    w.audit();
    assert_eq!(w.make(s.server, sys(Sysno::Reply).token(got.id)), Err(SysError::BadToken));
    assert_eq!(w.k.processes[s.server.process].held, 0);
}

#[test]
fn client_and_server_may_die_together() {
    let mut w = World::new();
    let s = service(&mut w);
    let (actor, send) = client(&mut w, &s, 1);
    w.begin(actor, sys(Sysno::Call).on(send));
    w.receive(s.server, s.receive);
    w.raise(w.init, PRIORITY + 5);
    w.make(w.init, sys(Sysno::ProcessKill).on(s.server.handle)).unwrap();
    w.make(w.init, sys(Sysno::AccountDestroy).on(actor.account)).unwrap();
    w.audit();
    let handle = actor.handle;
    assert_eq!(w.make(w.init, sys(Sysno::Inspect).on(handle)), Err(SysError::BadHandle));
    assert!(w.k.queues[w.object(w.init, s.queue)].callers.is_empty());
}

#[test]
fn a_waiting_successor_gets_the_calls_of_the_dead_at_once() {
    let mut w = World::new();
    let s = service(&mut w);
    let (actor, send) = client(&mut w, &s, 1);
    let standby = w.actor(60);
    let receive = w.grant(standby, s.queue, Rights::RECEIVE, 0);
    w.begin(actor, sys(Sysno::Call).on(send).words(&[8]));
    let id = w.receive(s.server, s.receive).id;
    w.begin(standby, sys(Sysno::Recv).on(receive));
    w.make(w.init, sys(Sysno::ProcessKill).on(s.server.handle)).unwrap();
    let got = w.received(standby);
    assert_eq!((got.id, got.words[0], got.tag.attempt()), (id, 8, 1));
    w.make(standby, sys(Sysno::Reply).token(id)).unwrap();
    assert!(!w.waits(actor));
}

#[test]
fn capabilities_are_derived_afresh_for_the_next_incarnation() {
    let mut w = World::new();
    let mut s = service(&mut w);
    let (actor, send) = client(&mut w, &s, 1);
    let event = w.event();
    let event = w.grant(actor, event, Rights::SIGNAL, 0);
    w.set_caps(actor, &[CapDescriptor::copy(event, Rights::all())]);
    w.begin(actor, sys(Sysno::Call).on(send).tag(Tag::new(0, 0).with_caps(1)));
    let total = w.audit().capabilities;
    for _ in 0..2 {
        w.receive(s.server, s.receive);
        let handle = w.received_cap(s.server, 0);
        w.make(s.server, sys(Sysno::EventSignal).on(handle).words(&[1])).unwrap();
        s.restart(&mut w);
        w.audit();
    }
    // The two dead threads' capabilities stay with init, which made them.
    assert_eq!(w.audit().capabilities, total);
}

#[test]
fn a_message_that_arrives_while_the_server_is_stopped_waits_for_the_next_incarnation() {
    let mut w = World::new();
    let (queue, end, account) = (w.queue(4), w.event(), w.account(80));
    let server = w.actor_of(account, Some((end, 1)));
    let second = w.thread_in(server.handle, account, PRIORITY);
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    w.begin(second, sys(Sysno::Recv).on(receive));
    w.fault(server, 6, 0, 0);
    w.make(w.init, sys(Sysno::Post).on(queue).words(&[3])).unwrap();
    let mut s = Service { queue, server, receive };
    s.restart(&mut w);
    assert_eq!(w.receive(s.server, s.receive).words[0], 3);
}

#[test]
fn a_signal_that_comes_while_its_waiter_is_stopped_waits_for_the_next_incarnation() {
    let mut w = World::new();
    let (queue, event, end, account) = (w.queue(0), w.event(), w.event(), w.account(80));
    let server = w.actor_of(account, Some((end, 1)));
    let second = w.thread_in(server.handle, account, PRIORITY);
    let wait = w.grant(server, event, Rights::WAIT, 0);
    w.begin(second, sys(Sysno::EventWait).on(wait).words(&[6]));
    w.fault(server, 6, 0, 0);
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[2])).unwrap();
    w.audit();
    let mut s = Service { queue, server, receive: wait };
    s.restart(&mut w);
    assert_eq!(w.make(s.server, sys(Sysno::EventWait).on(wait).words(&[6])).unwrap()[0], 2);
}

#[test]
fn without_redelivery_a_call_dies_with_its_server_and_one_that_was_not_received_waits_for_the_next() {
    let mut w = World::new();
    w.k.redelivers = false;
    let mut s = service(&mut w);
    let (taken, waiting) = (client(&mut w, &s, 1), client(&mut w, &s, 2));
    for (actor, send) in [taken, waiting] {
        w.begin(actor, sys(Sysno::Call).on(send).tag(Tag::new(1, 1)));
    }
    w.receive(s.server, s.receive);
    s.restart(&mut w);
    assert_eq!(w.result(taken.0), Err(SysError::ServerDied));
    let got = w.receive(s.server, s.receive);
    assert_eq!((got.badge, got.tag.attempt()), (2, 0));
    w.make(s.server, sys(Sysno::Reply).token(got.id)).unwrap();
    w.result(waiting.0).unwrap();
    w.audit();
}
