//! The supervisor dies, alone and with others; nobody notices more than a delay, and it forgets nothing.

use harness::{Disk, Result, System, system::SCRATCH};

const SIZE: usize = 40 << 20;
const DISK: u64 = 128 << 20;

fn content(size: usize) -> Vec<u8> {
    (0..size as u32).map(|n| (n ^ (n >> 7) ^ (n >> 16)) as u8).collect()
}

/// The columns of service `name` in what `svc list` has printed.
fn row<'t>(list: &'t str, name: &str) -> Vec<&'t str> {
    let line = list.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("{name} is not in the list:\n{list}")).split_whitespace().collect()
}

#[test]
fn a_copy_does_not_notice_that_the_supervisor_is_killed_alone_and_with_others() -> Result<()> {
    let (disk, content) = (Disk::scratch(DISK)?, content(SIZE));
    disk.write("/home/data", &content)?;
    let kills =
        "svc kill init; ls -l /home; svc kill init; svc kill fs; svc kill init; svc kill block; svc kill init; ";
    let script = format!("cp /home/data /home/copy & {kills} wait $!; echo status $?");
    let output = System::builder().disk(&disk).exec(&script)?.success()?;
    let text = output.text();
    assert!(text.ends_with("status 0\n"), "{text}\n{}", output.log);
    let during = text.lines().find(|line| line.ends_with("copy")).unwrap_or("0 not there yet");
    assert!(!during.contains(&SIZE.to_string()), "the copy was over before the kills: {text}");
    assert!(disk.read("/home/copy")? == content, "the copy is not what was copied");
    disk.assert_sound()
}

#[test]
fn fifty_deaths_of_the_supervisor_during_a_pipeline_change_nothing() -> Result<()> {
    let (disk, content) = (Disk::scratch(SCRATCH)?, content(1 << 20));
    disk.write("/home/data", &content)?;
    let kills = "svc kill init; ".repeat(50);
    let script = format!("cat /home/data | cat | cat > /home/copy & {kills} wait $!; echo status $?; ps; svc list\n");
    disk.write("/home/script", script.as_bytes())?;
    let output = System::builder().disk(&disk).exec("sh /home/script")?.success()?;
    let text = output.text();
    assert!(text.starts_with("status 0\n"), "{text}\n{}", output.log);
    assert!(disk.read("/home/copy")? == content, "what came out of the pipeline is not what went in");
    let init = text.lines().find(|line| line.split_whitespace().nth(1) == Some("init")).unwrap_or("");
    assert_eq!(init.split_whitespace().last(), Some("51"), "started once, and after each death: {text}");
    for service in ["console", "block", "fs", "pipe", "session"] {
        assert_eq!(row(&text, service)[1], "running", "{text}");
        assert_eq!(row(&text, service)[3], "0", "no service was restarted: {text}");
    }
    Ok(())
}

#[test]
fn the_supervisor_forgets_neither_restarts_nor_the_log_nor_processes() -> Result<()> {
    let script = "svc kill pipe; svc kill fs; svc restart fs; svc list; ps; svc log; echo ----; svc kill init; \
                  svc list; ps; svc log";
    let output = System::builder().exec(script)?.success()?;
    let text = output.text();
    let (before, after) = text.split_once("----").expect("the mark is printed");
    for (service, restarts) in [("console", "0"), ("block", "0"), ("fs", "2"), ("pipe", "1"), ("session", "0")] {
        assert_eq!(row(before, service)[3], restarts, "{text}");
        assert_eq!(row(after, service)[..4], row(before, service)[..4], "{text}");
    }
    for line in before.lines().filter(|line| line.contains("] ")) {
        assert!(after.contains(line), "the log has lost '{line}': {text}");
    }
    assert!(after.contains("incarnation 2 goes on"), "{text}");
    Ok(())
}

#[test]
fn what_was_killed_with_the_supervisor_comes_back_and_the_session_goes_on() -> Result<()> {
    let mut system = System::builder().boot()?;
    system.run("echo before > /tmp/x")?.success()?;
    for service in ["console", "block", "fs", "pipe"] {
        system.run(&format!("svc kill init & svc kill {service} & svc kill init & wait"))?.success()?;
        let output = system.run("cat /tmp/x | cat")?.success()?;
        assert_eq!(output.text(), "before\n", "after init and {service} were killed");
    }
    let list = system.run("svc list")?.success()?.text();
    for service in ["console", "block", "fs", "pipe"] {
        assert_eq!(row(&list, service)[1], "running", "{list}");
        assert_eq!(row(&list, service)[3], "1", "{list}");
    }
    system.poweroff()
}
