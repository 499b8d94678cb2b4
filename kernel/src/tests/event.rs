//! Events: bits that are never lost, waited for or bound.

use super::*;
use abi::Delivery;
use proptest::prelude::*;

#[test]
fn bits_are_kept_until_somebody_waits_for_them_and_each_is_given_once() {
    let mut w = World::new();
    let (event, init) = (w.event(), w.init);
    w.make(init, sys(Sysno::EventSignal).on(event).words(&[0b0110])).unwrap();
    w.make(init, sys(Sysno::EventSignal).on(event).words(&[0b1000])).unwrap();
    let wait = |mask| sys(Sysno::EventWait).on(event).words(&[mask]);
    assert_eq!(w.make(init, wait(0b0011)).unwrap()[0], 0b0010);
    assert_eq!(w.make(init, wait(u64::MAX)).unwrap()[0], 0b1100);
    w.set_deadline(init, w.k.machine.now + MILLISECOND);
    w.begin(init, wait(u64::MAX).flags(CallFlags::DEADLINE));
    w.pass(2 * MILLISECOND);
    assert_eq!(w.result(init), Err(SysError::TimedOut));
    w.audit();
}

#[test]
fn a_signal_wakes_the_waiter_of_one_of_its_bits_alone() {
    let mut w = World::new();
    let event = w.event();
    let actor = w.actor(60);
    let wait = w.grant(actor, event, Rights::WAIT, 0);
    w.begin(actor, sys(Sysno::EventWait).on(wait).words(&[0b100]));
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[0b011])).unwrap();
    assert!(w.waits(actor));
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[0b100])).unwrap();
    assert_eq!(w.result(actor).unwrap()[0], 0b100);
    assert_eq!(w.make(w.init, sys(Sysno::EventWait).on(event).words(&[u64::MAX])).unwrap()[0], 0b011);
}

#[test]
fn a_waiter_more_urgent_than_the_signaller_runs_at_once() {
    let mut w = World::new();
    let event = w.event();
    let actor = w.actor(60);
    let wait = w.grant(actor, event, Rights::WAIT, 0);
    w.begin(actor, sys(Sysno::EventWait).on(wait).words(&[1]));
    w.raise(actor, PRIORITY + 1);
    w.begin(w.init, sys(Sysno::EventSignal).on(event).words(&[1]));
    assert_eq!(w.k.current, Some(actor.thread));
}

#[test]
fn where_the_sweep_of_patience_rests_signals_are_handed_over_and_calls_are_not() {
    let mut w = World::new();
    let (event, queue) = (w.event(), w.queue(0));
    let (waiter, server, client) = (w.actor(60), w.actor(60), w.actor(60));
    let wait = w.grant(waiter, event, Rights::WAIT, 0);
    let signal = w.grant(client, event, Rights::SIGNAL, 0);
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    let send = w.grant(client, queue, Rights::SEND, 0);
    // The server has received before: it is the one that callers wait for.
    w.begin(server, sys(Sysno::Recv).on(receive));
    w.begin(client, sys(Sysno::Call).on(send));
    let id = w.received(server).id;
    w.begin(server, sys(Sysno::ReplyRecv).on(receive).token(id));
    w.begin(waiter, sys(Sysno::EventWait).on(wait).words(&[1]));
    [server, waiter].into_iter().for_each(|actor| w.raise(actor, PRIORITY + 1));
    w.switch_to(client.thread);
    (w.k.slice.sweep, w.k.calls.made) = (NEVER, false);
    w.k.arm();
    let registers = &mut w.k.threads[client.thread].context.registers;
    (registers.rax, registers.rdi, registers.rsi) = (Sysno::Call as u64, send.raw(), 0);
    assert_eq!(w.k.hand_call::<false, true>(NEVER), None, "nothing would end a call that nobody answers");
    let registers = &mut w.k.threads[client.thread].context.registers;
    (registers.rax, registers.rdi, registers.rdx) = (Sysno::EventSignal as u64, signal.raw(), 1);
    assert_eq!(w.k.syscall_at_once(), Some(w.k.context_of(waiter.thread)));
    w.begin(waiter, sys(Sysno::EventWait).on(wait).words(&[1]));
    w.switch_to(client.thread);
    w.k.slice.sweep = w.k.machine.now + SECOND;
    w.k.arm();
    let registers = &mut w.k.threads[client.thread].context.registers;
    (registers.rax, registers.rdi, registers.rsi) = (Sysno::Call as u64, send.raw(), 0);
    assert_eq!(w.k.hand_call::<false, true>(NEVER), Some(Handover(server.thread)));
}

