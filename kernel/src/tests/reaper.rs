//! Teardown: of anything, in any state, in bounded steps, without the victim's help.

use super::*;
use abi::ProcessState;
use proptest::prelude::*;

/// What a victim is doing when its end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    Running,
    Calling,
    BeingServed,
    Serving,
    Receiving,
    Waiting,
    Sleeping,
    Resetting,
    Faulted,
}

const DOINGS: [Doing; 10] = [
    Doing::Nothing,
    Doing::Running,
    Doing::Calling,
    Doing::BeingServed,
    Doing::Serving,
    Doing::Receiving,
    Doing::Waiting,
    Doing::Sleeping,
    Doing::Resetting,
    Doing::Faulted,
];

/// A victim in the middle of something, and who is with it.
struct Scene {
    victim: Actor,
    partner: Actor,
    end: Handle,
}

fn scene(w: &mut World, doing: Doing) -> Scene {
    let (account, queue, event, end) = (w.account(60), w.queue(2), w.event(), w.event());
    let partner = w.actor(60);
    let their_queue = w.grant(partner, queue, Rights::all(), 0);
    let victim = match doing {
        Doing::Nothing => {
            let (handle, process) = w.process(account, Some((end, 1)));
            Actor { process, handle, account, ..w.init }
        }
        _ => w.actor_of(account, Some((end, 1))),
    };
    let (own_queue, own_event) = (w.grant(victim, queue, Rights::all(), 0), w.grant(victim, event, Rights::all(), 0));
    match doing {
        Doing::Nothing | Doing::Running => {}
        Doing::Calling => w.begin(victim, sys(Sysno::Call).on(own_queue)),
        Doing::BeingServed => {
            w.begin(victim, sys(Sysno::Call).on(own_queue));
            w.receive(partner, their_queue);
        }
        Doing::Serving => {
            w.begin(victim, sys(Sysno::Recv).on(own_queue));
            w.begin(partner, sys(Sysno::Call).on(their_queue));
        }
        Doing::Receiving => w.begin(victim, sys(Sysno::Recv).on(own_queue)),
        Doing::Waiting => w.begin(victim, sys(Sysno::EventWait).on(own_event).words(&[1])),
        Doing::Sleeping => {
            w.set_deadline(victim, SECOND);
            w.begin(victim, sys(Sysno::Yield).flags(CallFlags::DEADLINE));
        }
        Doing::Resetting => {
            // It waits for a teardown of its own, which init's priority keeps from ending.
            let other = w.actor(60);
            let handle = w.grant(victim, other.handle, Rights::all(), 0);
            w.switch_to(victim.thread);
            w.raise(w.init, PRIORITY + 1);
            w.make_current(sys(Sysno::ProcessReset).on(handle));
            assert_eq!(w.k.threads[victim.thread].wait, Wait::Teardown);
        }
        Doing::Faulted => w.fault(victim, 6, 0, 0),
    }
    w.audit();
    Scene { victim, partner, end }
}

#[test]
fn a_kill_ends_a_process_in_every_state_and_everything_comes_back() {
    for doing in DOINGS {
        let mut w = World::new();
        let before = w.audit();
        let s = scene(&mut w, doing);
        w.make(w.init, sys(Sysno::ProcessKill).on(s.victim.handle).words(&[7])).unwrap();
        w.audit();
        let p = &w.k.processes[s.victim.process];
        assert_eq!((p.state, p.exit, p.thread_count), (ProcessState::Exited, 7, 0), "{doing:?}");
        assert_eq!(w.make(w.init, sys(Sysno::EventWait).on(s.end).words(&[u64::MAX])).unwrap()[0], 1, "{doing:?}");
        w.make(w.init, sys(Sysno::AccountDestroy).on(s.victim.account)).unwrap();
        w.audit();
        w.make(w.init, sys(Sysno::AccountDestroy).on(s.partner.account)).unwrap();
        clean(&mut w);
        let after = w.audit();
        assert_eq!(after, before, "{doing:?}");
    }
}

/// Init closes and destroys whatever it has beyond the first five capabilities.
fn clean(w: &mut World) {
    let init = w.init;
    for index in 6..127 {
        for generation in 1..60 {
            let handle = Handle::new(index, generation);
            let Ok(words) = w.make(init, sys(Sysno::Inspect).on(handle)) else { continue };
            let ends = if words[0] == abi::Kind::Account as u64 { Sysno::AccountDestroy } else { Sysno::Close };
            w.make(init, sys(ends).on(handle)).unwrap();
        }
    }
}

