//! The figures of the system against those that the repository keeps.

use harness::{
    Result,
    bench::{Baseline, Setting, measure},
};
use std::time::Duration;

#[test]
fn no_row_costs_more_than_the_baseline_tolerates() -> Result<()> {
    let rows = measure(&[], Setting { memory: 128, traced: false, timeout: Duration::from_secs(120) }, |_| ())?;
    let baseline = Baseline::load()?;
    assert_eq!(baseline.unknown(&rows), [""; 0], "add them with `cargo xtask bench --update`");
    assert_eq!(baseline.missing(&rows), [""; 0], "not measured");
    let worse: Vec<String> = baseline.regressions(&rows).iter().map(ToString::to_string).collect();
    assert!(worse.is_empty(), "worse than the baseline:\n{}", worse.join("\n"));
    Ok(())
}
