//! `cargo xtask bench`.

use anyhow::Result;
use clap::Args;
use harness::{
    Disk, Images,
    qemu::{Config, Serial, exec_word},
    system::SCRATCH,
};
use std::{process::ExitCode, time::Duration};

/// Boots a fresh system under `-icount shift=0`, where a tick of the clock is a guest instruction, and runs `bench`.
#[derive(Args)]
pub struct Options {
    /// What to pass on to the guest's `bench`, such as the names of single measurements
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
    /// MiB of RAM
    #[arg(long, default_value_t = 128)]
    memory: u32,
    /// How long it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// Show the boot log on standard error
    #[arg(short, long)]
    verbose: bool,
}

impl Options {
    /// Runs it.
    pub fn run(&self) -> Result<ExitCode> {
        let images = Images::get()?;
        let disk = Disk::scratch(SCRATCH)?;
        let command = ["bench".to_owned()].iter().chain(&self.args).map(String::as_str).collect::<Vec<_>>().join(" ");
        let config = Config {
            qemu: None,
            kernel: images.kernel,
            archive: images.archive,
            disk: Some(disk.path().to_owned()),
            memory: self.memory,
            words: vec![exec_word(&command)],
            icount: true,
            reboot: false,
            serial: Serial::Pipes,
        };
        crate::run::exec(&config, &command, Duration::from_secs(self.timeout), self.verbose)
    }
}