#[test]
fn a_reset_empties_a_process_in_every_state_and_it_starts_again() {
    for doing in DOINGS {
        let mut w = World::new();
        let s = scene(&mut w, doing);
        let incarnation = w.make(w.init, sys(Sysno::ProcessReset).on(s.victim.handle)).unwrap()[0];
        assert_eq!(incarnation, 2, "{doing:?}");
        w.raise(w.init, PRIORITY);
        w.audit();
        let p = &w.k.processes[s.victim.process];
        assert_eq!((p.state, p.thread_count, p.region_count), (ProcessState::Empty, 0, 0), "{doing:?}");
        let next = w.thread_in(s.victim.handle, s.victim.account, PRIORITY);
        let queue = Handle::new(1, 1);
        w.make(next, sys(Sysno::Post).on(queue)).unwrap();
        w.audit();
    }
}

#[test]
fn the_account_of_a_process_is_destroyed_in_every_state() {
    for doing in DOINGS {
        let mut w = World::new();
        let s = scene(&mut w, doing);
        let partner = s.partner.process;
        w.make(w.init, sys(Sysno::AccountDestroy).on(s.victim.account)).unwrap();
        w.audit();
        assert_ne!(w.k.processes[partner].state, ProcessState::Exited, "{doing:?}: the partner lives on");
        assert_eq!(w.make(w.init, sys(Sysno::Inspect).on(s.victim.handle)), Err(SysError::BadHandle));
    }
}

#[test]
fn a_program_that_has_exited_and_is_not_yet_torn_down_can_be_given_another_priority() {
    for own_kill in [false, true] {
        let mut w = World::new();
        let victim = w.actor(60);
        let me = w.grant(victim, victim.handle, Rights::all(), 0);
        w.switch_to(victim.thread);
        w.raise(w.init, PRIORITY + 1);
        w.make_current(if own_kill { sys(Sysno::ProcessKill).on(me) } else { sys(Sysno::Exit) });
        assert_eq!(w.k.current, Some(w.init.thread), "init comes before the reaper");
        w.make(w.init, sys(Sysno::ThreadPriority).on(victim.control).words(&[3])).unwrap();
        w.audit();
        w.raise(w.init, 0);
        w.reschedule();
        w.audit();
        assert_eq!(w.k.processes[victim.process].state, ProcessState::Exited);
    }
}

#[test]
fn a_caller_more_urgent_than_a_server_that_is_just_exiting_waits_for_the_next_one() {
    let mut w = World::new();
    let queue = w.queue(0);
    let (server, client) = (w.actor(60), w.actor(60));
    let receive = w.grant(server, queue, Rights::all(), 0);
    let send = w.grant(client, queue, Rights::all(), 0);
    w.begin(client, sys(Sysno::Call).on(send).words(&[1]));
    let id = w.receive(server, receive).id;
    w.make(server, sys(Sysno::Reply).token(id)).unwrap();
    w.raise(client, PRIORITY + 2);
    w.make_current(sys(Sysno::Exit));
    assert_eq!(w.k.current, Some(client.thread), "the client comes before the reaper");
    w.begin(client, sys(Sysno::Call).on(send).words(&[2]));
    w.audit();
    assert_eq!(w.k.processes[server.process].state, ProcessState::Exited);
    assert_eq!(w.receive(w.init, queue).words[0], 2);
}

#[test]
fn two_processes_of_one_account_are_reset_at_once_and_the_later_one_goes_with_the_first() {
    let mut w = World::new();
    let account = w.account(120);
    let (first, second) = (w.actor_of(account, None), w.actor_of(account, None));
    let (one, other) = (w.actor(60), w.actor(60));
    let reset_first = w.grant(one, first.handle, Rights::CONTROL, 0);
    let reset_second = w.grant(other, second.handle, Rights::CONTROL, 0);
    // A more urgent thread comes between, so that both resets are under way together.
    w.switch_to(one.thread);
    w.raise(w.init, PRIORITY + 2);
    w.raise(other, PRIORITY + 2);
    w.make_current(sys(Sysno::ProcessReset).on(reset_first));
    w.begin(other, sys(Sysno::ProcessReset).on(reset_second));
    w.raise(w.init, 0);
    w.reschedule();
    w.audit();
    assert!(!w.waits(one) && !w.waits(other), "both resets end");
    w.raise(other, PRIORITY);
    let ends = [w.finish(one), w.finish(other)].map(|end| end.map(|words| words[0]));
    assert!(ends.contains(&Ok(2)) && ends.contains(&Err(SysError::BadHandle)), "{ends:?}");
    w.audit();
}

