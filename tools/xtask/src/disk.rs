//! `cargo xtask disk`.

use anyhow::{Context, Result};
use clap::Subcommand;
use harness::{Disk, Images, description};
use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

#[derive(Subcommand)]
pub enum Command {
    /// Make an ext4 image with the userland in /bin, ready to boot with `run --disk`
    Create {
        /// The new image file
        img: PathBuf,
        /// Its size, such as 64M or 1G
        #[arg(value_parser = size)]
        size: u64,
        /// Replace a file of that name
        #[arg(long)]
        force: bool,
    },
    /// Copy a file into an image; into PATH where that is a directory, over it where it is a file
    Put {
        img: PathBuf,
        hostfile: PathBuf,
        /// Where on the image, such as /home/notes
        path: String,
    },
    /// Copy a file out of an image
    Get {
        img: PathBuf,
        /// The file on the image
        path: String,
        hostfile: PathBuf,
    },
    /// List a directory of an image
    Ls {
        img: PathBuf,
        #[arg(default_value = "/")]
        path: String,
    },
    /// Remove a file or an empty directory from an image
    Rm {
        img: PathBuf,
        path: String,
        /// Remove a directory with all that is in it
        #[arg(short, long)]
        recursive: bool,
    },
    /// Check the integrity of an image: says what is wrong, with status 1 if anything is
    Check { img: PathBuf },
    /// Bring the programs in an image's /bin up to date
    Refresh { img: PathBuf },
}

fn size(text: &str) -> Result<u64, String> {
    description::size(text).ok_or_else(|| "a size is a number of bytes, or one with K, M or G behind it".to_owned())
}

impl Command {
    /// Does it.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Command::Create { img, size, force } => create(img, size, force),
            Command::Put { img, hostfile, path } => with(img, |disk| {
                announce(hostfile.metadata().map_or(0, |file| file.len()), &path);
                disk.put(&hostfile, &path)
            }),
            Command::Get { img, path, hostfile } => with(img, |disk| {
                announce(disk.list(&path)?.iter().map(|entry| entry.size).sum(), &path);
                disk.get(&path, &hostfile)
            }),
            Command::Ls { img, path } => with(img, |disk| list(disk, &path)),
            Command::Rm { img, path, recursive } => with(img, |disk| disk.remove(&path, recursive)),
            Command::Check { img } => check(img),
            Command::Refresh { img } => {
                let programs = Images::get()?.programs;
                let no_stamp = tempfile::NamedTempFile::new()?;
                with(img, |disk| disk.refresh(&programs, no_stamp.path()))
            }
        }
    }
}

/// Says on a terminal what takes a while.
fn announce(bytes: u64, path: &str) {
    if bytes >= 64 << 20 && io::stderr().is_terminal() {
        eprintln!("Copying {} MiB: {path}", bytes >> 20);
    }
}

/// Does something with an image and says what its journal needed.
fn with(img: PathBuf, action: impl FnOnce(&Disk) -> Result<()>) -> Result<ExitCode> {
    let disk = Disk::open(img)?;
    let done = action(&disk);
    disk.notes().iter().for_each(|note| eprintln!("note: {note}"));
    done.map(|()| ExitCode::SUCCESS)
}

fn create(img: PathBuf, size: u64, force: bool) -> Result<ExitCode> {
    let programs = Images::get()?.programs;
    if force && img.exists() {
        std::fs::remove_file(&img).with_context(|| format!("cannot replace {}", img.display()))?;
    }
    Disk::create(img, size, &programs)?;
    Ok(ExitCode::SUCCESS)
}

fn list(disk: &Disk, path: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    for entry in disk.list(path)? {
        let slash = if entry.is_dir() { "/" } else { "" };
        writeln!(out, "{:06o} {:>12} {}{slash}", entry.mode, entry.size, entry.name)?;
    }
    Ok(())
}

/// Sound or not, in words: this one looks at files that are no image too.
fn check(img: PathBuf) -> Result<ExitCode> {
    let disk = Disk::unchecked(img);
    let problems = disk.check();
    disk.notes().iter().for_each(|note| eprintln!("note: {note}"));
    match problems? {
        problems if problems.is_empty() => {
            println!("{}: sound", disk.path().display());
            Ok(ExitCode::SUCCESS)
        }
        problems => {
            println!("{}: damaged", disk.path().display());
            problems.iter().for_each(|problem| println!("  {problem}"));
            Ok(ExitCode::FAILURE)
        }
    }
}
