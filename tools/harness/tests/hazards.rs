//! The hazards that DESIGN.md names at the end of its section 4, one test for each.

use harness::sweep::{Deaths, Sweep};
use harness::{Result, System};

/// Runs the workload with these deaths, which must strike.
fn survives(deaths: &str) -> Result<()> {
    let deaths: Deaths = deaths.parse()?;
    assert!(Sweep::prepare()?.run(&deaths)?, "not all of {deaths} have struck");
    Ok(())
}

#[test]
fn late_writes_of_a_dead_filesystem_do_not_land_after_its_successor_has_begun() -> Result<()> {
    // The driver starts a request, the filesystem dies at the next thing that it does; its successor attaches anew while
    // the request may be under way, and writes to the same blocks.
    let sweep = Sweep::prepare()?;
    for at in [40, 90, 140, 190, 240] {
        let deaths: Deaths = format!("block@message:{at},fs@entry:+1,fs@entry:+30").parse()?;
        sweep.run(&deaths)?;
    }
    sweep.run_words(&[], &"svc kill fs; ".repeat(6)).map(drop)
}

#[test]
fn a_device_does_not_write_into_the_memory_of_its_dead_driver() -> Result<()> {
    // Entries of the driver while requests are with the device: the successor resets it before it uses the same memory.
    let sweep = Sweep::prepare()?;
    for at in [120, 240, 360, 480] {
        assert!(sweep.run(&format!("block@entry:{at}").parse()?)?, "the driver was not killed at {at}");
    }
    sweep.run_words(&[], &"svc kill block; ".repeat(6)).map(drop)
}

#[test]
fn a_server_that_hangs_is_taken_for_dead_and_its_work_goes_on() -> Result<()> {
    for service in ["block", "pipe"] {
        let output = Sweep::prepare()?.run_words(&[format!("hang={service}@entry:40")], "")?;
        let told = format!("kernel: points of {service}: ");
        let line = output.log.lines().find(|line| line.contains(&told)).unwrap_or("");
        assert!(line.trim_end().ends_with("kills 1"), "{service} did not hang: {}", output.log);
    }
    Ok(())
}

#[test]
fn a_storm_of_restarts_leaves_the_others_at_work_and_ends_when_its_cause_does() -> Result<()> {
    // Eight incarnations of the maker of pipes die before they can serve: fewer than a minute's budget.
    let deaths = ["pipe@entry:3"].into_iter().chain(["pipe@entry:+2"; 7]).collect::<Vec<_>>().join(",");
    let mut system = System::builder().word(format!("kill={deaths}")).boot()?;
    assert_eq!(system.run("echo piped | cat")?.success()?.text(), "piped\n");
    let list = system.run("sleep 3; svc list")?.success()?.text();
    let row = |name| list.lines().find(|line| line.starts_with(name)).unwrap_or("").split_whitespace();
    assert_eq!(row("pipe").nth(3), Some("8"), "{list}");
    for service in ["console", "block", "fs", "pipe", "session"] {
        assert_eq!(row(service).nth(1), Some("running"), "{list}");
    }
    system.poweroff()
}

#[test]
fn a_death_between_effect_and_reply_does_not_repeat_the_effect() -> Result<()> {
    for at in [20, 60, 100, 140, 180, 220] {
        survives(&format!("fs@before-reply:{at}"))?;
    }
    survives("console@before-reply:8")?;
    survives("pipe@before-reply:6")
}

#[test]
fn a_death_during_recovery_is_recovered_from() -> Result<()> {
    // The second and third death come while the incarnation before reads what its predecessor left.
    survives("fs@entry:900,fs@entry:+4,fs@entry:+9")?;
    survives("block@entry:300,block@entry:+5,block@entry:+12")?;
    survives("fs@message:100,block@entry:+6,fs@entry:+8")
}

#[test]
fn a_client_that_dies_with_its_server_leaves_nothing_behind() -> Result<()> {
    // The filesystem is the driver's client, and every program is the filesystem's.
    survives("block@message:100,fs@entry:+1")?;
    let meanwhile =
        "for n in 1 2 3 4; do workload 9 200 & w=$!; sleep 0.05; svc kill fs; kill $w; wait $w; rm -r /home/w9; done; ";
    let output = System::builder().exec(&format!("{meanwhile} svc audit && echo sound"))?;
    assert!(output.text().ends_with("sound\n"), "{}\n{}", output.text(), output.error_text());
    Ok(())
}
