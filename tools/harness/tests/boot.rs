//! From power on to a shell, and one command at a time.

use harness::{Disk, Images, Result, System};
use std::time::Duration;

const SCRATCH: u64 = harness::system::SCRATCH;

#[test]
fn it_boots_to_a_prompt_and_powers_off() -> Result<()> {
    let mut system = System::builder().boot()?;
    assert_eq!(system.run("echo here I am")?.success()?.text(), "here I am\n");
    system.poweroff()
}

#[test]
fn it_boots_in_8_mib_and_copies_a_file_of_1_mib() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    let data: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect();
    disk.write("/home/data", &data)?;
    let mut system = System::builder().memory(8).disk(&disk).boot()?;
    system.run("ls -l /bin")?.success()?;
    system.run("cp /home/data /home/copy")?.success()?;
    system.run("svc kill fs; cat /home/copy | sha256sum")?.success()?;
    system.poweroff()?;
    assert!(disk.read("/home/copy")? == data, "the copy differs");
    disk.assert_sound()
}

#[test]
fn a_command_gives_exactly_its_bytes() -> Result<()> {
    let output = System::builder().exec("echo one; echo two; echo three >&2 | true; cat /nope")?;
    assert_eq!(output.status, 1);
    assert!(output.text().starts_with("one\ntwo\n"), "{:?}", output.text());
    assert!(output.error_text().ends_with("cat: /nope: no such file\n"), "{:?}", output.error_text());
    Ok(())
}

#[test]
fn all_256_bytes_pass_the_line_both_ways() -> Result<()> {
    let bytes: Vec<u8> = (0..20_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    let output = System::builder().stdin(bytes.clone()).exec("cat")?.success()?;
    assert!(output.stdout == bytes, "{} bytes of {} came back, or other ones", output.stdout.len(), bytes.len());
    Ok(())
}

#[test]
fn the_end_of_empty_input_is_seen() -> Result<()> {
    assert_eq!(System::builder().exec("wc -c")?.success()?.text().trim(), "0");
    Ok(())
}

#[test]
fn the_exit_status_is_the_commands_own() -> Result<()> {
    for (command, status) in [("true", 0), ("false", 1), ("exit 42", 42), ("no-such-command", 127)] {
        let output = System::builder().exec(command)?;
        assert_eq!(output.status, status, "{command}: {}", output.error_text());
    }
    Ok(())
}

#[test]
fn a_mistyped_command_says_so() -> Result<()> {
    let output = System::builder().exec("sl")?;
    assert!(
        output.error_text().contains("sl") && output.error_text().contains("not found"),
        "{:?}",
        output.error_text()
    );
    Ok(())
}

#[test]
fn a_machine_without_a_disk_says_so_and_does_not_panic() -> Result<()> {
    let builder = System::builder().images(Images::get()?).no_disk().patience(Duration::from_secs(60));
    let said = match builder.exec("true") {
        Ok(output) => output.error_text() + &output.log,
        Err(error) => format!("{error:#}"),
    };
    assert!(said.contains("disk") && !said.contains("kernel panic"), "{said}");
    Ok(())
}

#[test]
fn ctrl_c_ends_the_command_and_not_the_shell() -> Result<()> {
    let mut system = System::builder().boot()?;
    system.type_line("sleep 1000")?;
    system.expect("sleep 1000")?;
    std::thread::sleep(Duration::from_millis(500));
    system.type_bytes(b"\x03")?;
    system.expect(harness::system::PROMPT)?;
    assert_eq!(system.run("echo still here")?.success()?.text(), "still here\n");
    system.poweroff()
}

#[test]
fn a_reboot_ends_the_machine_in_order() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    System::builder().disk(&disk).exec("echo kept > /home/x; reboot; sleep 60").ok();
    disk.assert_sound()?;
    assert_eq!(disk.read("/home/x")?, b"kept\n");
    Ok(())
}

#[test]
fn with_instructions_counted_it_boots_and_answers() -> Result<()> {
    System::builder().icount().exec("echo steady")?.success()?;
    Ok(())
}

#[test]
fn it_boots_with_more_memory_than_32_bits_address() -> Result<()> {
    let output = System::builder().memory(4608).exec("cp /bin/sh /tmp/sh; cat /tmp/sh | wc -c; free")?.success()?;
    let machine: Vec<u64> =
        output.text().lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect();
    assert!(machine.iter().any(|kib| *kib > 4 << 20), "{}", output.text());
    Ok(())
}
