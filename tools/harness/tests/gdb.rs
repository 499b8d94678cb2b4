//! gdb on a machine: breakpoints in one server and in the kernel, backtraces with names.

use harness::{
    Disk, Images, Result, gdb,
    machine::{Machine, Streams},
    qemu::{Config, Serial},
    system::SCRATCH,
};
use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

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

/// Reads what is said until `wanted` is, or for two minutes: what came before that.
fn said(output: &Receiver<Vec<u8>>, so_far: &mut String, wanted: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !so_far.contains(wanted) {
        let left = deadline.saturating_duration_since(Instant::now());
        match output.recv_timeout(left) {
            Ok(bytes) => so_far.push_str(&String::from_utf8_lossy(&bytes)),
            Err(_) => panic!("`{wanted}` was waited for, and this is what came:\n{so_far}"),
        }
    }
    let text = std::mem::take(so_far);
    let (before, rest) = text.split_once(wanted).expect("it is there");
    *so_far = rest.to_owned();
    before.to_owned()
}

#[test]
fn at_a_terminal_ctrl_c_stops_the_machine_and_neither_gdb_nor_its_session_ends() -> Result<()> {
    // script(1) is a terminal to what it runs, and types what it reads.
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", "cargo xtask gdb", "/dev/null"]);
    terminal.current_dir(harness::workspace::root()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut session = terminal.spawn()?;
    let (mut keys, mut screen) = (session.stdin.take().expect("a pipe"), session.stdout.take().expect("a pipe"));
    let (sender, output) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = screen.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut so_far = String::new();
    said(&output, &mut so_far, "(gdb) ");
    // Nobody gets there, so that it runs until it is stopped.
    keys.write_all(b"hbreak *0xffffffffffffffff\n")?;
    said(&output, &mut so_far, "(gdb) ");
    // A key that comes before the machine goes on makes gdb say `Quit`.
    for _ in 0..100 {
        keys.write_all(b"continue\n")?;
        said(&output, &mut so_far, "Continuing.");
        keys.write_all(b"\x03")?;
        if said(&output, &mut so_far, "(gdb) ").contains("received signal SIGINT") {
            break;
        }
    }
    keys.write_all(b"print 6 * 7\n")?;
    said(&output, &mut so_far, "$1 = 42");
    keys.write_all(b"quit\n")?;
    assert!(session.wait()?.success());
    Ok(())
}

#[test]
fn the_address_at_which_a_program_crashed_gets_its_name_on_the_host() -> Result<()> {
    let output = harness::System::builder().exec("crash stack")?;
    let said = output.error_text();
    let place = said.split_once("(rip ").and_then(|(_, rest)| rest.split(')').next()).unwrap_or("");
    let (address, image) = place.split_once(", image at ").unwrap_or_default();
    assert!(address.starts_with("0x") && image.starts_with("0x"), "{said}");
    let mut symbolize = Command::new("cargo");
    symbolize.current_dir(harness::workspace::root()).args(["xtask", "symbolize", "--image", image, "crash", address]);
    let output = symbolize.output()?;
    let named = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && named.contains("userland/src/bin/crash.rs"), "{address}: {named}");
    Ok(())
}
