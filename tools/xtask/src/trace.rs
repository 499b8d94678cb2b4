//! `cargo xtask trace`.

use anyhow::{Context, Result, ensure};
use harness::{Disk, Images, System, line::Line, system::SCRATCH, trace};
use std::{fs, io::Write, path::PathBuf, process::ExitCode, time::Duration};

/// Where the guest puts its trace.
const IN_GUEST: &str = "/tmp/trace.raw";

/// Runs a command in a fresh machine with its calls traced, and writes a file that the Perfetto viewer opens
/// (https://ui.perfetto.dev): what ran when, and each request's way through the servers as arrows, across restarts.
#[derive(clap::Args)]
pub struct Options {
    /// What is run in the guest's shell
    #[arg(long, value_name = "CMD", default_value = "ls -l /bin")]
    exec: String,
    /// The file that is written
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The disk to boot with [default: a fresh one]
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// Room for this many events; older ones are overwritten (a power of two)
    #[arg(long, value_name = "N", default_value_t = 1 << 17, value_parser = clap::value_parser!(u32).range(128..=1 << 20))]
    events: u32,
    /// MiB of RAM
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(32..=1 << 20))]
    memory: u32,
    /// Another word for the kernel's command line, such as kill=fs@before-reply:30
    #[arg(long, value_name = "WORD")]
    word: Vec<String>,
    /// How long each wait for the guest may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
}

impl Options {
    /// Runs it.
    pub fn run(&self) -> Result<ExitCode> {
        let disk = match &self.disk {
            Some(path) => Disk::open(path)?,
            None => Disk::scratch(SCRATCH)?,
        };
        let builder = System::builder().disk(&disk).memory(self.memory).patience(Duration::from_secs(self.timeout));
        let traced = builder.word(format!("trace={}", self.events));
        let traced = self.word.iter().fold(traced, |builder, word| builder.word(word));
        Images::get()?; // whose builder shows how far it is
        let line = Line::show("booting a machine, running the command with its calls traced");
        let mut system = traced.boot()?;
        let output = system.run(&self.exec)?;
        line.hide();
        std::io::stdout().write_all(&output.stdout)?;
        system.run(&format!("svc trace --raw > {IN_GUEST}"))?.success().context("the guest gave no trace")?;
        system.poweroff()?;
        let records = trace::decode(&disk.read(IN_GUEST)?)?;
        ensure!(!records.is_empty(), "the trace is empty");
        let file = trace::to_perfetto(&records);
        fs::write(&self.output, file).with_context(|| format!("cannot write {}", self.output.display()))?;
        eprintln!("{} events in {}; open it at https://ui.perfetto.dev", records.len(), self.output.display());
        Ok(ExitCode::from(crate::run::exit_code(output.status)))
    }
}
