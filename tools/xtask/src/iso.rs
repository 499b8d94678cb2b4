//! `cargo xtask iso`.

use anyhow::Result;
use harness::{Images, iso, line::Line, workspace};
use std::{path::PathBuf, process::ExitCode};

/// Makes a bootable ISO, for BIOS and UEFI, from optical drives and USB sticks. It needs GRUB and xorriso.
#[derive(clap::Args)]
pub struct Options {
    /// Where to [default: target/tessera/tessera.iso]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Words for the kernel's command line
    words: Vec<String>,
}

impl Options {
    /// Makes it.
    pub fn run(&self) -> Result<ExitCode> {
        let path = self.output.clone().unwrap_or_else(iso::default_path);
        let images = Images::get()?;
        let line = Line::show("making the ISO");
        iso::make(&images, &self.words.join(" "), &path)?;
        line.hide();
        let size = std::fs::metadata(&path)?.len();
        println!("{} ({} KiB)", workspace::shown(&path), size.div_ceil(1024));
        Ok(ExitCode::SUCCESS)
    }
}
