//! Who runs, for how long, and who wakes when.

use super::*;
use proptest::prelude::*;

const SLICE: u64 = 10 * MILLISECOND;

#[test]
fn the_most_urgent_thread_runs_and_others_wait_for_it_to_wait() {
    let mut w = World::new();
    let actors: Vec<Actor> = (0..4).map(|_| w.actor(40)).collect();
    for (n, actor) in actors.iter().enumerate() {
        w.raise(*actor, 12 + n as u8);
    }
    w.raise(w.init, 5);
    w.reschedule();
    for n in (0..4).rev() {
        assert_eq!(w.k.current, Some(actors[n].thread));
        w.set_deadline(actors[n], w.k.machine.now + SECOND);
        w.make_current(sys(Sysno::Yield).flags(CallFlags::DEADLINE));
        w.audit();
    }
    assert_eq!(w.k.current, Some(w.init.thread));
}

#[test]
fn threads_of_one_priority_take_turns_by_slices_and_by_yields() {
    let mut w = World::new();
    let actors: Vec<Actor> = (0..3).map(|_| w.actor(40)).collect();
    w.set_deadline(w.init, 100 * SECOND);
    w.begin(w.init, sys(Sysno::Yield).flags(CallFlags::DEADLINE));
    let turn = |w: &World| actors.iter().position(|a| w.k.current == Some(a.thread)).unwrap();
    let first = turn(&w);
    for n in 1..7 {
        w.pass(SLICE - 1000);
        assert_eq!(turn(&w), (first + n - 1) % 3, "its slice is not over");
        w.pass(1000);
        assert_eq!(turn(&w), (first + n) % 3);
        w.audit();
    }
    let now = turn(&w);
    w.make_current(sys(Sysno::Yield));
    assert_eq!(turn(&w), (now + 1) % 3);
}

#[test]
fn a_thread_alone_at_its_priority_runs_without_a_timer() {
    let mut w = World::new();
    assert_eq!(w.k.machine.timer, None);
    let actor = w.actor(40);
    assert!(w.k.machine.timer.is_some(), "two take turns");
    w.raise(actor, 3);
    w.pass(2 * SLICE);
    assert_eq!((w.k.current, w.k.machine.timer), (Some(w.init.thread), None));
    w.audit();
}

#[test]
fn when_nobody_waits_for_time_an_idle_machine_has_no_timer() {
    let mut w = World::new();
    let event = w.event();
    w.begin(w.init, sys(Sysno::EventWait).on(event).words(&[1]));
    assert_eq!((w.k.current, w.k.machine.timer), (None, None));
    w.pass(1000 * SECOND);
    assert!(w.waits(w.init));
}

#[test]
fn a_yield_with_nobody_else_of_the_priority_returns_at_once() {
    let mut w = World::new();
    let actor = w.actor(40);
    w.raise(actor, PRIORITY - 1);
    w.make(w.init, sys(Sysno::Yield)).unwrap();
    assert_eq!(w.k.current, Some(w.init.thread));
    w.set_deadline(w.init, 0);
    w.make(w.init, sys(Sysno::Yield).flags(CallFlags::DEADLINE)).unwrap();
    assert_eq!(w.k.current, Some(w.init.thread), "a deadline that has passed: do not wait");
}

#[test]
fn priorities_go_up_to_the_ceiling_of_the_process_and_need_control() {
    let mut w = World::new();
    let actor = w.actor(40);
    let set = |handle, priority| sys(Sysno::ThreadPriority).on(handle).words(&[priority]);
    for priority in [u64::from(PRIORITY) + 1, 32, 256 + 3, u64::MAX] {
        assert_eq!(w.make(w.init, set(actor.control, priority)), Err(SysError::BadArgument));
    }
    w.make(w.init, set(actor.control, 0)).unwrap();
    w.make(w.init, set(actor.control, PRIORITY.into())).unwrap();
    let weak = w.grant(actor, actor.control, Rights::INSPECT, 0);
    assert_eq!(w.make(actor, set(weak, 1)), Err(SysError::MissingRights));
    let me = w.grant(actor, actor.account, Rights::CREATE, 0);
    let create = |ceiling| sys(Sysno::ProcessCreate).on(me).words(&[0, ceiling]);
    for ceiling in [u64::from(PRIORITY) + 1, 32, u64::MAX] {
        assert_eq!(w.make(actor, create(ceiling)), Err(SysError::BadArgument));
    }
    w.make(actor, create(PRIORITY.into())).unwrap();
    let own = w.grant(actor, actor.handle, Rights::CONTROL, 0);
    let area = w.next_area();
    let thread = |priority| sys(Sysno::ThreadCreate).on(own).words(&[ENTRY, ENTRY, area, 0, priority]);
    for priority in [u64::from(PRIORITY) + 1, 256, u64::MAX] {
        assert_eq!(w.make(actor, thread(priority)), Err(SysError::BadArgument));
    }
    w.make(actor, thread(3)).unwrap();
    w.audit();
}

#[test]
fn a_thread_that_lowers_itself_makes_way() {
    let mut w = World::new();
    let (actor, other) = (w.actor(40), w.actor(40));
    let own = w.grant(actor, actor.control, Rights::CONTROL, 0);
    w.switch_to(actor.thread);
    w.make_current(sys(Sysno::ThreadPriority).on(own).words(&[2]));
    assert_ne!(w.k.current, Some(actor.thread));
    assert!(!w.waits(other));
    w.audit();
}

