//! gdb on a machine: breakpoints in one server and in the kernel, backtraces with names.

use harness::{
    Disk, Images, Result, gdb,
    machine::{Machine, Streams},
    qemu::{Config, Serial},
    system::{PATIENCE, SCRATCH},
};
use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
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

/// A terminal with `cargo xtask gdb` in it. It goes with all that runs there when it is dropped.
struct Terminal {
    session: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    unread: String,
}

impl Terminal {
    fn open() -> Result<Terminal> {
        // script(1) is a terminal to what it runs, and types what it reads. It runs it with a shell, which gets ^C too, and of
        // which some would end by it when their command has ended: it gives way to the command.
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", "exec cargo xtask gdb", "/dev/null"]);
        script.current_dir(harness::workspace::root()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut session = script.stderr(Stdio::null()).spawn()?;
        let (keys, mut output) = (session.stdin.take().expect("a pipe"), session.stdout.take().expect("a pipe"));
        let (sender, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Terminal { session, keys, screen, unread: String::new() })
    }

    /// Reads until `wanted` is shown, which must come: what came before that.
    fn expect(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while !self.unread.contains(wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.unread.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("`{wanted}` was waited for, and this is what came:\n{}", self.unread),
            }
        }
        let unread = std::mem::take(&mut self.unread);
        let (before, rest) = unread.split_once(wanted).expect("it is there");
        self.unread = rest.to_owned();
        before.to_owned()
    }
}

impl Terminal {
    /// What else came, when all has ended.
    fn rest(&mut self) -> String {
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.unread.push_str(&String::from_utf8_lossy(&bytes));
        }
        std::mem::take(&mut self.unread)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.session.kill();
        let _ = self.session.wait();
    }
}

#[test]
fn at_a_terminal_ctrl_c_stops_the_machine_and_neither_gdb_nor_its_session_ends() -> Result<()> {
    let mut terminal = Terminal::open()?;
    terminal.expect("its console goes to ");
    let console = terminal.expect(" until gdb ends");
    terminal.expect("(gdb) ");
    // Nobody gets there, so that it runs until it is stopped.
    terminal.keys.write_all(b"hbreak *0xffffffffffffffff\ncontinue\n")?;
    terminal.expect("Continuing.");
    // QEMU forgets a request to stop that comes before the machine goes on.
    let started = Instant::now();
    while std::fs::metadata(&console)?.len() == 0 {
        assert!(started.elapsed() < PATIENCE, "the machine says nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    terminal.keys.write_all(b"\x03")?;
    terminal.expect("received signal SIGINT");
    terminal.expect("(gdb) ");
    terminal.keys.write_all(b"print 6 * 7\n")?;
    terminal.expect("$1 = 42");
    terminal.keys.write_all(b"quit\n")?;
    let status = terminal.session.wait()?;
    assert!(status.success(), "{status}; this was on the screen last:\n{}", terminal.rest());
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
