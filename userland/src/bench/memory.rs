//! Memory.

use super::message::ROUNDS;
use super::{Bench, Figure, Outcome, during};
use libipc::PAGE_SIZE;

/// A page that is there already is mapped and unmapped.
pub fn map(bench: &Bench) -> Outcome<Figure> {
    let memory = bench.account.create_memory(1).map_err(during("memory"))?;
    let round = |_| memory.memory().map_range(0, 1, true).map(drop).map_err(during("map"));
    Ok(bench.rounds(ROUNDS, round)?.figure())
}

/// Each round writes to a page that nobody has touched yet.
pub fn touch(bench: &Bench) -> Outcome<Figure> {
    const PAGES: u64 = 400;
    let memory = bench.account.create_memory(PAGES + PAGES.div_ceil(8)).map_err(during("memory"))?;
    let mut mapping = memory.memory().map(true).map_err(during("map"))?;
    let round = |number: u64| mapping.write((number * PAGE_SIZE) as usize, &[1]).map_err(during("touch"));
    Ok(bench.rounds(PAGES, round)?.figure())
}
