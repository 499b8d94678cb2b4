//! The trace through its system calls: what is noted of a call's way, and who may read it.

use super::*;
use abi::{TraceKind, TraceRecord};

/// All events from number `from` on, as init reads them.
fn events(w: &mut World, from: u64) -> (Vec<TraceRecord>, u64) {
    let mut records = Vec::new();
    let mut next = from;
    loop {
        let read = sys(Sysno::MachineTrace).on(layout::INIT_MACHINE).words(&[next]);
        let [start, count, written, ..] = w.make(w.init, read).unwrap();
        let bytes = w.payload(w.init, count as usize * TraceRecord::SIZE);
        records.extend(bytes.as_chunks().0.iter().map(TraceRecord::from_bytes));
        next = start + count;
        if next == written {
            return (records, written);
        }
    }
}

/// What happened to call `id`: the kind, the process, the second word.
fn way_of(records: &[TraceRecord], id: u64) -> Vec<(TraceKind, u64, u64)> {
    let of_call = |kind| matches!(kind, TraceKind::Call | TraceKind::Deliver | TraceKind::Reply);
    let mine = records.iter().filter(|r| r.first == id && r.kind().is_some_and(of_call));
    mine.map(|r| (r.kind().unwrap(), r.process(), r.second)).collect()
}

#[test]
fn a_call_is_seen_from_its_start_through_a_death_of_its_server_to_its_answer() {
    let mut w = World::new();
    let (queue, server, client) = (w.queue(4), w.actor(60), w.actor(60));
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    let send = w.grant(client, queue, Rights::SEND, 7);
    let (_, before) = events(&mut w, 0);
    w.begin(client, sys(Sysno::Call).on(send));
    let id = w.receive(server, receive).id;
    w.make(w.init, sys(Sysno::ProcessReset).on(server.handle)).unwrap();
    let server = w.thread_in(server.handle, server.account, PRIORITY);
    assert_eq!(w.receive(server, receive).id, id);
    w.make(server, sys(Sysno::Reply).token(id)).unwrap();
    let (records, _) = events(&mut w, before);

    let [caller, holder] = [client, server].map(|actor| w.k.processes[actor.process].id);
    let queue = w.k.queues[w.object(w.init, queue)].id;
    let way = [
        (TraceKind::Call, caller, queue),
        (TraceKind::Deliver, holder, 0),
        (TraceKind::Deliver, holder, 1),
        (TraceKind::Reply, holder, 0),
    ];
    assert_eq!(way_of(&records, id), way);
    let of_server = |kind| records.iter().position(|r| r.kind() == Some(kind) && r.process() == holder);
    let (death, start) = (of_server(TraceKind::Death).unwrap(), of_server(TraceKind::Start).unwrap());
    assert!(death < start);
    assert_eq!(records[start].thread(), 2, "the incarnation");
    assert_eq!(&records[start].name(), b"actor\0\0\0\0\0\0\0\0\0\0\0");
    assert!(records.is_sorted_by_key(|r| r.time));
    w.audit();
}

#[test]
fn a_handoff_notes_what_the_general_path_notes() {
    let seen = |way| {
        let mut w = World::new();
        w.way = way;
        let (queue, server, client) = (w.queue(4), w.actor(60), w.actor(60));
        let receive = w.grant(server, queue, Rights::RECEIVE, 0);
        let send = w.grant(client, queue, Rights::SEND, 0);
        let (_, before) = events(&mut w, 0);
        w.begin(server, sys(Sysno::Recv).on(receive));
        for _ in 0..3 {
            w.begin(client, sys(Sysno::Call).on(send));
            let id = w.received(server).id;
            w.make_current(sys(Sysno::ReplyRecv).on(receive).token(id));
            assert!(!w.waits(client));
        }
        let (records, _) = events(&mut w, before);
        records.iter().map(|r| (r.what, r.first, r.second)).collect::<Vec<_>>()
    };
    let noted = seen(Way::Handoff);
    assert_eq!(noted, seen(Way::General));
    let calls = noted.iter().filter(|(what, ..)| *what & 0xff == TraceKind::Call as u64);
    assert_eq!(calls.count(), 3);
}

#[test]
fn faults_interrupts_and_waits_that_fail_are_noted() {
    let mut w = World::new();
    let (event, victim, sleeper) = (w.event(), w.actor(60), w.actor(60));
    let create = sys(Sysno::IrqCreate).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(&[u64::MAX]);
    let irq = w.get(w.init, create);
    w.make(w.init, sys(Sysno::IrqBind).on(irq).with(event).words(&[1])).unwrap();
    let wait = w.grant(sleeper, event, Rights::WAIT, 0);
    let (_, before) = events(&mut w, 0);
    w.fault(victim, 14, 4, 0x1234);
    w.write_words(sleeper, offset_of!(MessagePage, deadline), &[w.k.machine.now + SECOND]);
    w.begin(sleeper, sys(Sysno::EventWait).on(wait).words(&[2]).flags(CallFlags::DEADLINE));
    w.pass(2 * SECOND);
    w.interrupt(0);
    let (records, _) = events(&mut w, before);
    let [victim, sleeper] = [victim, sleeper].map(|actor| w.k.processes[actor.process].id);
    let has = |kind, process, first, second| {
        let of = |r: &TraceRecord| (r.kind(), r.process(), r.first, r.second) == (Some(kind), process, first, second);
        assert!(records.iter().any(of), "{kind:?} in {records:?}");
    };
    has(TraceKind::Fault, victim, 0x1234, 0);
    has(TraceKind::Death, victim, crate::fault::UNWATCHED as u64, 0);
    has(TraceKind::Fail, sleeper, 0, SysError::TimedOut as u64);
    has(TraceKind::Irq, 0, 0, 0);
}

#[test]
fn what_was_overwritten_is_told_by_the_number_of_the_first_event() {
    let mut w = World::new();
    let actor = w.actor(60);
    for _ in 0..1200 {
        w.make(actor, sys(Sysno::Yield)).unwrap();
        w.make(w.init, sys(Sysno::Yield)).unwrap();
    }
    let (records, written) = events(&mut w, 0);
    assert!(written > 2048 && records.len() <= 2048, "{written} {}", records.len());
    let future = sys(Sysno::MachineTrace).on(layout::INIT_MACHINE).words(&[u64::MAX]);
    let [start, count, ..] = w.make(w.init, future).unwrap();
    assert_eq!((start, count), (u64::MAX, 0));
}

#[test]
fn the_trace_is_read_with_the_right_to_inspect_the_machine_only() {
    let mut w = World::new();
    let actor = w.actor(60);
    let look = w.grant(actor, layout::INIT_MACHINE, Rights::INSPECT, 0);
    let make = w.grant(actor, layout::INIT_MACHINE, Rights::CREATE, 0);
    w.make(actor, sys(Sysno::MachineTrace).on(look)).unwrap();
    assert_eq!(w.make(actor, sys(Sysno::MachineTrace).on(make)), Err(SysError::MissingRights));
}