#[test]
fn waiting_for_nothing_twice_or_at_a_bound_event_is_refused() {
    let mut w = World::new();
    let (event, queue) = (w.event(), w.queue(0));
    let actor = w.actor(60);
    let wait = w.grant(actor, event, Rights::WAIT, 0);
    let signal = w.grant(actor, event, Rights::SIGNAL, 0);
    assert_eq!(w.make(actor, sys(Sysno::EventWait).on(wait)), Err(SysError::BadArgument));
    assert_eq!(w.make(actor, sys(Sysno::EventWait).on(signal).words(&[1])), Err(SysError::MissingRights));
    assert_eq!(w.make(actor, sys(Sysno::EventSignal).on(wait).words(&[1])), Err(SysError::MissingRights));
    w.begin(actor, sys(Sysno::EventWait).on(wait).words(&[1]));
    assert_eq!(w.make(w.init, sys(Sysno::EventWait).on(event).words(&[2])), Err(SysError::BadState));
    let bind = sys(Sysno::EventBind).on(event).with(queue);
    assert_eq!(w.make(w.init, bind), Err(SysError::BadState));
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[1])).unwrap();
    w.make(w.init, bind).unwrap();
    assert_eq!(w.make(w.init, sys(Sysno::EventWait).on(event).words(&[2])), Err(SysError::BadState));
    w.audit();
}

#[test]
fn binding_needs_the_right_to_wait_and_the_right_to_receive() {
    let mut w = World::new();
    let (event, queue, actor) = (w.event(), w.queue(0), w.actor(60));
    let [signal, wait] = [Rights::SIGNAL, Rights::WAIT].map(|r| w.grant(actor, event, r, 0));
    let [send, receive] = [Rights::SEND, Rights::RECEIVE].map(|r| w.grant(actor, queue, r, 0));
    for (event, queue) in [(signal, receive), (wait, send)] {
        assert_eq!(w.make(actor, sys(Sysno::EventBind).on(event).with(queue)), Err(SysError::MissingRights));
    }
    w.make(actor, sys(Sysno::EventBind).on(wait).with(receive)).unwrap();
}

#[test]
fn a_bound_event_comes_as_a_message_before_calls_and_posts() {
    let mut w = World::new();
    let (event, queue, server) = (w.event(), w.queue(2), w.actor(60));
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[1])).unwrap();
    w.make(w.init, sys(Sysno::EventBind).on(event).with(queue).words(&[55])).unwrap();
    w.make(w.init, sys(Sysno::Post).on(queue).words(&[9])).unwrap();
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[2])).unwrap();
    let got = w.receive(server, receive);
    assert_eq!((got.tag.delivery(), got.badge, got.words[0], got.id), (Delivery::Event, 55, 3, 0));
    assert_eq!(w.receive(server, receive).words[0], 9);
    w.begin(server, sys(Sysno::Recv).on(receive));
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[4])).unwrap();
    assert_eq!(w.received(server).words[0], 4);
    w.audit();
}

#[test]
fn binding_again_moves_an_event_with_its_bits() {
    let mut w = World::new();
    let (event, first, second, server) = (w.event(), w.queue(0), w.queue(0), w.actor(60));
    let [a, b] = [first, second].map(|q| w.grant(server, q, Rights::RECEIVE, 0));
    w.make(w.init, sys(Sysno::EventBind).on(event).with(first).words(&[1])).unwrap();
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[8])).unwrap();
    w.make(w.init, sys(Sysno::EventBind).on(event).with(second).words(&[2])).unwrap();
    w.audit();
    w.set_deadline(server, 0);
    assert_eq!(w.make(server, sys(Sysno::Recv).on(a).flags(CallFlags::DEADLINE)), Err(SysError::TimedOut));
    assert_eq!(w.receive(server, b).badge, 2);
    // The queue goes: the event is free again.
    w.make(w.init, sys(Sysno::Revoke).on(second)).unwrap();
    w.make(w.init, sys(Sysno::Close).on(second)).unwrap();
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[16])).unwrap();
    assert_eq!(w.make(w.init, sys(Sysno::EventWait).on(event).words(&[u64::MAX])).unwrap()[0], 16);
    w.audit();
}

