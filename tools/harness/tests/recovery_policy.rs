//! Requests that kill their server, servers that die over and over: what is refused, held, reported, and left alone.

use harness::{Disk, Output, Result, System, workspace};

const SIZE: usize = 8 << 20;

fn content() -> Vec<u8> {
    (0..SIZE as u32).map(|n| (n ^ (n >> 7) ^ (n >> 16)) as u8).collect()
}

/// A static ELF file (System V ABI, chapter 4) of one segment, whose code is `code`, at 0x78.
fn program(code: &[u8]) -> Vec<u8> {
    let length = 120 + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    file.extend([120u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(b"\0\0\0\0\x40\0\x38\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x05\0\0\0");
    file.extend([0, 0, 0, length, length, 4096].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(code);
    file
}

/// A server that answers whether it is there and dies of every other request: it receives (system call 11) from the
/// queue that init hands it as its fourth capability, answers protocol 0xffff (system call 13), else calls a `ud2`.
const POISONED: &[u8] = b"\x48\xbf\x04\x00\x00\x00\x01\x00\x00\x00\xb8\x0b\x00\x00\x00\x0f\x05\x85\xc0\x75\xeb\x4d\x85\
    \xff\x74\xe6\x48\xc1\xee\x10\x66\x83\xfe\xff\x75\x0b\x31\xf6\xb8\x0d\x00\x00\x00\x0f\x05\xeb\xd1\xe8\x00\x00\x00\
    \x00\x0f\x0b";
/// Where it dies: after the call, at the `ud2`.
const DIES_AT: u64 = 0xac;

/// Runs `script` on a system whose pipe server is the poisoned one.
fn with_poisoned_pipes(script: &str) -> Result<Output> {
    let disk = Disk::scratch(64 << 20)?;
    disk.write("/home/image", &program(POISONED))?;
    disk.write("/home/data", &content())?;
    disk.write("/home/script", format!("svc upgrade pipe /home/image\n{script}\n").as_bytes())?;
    System::builder().disk(&disk).exec("sh /home/script")?.success()
}

#[test]
fn a_request_that_kills_its_server_is_refused_and_the_crash_is_reported() -> Result<()> {
    let output = with_poisoned_pipes("echo x | cat; svc list; svc report pipe; svc report fs; echo $?")?;
    let (text, errors) = (output.text(), output.error_text());
    assert!(errors.contains("server died"), "the caller learns that the outcome is unknown: {errors}\n{text}");
    let row = text.lines().find(|line| line.starts_with("pipe")).unwrap_or("");
    let restarts: u32 = row.split_whitespace().nth(3).and_then(|n| n.parse().ok()).unwrap_or(0);
    assert_eq!(restarts, 1 + 3, "an upgrade, and three attempts: {text}");
    let image = text.split_once("called from (image at 0x").and_then(|(_, rest)| rest.split(')').next()).unwrap_or("");
    let dies_at = u64::from_str_radix(image, 16).unwrap_or(0) + DIES_AT;
    assert!(text.contains(&format!("invalid instruction at rip {dies_at:#x}")), "{text}");
    assert!(text.contains(&format!("): {dies_at:#x} {dies_at:#x}")), "the return address on its stack: {text}");
    let events = text.split_once("last events:\n").map_or("", |(_, events)| events);
    assert!(events.contains("start, incarnation") && events.contains("fault at 0x0, at work on #"), "{text}");
    assert!(errors.contains("fs: has not crashed") && text.ends_with("1\n"), "{errors}");
    Ok(())
}

#[test]
fn the_description_says_how_often_a_service_may_die_at_one_call() -> Result<()> {
    let disk = Disk::scratch(64 << 20)?;
    disk.write("/home/image", &program(POISONED))?;
    let text = std::fs::read_to_string(workspace::system_toml())?;
    let text = text.replace("[service.pipe]\n", "[service.pipe]\nrestart = { max_attempts = 7 }\n");
    let description = workspace::target_dir().join("max-attempts.toml");
    std::fs::write(&description, text)?;
    let script = "svc upgrade pipe /home/image; echo x | cat; svc list";
    let output = System::builder().disk(&disk).system(description).exec(script)?.success()?;
    let (text, errors) = (output.text(), output.error_text());
    assert!(errors.contains("server died"), "{errors}\n{text}");
    let row = text.lines().find(|line| line.starts_with("pipe")).unwrap_or("");
    assert_eq!(row.split_whitespace().nth(3), Some("8"), "an upgrade, and seven attempts: {text}");
    Ok(())
}

#[test]
fn a_server_that_dies_over_and_over_is_held_and_an_order_takes_it_off() -> Result<()> {
    let deaths = "echo x | cat; ".repeat(8); // 24 deaths, of which a minute allows 20
    let script = format!(
        "sha256sum /home/data & {deaths} echo ----; svc list; wait $!; echo work $?; echo x | cat; svc restart pipe; \
         echo restart $?; svc list"
    );
    let output = with_poisoned_pipes(&script)?;
    let (text, errors) = (output.text(), output.error_text());
    let (_, after) = text.split_once("----").expect("the mark is printed");
    let held = after.lines().find(|line| line.starts_with("pipe")).unwrap_or("");
    assert!(
        held.contains("failed") && held.contains("failed too often; last: invalid instruction"),
        "{text}\n{errors}"
    );
    assert!(after.contains("work 0\n"), "the others go on: {text}");
    assert!(after.contains("restart 0\n"), "{text}\n{errors}");
    assert!(errors.contains("object is gone"), "calls to a held service are refused at once: {errors}");
    assert!(!errors.contains("timed out"), "{errors}");
    let again = after.lines().rfind(|line| line.starts_with("pipe")).unwrap_or("");
    assert!(again.contains("running"), "{text}\n{errors}");
    Ok(())
}
