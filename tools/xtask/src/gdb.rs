//! `cargo xtask gdb`.

use anyhow::{Context, Result};
use harness::{
    Disk, Images, gdb,
    qemu::{Config, Serial},
    system::SCRATCH,
    workspace,
};
use std::{fs, os::unix::net::UnixStream, process::ExitCode, time::Duration};

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
        let socket = gdb::default_socket();
        // Kept until gdb has ended: dropping the machine switches it off.
        let _machine = match UnixStream::connect(&socket) {
            Ok(_) => None,
            Err(_) => Some(self.start(&socket)?),
        };
        let (mut command, _script) = gdb::command(self.server.as_deref(), &socket)?;
        command.args(self.commands.iter().flat_map(|text| ["-ex", text]));
        if self.batch {
            command.arg("-batch");
        }
        let status = command.status().context("cannot start gdb")?;
        Ok(ExitCode::from(crate::run::exit_code(status.code().unwrap_or(1))))
    }

    /// A machine of its own, whose console goes to a file.
    fn start(&self, socket: &std::path::Path) -> Result<Machine> {
        let images = Images::get()?;
        let disk = Disk::scratch(SCRATCH)?;
        let log = socket.with_file_name("console.log");
        fs::create_dir_all(socket.parent().context("a file has a folder")?)?;
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
            gdb: Some(socket.to_owned()),
            monitor: None,
        };
        let mut command = config.command()?;
        command.stdin(std::process::Stdio::piped()).stdout(fs::File::create(&log)?);
        let child = command.spawn().context("cannot start QEMU")?;
        let machine = Machine { child, _disk: disk };
        gdb::wait_for(socket, Duration::from_secs(10))?;
        eprintln!("A fresh machine; its console goes to {}.", workspace::shown(&log));
        Ok(machine)
    }
}

/// A machine that is switched off in the end.
struct Machine {
    child: std::process::Child,
    _disk: Disk,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
