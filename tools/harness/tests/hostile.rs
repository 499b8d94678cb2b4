//! The hostile suite: programs that attack the kernel and each other, each on its own, with a well-behaved server and its
//! client beside. The list of attacks, with what must happen, is `userland/hostile/src/cases.rs`.

use harness::{
    Disk, Images, Result, System,
    fuzz::Run,
    system::{PATIENCE, SCRATCH},
    workspace,
};
use std::time::{Duration, Instant};

/// Runs some of the attacks, or all, and returns what was said.
fn attack(which: &str) -> Result<String> {
    let disk = Disk::scratch_with(SCRATCH, &Images::get()?.hostile()?)?;
    let output = System::builder().disk(&disk).patience(Duration::from_secs(200)).exec(&format!("hostile {which}"))?;
    let text = output.text();
    let wrong: Vec<&str> = text.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert_eq!(output.status, 0, "{}\n{}\n{}", wrong.join("\n"), output.error_text(), output.log);
    Ok(text)
}

#[test]
fn every_attack_is_refused_and_nobody_else_notices() -> Result<()> {
    let text = attack("")?;
    let held = text.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(held >= 100, "only {held} attacks were tried:\n{text}");
    assert!(text.ends_with(&format!("{held} attacks, 0 wrong\n")), "{text}");
    Ok(())
}

/// The usual system with a hostile driver that is handed a device which interrupts thousands of times a second.
fn with_a_hostile_driver() -> Result<System> {
    let driver = "[service.storm]\npriority = 28\nmemory = \"256K\"\nstack = \"64K\"\n\
                  devices = [{ ports = \"0x70-0x71\", irq = 8 }]\nprovides = []\n";
    let description = workspace::target_dir().join("hostile-driver.toml");
    std::fs::write(&description, std::fs::read_to_string(workspace::system_toml())? + driver)?;
    let disk = Disk::scratch_with(SCRATCH, &Images::get()?.hostile()?)?;
    System::builder().disk(&disk).system(description).boot()
}

/// Waits until so many lines of the hostile driver's log, which outlives it, have this.
fn driver_says(system: &mut System, wanted: &str, times: usize) -> Result<()> {
    let started = Instant::now();
    loop {
        let log = system.run("svc log storm")?.success()?.text();
        if log.matches(wanted).count() == times {
            return Ok(());
        }
        assert!(started.elapsed() < PATIENCE, "the driver does not say `{wanted}` the {times}. time:\n{log}");
    }
}

#[test]
fn a_driver_that_breaks_every_rule_of_interrupts_and_has_a_storm_of_them_harms_nobody() -> Result<()> {
    let mut system = with_a_hostile_driver()?;
    for life in 1..=2 {
        driver_says(&mut system, "every interrupt was masked when it must be", life)?;
        driver_says(&mut system, " 4000 interrupts of the storm", life)?;
        let text = system.run("hostile forged-handles revoke")?.success()?.text();
        assert!(text.ends_with("2 attacks, 0 wrong\n"), "{text}");
        system.run("svc kill storm")?.success()?;
    }
    driver_says(&mut system, "every interrupt was masked when it must be", 3)?;
    let list = system.run("svc list")?.success()?.text();
    let restarts =
        |name: &str| list.lines().find(|line| line.starts_with(name)).and_then(|row| row.split_whitespace().nth(3));
    assert_eq!(restarts("storm"), Some("2"), "the driver has ended only when it was killed:\n{list}");
    for victim in ["console", "block", "fs", "pipe", "session"] {
        assert_eq!(restarts(victim), Some("0"), "{list}");
    }
    system.poweroff()
}

#[test]
fn a_million_random_system_calls_go_as_the_model_of_capabilities_says() -> Result<()> {
    let made = Run { seed: 1, calls: 1_000_000 }.make(Duration::from_secs(900))?;
    let each = made.instructions / made.calls;
    println!("{made:?}: {each} instructions for each call");
    assert!(each < 10_000, "{each} instructions for each call: somebody waits and does not let the others run");
    Ok(())
}
