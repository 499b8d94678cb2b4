//! Servers are killed in mid-work, and nobody notices.

use harness::{Disk, Result, System, system::SCRATCH};

/// Large enough that a copy takes longer than the killing.
const SIZE: usize = 40 << 20;
const DISK: u64 = 128 << 20;

fn content() -> Vec<u8> {
    (0..SIZE as u32).map(|n| (n ^ (n >> 7) ^ (n >> 16)) as u8).collect()
}

/// Kills `service` over and over while a copy runs; the copy ends well and is right.
fn a_copy_survives_killing(service: &str) -> Result<()> {
    let (disk, content) = (Disk::scratch(DISK)?, content());
    disk.write("/home/data", &content)?;
    let kill = format!("svc kill {service}; ls -l /home; ");
    let script = format!("cp /home/data /home/copy & {} wait $!; echo status $?", kill.repeat(4));
    let output = System::builder().disk(&disk).exec(&script)?.success()?;
    let (text, shown) = (output.text(), format!("{}\n{}\n{}", output.text(), output.error_text(), output.log));
    assert!(text.ends_with("status 0\n"), "{shown}");
    let after_first_kill = text.lines().find(|line| line.ends_with("copy")).unwrap_or("0 not there yet");
    assert!(!after_first_kill.contains(&SIZE.to_string()), "the copy was over before the first kill: {shown}");
    assert!(disk.read("/home/copy")? == content, "the copy is not what was copied, after {service} was killed");
    disk.assert_sound()
}

#[test]
fn a_copy_does_not_notice_that_the_filesystem_is_killed() -> Result<()> {
    a_copy_survives_killing("fs")
}

#[test]
fn a_copy_does_not_notice_that_the_block_driver_is_killed() -> Result<()> {
    a_copy_survives_killing("block")
}

#[test]
fn a_copy_does_not_notice_that_the_console_is_killed() -> Result<()> {
    a_copy_survives_killing("console")
}

#[test]
fn output_is_whole_though_the_console_is_killed_while_it_is_written() -> Result<()> {
    let (disk, content) = (Disk::scratch(SCRATCH)?, content());
    disk.write("/home/data", &content[..200_000])?;
    let output = System::builder()
        .disk(&disk)
        .exec("cat /home/data & svc kill console; sleep 0.1; svc kill console; wait $!")?
        .success()?;
    assert!(output.stdout == content[..200_000], "{} bytes of 200000 arrived, or other ones", output.stdout.len());
    Ok(())
}

#[test]
fn a_session_goes_on_after_every_server_was_killed() -> Result<()> {
    let mut system = System::builder().boot()?;
    system.run("echo before > /tmp/x")?.success()?;
    for service in ["console", "block", "fs", "pipe"] {
        system.run(&format!("svc kill {service}"))?.success()?;
        let output = system.run("cat /tmp/x | cat")?.success()?;
        assert_eq!(output.text(), "before\n", "after {service} was killed");
    }
    system.poweroff()
}
