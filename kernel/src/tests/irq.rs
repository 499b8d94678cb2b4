//! Interrupts and ports: made by who holds the machine, delivered as bits.

use super::*;
use crate::fake::LINES;
use crate::machine::{MAX_PORT_RANGES, PortRange};

fn line(w: &mut World, gsi: u64, level: u64) -> Result<Handle, SysError> {
    let call = sys(Sysno::IrqCreate).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(&[gsi, level]);
    w.make(w.init, call).map(|words| Handle::from_raw(words[0]))
}

#[test]
fn a_line_is_masked_until_it_is_bound_and_again_from_each_interrupt_to_its_acknowledgement() {
    let mut w = World::new();
    let (irq, event) = (line(&mut w, 5, 1).unwrap(), w.event());
    let slot = w.k.machine.lines[&5].slot;
    assert!(w.k.machine.lines[&5].level && w.k.machine.lines[&5].masked);
    w.make(w.init, sys(Sysno::IrqAck).on(irq)).unwrap();
    assert!(w.k.machine.lines[&5].masked, "nobody would hear it");
    w.interrupt(slot);
    w.make(w.init, sys(Sysno::IrqBind).on(irq).with(event).words(&[0x30])).unwrap();
    assert!(!w.k.machine.lines[&5].masked);
    for _ in 0..2 {
        w.interrupt(slot);
        assert!(w.k.machine.lines[&5].masked);
        assert_eq!(w.make(w.init, sys(Sysno::EventWait).on(event).words(&[u64::MAX])).unwrap()[0], 0x30);
        w.make(w.init, sys(Sysno::IrqAck).on(irq)).unwrap();
        assert!(!w.k.machine.lines[&5].masked);
    }
    w.audit();
}

#[test]
fn an_interrupt_goes_through_its_event_to_the_server_that_waits_at_a_queue() {
    let mut w = World::new();
    let (irq, event, queue, server) = (line(&mut w, 3, 0).unwrap(), w.event(), w.queue(0), w.actor(60));
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    w.make(w.init, sys(Sysno::EventBind).on(event).with(queue).words(&[7])).unwrap();
    w.make(w.init, sys(Sysno::IrqBind).on(irq).with(event).words(&[1])).unwrap();
    w.begin(server, sys(Sysno::Recv).on(receive));
    w.raise(server, PRIORITY + 3);
    let slot = w.k.machine.lines[&3].slot;
    w.interrupt(slot);
    assert_eq!(w.k.current, Some(server.thread));
    assert_eq!((w.received(server).badge, w.received(server).words[0]), (7, 1));
}

#[test]
fn a_line_has_one_object_and_lines_that_are_not_there_have_none() {
    let mut w = World::new();
    let first = line(&mut w, 9, 0).unwrap();
    assert_eq!(line(&mut w, 9, 0), Err(SysError::AddressInUse));
    for bad in [u64::from(LINES), 255, 1 << 32, u64::MAX - 1] {
        assert_eq!(line(&mut w, bad, 0), Err(SysError::BadArgument), "{bad}");
    }
    w.make(w.init, sys(Sysno::Close).on(first)).unwrap();
    assert!(w.k.machine.lines[&9].masked);
    line(&mut w, 9, 0).unwrap();
    w.audit();
}

#[test]
fn message_interrupts_have_their_own_vectors_up_to_the_last() {
    let mut w = World::of(2048);
    let before = w.audit();
    let mut vectors = std::collections::BTreeSet::new();
    let create = sys(Sysno::IrqCreate).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(&[u64::MAX]);
    let mut handles = Vec::new();
    let refused = loop {
        match w.make(w.init, create) {
            Ok([handle, address, data, ..]) => {
                assert_eq!(address, 0xfee0_0000);
                assert!(vectors.insert(data) && (32..224).contains(&data));
                handles.push(Handle::from_raw(handle));
            }
            Err(error) => break error,
        }
    };
    assert_eq!((refused, vectors.len()), (SysError::LimitReached, crate::machine::MAX_IRQS));
    w.audit();
    for handle in handles {
        w.make(w.init, sys(Sysno::Close).on(handle)).unwrap();
    }
    assert_eq!(w.audit().objects, before.objects);
}

