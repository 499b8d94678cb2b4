//! System calls as such: what is no request at all, and what every operation asks of a capability.

use super::*;
use abi::{Kind, MachineInfo, ProcessStatus};

#[test]
fn numbers_and_flags_that_mean_nothing_are_refused_and_change_no_other_register() {
    let mut w = World::new();
    let known: Vec<u64> = Sysno::ALL.iter().map(|n| *n as u64).collect();
    let unknown = (0..256).filter(|n| !known.contains(n));
    let raw = unknown.chain([
        Sysno::Clock as u64 | 1 << 10,
        Sysno::Clock as u64 | 1 << 16,
        Sysno::Clock as u64 | 1 << 63,
        u64::MAX,
    ]);
    for number in raw {
        let call = Call { number, rdi: 11, rsi: 12, r15: 13, words: [1, 2, 3, 4, 5, 6, 7, 8], ..sys(Sysno::Clock) };
        assert_eq!(w.make(w.init, call), Err(SysError::BadSyscall), "{number:#x}");
        let t = &w.k.threads[w.init.thread];
        let r = &t.context.registers;
        assert_eq!((r.rdi, r.rsi, r.r15, t.words()), (11, 12, 13, call.words));
    }
}

/// A kind of object, and a right that an operation needs.
type Operand = (Kind, Rights);

/// What each operation takes: the kind and a sufficient right of its first and second operand.
fn operands(number: Sysno) -> Option<(Kind, Rights, Option<Operand>)> {
    use Sysno::*;
    let account = Some((Kind::Account, Rights::CREATE));
    Some(match number {
        Call | Post | Forward => (Kind::Queue, Rights::SEND, None),
        Recv | ReplyRecv => (Kind::Queue, Rights::RECEIVE, None),
        ForwardRecv => (Kind::Queue, Rights::SEND, Some((Kind::Queue, Rights::RECEIVE))),
        AccountCreate | ProcessCreate | MemoryCreate | QueueCreate | EventCreate => {
            (Kind::Account, Rights::CREATE, None)
        }
        AccountDestroy => (Kind::Account, Rights::DESTROY, None),
        AccountStatus | AccountProcess | AccountThread | AccountCapability => (Kind::Account, Rights::INSPECT, None),
        ProcessLoad => (Kind::Process, Rights::CONTROL, Some((Kind::Memory, Rights::READ))),
        ProcessGrant => (Kind::Process, Rights::GRANT, None),
        ProcessStatus => (Kind::Process, Rights::INSPECT, None),
        ProcessKill | ProcessReset | ProcessRead | ThreadCreate => (Kind::Process, Rights::CONTROL, None),
        ThreadPriority => (Kind::Thread, Rights::CONTROL, None),
        MemoryPhysical | IrqCreate | PortsCreate => (Kind::Machine, Rights::CREATE, account),
        MemoryMap => (Kind::Process, Rights::MAP, Some((Kind::Memory, Rights::MAP))),
        MemoryUnmap => (Kind::Process, Rights::MAP, None),
        MemoryAddress => (Kind::Memory, Rights::DMA, None),
        EventSignal => (Kind::Event, Rights::SIGNAL, None),
        EventWait => (Kind::Event, Rights::WAIT, None),
        EventBind => (Kind::Event, Rights::WAIT, Some((Kind::Queue, Rights::RECEIVE))),
        IrqBind => (Kind::Irq, Rights::USE, Some((Kind::Event, Rights::SIGNAL))),
        IrqAck => (Kind::Irq, Rights::USE, None),
        PortsOpen => (Kind::Process, Rights::MAP, Some((Kind::IoPorts, Rights::USE))),
        MachineInfo | MachineAudit | MachineTrace => (Kind::Machine, Rights::INSPECT, None),
        MachineLog => (Kind::Machine, Rights::CREATE, None),
        Exit | ThreadExit | Yield | Clock | Reply | LeaseRead | LeaseWrite | LeaseCopy | Duplicate | Close | Revoke
        | Inspect | CapabilityNext => return None,
    })
}

/// One capability of each kind, with these rights, for `actor`.
fn one_of_each(w: &mut World, actor: Actor, rights: impl Fn(Kind) -> Rights) -> Vec<(Kind, Handle)> {
    let (queue, event, memory) = (w.queue(1), w.event(), w.memory(1));
    let machine = layout::INIT_MACHINE;
    let irq = sys(Sysno::IrqCreate).on(machine).with(layout::INIT_ACCOUNT).words(&[u64::MAX]);
    let ports = sys(Sysno::PortsCreate).on(machine).with(layout::INIT_ACCOUNT).words(&[7, 1]);
    let (irq, ports) = (w.get(w.init, irq), w.get(w.init, ports));
    let victim = w.actor(20);
    let all = [
        (Kind::Account, victim.account),
        (Kind::Process, victim.handle),
        (Kind::Thread, victim.control),
        (Kind::Memory, memory),
        (Kind::Queue, queue),
        (Kind::Event, event),
        (Kind::Irq, irq),
        (Kind::IoPorts, ports),
        (Kind::Machine, machine),
    ];
    all.map(|(kind, handle)| (kind, w.grant(actor, handle, rights(kind), 0))).to_vec()
}

