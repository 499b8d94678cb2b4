//! The shell at the console: editing, history, completion, jobs, ^C.

use harness::{Result, System, system::PROMPT};
use std::time::Duration;

/// Types keys and Enter, and returns what is shown from the next line on until the prompt comes back.
fn line(system: &mut System, keys: &[u8]) -> Result<String> {
    system.type_bytes(keys)?;
    system.type_bytes(b"\r")?;
    system.expect("\r\n")?;
    system.expect(PROMPT)
}

#[test]
fn a_line_can_be_edited_before_it_is_run() -> Result<()> {
    let mut system = System::builder().boot()?;
    assert!(line(&mut system, b"cho one\x01e\x05 two")?.starts_with("one two\r\n"));
    assert!(line(&mut system, b"echo abc\x1b[D\x1b[D\x7fx")?.starts_with("xbc\r\n"));
    assert!(line(&mut system, b"echo gone\x15echo kept")?.starts_with("kept\r\n"));
    assert!(line(&mut system, b"echo one two\x17three")?.starts_with("one three\r\n"));
    system.poweroff()
}

#[test]
fn the_arrows_bring_earlier_lines_back() -> Result<()> {
    let mut system = System::builder().boot()?;
    line(&mut system, b"echo first")?;
    line(&mut system, b"echo second")?;
    assert!(line(&mut system, b"\x1b[A\x1b[A")?.starts_with("first\r\n"));
    assert!(line(&mut system, b"\x1b[A\x1b[A\x1b[B\x1b[B\x1b[A again")?.starts_with("first again\r\n"));
    let listed = line(&mut system, b"history")?;
    assert!(listed.contains("    1  echo first") && listed.contains("    4  echo first again"), "{listed}");
    system.poweroff()
}

#[test]
fn tab_completes_programs_and_paths() -> Result<()> {
    let mut system = System::builder().boot()?;
    assert!(line(&mut system, b"sha2\t/bin/tru\t")?.contains("  /bin/true\r\n"));
    assert!(line(&mut system, b"hist\t")?.contains("sha2"));
    system.poweroff()
}

#[test]
fn tab_goes_as_far_as_it_is_certain_and_lists_the_rest() -> Result<()> {
    let mut system = System::builder().boot()?;
    line(
        &mut system,
        b"mkdir /home/deep /home/deep/er; touch '/home/deep/er/two words' /home/deep/one /home/deep/only",
    )?;
    assert!(line(&mut system, b"echo /ho\tde\ter\t")?.contains("/home/deep/er/"), "a directory ends with a slash");
    assert!(line(&mut system, b"echo /home/deep/er/t\t")?.starts_with("/home/deep/er/two words\r\n"), "it is one word");
    let quoted = line(&mut system, b"wc -c /home/deep/er/t\t")?;
    assert!(quoted.contains("0 /home/deep/er/two words\r\n"), "{quoted}");
    assert!(line(&mut system, b"echo /home/deep/o\tx")?.starts_with("/home/deep/onx\r\n"), "what both begin with");
    system.type_bytes(b"echo /home/deep/o\t\t\t")?;
    system.expect("one   only")?;
    system.expect("\r\n")?;
    assert!(line(&mut system, b"\x15echo done")?.contains("done\r\n"));
    system.type_bytes(b"s\t\t")?;
    let listed = system.expect("sync")?;
    system.expect("\r\n")?;
    assert!(["sh", "sha256sum", "sleep", "stat", "svc"].iter().all(|name| listed.contains(name)), "{listed}");
    assert!(line(&mut system, b"\x15cd /home; hist\t|wc -l")?.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    system.poweroff()
}

#[test]
fn a_line_that_is_not_complete_goes_on() -> Result<()> {
    let mut system = System::builder().boot()?;
    system.type_line("echo 'a")?;
    system.expect("> ")?;
    assert!(line(&mut system, b"b'")?.starts_with("a\r\nb\r\n"));
    system.poweroff()
}

#[test]
fn control_c_ends_a_pipeline_with_status_130() -> Result<()> {
    let mut system = System::builder().boot()?;
    system.type_line("cat | cat")?;
    system.expect("cat | cat")?;
    std::thread::sleep(Duration::from_secs(1));
    system.type_bytes(b"\x03")?;
    system.expect(PROMPT)?;
    assert!(line(&mut system, b"echo $?")?.starts_with("130\r\n"));
    system.type_bytes(b"echo not run\x03")?;
    system.expect(PROMPT)?;
    assert!(line(&mut system, b"echo run")?.starts_with("run\r\n"));
    system.poweroff()
}

#[test]
fn jobs_run_beside_the_shell_and_are_waited_for() -> Result<()> {
    let mut system = System::builder().boot()?;
    assert!(line(&mut system, b"sleep 1000 &")?.starts_with("[1] "));
    assert!(line(&mut system, b"sleep 0.5 &")?.starts_with("[2] "));
    let jobs = line(&mut system, b"jobs")?;
    assert!(jobs.contains("Running  sleep 1000") && jobs.starts_with("[1] "), "{jobs}");
    line(&mut system, b"wait %2")?;
    line(&mut system, b"sh -c 'exit 3' &")?;
    assert!(line(&mut system, b"wait $!; echo status $?")?.contains("status 3\r\n"));
    system.type_line("fg %1")?;
    std::thread::sleep(Duration::from_secs(1));
    system.type_bytes(b"\x03")?;
    system.expect(PROMPT)?;
    assert!(line(&mut system, b"echo $?")?.starts_with("130\r\n"));
    system.poweroff()
}

#[test]
fn a_program_reads_lines_that_are_typed() -> Result<()> {
    let mut system = System::builder().boot()?;
    system.type_line("wc")?;
    std::thread::sleep(Duration::from_secs(1));
    system.type_bytes(b"typed lime\x7f\x7fne\rsecond\r\x04")?;
    system.expect("      2       3      18\r\n")?;
    system.poweroff()
}
