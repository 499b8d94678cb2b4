//! The hazards that DESIGN.md names at the end of its section 4, one test for each.

use harness::sweep::{Deaths, Sweep};
use harness::{Disk, Result, System, system::SCRATCH};

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
    let sweep = Sweep::prepare()?;
    let survives = |service: &str, at: u64| -> Result<()> {
        let output = sweep.run_words(&[format!("hang={service}@entry:{at}")], "")?;
        assert_eq!(output.kills(service), 1, "{service} did not hang: {}", output.log);
        Ok(())
    };
    // All at once: these machines wait more than they work.
    std::thread::scope(|scope| {
        let hangs = [("block", 300), ("pipe", 40), ("fs", 900)];
        let runs = hangs.map(|(service, at)| scope.spawn(move || survives(service, at)));
        runs.into_iter().try_for_each(|run| run.join().expect("it has not panicked"))
    })
}

#[test]
fn a_console_that_hangs_is_taken_for_dead_and_every_byte_of_output_comes_once() -> Result<()> {
    // It hangs while it shows what a command prints; nothing has been shown before that asked it for an answer, so it is
    // given four times its heartbeat.
    let disk = Disk::scratch(SCRATCH)?;
    let text: String = (0..2000).map(|n| format!("line {n}\n")).collect();
    disk.write("/home/text", text.as_bytes())?;
    let output = System::builder().disk(&disk).hang("console@entry:60").exec("cat /home/text")?.success()?;
    assert_eq!(output.kills("console"), 1, "the console did not hang: {}", output.log);
    assert_eq!(output.text(), text);
    Ok(())
}

#[test]
fn a_supervisor_that_hangs_is_ended_by_its_watchdog_and_its_successor_goes_on() -> Result<()> {
    let sweep = Sweep::prepare()?;
    // While it sets everything up, and while it serves.
    for at in [100, 450] {
        let output = sweep.run_words(&[format!("hang=init@entry:{at}")], "svc kill pipe;")?;
        assert_eq!(output.kills("init"), 1, "init did not hang: {}", output.log);
        assert!(output.log.contains("did not answer any more"), "{}", output.log);
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
fn a_storm_of_deaths_of_the_supervisor_stops_the_machine_with_the_reason() -> Result<()> {
    // It dies of something eleven times within a moment, each time while it sets everything up again.
    let deaths = ["init@entry:300"].into_iter().chain(["init@entry:+20"; 10]).collect::<Vec<_>>().join(",");
    let error = System::builder().kill(deaths).exec("echo never").expect_err("there is no supervisor any more");
    let text = format!("{error:#}");
    assert!(text.contains("init died 11 times"), "{text}");
    Ok(())
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
    let both =
        "workload 9 9999 > /tmp/out & w=$!; sleep 0.05; svc kill fs & kill $w; wait $w; echo $?; rm -r /home/w9;";
    let output = System::builder().exec(&format!("{} svc audit > /tmp/audit && echo sound", both.repeat(4)))?;
    assert_eq!(output.text(), "143\n143\n143\n143\nsound\n", "{}", output.error_text());
    Ok(())
}

#[test]
fn a_write_that_is_still_with_a_slow_disk_keeps_its_bytes_when_its_filesystem_dies() -> Result<()> {
    // Each request is with the device for a fiftieth of a second. The first change after a `sync` brings in place what the
    // journal has, the superblock first; the filesystem is killed meanwhile, and its successor has the same memory.
    let disk = Disk::scratch(SCRATCH)?;
    let write = |n: u32| format!("cp /bin/ls /home/{n}; sync; touch /home/{n} & svc kill fs; wait $!; ");
    let script: String = (0..12).map(write).collect();
    disk.write("/home/script", script.as_bytes())?;
    let output = System::builder().disk(&disk).disk_speed(50).exec("sh /home/script")?.success()?;
    assert_eq!(output.error_text(), "");
    disk.assert_sound()?;
    let should = disk.read("/bin/ls")?;
    for n in 0..12 {
        assert!(disk.read(&format!("/home/{n}"))? == should, "file {n}");
    }
    Ok(())
}
