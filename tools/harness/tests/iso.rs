//! The bootable ISO, on both kinds of firmware.

use harness::{Result, System, iso::Firmware};

/// Boots to the prompt, kills what the machine lives on, and goes on.
fn boots_to_a_shell_that_survives_kills(firmware: Firmware) -> Result<()> {
    let mut system = System::builder().iso(firmware).boot()?;
    assert_eq!(system.run("echo here I am")?.success()?.text(), "here I am\n");
    system.run("echo kept > /home/x; svc kill block; svc kill fs; svc kill init")?.success()?;
    assert_eq!(system.run("cat /home/x")?.success()?.text(), "kept\n");
    system.poweroff()
}

#[test]
fn with_bios_it_boots_to_a_shell() -> Result<()> {
    boots_to_a_shell_that_survives_kills(Firmware::Bios)
}

#[test]
fn with_uefi_it_boots_to_a_shell() -> Result<()> {
    boots_to_a_shell_that_survives_kills(Firmware::Uefi)
}

#[test]
fn the_line_is_clean_and_the_command_line_arrives_with_either_firmware() -> Result<()> {
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let bytes: Vec<u8> = (0..3000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
        let output = System::builder().iso(firmware).stdin(bytes.clone()).exec("cat")?.success()?;
        assert!(output.stdout == bytes, "{firmware:?}: {} bytes came back, or other ones", output.stdout.len());
    }
    Ok(())
}

#[test]
fn without_a_disk_either_firmware_says_so_and_does_not_panic() -> Result<()> {
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let said = match System::builder().iso(firmware).no_disk().exec("true") {
            Ok(output) => output.error_text() + &output.log,
            Err(error) => format!("{error:#}"),
        };
        assert!(said.contains("the machine has no disk") && !said.contains("kernel panic"), "{firmware:?}: {said}");
    }
    Ok(())
}
