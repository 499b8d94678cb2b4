//! Processes.

use libipc::abi::ProcessState;

use super::{Bench, Figure, Outcome, PRIORITY, during};
use alloc::format;

/// This program, in the part that ends at once.
pub fn spawn(bench: &Bench) -> Outcome<Figure> {
    let round = |_| {
        let status = bench.partner("exit", PRIORITY, &[])?.wait().map_err(during("wait"))?;
        match (ProcessState::from_raw(status.state), status.exit) {
            (ProcessState::Exited, 0) => Ok(()),
            _ => Err(format!("the other part ended with status {}", status.exit)),
        }
    };
    Ok(bench.rounds(40, round)?.figure())
}
