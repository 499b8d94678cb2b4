//! Faults of programs: resolved, or reported, and nobody else's business.

use super::*;
use abi::{FaultKind, FaultReport, ProcessState, ProcessStatus, Registers};

const AT: u64 = 0x10_0000;
/// Page-fault error code bits: by a write, by user code, by an instruction fetch.
const WRITE: u64 = 2;
const USER: u64 = 4;
const FETCH: u64 = 16;

fn watched(w: &mut World, pages: u64) -> (Actor, Handle) {
    let (end, account) = (w.event(), w.account(pages));
    (w.actor_of(account, Some((end, 1))), end)
}

/// The kind in the fault report of a process, as its supervisor reads it.
fn report(w: &mut World, actor: Actor) -> (FaultKind, u64, u64) {
    w.make(w.init, sys(Sysno::ProcessStatus).on(actor.handle)).unwrap();
    let at = offset_of!(ProcessStatus, fault) / 8;
    let word = |n: usize| w.payload_word(w.init, at + n / 8);
    let kind = FaultKind::from_raw(word(offset_of!(FaultReport, kind)));
    (kind, word(offset_of!(FaultReport, address)), word(offset_of!(FaultReport, code)))
}

#[test]
fn a_first_touch_is_served_and_the_program_goes_on() {
    let mut w = World::new();
    let (actor, _) = watched(&mut w, 60);
    let memory = w.memory(3);
    w.map(actor.handle, memory, AT, 3, Rights::READ | Rights::WRITE).unwrap();
    for (page, code) in [(0, USER), (2, USER | WRITE)] {
        w.fault(actor, 14, code, AT + page * PAGE_SIZE + 123);
        assert_eq!(w.k.current, Some(actor.thread));
        let space = w.k.processes[actor.process].space.unwrap();
        assert!(w.k.mm.translate(space, AT + page * PAGE_SIZE).is_some());
    }
    w.audit();
}

#[test]
fn an_access_that_nothing_allows_stops_the_process_and_is_reported() {
    let cases = [
        (AT + 8 * PAGE_SIZE, USER),
        (AT, USER | WRITE),
        (AT, USER | FETCH),
        (0, USER),
        (layout::USER_END, USER | WRITE),
        (u64::MAX, USER),
        (0xffff_8000_0000_0000, USER | 1),
    ];
    for (address, code) in cases {
        let mut w = World::new();
        let (actor, end) = watched(&mut w, 60);
        let memory = w.memory(1);
        w.map(actor.handle, memory, AT, 1, Rights::READ).unwrap();
        w.fault(actor, 14, code, address);
        assert_eq!(report(&mut w, actor), (FaultKind::Page, address, code));
        assert_eq!(w.k.processes[actor.process].state, ProcessState::Faulted);
        assert_eq!(w.k.threads[actor.thread].wait, Wait::Stopped);
        assert_eq!(w.make(w.init, sys(Sysno::EventWait).on(end).words(&[1])).unwrap()[0], 1);
        w.audit();
    }
}

#[test]
fn each_exception_has_its_kind() {
    let kinds = [
        (0, FaultKind::Divide),
        (1, FaultKind::Debug),
        (3, FaultKind::Debug),
        (4, FaultKind::Other),
        (6, FaultKind::InvalidInstruction),
        (12, FaultKind::Other),
        (13, FaultKind::Protection),
        (16, FaultKind::FloatingPoint),
        (17, FaultKind::Other),
        (19, FaultKind::FloatingPoint),
        (255, FaultKind::Other),
    ];
    for (vector, kind) in kinds {
        let mut w = World::new();
        let (actor, _) = watched(&mut w, 60);
        w.fault(actor, vector, 7, 0);
        assert_eq!(report(&mut w, actor), (kind, 0, 7), "vector {vector}");
    }
}

#[test]
fn the_report_has_the_registers_and_the_thread() {
    let mut w = World::new();
    let (first, _) = watched(&mut w, 60);
    let second = w.thread_in(first.handle, first.account, PRIORITY);
    w.switch_to(second.thread);
    w.k.threads[second.thread].context.registers.r12 = 0x1234;
    w.fault(second, 6, 0, 0);
    w.make(w.init, sys(Sysno::ProcessStatus).on(first.handle)).unwrap();
    let at = offset_of!(ProcessStatus, fault) / 8;
    assert_eq!(w.payload_word(w.init, at + offset_of!(FaultReport, thread) / 8), 1);
    let registers = at + offset_of!(FaultReport, registers) / 8;
    assert_eq!(w.payload_word(w.init, registers + offset_of!(Registers, r12) / 8), 0x1234);
    assert_eq!(w.payload_word(w.init, registers + offset_of!(Registers, rip) / 8), ENTRY);
    assert_eq!(w.k.threads[first.thread].wait, Wait::Nothing, "the other thread stops when it would run");
    w.begin(w.init, sys(Sysno::Yield));
    assert_eq!(w.k.threads[first.thread].wait, Wait::Stopped);
    w.audit();
}