#[test]
fn every_operation_refuses_every_capability_of_another_kind() {
    let mut w = World::of(2048);
    let actor = w.actor(60);
    let strong = one_of_each(&mut w, actor, |_| Rights::all());
    let of = |wanted: Kind| strong.iter().find(|(kind, _)| *kind == wanted).unwrap().1;
    for number in Sysno::ALL {
        let Some((first, _, second)) = operands(*number) else { continue };
        for (kind, handle) in &strong {
            let right = second.map_or(Handle::NONE, |(kind, _)| of(kind));
            // Ports are opened by whoever controls or maps, and that right is asked for first.
            let expected = |error| {
                error == Err(SysError::WrongKind)
                    || *number == Sysno::PortsOpen && error == Err(SysError::MissingRights)
            };
            if *kind != first {
                let outcome = w.make(actor, sys(*number).on(*handle).with(right));
                assert!(expected(outcome), "{number:?} on {kind:?}: {outcome:?}");
            }
            if second.is_some_and(|(wanted, _)| wanted != *kind) {
                let outcome = w.make(actor, sys(*number).on(of(first)).with(*handle));
                assert!(expected(outcome), "{number:?} with {kind:?}: {outcome:?}");
            }
        }
    }
    w.audit();
}

#[test]
fn every_operation_refuses_a_handle_of_another_generation() {
    for way in [Way::Handoff, Way::General] {
        let mut w = World::of(2048);
        let actor = w.actor(60);
        let strong = one_of_each(&mut w, actor, |_| Rights::all());
        let of = |wanted: Kind| strong.iter().find(|(kind, _)| *kind == wanted).unwrap().1;
        w.way = way;
        for number in Sysno::ALL {
            let Some((first, _, second)) = operands(*number) else { continue };
            let (first, other) = (of(first), second.map_or(Handle::NONE, |(kind, _)| of(kind)));
            for change in [1, u32::MAX] {
                // Of the one before, or of the one that comes.
                let of_another = |h: Handle| Handle::new(h.index(), h.generation().wrapping_add(change));
                let outcome = w.make(actor, sys(*number).on(of_another(first)).with(other));
                assert_eq!(outcome, Err(SysError::BadHandle), "{number:?}");
                if second.is_some() {
                    let outcome = w.make(actor, sys(*number).on(first).with(of_another(other)));
                    assert_eq!(outcome, Err(SysError::BadHandle), "{number:?}");
                }
            }
        }
        w.audit();
    }
}

#[test]
fn every_operation_refuses_a_capability_without_its_right_whatever_others_it_has() {
    let mut w = World::of(2048);
    let actor = w.actor(100);
    for number in Sysno::ALL {
        let Some((first, right, second)) = operands(*number) else { continue };
        let lacking = match number {
            Sysno::PortsOpen => Rights::CONTROL | Rights::MAP,
            _ => right,
        };
        let weak =
            one_of_each(&mut w, actor, |kind| if kind == first { Rights::all() - lacking } else { Rights::all() });
        let of = |wanted: Kind| weak.iter().find(|(kind, _)| *kind == wanted).unwrap().1;
        let other = second.map_or(Handle::NONE, |(kind, _)| of(kind));
        assert_eq!(w.make(actor, sys(*number).on(of(first)).with(other)), Err(SysError::MissingRights), "{number:?}");
        if let Some((kind, right)) = second.filter(|(kind, _)| *kind != first) {
            let weak = one_of_each(&mut w, actor, |k| if k == kind { Rights::all() - right } else { Rights::all() });
            let of = |wanted: Kind| weak.iter().find(|(kind, _)| *kind == wanted).unwrap().1;
            let words = [0, 0, 1, u64::from(Rights::READ.bits())];
            let outcome = w.make(actor, sys(*number).on(of(first)).with(of(kind)).words(&words));
            assert_eq!(outcome, Err(SysError::MissingRights), "{number:?}");
        }
    }
    w.audit();
}

#[test]
fn a_capability_tells_what_it_is_to_whoever_holds_it() {
    let mut w = World::new();
    let actor = w.actor(60);
    for (kind, handle) in one_of_each(&mut w, actor, |_| Rights::empty()) {
        let words = w.make(actor, sys(Sysno::Inspect).on(handle)).unwrap();
        let size = u64::from(matches!(kind, Kind::Memory | Kind::IoPorts));
        assert_eq!(words[..4], [kind as u64, 0, 0, size]);
    }
}

