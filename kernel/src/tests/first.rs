//! The first program ends and is started again, with all that it had.

use super::*;
use abi::FaultKind;

/// Ends init by `how`, lets the kernel do its work, and finds init's new thread.
fn ends(w: &mut World, how: impl FnOnce(&mut World)) {
    let before = w.k.processes[w.init.process].incarnation;
    how(w);
    for _ in 0..10_000 {
        if w.k.processes[w.init.process].incarnation != before || w.k.machine.halted.is_some() {
            break;
        }
        let resume = w.k.start();
        w.settle(resume);
    }
    if let Some(thread) = w.k.processes[w.init.process].threads {
        w.init.thread = thread;
        w.raise(w.init, PRIORITY);
    }
}

fn crash(w: &mut World) {
    w.fault(w.init, 14, 4, 0x18);
}

const RW: Rights = Rights::READ.union(Rights::WRITE);
const AT: u64 = 0x2000_0000_0000;

#[test]
fn the_first_program_starts_again_with_every_capability_and_what_it_paid_for() {
    let mut w = World::new();
    let memory = w.memory(3);
    let queue = w.queue(4);
    let child = w.actor(40);
    w.map(layout::INIT_SELF, memory, AT, 3, RW).unwrap();
    let before = w.audit();
    ends(&mut w, crash);
    let process = &w.k.processes[w.init.process];
    assert_eq!((process.incarnation, process.thread_count), (2, 1));
    assert_eq!(FaultKind::from_raw(process.fault.kind), FaultKind::Page, "its successor may learn why it ended");
    for handle in [memory, queue, child.handle, child.account, layout::INIT_RECORD] {
        w.make(w.init, sys(Sysno::Inspect).on(handle)).unwrap();
    }
    assert_eq!(w.k.processes[child.process].thread_count, 1, "nothing happened to the others");
    assert_eq!(w.audit().capabilities, before.capabilities);
    w.map(layout::INIT_SELF, memory, AT, 3, RW).unwrap();
}

#[test]
fn calls_that_the_first_program_had_received_come_to_its_next_incarnation() {
    let mut w = World::new();
    let queue = w.queue(4);
    let client = w.actor(40);
    let send = w.grant(client, queue, Rights::SEND, 0);
    w.begin(client, sys(Sysno::Call).on(send).tag(Tag::new(7, 1)).words(&[42]));
    let first = w.receive(w.init, queue);
    ends(&mut w, crash);
    let again = w.receive(w.init, queue);
    assert_eq!((again.id, again.words[0], again.tag.attempt()), (first.id, 42, 1));
    w.audit();
}

#[test]
fn a_storm_of_ends_stops_the_machine_and_says_why() {
    let mut w = World::new();
    for n in 0..10 {
        ends(&mut w, crash);
        assert_eq!(w.k.machine.halted, None, "after {} ends", n + 1);
    }
    ends(&mut w, crash);
    let reason = w.k.machine.halted.clone().expect("the machine stops");
    assert!(reason.starts_with("init died 11 times: page fault at 0x18"), "{reason}");
}

#[test]
fn ends_far_apart_and_ends_that_it_asks_for_are_no_storm() {
    let mut w = World::new();
    for _ in 0..30 {
        ends(&mut w, crash);
        w.k.machine.now += 2 * SECOND;
    }
    for _ in 0..50 {
        ends(&mut w, |w| {
            w.begin(w.init, sys(Sysno::ProcessKill).on(layout::INIT_SELF));
        });
    }
    assert_eq!(w.k.machine.halted, None);
    assert_eq!(w.k.processes[w.init.process].incarnation, 81);
    w.audit();
}

#[test]
fn a_first_program_that_cannot_be_loaded_again_stops_the_machine() {
    let mut w = World::new();
    ends(&mut w, |w| {
        let pages = w.make(w.init, sys(Sysno::Inspect).on(layout::INIT_ARCHIVE)).unwrap()[3];
        (0..pages as u32).for_each(|n| w.k.mm.bytes_mut(Frame(2 + n)).fill(0));
        crash(w);
    });
    let reason = w.k.machine.halted.clone().expect("the machine stops");
    assert!(reason.contains("it cannot be started again"), "{reason}");
}

#[test]
fn its_capabilities_are_told_one_after_the_other_and_no_stale_one() {
    let mut w = World::new();
    let (gone, kept) = (w.queue(1), w.queue(1));
    w.make(w.init, sys(Sysno::Close).on(gone)).unwrap();
    let (mut from, mut found) = (0, Vec::new());
    loop {
        let words = w.make(w.init, sys(Sysno::CapabilityNext).words(&[from])).unwrap();
        found.extend((words[0] != 0).then(|| Handle::from_raw(words[0])));
        from = words[1];
        if from == 0 {
            break;
        }
    }
    assert!(found.contains(&kept) && found.contains(&layout::INIT_RECORD) && !found.contains(&gone));
    assert_eq!(found.len(), w.audit().capabilities, "all capabilities are init's here");
    for beyond in [1 << 20, u64::MAX] {
        assert_eq!(w.make(w.init, sys(Sysno::CapabilityNext).words(&[beyond])).unwrap()[..2], [0, 0]);
    }
}

#[test]
fn the_memory_of_a_faulted_process_is_read_by_who_controls_it_and_of_no_other() {
    let mut w = World::new();
    let (event, own) = (w.event(), w.memory(1));
    let account = w.account(60);
    let victim = w.actor_of(account, Some((event, 1)));
    let memory = w.memory(2);
    w.map(victim.handle, memory, AT, 2, RW).unwrap();
    w.map(layout::INIT_SELF, own, AT, 1, RW).unwrap();
    w.poke(victim.process, AT + 4000, b"the last words of a program, over two pages").unwrap();
    let read = |w: &mut World, from: u64, to: u64, length: u64| {
        w.make(w.init, sys(Sysno::ProcessRead).on(victim.handle).words(&[from, to, length])).map(drop)
    };
    assert_eq!(read(&mut w, AT + 4000, AT, 43), Err(SysError::BadState), "it runs");
    w.fault(victim, 6, 0, 0);
    read(&mut w, AT + 4000, AT + 100, 43).unwrap();
    let init = w.init.process;
    assert_eq!(w.peek(init, AT + 100, 43).unwrap(), b"the last words of a program, over two pages");
    for (from, to, length, error) in [
        (AT + 2 * PAGE_SIZE - 8, AT, 9, SysError::BadAddress),
        (AT, AT + PAGE_SIZE - 8, 9, SysError::BadAddress),
        (u64::MAX - 3, AT, 8, SysError::BadAddress),
        (AT, AT, 65537, SysError::BadArgument),
    ] {
        assert_eq!(read(&mut w, from, to, length), Err(error));
    }
    let powerless = w.get(w.init, sys(Sysno::Duplicate).on(victim.handle).words(&[Rights::INSPECT.bits().into(), 0]));
    let refused = w.make(w.init, sys(Sysno::ProcessRead).on(powerless).words(&[AT, AT, 8]));
    assert_eq!(refused.map(drop), Err(SysError::MissingRights));
    w.make(w.init, sys(Sysno::ProcessKill).on(victim.handle)).unwrap();
    assert_eq!(read(&mut w, AT, AT, 8), Err(SysError::BadState), "its memory is gone");
    w.audit();
}
