//! Services die at points spread over all of their work, and nobody notices.

use harness::sweep::{Deaths, Dice, Place, Point, Sweep};
use harness::{Result, storm};
use std::time::Duration;

/// Points of each kind that are tried for each service.
const SAMPLE: u64 = 4;
const SEED: u64 = 7;

/// Kills `service` at points spread evenly over its work.
fn survives(service: &str) -> Result<()> {
    let sweep = Sweep::prepare()?;
    let counts = sweep.count()?[service];
    let (mut struck, mut tried) = (0, 0);
    for place in Place::ALL {
        let all = counts.of(place);
        for n in 0..SAMPLE.min(all) {
            tried += 1;
            let at = 1 + n * all / SAMPLE;
            let point = Point { service: service.to_owned(), place, at };
            struck += u64::from(sweep.run(&Deaths(vec![point]))?);
        }
    }
    // The last points of a run may not be reached in the next one, as programs do not run in step.
    assert!(struck * 4 >= tried * 3 && tried >= SAMPLE, "only {struck} kills of {tried} have struck");
    Ok(())
}

#[test]
fn the_filesystem_may_die_anywhere() -> Result<()> {
    survives("fs")
}

#[test]
fn the_block_driver_may_die_anywhere() -> Result<()> {
    survives("block")
}

#[test]
fn the_console_may_die_anywhere() -> Result<()> {
    survives("console")
}

#[test]
fn the_maker_of_pipes_may_die_anywhere() -> Result<()> {
    survives("pipe")
}

#[test]
fn the_supervisor_may_die_anywhere() -> Result<()> {
    survives("init")
}

#[test]
fn the_session_may_die_anywhere_and_its_clients_leave_whole_steps() -> Result<()> {
    survives("session")
}

#[test]
fn a_second_death_may_come_while_the_first_is_recovered_from() -> Result<()> {
    let sweep = Sweep::prepare()?;
    let counts = sweep.count()?;
    let mut dice = Dice::new(SEED);
    for _ in 0..8 {
        sweep.run(&Deaths::pair(&mut dice, &counts))?;
    }
    Ok(())
}

#[test]
fn a_storm_of_kills_loses_nothing_and_doubles_nothing() -> Result<()> {
    let report = storm::run(Duration::from_secs(1), Duration::from_secs(6), SEED)?;
    assert!(report.kills.values().sum::<u64>() > 5, "{report:?}");
    Ok(())
}