#[test]
fn a_reset_takes_what_the_process_paid_for_but_not_what_it_was_granted() {
    let mut w = World::new();
    let before = w.actor(100);
    let granted = w.queue(4);
    let queue = w.grant(before, granted, Rights::SEND, 5);
    let own = w.grant(before, before.account, Rights::all(), 0);
    let own_queue = w.get(before, sys(Sysno::QueueCreate).on(own).words(&[4]));
    let copy = w.get(before, sys(Sysno::Duplicate).on(queue).words(&[u64::MAX]));
    w.get(before, sys(Sysno::MemoryCreate).on(own).words(&[9]));
    w.make(w.init, sys(Sysno::ProcessReset).on(before.handle)).unwrap();
    let after = w.thread_in(before.handle, before.account, PRIORITY);
    let words = w.make(after, sys(Sysno::Inspect).on(queue)).unwrap();
    assert_eq!(words[1..3], [u64::from(Rights::SEND.bits()), 5]);
    for gone in [own_queue, copy] {
        assert_eq!(w.make(after, sys(Sysno::Inspect).on(gone)), Err(SysError::BadHandle));
    }
    let account = w.k.processes[after.process].account_ref();
    let slabs = w.k.accounts[account].slabs;
    assert_eq!((slabs.queues.objects, slabs.memories.objects, slabs.processes.objects), (0, 0, 1));
    w.audit();
}

#[test]
fn nobody_resets_himself_or_the_account_that_pays_for_him() {
    let mut w = World::new();
    let actor = w.actor(100);
    let me = w.grant(actor, actor.handle, Rights::all(), 0);
    assert_eq!(w.make(actor, sys(Sysno::ProcessReset).on(me)), Err(SysError::BadState));
    // A neighbour in the same account, and one that the account of the account pays for.
    let (neighbour, _) = w.process(actor.account, None);
    let (elder, _) = w.process(layout::INIT_ACCOUNT, None);
    for other in [neighbour, elder] {
        let handle = w.grant(actor, other, Rights::all(), 0);
        assert_eq!(w.make(actor, sys(Sysno::ProcessReset).on(handle)), Err(SysError::BadState));
        assert_eq!(w.make(actor, sys(Sysno::ProcessKill).on(handle)), Ok([0; 8]));
    }
    w.audit();
}

#[test]
fn only_who_may_control_a_process_ends_it() {
    let mut w = World::new();
    let (victim, other) = (w.actor(60), w.actor(60));
    let weak = w.grant(other, victim.handle, Rights::all() - Rights::CONTROL, 0);
    for number in [Sysno::ProcessKill, Sysno::ProcessReset, Sysno::ThreadCreate] {
        assert_eq!(w.make(other, sys(number).on(weak)), Err(SysError::MissingRights));
    }
    assert_eq!(w.k.processes[victim.process].state, ProcessState::Running);
}

#[test]
fn a_handle_that_goes_while_its_reset_is_awaited_does_not_make_the_next_reset_a_lie() {
    let mut w = World::new();
    let (target, other, supervisor) = (w.actor(60), w.actor(60), w.actor(60));
    let handle = w.grant(supervisor, target.handle, Rights::CONTROL, 0);
    let next = w.grant(supervisor, other.handle, Rights::CONTROL, 0);
    w.switch_to(supervisor.thread);
    w.raise(w.init, PRIORITY + 1);
    w.make_current(sys(Sysno::ProcessReset).on(handle));
    w.make(w.init, sys(Sysno::Revoke).on(target.handle)).unwrap();
    w.raise(w.init, PRIORITY);
    w.switch_to(supervisor.thread);
    assert_eq!(w.result(supervisor), Err(SysError::BadHandle));
    assert_eq!(w.make(supervisor, sys(Sysno::AccountDestroy).on(Handle::new(90, 1))), Err(SysError::BadHandle));
    assert_eq!(w.make(supervisor, sys(Sysno::ProcessReset).on(next)).unwrap()[0], 2, "the other is reset in truth");
    assert_eq!(w.k.processes[other.process].state, ProcessState::Empty);
}

