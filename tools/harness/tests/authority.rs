//! What the system tells about itself: the audit of all frames, and who waits for whom.

use harness::{Disk, Images, Result, System, system::SCRATCH};
use std::time::Duration;

/// Restarts of each server between two audits.
const RESTARTS: u32 = 20;

/// Pages by which the contents of memory objects may grow from one audit to the next. Some growth is seen; the
/// supervisor's journals and the shell's history, which fill up to a limit, are what is known to take pages.
const GROWTH: u64 = 24;

/// The rows of `svc audit`, without its head.
fn audit(system: &mut System) -> Result<Vec<String>> {
    let text = system.run("svc audit")?.success()?.text();
    Ok(text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

#[test]
fn the_audit_balances_and_objects_and_tables_stay_as_many_over_restarts_of_every_server() -> Result<()> {
    let mut system = System::builder().boot()?;
    let servers = ["pipe", "block", "fs", "console"];
    let restart = |system: &mut System, count: u32| -> Result<()> {
        for server in servers {
            for _ in 0..count {
                system.run(&format!("svc restart {server}"))?.success()?;
            }
        }
        Ok(())
    };
    // The first restarts grow what servers and supervisor keep for good.
    restart(&mut system, 3)?;
    audit(&mut system)?;
    let before = audit(&mut system)?;
    assert!(before.iter().any(|row| row.starts_with("total ")) && before.len() >= 18, "{before:#?}");
    restart(&mut system, RESTARTS)?;
    let after = audit(&mut system)?;
    let of = |rows: &[String], name: &str| -> u64 {
        let row = rows.iter().find_map(|row| row.strip_prefix(name)).unwrap_or_default();
        row.split_whitespace().next().and_then(|pages| pages.parse().ok()).unwrap_or(0)
    };
    let grown = of(&after, "contents ").saturating_sub(of(&before, "contents "));
    assert!(grown <= GROWTH, "{grown} pages more\n{before:#?}\n{after:#?}");
    let rest = |rows: Vec<String>| -> Vec<String> {
        rows.into_iter()
            .filter(|row| !["free ", "contents ", "all "].iter().any(|name| row.starts_with(name)))
            .collect()
    };
    assert_eq!(rest(after), rest(before));
    system.poweroff()
}

#[test]
fn who_waits_for_whom_is_shown_with_the_queue_the_call_and_its_age() -> Result<()> {
    let mut system = System::builder().boot()?;
    let text = system.run("ps --waits")?.success()?.text();
    let head: Vec<&str> = text.lines().next().unwrap_or("").split_whitespace().collect();
    assert_eq!(head, ["THREAD", "PID", "NAME", "PRIO", "WAITS", "FOR", "QUEUE", "AGE", "CALL", "TRIES", "OF"]);
    // ps asks init, which answers: so ps waits for an answer, and the call's holder is init.
    let ps: Vec<&str> = text.lines().filter(|line| line.split_whitespace().nth(2) == Some("ps")).collect();
    assert_eq!(ps.len(), 1, "{text}");
    assert!(ps[0].contains(" answer ") && ps[0].contains("0x") && ps[0].ends_with(" init"), "{text}");
    // The servers wait for messages, each at its own queue.
    let fs = text.lines().find(|line| line.split_whitespace().nth(2) == Some("fs")).unwrap_or("");
    assert!(fs.contains(" message "), "{text}");
    system.poweroff()
}

/// Capabilities that are revoked at once.
const DESCENDANTS: u64 = 100_000;
/// Instructions for which the kernel may keep interrupts off.
const LONGEST: u64 = 100_000;

/// The longest stretches without interrupts that the kernel has logged, with what it did.
fn stretches(log: &str) -> Vec<(u64, String)> {
    let stretch = |line: &str| {
        let (ticks, what) = line.split_once("kernel: interrupts off for ")?.1.split_once(" ticks in ")?;
        Some((ticks.parse().ok()?, what.trim().to_owned()))
    };
    log.lines().filter_map(stretch).collect()
}

#[test]
fn a_hundred_thousand_capabilities_are_revoked_in_steps_that_let_interrupts_in() -> Result<()> {
    let disk = Disk::scratch_with(SCRATCH, &Images::get()?.hostile()?)?;
    let machine = System::builder().disk(&disk).icount().word("latency=1").patience(Duration::from_secs(200));
    let output = machine.exec(&format!("revoke_many {DESCENDANTS}"))?.success()?;
    assert!(output.text().contains(&format!("{DESCENDANTS} descendants")), "{}", output.text());
    let stretches = stretches(&output.log);
    println!("{}{stretches:#?}", output.text());
    assert!(stretches.iter().any(|(_, what)| what == "Revoke"), "{}", output.log);
    assert!(stretches.iter().all(|(ticks, _)| *ticks < LONGEST), "{stretches:#?}");
    Ok(())
}
