//! The kernel's trace, for those who may inspect, and for crash reports.

use abi::{TraceKind, TraceRecord};
use alloc::{format, string::String, vec::Vec};
use libipc::{Machine, SysError};

/// Events from the end of the trace that are looked at for a crash report.
const LOOKED_AT: u64 = 2048;
/// Most of them that it tells.
const TOLD: usize = 16;

/// The events from number `from` on that fit into `room` bytes, as bytes. Before them the number of the first, and how
/// many there ever were.
pub fn read(machine: Machine, from: u64, room: usize) -> Result<(u64, u64, Vec<u8>), SysError> {
    let (first, records, written) = gather(machine, from, room / TraceRecord::SIZE)?;
    Ok((first, written, records.iter().flat_map(TraceRecord::to_bytes).collect()))
}

fn gather(machine: Machine, from: u64, most: usize) -> Result<(u64, Vec<TraceRecord>, u64), SysError> {
    let mut records = Vec::new();
    let (first, mut count, mut written) = machine.trace(from, &mut records)?;
    while count > 0 && records.len() < most {
        (_, count, written) = machine.trace(first + records.len() as u64, &mut records)?;
    }
    records.truncate(most);
    Ok((first, records, written))
}

/// The last events of process `process`, a line each, for its crash report.
pub fn last_events(machine: Machine, process: u64) -> Vec<String> {
    let Ok((_, _, written)) = gather(machine, u64::MAX, 0) else { return Vec::new() };
    match gather(machine, written.saturating_sub(LOOKED_AT), LOOKED_AT as usize) {
        Ok((_, records, _)) => lines(&records, process),
        Err(_) => Vec::new(),
    }
}

/// Up to the fault, which is the last of its events; times count back from it.
fn lines(records: &[TraceRecord], process: u64) -> Vec<String> {
    let mine = |record: &&TraceRecord| record.process() == process;
    let of_it: Vec<&TraceRecord> = records.iter().filter(mine).collect();
    let end = of_it.iter().rposition(|record| record.kind() == Some(TraceKind::Fault)).map_or(of_it.len(), |at| at + 1);
    let of_it = &of_it[..end];
    let last = of_it.last().map_or(0, |record| record.time);
    let told = &of_it[of_it.len().saturating_sub(TOLD)..];
    told.iter().map(|record| format!("{:>9.3} ms {record}", -((last - record.time) as f64) / 1e6)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_end_with_the_fault_and_are_of_one_process_only() {
        let event = |time, kind, process, first| {
            let what = TraceRecord::what(kind, 3, process);
            TraceRecord { time, what, first, second: if kind == TraceKind::Fault { 0x51 } else { 0 } }
        };
        let mut records: Vec<TraceRecord> = (0..40).map(|n| event(n, TraceKind::Switch, 4, 0)).collect();
        records.push(event(5_000_000, TraceKind::Deliver, 4, 0x51));
        records.push(event(5_500_000, TraceKind::Switch, 5, 0));
        records.push(event(6_250_000, TraceKind::Fault, 4, 0x18));
        records.push(event(7_000_000, TraceKind::Death, 4, 0));
        let lines = lines(&records, 4);
        assert_eq!(lines.len(), TOLD);
        assert_eq!(lines[TOLD - 2..], ["   -1.250 ms deliver #51", "   -0.000 ms fault at 0x18, at work on #51"]);
    }
}