#[test]
fn the_killer_may_be_killed_while_the_victim_is_torn_down() {
    let mut w = World::new();
    let (victim, killer) = (w.actor(60), w.actor(60));
    let handle = w.grant(killer, victim.handle, Rights::CONTROL, 0);
    w.switch_to(killer.thread);
    w.raise(w.init, PRIORITY + 1);
    w.make_current(sys(Sysno::ProcessKill).on(handle));
    assert_eq!(w.k.threads[killer.thread].wait, Wait::Teardown);
    w.make(w.init, sys(Sysno::ProcessKill).on(killer.handle)).unwrap();
    w.audit();
    for dead in [victim, killer] {
        assert_eq!(w.k.processes[dead.process].state, ProcessState::Exited);
    }
}

#[test]
fn calls_back_and_forth_do_not_keep_an_equally_urgent_teardown_waiting() {
    both_ways(|w| {
        let (victim, killer, server) = (w.actor(60), w.actor(60), w.actor(60));
        let handle = w.grant(killer, victim.handle, Rights::CONTROL, 0);
        let queue = w.queue(0);
        let receive = w.grant(server, queue, Rights::RECEIVE, 0);
        w.begin(server, sys(Sysno::Recv).on(receive));
        w.switch_to(killer.thread);
        w.raise(w.init, PRIORITY + 1);
        w.make_current(sys(Sysno::ProcessKill).on(handle));
        assert_eq!(w.k.current, Some(w.init.thread));
        w.raise(w.init, PRIORITY);
        w.make_current(sys(Sysno::Call).on(queue));
        assert_eq!(w.k.processes[victim.process].state, ProcessState::Exited);
        assert!(!w.waits(server));
    });
}

#[test]
fn a_kill_that_meets_a_reset_does_not_end_the_next_incarnation() {
    let mut w = World::new();
    let (victim, killer) = (w.actor(60), w.actor(60));
    let handle = w.grant(killer, victim.handle, Rights::CONTROL, 0);
    w.switch_to(killer.thread);
    w.raise(w.init, PRIORITY + 1);
    w.make_current(sys(Sysno::ProcessKill).on(handle));
    assert_eq!(w.make(w.init, sys(Sysno::ProcessReset).on(victim.handle)).unwrap()[0], 2);
    let next = w.thread_in(victim.handle, victim.account, PRIORITY);
    w.raise(w.init, PRIORITY);
    w.finish(killer).unwrap();
    assert_eq!(w.k.processes[next.process].state, ProcessState::Running);
    w.make(killer, sys(Sysno::ProcessKill).on(handle)).unwrap();
    assert_eq!(w.k.processes[next.process].state, ProcessState::Exited, "the next kill is one");
    w.audit();
}

#[test]
fn a_program_kills_itself_by_its_own_capability() {
    let mut w = World::new();
    let actor = w.actor(60);
    let me = w.grant(actor, actor.handle, Rights::CONTROL, 0);
    w.begin(actor, sys(Sysno::ProcessKill).on(me).words(&[3]));
    w.audit();
    let p = &w.k.processes[actor.process];
    assert_eq!((p.state, p.exit), (ProcessState::Exited, 3));
}

#[test]
fn the_last_thread_s_end_is_the_process_s_end() {
    let mut w = World::new();
    let first = w.actor(60);
    let second = w.thread_in(first.handle, first.account, PRIORITY);
    w.begin(second, sys(Sysno::ThreadExit));
    assert_eq!(w.k.processes[first.process].state, ProcessState::Running);
    assert_eq!(w.make(w.init, sys(Sysno::ThreadPriority).on(second.control)), Err(SysError::BadHandle));
    w.audit();
    w.begin(first, sys(Sysno::ThreadExit));
    let p = &w.k.processes[first.process];
    assert_eq!((p.state, p.exit), (ProcessState::Exited, 0));
    w.audit();
}

