//! The hostile suite: programs that attack the kernel and each other, each on its own, with a well-behaved server and its
//! client beside. The list of attacks, with what must happen, is `userland/hostile/src/cases.rs`.

use harness::{Disk, Images, Result, System, fuzz::Run, system::SCRATCH};
use std::time::Duration;

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

#[test]
fn a_million_random_system_calls_go_as_the_model_of_capabilities_says() -> Result<()> {
    let made = Run { seed: 1, calls: 1_000_000 }.make(Duration::from_secs(900))?;
    let each = made.instructions / made.calls;
    println!("{made:?}: {each} instructions for each call");
    assert!(each < 10_000, "{each} instructions for each call: somebody waits and does not let the others run");
    Ok(())
}