#[test]
fn a_thread_starts_with_the_registers_it_was_given_and_bad_addresses_are_refused() {
    let mut w = World::new();
    let actor = w.actor(60);
    let create = |entry, stack, page| sys(Sysno::ThreadCreate).on(actor.handle).words(&[entry, stack, page, 77, 1]);
    let good = layout::STARTUP;
    for (entry, stack, page) in [
        (0, ENTRY, good),
        (u64::MAX, ENTRY, good),
        (0x8000_0000_0000, ENTRY, good),
        (ENTRY, 0, good),
        (ENTRY, u64::MAX, good),
        (ENTRY, ENTRY, 0),
        (ENTRY, ENTRY, good + 8),
        (ENTRY, ENTRY, layout::USER_END),
        (ENTRY, ENTRY, 0xffff_8000_0000_0000),
    ] {
        assert_eq!(
            w.make(w.init, create(entry, stack, page)),
            Err(SysError::BadAddress),
            "{entry:#x} {stack:#x} {page:#x}"
        );
    }
    let handle = w.get(w.init, create(ENTRY + 3, ENTRY + 16, good));
    let thread: Ref<Thread> = w.object(w.init, handle);
    let context = &w.k.threads[thread].context;
    let r = &context.registers;
    assert_eq!(
        (r.rip, r.rsp, r.rdi, r.rflags, context.entered),
        (ENTRY + 3, ENTRY + 16, 77, 0x202, Entered::Interrupt)
    );
    w.audit();
}

#[test]
fn a_process_that_has_ended_takes_no_thread_no_mapping_and_no_image() {
    let mut w = World::new();
    let actor = w.actor(60);
    let memory = w.memory(1);
    w.make(w.init, sys(Sysno::ProcessKill).on(actor.handle)).unwrap();
    let thread = sys(Sysno::ThreadCreate).on(actor.handle).words(&[ENTRY, ENTRY, layout::STARTUP, 0, 1]);
    assert_eq!(w.make(w.init, thread), Err(SysError::BadState));
    assert_eq!(w.map(actor.handle, memory, 0x10_0000, 1, Rights::READ), Err(SysError::BadState));
    let load = sys(Sysno::ProcessLoad).on(actor.handle).with(memory).words(&[0, 64]);
    assert_eq!(w.make(w.init, load), Err(SysError::BadState));
    w.make(w.init, sys(Sysno::ProcessKill).on(actor.handle)).unwrap();
    w.audit();
}

#[test]
fn the_status_of_a_process_says_who_it_is() {
    let mut w = World::new();
    let (handle, name) = w.process(layout::INIT_ACCOUNT, None);
    w.make(w.init, sys(Sysno::ProcessStatus).on(handle)).unwrap();
    let word = |at: usize| w.payload_word(w.init, at / 8);
    assert_eq!(word(offset_of!(ProcessStatus, id)), w.k.processes[name].id);
    assert_eq!((word(offset_of!(ProcessStatus, incarnation)), word(offset_of!(ProcessStatus, state))), (1, 0));
    assert_eq!(&w.payload(w.init, 48)[offset_of!(ProcessStatus, name)..], b"actor\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn the_machine_reports_itself_and_takes_log_lines_up_to_a_payload() {
    let mut w = World::new();
    w.make(w.init, sys(Sysno::MachineInfo).on(layout::INIT_MACHINE)).unwrap();
    let word = |at: usize| w.payload_word(w.init, at / 8);
    assert_eq!(word(offset_of!(MachineInfo, tsc_hz)), SECOND);
    assert_eq!(word(offset_of!(MachineInfo, frames)), w.k.mm.total_frames());
    assert_eq!(word(offset_of!(MachineInfo, cmdline_bytes)), 5);
    let at = offset_of!(MachineInfo, cmdline);
    assert_eq!(&w.payload(w.init, at + 5)[at..], b"quiet");
    w.set_payload(w.init, b"all is well\n");
    let log = |bytes| sys(Sysno::MachineLog).on(layout::INIT_MACHINE).words(&[bytes]);
    w.make(w.init, log(12)).unwrap();
    assert_eq!(w.k.machine.log, b"all is well\n");
    for bytes in [1025, u64::MAX] {
        assert_eq!(w.make(w.init, log(bytes)), Err(SysError::BadArgument));
    }
    w.make(w.init, log(1024)).unwrap();
}

#[test]
fn capabilities_to_the_machine_can_be_given_up_by_all() {
    let mut w = World::new();
    w.make(w.init, sys(Sysno::Close).on(layout::INIT_MACHINE)).unwrap();
    assert_eq!(w.make(w.init, sys(Sysno::MachineInfo).on(layout::INIT_MACHINE)), Err(SysError::BadHandle));
    w.audit();
}
