//! The counter crashes in each of its ways, is killed everywhere besides, and counts every addition once.

use crate::{Crash, FlakyClient, MEMORY, run};
use libipc::testing::{crash, kill_everywhere};
use std::sync::Mutex;

#[test]
fn crashing_on_purpose_and_killed_anywhere_it_counts_every_addition_once() {
    static SEEN: Mutex<Vec<Crash>> = Mutex::new(Vec::new());
    let deaths = kill_everywhere(|world| {
        let counter = FlakyClient::new(world.serve(MEMORY, |queue, memory| {
            run(queue, memory, |way| {
                SEEN.lock().unwrap().push(way);
                crash()
            })
        }));
        for value in 1..=8 {
            assert_eq!(counter.add(1), Ok(value));
        }
    });
    assert!(deaths.deaths >= 4 * deaths.runs, "four of the additions crash it in every run: {deaths:?}");
    let seen = SEEN.lock().unwrap();
    assert!([Crash::Panic, Crash::StackOverflow, Crash::Hang].iter().all(|way| seen.contains(way)));
}
