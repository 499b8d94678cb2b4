//! `cargo xtask run`.

use anyhow::{Context, Result, bail};
use clap::Args;
use harness::{
    Disk, Images,
    disk::remember,
    line::Line,
    machine::{Machine, Streams},
    qemu::{Boot, Config, Serial, exec_word},
    system::POWER_OFF,
    workspace,
};
use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// What an ISO is started by.
#[derive(clap::ValueEnum, Clone, Copy)]
enum Firmware {
    /// SeaBIOS
    Bios,
    /// OVMF
    Uefi,
}

/// The size of the disk that is made when there is none.
const NEW_DISK: u64 = 64 << 20;
const DEFAULT_TIMEOUT: u64 = 60;
/// The word of the kernel's command line with which it notes which rights are used.
pub const COVERAGE: &str = "coverage=1";

/// Boots in QEMU. Without --exec the console is this terminal; leave it with Ctrl-A x, or type `poweroff`.
#[derive(Args, Clone)]
#[command(after_help = "With --exec the exit status is the command's own, or 124 when the time ran out, \
    or 125 when the machine could not be built or started, panicked, or stopped early.")]
pub struct Options {
    /// Run this in the guest's shell: its output, errors, input and exit status become those of this command
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// The disk image [default: .tessera/disk.img, made when missing, with its /bin kept up to date]
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// The description of the system to boot, such as examples/system.toml [default: servers/system.toml]
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
    /// MiB of RAM
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=1 << 20))]
    memory: u32,
    /// How long --exec may take, boot included [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// With --exec: show the boot log on standard error
    #[arg(short, long)]
    verbose: bool,
    /// Count guest instructions: one is one nanosecond of the guest, while it is not idle
    #[arg(long)]
    icount: bool,
    /// Note which rights are used, and say at the end which ones the services never used (in the guest: `svc caps --unused`)
    #[arg(long)]
    coverage: bool,
    /// Wait before the first instruction for `cargo xtask gdb`, from another terminal
    #[arg(long)]
    gdb: bool,
    /// Boot from an ISO with this firmware, instead of having QEMU load the kernel
    #[arg(long, value_name = "FIRMWARE")]
    iso: Option<Firmware>,
    /// End when the guest reboots, instead of booting again (--exec always does)
    #[arg(long)]
    no_reboot: bool,
}

impl Options {
    /// Boots.
    pub fn run(&self) -> Result<ExitCode> {
        let description = self.system.as_deref().map(description_file).transpose()?;
        let images = description.as_deref().map_or_else(Images::get, Images::of_system)?;
        let disk = match &self.disk {
            Some(path) if !path.exists() => {
                bail!("{}: no such disk image; make one with `cargo xtask disk create {0} 64M`", path.display())
            }
            Some(path) => path.clone(),
            None => default_disk(&images, description.as_deref())?,
        };
        let mut config = Config {
            qemu: None,
            boot: (&images).into(),
            disk: Some(disk),
            disk_speed: None,
            memory: self.memory,
            words: Vec::new(),
            icount: self.icount,
            reboot: false,
            serial: Serial::Pipes,
            gdb: self.gdb.then(harness::gdb::default_socket),
            monitor: None,
        };
        config.words.extend(self.exec.as_deref().map(exec_word));
        config.words.extend(self.coverage.then(|| COVERAGE.to_owned()));
        if let Some(firmware) = self.iso {
            let words = std::mem::take(&mut config.words).join(" ");
            config.boot = boot_iso(&images, &words, firmware)?;
        }
        match &self.exec {
            Some(command) => {
                let timeout = Duration::from_secs(self.timeout.unwrap_or(DEFAULT_TIMEOUT));
                exec(&config, command, timeout, self.verbose)
            }
            None => self.interactive(Config { serial: Serial::Terminal, reboot: !self.no_reboot, ..config }),
        }
    }

    fn interactive(&self, config: Config) -> Result<ExitCode> {
        let terminal = io::stdin().is_terminal();
        if terminal {
            eprintln!("Booting Tessera. Leave with Ctrl-A x, or type `poweroff` in its shell.");
        } else {
            eprintln!("Standard input is no terminal; to run one command, use --exec.");
        }
        let mut child = config.command()?.spawn()?;
        let limit = self.timeout.or((!terminal).then_some(DEFAULT_TIMEOUT)).map(Duration::from_secs);
        let started = Instant::now();
        let status = loop {
            let Some(limit) = limit else { break child.wait()? };
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if started.elapsed() > limit {
                child.kill()?;
                child.wait()?;
                eprintln!("error: timed out after {} s", limit.as_secs());
                return Ok(ExitCode::from(crate::TIMED_OUT));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        if !status.success() {
            bail!("the machine did not end properly ({status}); its last words are above");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The file that an option `--system` names.
pub fn description_file(file: &Path) -> Result<PathBuf> {
    file.canonicalize().with_context(|| format!("{}: no such description of a system", file.display()))
}

/// The ISO that has these words on its command line.
fn boot_iso(images: &Images, words: &str, firmware: Firmware) -> Result<Boot> {
    let path = harness::iso::default_path();
    let line = Line::show("making the ISO");
    harness::iso::make(images, words, &path)?;
    line.hide();
    Ok(Boot::Iso(
        path,
        match firmware {
            Firmware::Bios => harness::iso::Firmware::Bios,
            Firmware::Uefi => harness::iso::Firmware::Uefi,
        },
    ))
}

/// Boots to run one command, whose streams are this process's own.
pub fn exec(config: &Config, command: &str, timeout: Duration, verbose: bool) -> Result<ExitCode> {
    let started = Instant::now();
    let mut machine = Machine::start(config, Streams { framed: true, pass_on: true, verbose })?;
    if io::stdin().is_terminal() {
        machine.feed(io::empty())?;
    } else {
        machine.feed(io::stdin())?;
    }
    let status = machine.wait(&format!("`{command}` to end"), timeout, |state| state.status)?;
    if let Err(error) = machine.wait_end(POWER_OFF.min(timeout.saturating_sub(started.elapsed()).max(POWER_OFF / 3))) {
        eprintln!("warning: the command ended, but its machine did not power off by itself: {error:#}");
        machine.kill();
    }
    if !verbose {
        machine.log().lines().filter(|line| line.starts_with("coverage: ")).for_each(|line| eprintln!("{line}"));
    }
    Ok(ExitCode::from(exit_code(status)))
}

/// A process has only eight bits to say it with; no failure may become a success.
pub fn exit_code(status: i32) -> u8 {
    match (status, status as u8) {
        (0, _) => 0,
        (_, 0) => 1,
        (_, low) => low,
    }
}

/// The default disk, made if it is missing, with the programs that were just built in its `/bin`.
fn default_disk(images: &Images, description: Option<&Path>) -> Result<PathBuf> {
    let path = workspace::default_disk(description);
    let stamp = path.with_extension("programs");
    if path.exists() {
        let disk = Disk::open(&path)?;
        disk.refresh(&images.programs, &stamp)?;
        disk.notes().iter().for_each(|note| eprintln!("note: {note}"));
    } else {
        eprintln!("Making a disk of {} MiB: {}", NEW_DISK >> 20, workspace::shown(&path));
        Disk::create(&path, NEW_DISK, &images.programs)?;
        remember(&images.programs, &stamp)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_becomes_a_success() {
        assert_eq!([0, 1, 127, 255, 256, -1].map(exit_code), [0, 1, 127, 255, 1, 255]);
    }
}