#[test]
fn a_touch_that_the_account_cannot_pay_is_out_of_memory() {
    let mut w = World::new();
    let (actor, _) = watched(&mut w, 12);
    let own = w.grant(actor, actor.account, Rights::CREATE, 0);
    let memory = w.get(actor, sys(Sysno::MemoryCreate).on(own).words(&[100]));
    let me = w.grant(actor, actor.handle, Rights::MAP, 0);
    let words = [AT, 0, 100, u64::from((Rights::READ | Rights::WRITE).bits())];
    w.make(actor, sys(Sysno::MemoryMap).on(me).with(memory).words(&words)).unwrap();
    for page in 0..100 {
        let address = AT + page * PAGE_SIZE;
        w.fault(actor, 14, USER | WRITE, address);
        if w.k.processes[actor.process].state == ProcessState::Faulted {
            assert_eq!(report(&mut w, actor), (FaultKind::NoMemory, address, USER | WRITE));
            w.audit();
            return;
        }
    }
    panic!("twelve pages hold a hundred");
}

#[test]
fn a_process_that_nobody_watches_is_ended_by_its_fault() {
    let mut w = World::new();
    let actor = w.actor(60);
    w.fault(actor, 13, 0, 0);
    let p = &w.k.processes[actor.process];
    assert_eq!((p.state, p.exit), (ProcessState::Exited, crate::fault::UNWATCHED));
    assert_eq!(p.fault.kind, FaultKind::Protection as u64);
    w.audit();
}

#[test]
fn the_memory_of_a_faulted_process_can_be_read_by_who_controls_it_and_of_no_other() {
    let mut w = World::new();
    let (actor, _) = watched(&mut w, 60);
    let (memory, own) = (w.memory(2), w.memory(2));
    w.map(actor.handle, memory, AT, 2, Rights::READ | Rights::WRITE).unwrap();
    w.map(layout::INIT_SELF, own, AT, 2, Rights::READ | Rights::WRITE).unwrap();
    w.poke(actor.process, AT + 4090, b"evidence").unwrap();
    let read = |from, to, length| sys(Sysno::ProcessRead).on(actor.handle).words(&[from, to, length]);
    assert_eq!(w.make(w.init, read(AT, AT, 8)), Err(SysError::BadState), "it runs");
    w.fault(actor, 6, 0, 0);
    w.make(w.init, read(AT + 4090, AT + 4, 8)).unwrap();
    assert_eq!(w.peek(w.init.process, AT + 4, 8).unwrap(), b"evidence");
    let bad = [
        (AT + 8190, AT, 8),
        (AT, AT + 8190, 8),
        (0, AT, 8),
        (AT, 0xffff_8000_0000_0000, 8),
        (0xffff_8000_0000_0000, AT, 8),
        (u64::MAX, AT, 1),
    ];
    for (from, to, length) in bad {
        assert_eq!(w.make(w.init, read(from, to, length)), Err(SysError::BadAddress), "{from:#x} {to:#x}");
    }
    for length in [65_537, u64::MAX] {
        assert_eq!(w.make(w.init, read(AT, AT, length)), Err(SysError::BadArgument));
    }
    w.make(w.init, sys(Sysno::ProcessKill).on(actor.handle)).unwrap();
    assert_eq!(w.make(w.init, read(AT, AT, 8)), Err(SysError::BadState), "its memory is gone");
    w.audit();
}

#[test]
fn a_stopped_process_keeps_its_memory_until_it_is_reset() {
    let mut w = World::new();
    let (actor, _) = watched(&mut w, 60);
    let memory = w.memory(1);
    w.map(actor.handle, memory, AT, 1, Rights::READ | Rights::WRITE).unwrap();
    w.poke(actor.process, AT, b"evidence").unwrap();
    w.fault(actor, 6, 0, 0);
    assert_eq!(w.peek(actor.process, AT, 8).unwrap(), b"evidence");
    w.make(w.init, sys(Sysno::ProcessReset).on(actor.handle)).unwrap();
    assert_eq!(w.peek(actor.process, AT, 8), None);
    assert_eq!(report(&mut w, actor).0, FaultKind::None);
    w.audit();
}

#[test]
fn vector_registers_of_a_preempted_thread_come_back_and_nobody_else_sees_them() {
    let mut w = World::new();
    let (actor, other) = (w.actor(60), w.actor(60));
    w.switch_to(actor.thread);
    w.k.machine.vectors.0[200] = 77;
    w.raise(other, PRIORITY + 1);
    w.interrupt(9);
    assert_eq!(w.k.current, Some(other.thread));
    assert_eq!(w.k.machine.vectors.0[200], 0);
    w.set_deadline(other, w.k.machine.now + MILLISECOND);
    w.make_current(sys(Sysno::Yield).flags(CallFlags::DEADLINE));
    while w.k.current != Some(actor.thread) {
        w.make_current(sys(Sysno::Yield));
    }
    assert_eq!(w.k.machine.vectors.0[200], 77);
}
