//! `cargo xtask gdb`.

use anyhow::{Context, Result};
use harness::{
    Disk, Images, gdb,
    qemu::{Config, Serial},
    system::SCRATCH,
};
use signal_hook::consts::SIGINT;
use std::{
    fs,
    os::unix::{net::UnixStream, process::CommandExt},
    path::PathBuf,
    process::{Child, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// Debugs the machine of `cargo xtask run --gdb`, or a fresh one that stands before its first instruction, with the names
/// of the kernel and of one server. `sbreak PLACE` stops in that server, `hbreak PLACE` in the kernel.
#[derive(clap::Args)]
pub struct Options {
    /// The service or program whose names are wanted, besides the kernel's
    server: Option<String>,
    /// A command for gdb, once it is connected; may be given again
    #[arg(long = "ex", visible_alias = "eval", value_name = "COMMAND")]
    commands: Vec<String>,
    /// End after these commands
    #[arg(long)]
    batch: bool,
}

impl Options {
    /// Runs gdb.
    pub fn run(&self) -> Result<ExitCode> {
        // Kept until gdb has ended: dropping the machine switches it off.
        let (socket, _machine) = match UnixStream::connect(gdb::default_socket()) {
            Ok(_) => (gdb::default_socket(), None),
            Err(_) => {
                let machine = Machine::start()?;
                (machine.socket(), Some(machine))
            }
        };
        let (mut command, _script) = gdb::command(self.server.as_deref(), &socket)?;
        command.args(self.commands.iter().flat_map(|text| ["-ex", text]));
        if self.batch {
            command.arg("-batch");
        }
        // ^C is for gdb, which stops the machine; the terminal sends it to this process too.
        signal_hook::flag::register(SIGINT, Arc::default()).context("cannot keep ^C for gdb")?;
        let status = command.status().context("cannot start gdb")?;
        Ok(ExitCode::from(crate::run::exit_code(status.code().unwrap_or(1))))
    }
}

/// A fresh machine, whose console goes to a file. It is switched off in the end.
struct Machine {
    child: Child,
    _disk: Disk,
    folder: TempDir,
}

impl Machine {
    fn start() -> Result<Machine> {
        let images = Images::get()?;
        let disk = Disk::scratch(SCRATCH)?;
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("console.log");
        let config = Config {
            qemu: None,
            boot: (&images).into(),
            disk: Some(disk.path().to_owned()),
            memory: 128,
            words: Vec::new(),
            icount: false,
            reboot: false,
            serial: Serial::Pipes,
            disk_speed: None,
            gdb: Some(folder.path().join(SOCKET)),
            monitor: None,
        };
        let mut command = config.command()?;
        // A group of its own: the terminal does not send it ^C.
        command.process_group(0).stdin(Stdio::piped()).stdout(fs::File::create(&log)?);
        let child = command.spawn().context("cannot start QEMU")?;
        let machine = Machine { child, _disk: disk, folder };
        gdb::wait_for(&machine.socket(), Duration::from_secs(10))?;
        eprintln!("A fresh machine; its console goes to {} until gdb ends.", log.display());
        Ok(machine)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }
}

/// The socket's name in the folder of its machine.
const SOCKET: &str = "gdb.sock";

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
