//! Lists by priority against plain queues.

use super::*;
use crate::priority::PriorityQueue;
use proptest::prelude::*;
use std::collections::VecDeque;

proptest! {
    #![proptest_config(cases(48))]
    #[test]
    fn lists_by_priority_match_a_model_of_queues(
        steps in proptest::collection::vec((0..6u8, 0..10usize, 0..4u8, 0..50u64), 1..120),
    ) {
        let mut w = World::of(2048);
        // Threads of the world that are in no list: they wait for a signal.
        let mut threads = Vec::new();
        for _ in 0..10 {
            let actor = w.actor(30);
            let own = w.event();
            let own = w.grant(actor, own, Rights::WAIT, 0);
            w.begin(actor, sys(Sysno::EventWait).on(own).words(&[1]));
            threads.push(actor.thread);
        }
        let pool = &mut w.k.threads;
        let mut list = PriorityQueue::default();
        let mut model: Vec<VecDeque<usize>> = vec![VecDeque::new(); 32];
        for (what, n, priority, call) in steps {
            let priority = priority * 10;
            let inside = model.iter().any(|ring| ring.contains(&n));
            let thread = threads[n];
            match what {
                0..=2 if !inside => {
                    pool[thread].priority = priority;
                    pool[thread].call = call << 16;
                    let ring = &mut model[priority as usize];
                    match what {
                        0 => {
                            list.push(pool, thread);
                            ring.push_back(n);
                        }
                        1 => {
                            list.push_front(pool, thread);
                            ring.push_front(n);
                        }
                        _ => {
                            list.push_by_call(pool, thread);
                            let at = ring.iter().position(|o| pool[threads[*o]].call >> 16 >= call).unwrap_or(ring.len());
                            ring.insert(at, n);
                        }
                    }
                }
                3 if inside => {
                    list.remove(pool, thread);
                    model.iter_mut().for_each(|ring| ring.retain(|o| *o != n));
                }
                4 => {
                    let expected = model.iter_mut().rev().find_map(VecDeque::pop_front);
                    prop_assert_eq!(list.pop(pool), expected.map(|n| threads[n]));
                }
                _ => {}
            }
            let top = model.iter().rposition(|ring| !ring.is_empty());
            prop_assert_eq!(list.top() as usize, top.map_or(0, |top| top + 1));
            prop_assert_eq!(list.is_empty(), top.is_none());
            prop_assert_eq!(list.first(), top.map(|top| threads[model[top][0]]));
            for (n, ring) in model.iter().enumerate() {
                prop_assert_eq!(list.has(n as u8), !ring.is_empty());
            }
        }
    }
}
