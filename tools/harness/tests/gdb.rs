//! gdb on a machine: breakpoints in one server and in the kernel, backtraces with names.

use harness::{
    Disk, Images, Result, gdb,
    machine::{Machine, Streams},
    qemu::{Config, Serial},
    system::SCRATCH,
};
use std::time::Duration;

/// What gdb prints when it is given these commands on a machine before its first instruction.
fn session(server: Option<&str>, commands: &[&str]) -> Result<String> {
    let (images, disk, directory) = (Images::get()?, Disk::scratch(SCRATCH)?, tempfile::tempdir()?);
    let socket = directory.path().join("gdb.sock");
    let config = Config {
        qemu: None,
        boot: (&images).into(),
        disk: Some(disk.path().to_owned()),
        memory: 64,
        words: Vec::new(),
        icount: false,
        reboot: false,
        serial: Serial::Pipes,
        disk_speed: None,
        gdb: Some(socket.clone()),
        monitor: None,
    };
    let _machine = Machine::start(&config, Streams::default())?;
    gdb::batch(server, &socket, commands, Duration::from_secs(60))
}

#[test]
fn a_breakpoint_in_one_server_stops_there_and_in_no_other_and_its_callers_have_names() -> Result<()> {
    let said = session(Some("fs"), &["sbreak main", "continue", "backtrace"])?;
    assert!(said.contains("#0  main () at servers/fs/src/main.rs"), "{said}");
    assert!(said.contains("in start () at libipc/src/runtime/start.rs") && said.contains("in _start ()"), "{said}");
    Ok(())
}

#[test]
fn the_kernel_stops_at_its_first_line_and_its_callers_have_names() -> Result<()> {
    let said = session(None, &["hbreak kernel_main", "continue", "backtrace"])?;
    assert!(said.contains("#0  kernel_main () at kernel/src/main.rs") && said.contains("in long_mode ()"), "{said}");
    Ok(())
}

#[test]
fn a_place_that_the_server_does_not_have_is_said_so() -> Result<()> {
    let said = session(Some("fs"), &["sbreak *0x100000", "sbreak"])?;
    assert!(said.contains("is nowhere in") && said.contains("sbreak needs a place"), "{said}");
    Ok(())
}

#[test]
fn the_address_at_which_a_program_crashed_gets_its_name_on_the_host() -> Result<()> {
    let output = harness::System::builder().exec("crash stack")?;
    let said = output.error_text();
    let address = said.split_once("(rip ").and_then(|(_, rest)| rest.split(')').next()).unwrap_or("");
    assert!(address.starts_with("0x"), "{said}");
    let mut symbolize = std::process::Command::new("cargo");
    symbolize.current_dir(harness::workspace::root()).args(["xtask", "symbolize", "crash", address]);
    let output = symbolize.output()?;
    let named = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && named.contains("userland/src/bin/crash.rs"), "{address}: {named}");
    Ok(())
}