#[test]
fn an_interrupt_whose_event_or_object_is_gone_is_heard_by_nobody() {
    let mut w = World::new();
    let (irq, event) = (line(&mut w, 2, 1).unwrap(), w.event());
    let slot = w.k.machine.lines[&2].slot;
    w.make(w.init, sys(Sysno::IrqBind).on(irq).with(event).words(&[1])).unwrap();
    w.make(w.init, sys(Sysno::Close).on(event)).unwrap();
    assert!(w.k.machine.lines[&2].masked);
    for stray in [slot, 0, 100, 191, 192, 255] {
        w.interrupt(stray);
    }
    w.make(w.init, sys(Sysno::IrqAck).on(irq)).unwrap();
    assert!(w.k.machine.lines[&2].masked);
    w.make(w.init, sys(Sysno::Close).on(irq)).unwrap();
    w.interrupt(slot);
    w.audit();
}

/// A line that a driver has bound through a capability derived twice from init's, and what to take from init.
struct Bound {
    irq: Handle,
    middle: Handle,
    event: Handle,
    driver: Actor,
    own: Handle,
}

fn bound(w: &mut World) -> Bound {
    let (irq, event, driver) = (line(w, 5, 0).unwrap(), w.event(), w.actor(60));
    let middle = w.get(w.init, sys(Sysno::Duplicate).on(irq).words(&[u64::MAX]));
    let own = w.grant(driver, middle, Rights::USE, 0);
    let signal = w.grant(driver, event, Rights::SIGNAL, 0);
    w.make(driver, sys(Sysno::IrqBind).on(own).with(signal).words(&[1])).unwrap();
    assert!(!w.k.machine.lines[&5].masked);
    Bound { irq, middle, event, driver, own }
}

/// The line is masked, an interrupt that comes all the same is heard by nobody, and only a new binding unmasks it.
fn assert_unbound(w: &mut World, b: &Bound) {
    w.audit();
    let slot = w.k.machine.lines[&5].slot;
    assert!(w.k.machine.lines[&5].masked);
    w.interrupt(slot);
    w.make(w.init, sys(Sysno::IrqAck).on(b.irq)).unwrap();
    assert!(w.k.machine.lines[&5].masked);
    let past = sys(Sysno::EventWait).on(b.event).words(&[u64::MAX]).flags(CallFlags::DEADLINE);
    w.set_deadline(w.init, 0);
    assert_eq!(w.make(w.init, past), Err(SysError::TimedOut));
    w.make(w.init, sys(Sysno::IrqBind).on(b.irq).with(b.event).words(&[1])).unwrap();
    assert!(!w.k.machine.lines[&5].masked);
    w.audit();
}

#[test]
fn a_revocation_ends_the_bindings_made_through_the_revoked_and_through_the_revoking_capability() {
    let mut w = World::new();
    let b = bound(&mut w);
    w.make(w.init, sys(Sysno::Revoke).on(b.middle)).unwrap();
    assert_eq!(w.make(b.driver, sys(Sysno::IrqAck).on(b.own)), Err(SysError::BadHandle));
    assert_unbound(&mut w, &b);
    w.make(w.init, sys(Sysno::Revoke).on(b.irq)).unwrap();
    assert_unbound(&mut w, &b);
}

#[test]
fn a_binding_ends_with_the_capability_that_made_it_and_with_no_other() {
    let mut w = World::new();
    let b = bound(&mut w);
    w.make(w.init, sys(Sysno::Close).on(b.middle)).unwrap();
    assert!(!w.k.machine.lines[&5].masked, "its parent was closed, not revoked");
    let beside = w.get(w.init, sys(Sysno::Duplicate).on(b.irq).words(&[u64::MAX]));
    w.make(w.init, sys(Sysno::Revoke).on(beside)).unwrap();
    assert!(!w.k.machine.lines[&5].masked);
    w.make(b.driver, sys(Sysno::Close).on(b.own)).unwrap();
    assert_unbound(&mut w, &b);
}

#[test]
fn a_binding_that_was_moved_does_not_end_with_the_capability_that_made_it_before() {
    let mut w = World::new();
    let b = bound(&mut w);
    w.make(w.init, sys(Sysno::IrqBind).on(b.irq).with(b.event).words(&[2])).unwrap();
    w.make(w.init, sys(Sysno::Revoke).on(b.middle)).unwrap();
    assert!(!w.k.machine.lines[&5].masked, "the binding was no longer the driver's");
    w.audit();
}

