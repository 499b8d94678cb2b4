//! The shell where things run short.

use harness::{Disk, Result, System, system::SCRATCH};

#[test]
fn ten_programs_run_at_once_in_32_mib() -> Result<()> {
    let mut system = System::builder().memory(32).boot()?;
    let pipeline = ["cat"; 9].join(" | ");
    let output = system.run(&format!("echo far | {pipeline}"))?.success()?;
    assert_eq!(output.text(), "far\n");
    system.poweroff()
}

#[test]
fn too_many_programs_are_refused_and_the_shell_goes_on() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/crowd", "sleep 1000 &\n".repeat(80).as_bytes())?;
    let mut system = System::builder().disk(&disk).memory(32).boot()?;
    let output = system.run("sh /home/crowd")?;
    assert!(output.text().contains("sh: sleep: out of memory"), "{}", output.text());
    assert_eq!(system.run("echo room again | cat")?.success()?.text(), "room again\n");
    system.poweroff()
}

#[test]
fn arguments_that_are_too_long_are_refused_and_the_shell_goes_on() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    let long = "x".repeat(70_000);
    disk.write("/home/long", format!("echo {long} | wc -c\necho $?\necho on\n").as_bytes())?;
    let output = System::builder().disk(&disk).exec("sh /home/long")?.success()?;
    assert!(output.error_text().contains("sh: echo: argument list too long"), "{}", output.error_text());
    assert!(output.text().ends_with("on\n"), "{}", output.text());
    Ok(())
}

#[test]
fn shells_within_shells_end_where_memory_ends() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/deep", b"sh /home/deep || exit 9\n")?;
    let mut system = System::builder().disk(&disk).boot()?;
    let output = system.run("sh /home/deep")?;
    assert_eq!(output.status, 9, "{}", output.text());
    assert!(output.text().contains("out of memory"), "{}", output.text());
    assert_eq!(system.run("echo up again")?.success()?.text(), "up again\n");
    system.poweroff()
}

#[test]
fn a_killed_pipe_server_loses_no_byte_of_a_pipeline() -> Result<()> {
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/data", &content)?;
    disk.write("/home/kills", "svc kill pipe; sleep 0.05\n".repeat(10).as_bytes())?;
    let mut system = System::builder().disk(&disk).boot()?;
    let sum = system.run("sha256sum < /home/data")?.success()?.text();
    let piped = system.run("sh /home/kills & cat /home/data | cat | cat | sha256sum; wait")?;
    assert!(piped.text().contains(&sum), "{} lacks {sum}", piped.text());
    system.poweroff()
}
