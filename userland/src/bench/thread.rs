//! Threads: waking one, and giving way to one.

use libipc::{Rights, sys, time};

use super::message::ROUNDS;
use super::{BIT, Bench, Figure, Outcome, PRIORITY, Samples, during};

/// From a signal until the thread that waited for it runs. The signaller is of lower priority: it writes the time and
/// signals, and this program reads the time when it wakes.
pub fn signal(bench: &Bench) -> Outcome<Figure> {
    wake_up(bench, sys::NEVER)
}

/// [`signal`], where the waiter would give up at a deadline.
pub(super) fn wake_up(bench: &Bench, deadline: sys::Deadline) -> Outcome<Figure> {
    let go = bench.account.create_event().map_err(during("event"))?;
    let signal = bench.account.create_event().map_err(during("event"))?;
    let memory = bench.account.create_memory(1).map_err(during("memory"))?;
    let shared = memory.memory().map(false).map_err(during("map"))?;
    let both = Rights::READ | Rights::WRITE | Rights::MAP;
    let grants = [("go", &go, Rights::WAIT), ("signal", &signal, Rights::SIGNAL), ("memory", &memory, both)];
    let _partner = bench.partner("signal", PRIORITY - 1, &grants)?;
    let mut samples = Samples::with_room(ROUNDS);
    for round in 0..ROUNDS + ROUNDS / 8 {
        go.event().signal(BIT).map_err(during("signal"))?;
        signal.event().wait(BIT, deadline).map_err(during("wait"))?;
        let now = time::ticks();
        let mut sent = [0; 8];
        shared.read(0, &mut sent).map_err(during("shared memory"))?;
        if round >= ROUNDS / 8 {
            samples.add(now.saturating_sub(u64::from_le_bytes(sent)).saturating_sub(bench.overhead));
        }
    }
    Ok(samples.figure())
}

/// Each yield of this program lets the other one run, which yields in turn: two switches.
pub fn yield_back(bench: &Bench) -> Outcome<Figure> {
    let _partner = bench.partner("yield", PRIORITY, &[])?;
    let round = |_| {
        sys::yield_now();
        Ok(())
    };
    Ok(bench.rounds(ROUNDS, round)?.figure())
}
