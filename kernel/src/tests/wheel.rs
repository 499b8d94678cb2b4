//! The timer wheel against a sorted list.

use super::*;
use crate::mm::{Object, Pool, SlabList};
use crate::wheel::Wheel;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Ticks in the wheel's unit.
const UNIT: u64 = 1 << 14;

struct Threads {
    _mm: Mm,
    pool: Pool<Thread>,
    all: Vec<Ref<Thread>>,
}

fn threads(count: usize) -> Threads {
    let ranges = [PhysRange { start: PAGE_SIZE, end: 256 * PAGE_SIZE }];
    let mut mm = Mm::new(DirectMap::buffer(256 * 4096), &ranges, PhysRange::default()).unwrap();
    let (mut pool, mut list) = (Pool::new(&mm), SlabList::default());
    let mut all = Vec::new();
    for _ in 0..count {
        if list.needs_page() {
            let frame = mm.take_dirty(Thread::FRAME).unwrap();
            pool.add_page(&mut mm, &mut list, frame).unwrap();
        }
        all.push(pool.insert(&mut list, Thread::vacant()).unwrap());
    }
    Threads { _mm: mm, pool, all }
}

#[test]
fn an_empty_wheel_has_no_next_deadline_and_a_thread_without_one_is_not_in_it() {
    let mut t = threads(1);
    let mut wheel = Wheel::new(12345);
    assert_eq!(wheel.soonest(), None);
    wheel.add(&mut t.pool, t.all[0]);
    assert_eq!((wheel.soonest(), t.pool[t.all[0]].timer_slot), (None, None));
    wheel.remove(&mut t.pool, t.all[0]);
    assert_eq!(wheel.expired(&mut t.pool, u64::MAX), None);
}

#[test]
fn deadlines_at_the_ends_of_time_are_kept_or_left_out_without_a_panic() {
    for deadline in [0, 1, UNIT - 1, UNIT, (1 << 62) - 1, 1 << 62, u64::MAX - 1, u64::MAX - UNIT] {
        for start in [0, UNIT * 63, UNIT * 64 - 1, 1 << 40, u64::MAX - UNIT] {
            let mut t = threads(1);
            let mut wheel = Wheel::new(start);
            t.pool[t.all[0]].deadline = deadline;
            wheel.add(&mut t.pool, t.all[0]);
            if let Some(next) = wheel.soonest() {
                assert!(next >= start & !(UNIT - 1));
            }
            let _ = wheel.expired(&mut t.pool, start);
            wheel.remove(&mut t.pool, t.all[0]);
            assert_eq!(wheel.soonest(), None);
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]
    #[test]
    fn the_wheel_gives_what_a_sorted_list_would(
        start in prop_oneof![Just(0u64), 0u64..1 << 50],
        steps in proptest::collection::vec(
            (0..5u8, 0..12usize, prop_oneof![0u64..4 * UNIT, 0u64..1 << 24, 0u64..1 << 34, 0u64..1 << 46]), 1..120),
    ) {
        let mut t = threads(12);
        let mut wheel = Wheel::new(start);
        let mut now = start;
        // Deadline by thread.
        let mut model: BTreeMap<usize, u64> = BTreeMap::new();
        for (what, n, delta) in steps {
            match what {
                0 | 1 if !model.contains_key(&n) => {
                    t.pool[t.all[n]].deadline = now + delta;
                    wheel.add(&mut t.pool, t.all[n]);
                    model.insert(n, now + delta);
                }
                2 => {
                    wheel.remove(&mut t.pool, t.all[n]);
                    t.pool[t.all[n]].deadline = NEVER;
                    model.remove(&n);
                }
                // The wait ends, and leaves the thread where it is: invariant 4.
                3 => {
                    t.pool[t.all[n]].deadline = NEVER;
                    model.remove(&n);
                }
                _ => {
                    now += delta;
                    while let Some(thread) = wheel.expired(&mut t.pool, now) {
                        let n = t.all.iter().position(|other| *other == thread).unwrap();
                        if t.pool[thread].deadline > now {
                            wheel.add(&mut t.pool, thread);
                        } else {
                            let deadline = model.remove(&n).expect("it waits");
                            prop_assert!(deadline <= now, "nobody wakes early");
                            t.pool[thread].deadline = NEVER;
                        }
                    }
                    for deadline in model.values() {
                        prop_assert!(deadline / UNIT + 1 > now / UNIT, "nobody sleeps longer than a unit");
                    }
                    prop_assert!(wheel.soonest().is_none_or(|next| next > now), "the timer is worth setting");
                }
            }
            let first = model.values().min().map(|deadline| (deadline / UNIT + 1) * UNIT);
            match (wheel.soonest(), first) {
                (_, None) => {}
                (Some(next), Some(first)) => prop_assert!(next <= first, "{next} is later than {first}"),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
