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
        gdb: Some(socket.clone()),
    };
    let _machine = Machine::start(&config, Streams::default())?;
    gdb::wait_for(&socket, Duration::from_secs(30))?;
    let (mut command, _script) = gdb::command(server, &socket)?;
    command.args(commands.iter().flat_map(|text| ["-ex", text])).arg("-batch");
    let output = command.output()?;
    Ok(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_breakpoint_in_one_server_stops_there_and_in_no_other_and_its_callers_have_names() -> Result<()> {
    let said = session(Some("fs"), &["sbreak fs::main", "continue", "backtrace", "info registers rip cr3"])?;
    assert!(said.contains("fs::main"), "{said}");
    assert!(said.contains("servers/fs/src/main.rs"), "{said}");
    let frames = said.lines().filter(|line| line.starts_with('#')).count();
    assert!(frames >= 2, "{said}");
    Ok(())
}

#[test]
fn the_kernel_stops_where_a_thread_faults_and_its_callers_have_names() -> Result<()> {
    let said = session(None, &["hbreak kernel_main", "continue", "backtrace"])?;
    assert!(said.contains("kernel::kernel_main") && said.contains("kernel/src/main.rs"), "{said}");
    Ok(())
}

#[test]
fn a_place_that_the_server_does_not_have_is_said_so() -> Result<()> {
    let said = session(Some("fs"), &["sbreak *0x100000", "sbreak"])?;
    assert!(said.contains("is nowhere in") && said.contains("sbreak needs a place"), "{said}");
    Ok(())
}