#[test]
fn thousands_of_threads_and_capabilities_go_in_bounded_steps() {
    let mut w = World::of(12 * 1024);
    let before = w.audit();
    let actor = w.actor(8000);
    let own = w.grant(actor, actor.account, Rights::all(), 0);
    let me = w.grant(actor, actor.handle, Rights::all(), 0);
    for n in 0..1500 {
        let area = layout::THREAD_AREAS + (5000 + n) * PAGE_SIZE;
        w.make(actor, sys(Sysno::ThreadCreate).on(me).words(&[ENTRY, ENTRY, area, 0, 1])).unwrap();
    }
    let queue = w.get(actor, sys(Sysno::QueueCreate).on(own).words(&[1]));
    for _ in 0..10_000 {
        w.make(actor, sys(Sysno::Duplicate).on(queue).words(&[u64::MAX])).unwrap();
    }
    w.switch_to(w.init.thread);
    let call = sys(Sysno::AccountDestroy).on(actor.account);
    let thread = &mut w.k.threads[w.init.thread];
    (thread.context.registers.rax, thread.context.registers.rdi) = (call.number, call.rdi);
    (thread.context.entered, thread.context.registers.rip) = (Entered::Syscall, SITE + 2);
    let mut resume = w.k.syscall();
    let mut steps = 0;
    while resume == Resume::Again {
        let free = w.k.mm.free_frames();
        resume = w.k.start();
        assert!(w.k.mm.free_frames() - free < 100, "a step does a bounded piece of work");
        steps += 1;
    }
    assert!(steps > 50, "{steps} steps");
    w.settle(resume);
    w.make(w.init, sys(Sysno::Inspect).on(layout::INIT_SELF)).unwrap();
    let after = w.audit();
    assert_eq!(after.objects, before.objects);
    assert_eq!(after.free + w.k.numbers.pages_used(), before.free + 1, "but for the table of threads");
}

#[test]
fn a_kill_is_waited_for_at_the_killer_s_priority() {
    let mut w = World::new();
    let (victim, killer, busy) = (w.actor(60), w.actor(60), w.actor(60));
    let handle = w.grant(killer, victim.handle, Rights::CONTROL, 0);
    // Begun by somebody unimportant, awaited by somebody important.
    w.switch_to(w.init.thread);
    w.raise(busy, 20);
    w.raise(w.init, 0);
    w.make_current(sys(Sysno::ProcessKill).on(victim.handle));
    assert_eq!(w.k.current, Some(busy.thread));
    w.raise(killer, 25);
    w.reschedule();
    assert_eq!(w.k.current, Some(killer.thread));
    w.make_current(sys(Sysno::ProcessKill).on(handle));
    assert_eq!(
        w.k.processes[victim.process].state,
        ProcessState::Exited,
        "the reaper works for its most urgent waiter"
    );
    assert_eq!(w.k.current, Some(killer.thread));
    w.audit();
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn any_order_of_ends_leaves_nothing_behind(
        doings in proptest::collection::vec(0..DOINGS.len(), 1..4),
        ends in proptest::collection::vec((0..4usize, 0..8usize), 1..12),
    ) {
        let mut w = World::new();
        let before = w.audit();
        // Whoever waits for a teardown is kept waiting by init, so that scene comes last.
        let mut doings = doings;
        doings.sort_by_key(|d| DOINGS[*d] == Doing::Resetting);
        doings.dedup_by_key(|d| if DOINGS[*d] == Doing::Resetting { 0 } else { *d + 1 });
        let scenes: Vec<Scene> = doings.into_iter().map(|d| scene(&mut w, DOINGS[d])).collect();
        for (how, whom) in ends {
            let s = &scenes[whom / 2 % scenes.len()];
            let actor = if whom % 2 == 0 { s.victim } else { s.partner };
            let call = match how {
                0 => sys(Sysno::ProcessKill).on(actor.handle),
                1 => sys(Sysno::ProcessReset).on(actor.handle),
                2 => sys(Sysno::AccountDestroy).on(actor.account),
                _ => sys(Sysno::Close).on(actor.handle),
            };
            match w.make(w.init, call) {
                Ok(_) | Err(SysError::BadHandle) => {}
                Err(other) => panic!("{call:?}: {other}"),
            }
            w.audit();
        }
        w.raise(w.init, PRIORITY);
        clean(&mut w);
        prop_assert_eq!(w.audit(), before);
    }
}
