//! The example servers on a machine of their own, killed at chosen moments. Their clients hold no code for that.

use harness::{Builder, Result, System};

/// A machine with the example servers, each of which is killed as `kills` says.
fn examples(kills: &str) -> Builder {
    System::builder().system("examples/system.toml").word(format!("kill={kills}"))
}

/// How often `svc list` says that a service was restarted.
fn restarts(list: &str, service: &str) -> u32 {
    let line = list.lines().find(|line| line.starts_with(service)).unwrap_or_else(|| panic!("no {service} in\n{list}"));
    line.split_whitespace().nth(3).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn ramdisk_holds_what_the_client_of_any_disk_wrote_while_it_is_killed() -> Result<()> {
    let kills = "ramdisk@before-reply:3,ramdisk@after-reply:+6,ramdisk@message:+5,ramdisk@entry:+40";
    let mut system = examples(kills).boot()?;
    assert_eq!(system.run("ramdisk-client info")?.success()?.text(), "4096 blocks of 512 bytes\n");
    system.run("ramdisk-client fill 7")?.success()?;
    assert_eq!(system.run("ramdisk-client check 7")?.success()?.text(), "4096 blocks are right\n");
    system.run("svc kill ramdisk")?.success()?;
    assert_eq!(system.run("ramdisk-client check 7")?.success()?.text(), "4096 blocks are right\n");
    system.run("ramdisk-client check 8")?.expect_status(1)?;
    assert_eq!(restarts(&system.run("svc list")?.success()?.text(), "ramdisk"), 5);
    system.poweroff()
}

#[test]
fn flaky_counts_every_addition_once_while_it_crashes_in_every_way() -> Result<()> {
    let mut system = examples("flaky@before-reply:2,flaky@after-reply:+2").boot()?;
    let counted: Vec<u32> = (1..=8).collect();
    let shown = system.run("flaky-client 8")?.success()?.text();
    assert_eq!(shown.lines().filter_map(|line| line.parse().ok()).collect::<Vec<u32>>(), counted, "{shown}");
    let list = system.run("svc list")?.success()?.text();
    assert_eq!(restarts(&list, "flaky"), 6, "a panic at 1 and 7, an overflow at 3, a hang at 5, and two kills\n{list}");
    let log = system.run("svc log flaky")?.success()?.text();
    let ways = ["Panic", "StackOverflow", "Hang"].map(|way| format!("crashes on purpose: {way}"));
    assert!(ways.iter().all(|way| log.contains(way)) && log.contains("panicked at"), "{log}");
    let report = system.run("svc report flaky")?.success()?.text();
    assert!(report.contains("flaky"), "{report}");
    system.poweroff()
}

#[test]
fn a_service_reaches_only_the_programs_that_bear_its_name() -> Result<()> {
    let mut system = System::builder().system("examples/system.toml").boot()?;
    system.run("kv-client put a b")?.success()?;
    system.run("sh -c 'kv-client get a'")?.success()?;
    system.run("cp /bin/kv-client /bin/other && cp /bin/kv-client /home/kv-client")?.success()?;
    for stranger in ["other list", "/home/kv-client list"] {
        let refused = system.run(stranger)?.expect_status(1)?.text();
        assert!(refused.contains("was not given the capability 'kv'"), "{refused}");
    }
    system.poweroff()
}