#[test]
fn a_binding_ends_with_the_process_that_made_it() {
    for reset in [true, false] {
        let mut w = World::new();
        let b = bound(&mut w);
        let end = if reset { Sysno::ProcessReset } else { Sysno::ProcessKill };
        // What is granted stays over a reset, what was derived from it by the driver itself does not.
        let derived = w.get(b.driver, sys(Sysno::Duplicate).on(b.own).words(&[u64::MAX]));
        let signal = w.get(w.init, sys(Sysno::ProcessGrant).on(b.driver.handle).with(b.event).words(&[u64::MAX]));
        w.make(b.driver, sys(Sysno::IrqBind).on(derived).with(signal).words(&[1])).unwrap();
        w.make(w.init, sys(end).on(b.driver.handle)).unwrap();
        assert_unbound(&mut w, &b);
    }
}

#[test]
fn ports_are_open_to_the_process_they_were_opened_for_and_while_it_runs() {
    let mut w = World::new();
    let actor = w.actor(60);
    let make = |first, count| {
        sys(Sysno::PortsCreate).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(&[first, count])
    };
    for (first, count) in [(0, 0), (0xffff, 2), (0x1_0000, 1), (u64::MAX, 1), (0, 0x1_0001), (1, u64::MAX)] {
        assert_eq!(w.make(w.init, make(first, count)), Err(SysError::BadArgument));
    }
    let ports = w.get(w.init, make(0x3f8, 8));
    let open = |ports| sys(Sysno::PortsOpen).on(actor.handle).with(ports);
    w.make(w.init, open(ports)).unwrap();
    w.make(w.init, open(ports)).unwrap();
    assert_eq!(w.k.machine.ports, []);
    w.switch_to(actor.thread);
    assert_eq!(w.k.machine.ports, [PortRange { first: 0x3f8, count: 8 }]);
    w.switch_to(w.init.thread);
    assert_eq!(w.k.machine.ports, []);
    for n in 1..MAX_PORT_RANGES as u64 {
        let more = w.get(w.init, make(n * 16, 1));
        w.make(w.init, open(more)).unwrap();
    }
    let last = w.get(w.init, make(0xffff, 1));
    assert_eq!(w.make(w.init, open(last)), Err(SysError::LimitReached));
    w.audit();
    w.make(w.init, sys(Sysno::ProcessReset).on(actor.handle)).unwrap();
    let next = w.thread_in(actor.handle, actor.account, PRIORITY);
    w.switch_to(next.thread);
    assert_eq!(w.k.machine.ports, [], "the next incarnation has none");
    w.audit();
}

#[test]
fn ports_opened_to_the_running_process_are_open_at_once() {
    let mut w = World::new();
    let ports =
        w.get(w.init, sys(Sysno::PortsCreate).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(&[0x60, 5]));
    w.make(w.init, sys(Sysno::PortsOpen).on(layout::INIT_SELF).with(ports)).unwrap();
    assert_eq!(w.k.machine.ports.len(), 1);
    w.audit();
}

#[test]
fn a_process_with_open_ports_takes_part_in_calls_with_them_open_for_it_alone() {
    for way in [Way::Any, Way::Handoff] {
        let mut w = World::new();
        w.way = way;
        let (queue, client, server) = (w.queue(0), w.actor(60), w.actor(60));
        let send = w.grant(client, queue, Rights::SEND, 0);
        let receive = w.grant(server, queue, Rights::RECEIVE, 0);
        let ports = w
            .get(w.init, sys(Sysno::PortsCreate).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(&[0x60, 5]));
        for who in [server, client] {
            w.make(w.init, sys(Sysno::PortsOpen).on(who.handle).with(ports)).unwrap();
            w.begin(server, sys(Sysno::Recv).on(receive));
            for _ in 0..3 {
                w.begin(client, sys(Sysno::Call).on(send));
                w.audit();
                let id = w.received(server).id;
                w.make_current(sys(Sysno::ReplyRecv).on(receive).token(id));
                assert_eq!(w.k.current, Some(client.thread));
                w.audit();
            }
            w.make(w.init, sys(Sysno::Post).on(queue)).unwrap();
        }
    }
}
