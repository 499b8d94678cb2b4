//! What the system tells about itself: the audit of all frames, and who waits for whom.

use harness::{Disk, Images, Result, System, latency, system::SCRATCH};
use std::time::Duration;

/// Restarts of each server between two audits, unless `TESSERA_RESTARTS` says another number.
const RESTARTS: u32 = 20;
/// Servers that are restarted.
const SERVERS: [&str; 5] = ["pipe", "block", "fs", "console", "init"];
/// Rounds of restarts before the first audit: after them, the lines of the log that survive a restart of the supervisor are
/// all from such rounds.
const WARM: usize = 8;
/// What is written to the console before the first audit: more than it keeps for the next incarnation.
const CONSOLE_RING: usize = 64 << 10;

/// How often each server is restarted.
fn count() -> u32 {
    std::env::var("TESSERA_RESTARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(RESTARTS)
}

/// The rows of each `svc audit` in a text, without their heads. The number of capabilities is left out: it depends on the
/// requests that are under way just then; what they take is in the pages.
fn audits(text: &str) -> Vec<Vec<String>> {
    let mut audits: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), audits.last_mut()) {
            (["WHAT", "FOUND", "ACCOUNTED"], _) => audits.push(Vec::new()),
            (["capabilities", ..], _) => {}
            (_, Some(audit)) => audit.push(words.join(" ")),
            (_, None) => {}
        }
    }
    audits
}

/// A disk with a file that fills what the console keeps.
fn with_filler() -> Result<Disk> {
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/filler", "a line of text\n".repeat(CONSOLE_RING / 15 + 1).as_bytes())?;
    Ok(disk)
}

/// A script that fills every log and cache that has a limit, and then restarts each server again and again.
fn restarts_and_audits() -> String {
    let round: String = SERVERS.iter().map(|server| format!("svc restart {server} {}\n", count())).collect();
    let (warm, audit) = (round.repeat(WARM), "svc audit\n");
    format!("cat /home/filler\n{warm}{audit}{round}{audit}{round}{audit}")
}

#[test]
fn the_audit_is_equal_to_the_page_over_restarts_of_every_server() -> Result<()> {
    let disk = with_filler()?;
    disk.write("/home/script", restarts_and_audits().as_bytes())?;
    let machine = System::builder().disk(&disk).patience(Duration::from_secs(200 + u64::from(count())));
    let text = machine.exec("sh /home/script")?.success()?.text();
    let audits = audits(&text);
    assert_eq!(audits.len(), 3, "{text}");
    assert!(audits[0].iter().any(|row| row.starts_with("total ")) && audits[0].len() >= 17, "{:#?}", audits[0]);
    assert_eq!(audits[1], audits[0]);
    assert_eq!(audits[2], audits[0]);
    Ok(())
}

#[test]
fn the_audit_is_equal_to_the_page_over_restarts_of_the_session() -> Result<()> {
    let disk = with_filler()?;
    let mut system = System::builder().disk(&disk).boot()?;
    system.run("cat /home/filler")?.success()?;
    let mut round = |times| -> Result<Vec<Vec<String>>> {
        for _ in 0..times {
            system.type_line("svc restart session")?;
            system.expect("tessera:/$ ")?;
        }
        Ok(audits(&system.run("svc audit")?.success()?.text()))
    };
    // The shell keeps a hundred lines of what was typed.
    round(100)?;
    let before = round(count())?;
    assert_eq!(round(count())?, before);
    assert_eq!(before.len(), 1);
    Ok(())
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
    // A server without work waits for messages.
    let pipe = text.lines().find(|line| line.split_whitespace().nth(2) == Some("pipe")).unwrap_or("");
    assert!(pipe.contains(" message "), "{text}");
    system.poweroff()
}

/// Capabilities that are revoked at once.
const DESCENDANTS: u64 = 100_000;
#[test]
fn a_hundred_thousand_capabilities_are_revoked_in_steps_that_let_interrupts_in() -> Result<()> {
    let disk = Disk::scratch_with(SCRATCH, &Images::get()?.hostile()?)?;
    let machine = System::builder().disk(&disk).icount().word(latency::WORD).patience(Duration::from_secs(200));
    let output = machine.exec(&format!("revoke_many {DESCENDANTS}"))?.success()?;
    assert!(output.text().contains(" descendants in "), "{}", output.text());
    let stretches = latency::stretches(&output.log);
    println!("{}{stretches:#?}", output.text());
    assert!(stretches.iter().any(|stretch| stretch.what == "Revoke"), "{}", output.log);
    assert!(stretches.iter().all(|stretch| stretch.ticks < latency::LIMIT), "{stretches:#?}");
    Ok(())
}
