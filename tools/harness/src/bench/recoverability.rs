//! What recoverability costs where nobody dies: the same build with redelivery and records on, and off.
//!
//! 1. Both sides of a comparison are measured alike: in a fresh boot each, the same rows in the same order.
//! 2. Both are switched off on the kernel's command line: with `records=off` `fs` keeps no record of what has taken effect,
//!    and with `redelivery=off` a call whose server dies is answered `ServerDied`.

use super::{Figure, Row, Setting, measure_in_guest};
use anyhow::{Context, Result};

/// A comparison.
#[derive(Debug)]
pub struct Cost {
    /// Its row: the figure with both off.
    pub row: &'static str,
    /// The guest's row.
    of: &'static str,
}

/// All of them.
pub const COSTS: &[Cost] = &[
    Cost { row: "recoverability-read", of: "read" },
    Cost { row: "recoverability-open", of: "open" },
    Cost { row: "recoverability-stat", of: "stat" },
    Cost { row: "recoverability-write", of: "write" },
    Cost { row: "recoverability-create", of: "create" },
];

/// The rows of these names, or all.
pub(super) fn measure(names: &[String], setting: Setting, seen: &mut impl FnMut(&Row)) -> Result<Vec<Row>> {
    let chosen = |cost: &&Cost| names.is_empty() || names.iter().any(|name| name == cost.row);
    let costs: Vec<&Cost> = COSTS.iter().filter(chosen).collect();
    let measured: Vec<String> = costs.iter().map(|cost| cost.of.to_owned()).collect();
    let with = measure_in_guest(&measured, &[], setting, &mut |_| ())?;
    let without = measure_in_guest(&measured, &["redelivery=off", "records=off"], setting, &mut |_| ())?;
    let find = |rows: &[Row], name: &str| {
        let row = rows.iter().find(|row| row.name == name).map(|row| row.figure);
        row.with_context(|| format!("the guest has not measured `{name}`"))
    };
    let row = |cost: &&Cost| {
        let (with, without) = (find(&with, cost.of)?, find(&without, cost.of)?);
        let text = format!("`{}` without redelivery and records; they cost {:+.1} %", cost.of, percent(with, without));
        let row = Row { name: cost.row.into(), text, figure: without };
        seen(&row);
        Ok(row)
    };
    costs.iter().map(row).collect()
}

/// By how much the median with is above that without.
fn percent(with: Figure, without: Figure) -> f64 {
    100.0 * (with.median as f64 / without.median.max(1) as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_told_in_parts_of_what_there_is_without_it() {
        let figure = |median| Figure { median, min: 0, max: 0 };
        assert_eq!(percent(figure(206), figure(200)).round(), 3.0);
        assert!(percent(figure(190), figure(200)) < 0.0);
    }

    #[test]
    fn what_is_compared_is_what_the_guest_measures() {
        assert!(COSTS.iter().all(|cost| userland::bench::ROWS.iter().any(|row| row.name == cost.of)));
    }
}
