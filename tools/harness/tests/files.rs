//! Files: through the host tool, through the guest, and through power off.

use harness::{Disk, Result, System, system::SCRATCH};
use std::process::Command;

/// Bytes that no compressor and no lucky block swap would leave alone.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// The host's opinion.
fn sha256(content: &[u8]) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), content)?;
    let output = Command::new("sha256sum").arg(file.path()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
fn sixteen_mib_go_in_and_come_back_the_same_after_copy_rename_and_power_off() -> Result<()> {
    let (disk, content) = (Disk::scratch(SCRATCH)?, noise(16 << 20));
    disk.write("/home/data", &content)?;
    let script = "sha256sum /home/data && cp /home/data /home/copy && mv /home/copy /tmp/moved && sha256sum /tmp/moved";
    let output = System::builder().disk(&disk).exec(script)?.success()?;
    let hash = sha256(&content)?;
    assert_eq!(output.text(), format!("{hash}  /home/data\n{hash}  /tmp/moved\n"));
    assert!(disk.read("/tmp/moved")? == content, "the file that came back is another one");
    assert!(disk.list("/home/copy").is_err());
    disk.assert_sound()
}

#[test]
fn what_was_written_before_power_off_is_there_after_the_next_boot() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    let mut system = System::builder().disk(&disk).boot()?;
    system.run("mkdir -p /home/a/b; echo first > /home/a/b/file; echo second >> /home/a/b/file")?.success()?;
    system.poweroff()?;
    disk.assert_sound()?;
    let output =
        System::builder().disk(&disk).exec("cat /home/a/b/file; rm /home/a/b/file; rmdir /home/a/b")?.success()?;
    assert_eq!(output.text(), "first\nsecond\n");
    assert!(disk.list("/home/a")?.is_empty());
    disk.assert_sound()
}

#[test]
fn a_full_disk_gives_an_error_and_loses_nothing() -> Result<()> {
    let (disk, content) = (Disk::scratch(SCRATCH)?, noise(16 << 20));
    disk.write("/home/data", &content)?;
    let script = "cp /home/data /home/1 && cp /home/data /home/2 && cp /home/data /home/3 && cp /home/data /home/4";
    let output = System::builder().disk(&disk).exec(script)?;
    assert_ne!(output.status, 0, "five times 16 MiB do not fit on 64");
    assert!(output.error_text().contains("no space"), "{:?}", output.error_text());
    disk.assert_sound()?;
    assert!(disk.read("/home/data")? == content && disk.read("/home/1")? == content);
    let freed =
        System::builder().disk(&disk).exec("rm /home/1 && rm /home/2 && echo room > /home/room && cat /home/room")?;
    assert_eq!(freed.success()?.text(), "room\n");
    disk.assert_sound()
}

#[test]
fn a_copy_is_made_and_survives_power_off() -> Result<()> {
    let disk = Disk::scratch(64 << 20)?;
    disk.write("/home/data", b"abc")?;
    System::builder().disk(&disk).exec("cp /home/data /home/copy")?.success()?;
    assert_eq!(disk.read("/home/copy")?, b"abc");
    disk.assert_sound()
}

#[test]
fn files_made_in_the_guest_are_read_by_the_host() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    let script = "echo a > '/home/with space'; mkdir /home/d; cp /bin/ls /home/d/ls; echo xyz | cat > /home/piped";
    System::builder().disk(&disk).exec(script)?.success()?;
    assert_eq!(disk.read("/home/with space")?, b"a\n");
    assert_eq!(disk.read("/home/piped")?, b"xyz\n");
    assert!(disk.read("/home/d/ls")? == disk.read("/bin/ls")?);
    disk.assert_sound()
}

#[test]
fn a_machine_that_powers_off_leaves_a_clean_disk() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    System::builder().disk(&disk).exec("cp /bin/ls /home/ls; svc kill fs; rm /home/ls")?.success()?;
    disk.assert_sound()?;
    let mut system = System::builder().disk(&disk).boot()?;
    system.run("cp /bin/ls /home/ls; svc kill block")?.success()?;
    system.poweroff()?;
    disk.assert_sound()?;
    // Had there been anything in the journal, it would have been played and said.
    assert_eq!(disk.notes(), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_cut_off_machine_leaves_an_image_that_replays_to_a_sound_one() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/data", &noise(4 << 20))?;
    let mut system = System::builder().disk(&disk).boot()?;
    system.type_line("cp /home/data /home/1; cp /home/data /home/2; cp /home/data /home/3; echo 'do''ne'")?;
    system.expect("cp /home/data")?;
    std::thread::sleep(std::time::Duration::from_millis(700));
    system.kill();
    disk.assert_sound()?;
    System::builder().disk(&disk).exec("ls /home")?.success()?;
    disk.assert_sound()
}