#[test]
fn an_event_without_capabilities_lives_while_its_queue_does() {
    let mut w = World::new();
    let queue = w.queue(0);
    let before = w.audit();
    let event = w.event();
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[1])).unwrap();
    w.make(w.init, sys(Sysno::EventBind).on(event).with(queue).words(&[3])).unwrap();
    w.make(w.init, sys(Sysno::Close).on(event)).unwrap();
    w.audit();
    assert_eq!(w.receive(w.init, queue).badge, 3);
    w.make(w.init, sys(Sysno::Close).on(queue)).unwrap();
    let after = w.audit();
    assert_eq!(after.objects["events"], 0);
    assert_eq!(before.objects["events"], 0);
}

#[test]
fn a_waiter_is_told_when_its_event_goes_and_a_process_watched_by_it_ends_in_silence() {
    let mut w = World::new();
    let (event, account) = (w.event(), w.account(60));
    let actor = w.actor_of(account, Some((event, 1)));
    let wait = w.grant(actor, event, Rights::WAIT, 0);
    w.begin(actor, sys(Sysno::EventWait).on(wait).words(&[1]));
    w.make(w.init, sys(Sysno::Revoke).on(event)).unwrap();
    w.make(w.init, sys(Sysno::Close).on(event)).unwrap();
    assert_eq!(w.result(actor), Err(SysError::Closed));
    w.audit();
    w.begin(actor, sys(Sysno::Exit));
    w.audit();
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn bits_match_a_model_of_words(steps in proptest::collection::vec((0..5u8, 0..3usize, 1..16u64), 1..60)) {
        let mut w = World::new();
        let events = [w.event(), w.event(), w.event()];
        let queue = w.queue(0);
        let mut bits = [0u64; 3];
        let mut bound: [bool; 3] = [false; 3];
        let mut pending: Vec<usize> = Vec::new();
        for (what, n, mask) in steps {
            match what {
                0 | 1 => {
                    w.make(w.init, sys(Sysno::EventSignal).on(events[n]).words(&[mask])).unwrap();
                    bits[n] |= mask;
                }
                2 => {
                    w.make(w.init, sys(Sysno::EventBind).on(events[n]).with(queue).words(&[n as u64])).unwrap();
                    bound[n] = true;
                    pending.retain(|p| *p != n);
                }
                3 => {
                    w.set_deadline(w.init, 0);
                    let got = w.make(w.init, sys(Sysno::Recv).on(queue).flags(CallFlags::DEADLINE));
                    match pending.first().copied() {
                        Some(n) => {
                            prop_assert_eq!(got.unwrap()[0], bits[n]);
                            prop_assert_eq!(w.received(w.init).badge, n as u64);
                            bits[n] = 0;
                        }
                        None => prop_assert_eq!(got, Err(SysError::TimedOut)),
                    }
                }
                _ => {
                    w.set_deadline(w.init, 0);
                    let got = w.make(w.init, sys(Sysno::EventWait).on(events[n]).words(&[mask]).flags(CallFlags::DEADLINE));
                    let expected = match (bound[n], bits[n] & mask) {
                        (true, _) => Err(SysError::BadState),
                        (false, 0) => Err(SysError::TimedOut),
                        (false, hit) => Ok(hit),
                    };
                    prop_assert_eq!(got.map(|words| words[0]), expected);
                    bits[n] &= !expected.unwrap_or(0);
                }
            }
            pending.retain(|p| bits[*p] != 0);
            for n in 0..3 {
                if bound[n] && bits[n] != 0 && !pending.contains(&n) {
                    pending.push(n);
                }
            }
            w.audit();
        }
    }
}