#[test]
fn the_clock_counts_nanoseconds_from_power_on() {
    let mut w = World::new();
    w.pass(123_456_789);
    assert_eq!(w.make(w.init, sys(Sysno::Clock)).unwrap()[0], 123_456_789);
    use crate::machine::Clock;
    for hz in [1_000_000, 2_399_987_654, 3_000_000_000, 100_000_000_000u64] {
        let clock = Clock::new(1000, hz);
        assert_eq!(clock.nanoseconds(1000), 0);
        let day = clock.nanoseconds(1000 + hz * 86_400);
        assert!(day.abs_diff(86_400 * SECOND) < 86_400_000, "{hz} Hz: {day}");
        for ns in [0, 1, 999, SECOND, 3600 * SECOND] {
            assert!(clock.ticks(ns) >= clock.ticks_of(ns));
            assert!(clock.nanoseconds(clock.ticks(ns)) <= ns + 1000 + ns / 1_000_000);
        }
        assert_eq!(clock.ticks(u64::MAX), clock.ticks(u64::MAX).max(1));
    }
}

#[test]
fn time_that_a_process_has_run_is_reported() {
    let mut w = World::new();
    let actor = w.actor(40);
    w.switch_to(actor.thread);
    w.pass(3 * MILLISECOND);
    w.switch_to(w.init.thread);
    w.pass(2 * MILLISECOND);
    w.make(w.init, sys(Sysno::ProcessStatus).on(actor.handle)).unwrap();
    assert_eq!(w.payload_word(w.init, offset_of!(abi::ProcessStatus, cpu_time) / 8), 3 * MILLISECOND);
}

#[test]
fn what_a_process_waits_for_is_reported() {
    let mut w = World::new();
    let (queue, event) = (w.queue(0), w.event());
    let waiting = |w: &mut World, actor: Actor| {
        w.make(w.init, sys(Sysno::ProcessStatus).on(actor.handle)).unwrap();
        w.payload_word(w.init, offset_of!(abi::ProcessStatus, waiting) / 8)
    };
    let actors = [0, 1, 2, 3].map(|_| w.actor(40));
    let handles = actors.map(|a| (w.grant(a, queue, Rights::all(), 0), w.grant(a, event, Rights::all(), 0)));
    assert_eq!(waiting(&mut w, actors[0]), 0);
    w.begin(actors[0], sys(Sysno::Call).on(handles[0].0));
    assert_eq!(waiting(&mut w, actors[0]), 1);
    w.receive(actors[1], handles[1].0);
    assert_eq!(waiting(&mut w, actors[0]), 1);
    w.begin(actors[1], sys(Sysno::Recv).on(handles[1].0));
    assert_eq!(waiting(&mut w, actors[1]), 2);
    w.begin(actors[2], sys(Sysno::EventWait).on(handles[2].1).words(&[1]));
    assert_eq!(waiting(&mut w, actors[2]), 3);
    w.make(w.init, sys(Sysno::ProcessKill).on(actors[2].handle)).unwrap();
    assert_eq!(waiting(&mut w, actors[2]), 0);
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn sleepers_wake_in_the_order_of_their_deadlines_and_none_early(
        sleeps in proptest::collection::vec(prop_oneof![1u64..100_000, 1u64..2_000_000_000, 1u64..4_000_000_000_000], 1..14),
    ) {
        let mut w = World::of(2048);
        let actors: Vec<Actor> = sleeps.iter().map(|_| w.actor(30)).collect();
        let start = w.k.machine.now;
        for (actor, sleep) in actors.iter().zip(&sleeps) {
            w.set_deadline(*actor, start + sleep);
            w.begin(*actor, sys(Sysno::Yield).flags(CallFlags::DEADLINE));
        }
        w.audit();
        let mut order: Vec<usize> = (0..sleeps.len()).collect();
        order.sort_by_key(|n| sleeps[*n]);
        for n in order {
            let at = start + sleeps[n];
            if w.k.machine.now < at - 1 {
                let wait = at - 1 - w.k.machine.now;
                w.pass(wait);
            }
            if w.k.machine.now < at {
                prop_assert!(w.waits(actors[n]), "nobody wakes early");
            }
            w.pass(at.saturating_sub(w.k.machine.now) + 2 * 16_384);
            prop_assert!(!w.waits(actors[n]), "nobody sleeps long");
        }
        w.audit();
    }
}

#[test]
fn a_wait_that_ended_early_ends_no_later_one_before_its_time_wheel_invariant_4() {
    let mut w = World::new();
    let (event, actor) = (w.event(), w.actor(60));
    let wait = w.grant(actor, event, Rights::WAIT, 0);
    let until = |w: &mut World, at| {
        w.set_deadline(actor, at);
        w.begin(actor, sys(Sysno::EventWait).on(wait).words(&[1]).flags(CallFlags::DEADLINE));
    };
    let start = w.k.machine.now;
    until(&mut w, start + 10 * MILLISECOND);
    w.make(w.init, sys(Sysno::EventSignal).on(event).words(&[1])).unwrap();
    assert_eq!(w.result(actor).unwrap()[0], 1);
    until(&mut w, start + 30 * MILLISECOND);
    assert!(w.k.threads[actor.thread].timer_slot.is_some());
    w.pass(20 * MILLISECOND);
    assert!(w.waits(actor), "it is due by the first deadline, and waits until the second");
    w.audit();
    w.pass(20 * MILLISECOND);
    assert_eq!(w.result(actor), Err(SysError::TimedOut));
    w.audit();
}
