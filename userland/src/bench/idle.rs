//! Time in which nobody works, to be taken off what waits for the disk.
//!
//! A partner of the lowest priority keeps the processor from sleeping and counts the ticks in which it is the one that
//! runs. What is left of a round is what the programs, the servers and the kernel have executed; with each interruption
//! up to one turn of the counting loop, some 30 instructions, is left in it.

use libipc::spawn::Child;
use libipc::{Mapping, Memory, OwnedHandle, Rights, sys, time};

use super::{Bench, Outcome, Samples, during};

/// A turn of the loop takes less, an interruption more.
const TURN: u64 = 200;

/// The partner, and where it counts.
pub(super) struct Idle {
    shared: Mapping,
    _memory: OwnedHandle,
    _partner: Child,
}

impl Idle {
    /// Starts the partner, and waits until it counts.
    pub fn start(bench: &Bench) -> Outcome<Idle> {
        let memory = bench.account.create_memory(1).map_err(during("memory"))?;
        let both = Rights::READ | Rights::WRITE | Rights::MAP;
        let partner = bench.partner("idle", 0, &[("memory", &memory, both)])?;
        let shared = memory.memory().map(false).map_err(during("map"))?;
        let idle = Idle { shared, _memory: memory, _partner: partner };
        while idle.ticks()? == 0 {
            sys::sleep_until(sys::clock() + 1_000_000);
        }
        Ok(idle)
    }
    /// Idle ticks so far.
    fn ticks(&self) -> Outcome<u64> {
        let mut bytes = [0; 8];
        self.shared.read(0, &mut bytes).map_err(during("shared memory"))?;
        Ok(u64::from_le_bytes(bytes))
    }
    /// As [`Bench::rounds`], without idle ticks. `prepare` is not timed.
    pub fn rounds(
        &self,
        bench: &Bench,
        count: u64,
        mut prepare: impl FnMut(u64) -> Outcome<()>,
        mut round: impl FnMut(u64) -> Outcome<()>,
    ) -> Outcome<Samples> {
        let mut samples = Samples::with_room(count);
        for number in 0..count {
            prepare(number)?;
            let (idle, start) = (self.ticks()?, time::ticks());
            round(number)?;
            let cost = time::ticks().saturating_sub(start).saturating_sub(bench.overhead);
            samples.add(cost.saturating_sub(self.ticks()?.saturating_sub(idle)));
        }
        Ok(samples)
    }
}

/// The partner's part: it counts until it is ended.
pub(super) fn count(memory: Memory) -> Outcome<()> {
    let mut shared = memory.map(true).map_err(during("map"))?;
    let (mut idle, mut last) = (0_u64, time::ticks());
    loop {
        let now = time::ticks();
        let turn = now.saturating_sub(last);
        last = now;
        if turn < TURN {
            idle += turn;
            shared.write(0, &idle.to_le_bytes()).map_err(during("shared memory"))?;
        }
    }
}
