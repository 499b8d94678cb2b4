//! `cargo xtask`: the one tool that builds, boots, tests and measures Tessera.
//!
//! This crate is the command line; what it does is in the `harness` library, which tests use too.
#![forbid(unsafe_code)]

mod bench;
mod disk;
mod fuzz;
mod gdb;
mod graph;
mod iso;
mod latency;
mod lint;
mod mutate;
mod new_server;
mod pool;
mod progress;
mod resume;
mod run;
mod storm;
mod sweep;
mod symbolize;
mod test;
mod trace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A wait for the guest ran out of time.
const TIMED_OUT: u8 = 124;
/// The machine failed: it could not be built or started, panicked, or stopped.
const MACHINE_FAILED: u8 = 125;

/// Builds, boots, tests and measures Tessera.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the kernel, the servers, the programs and the boot image
    Build,
    /// Boot in QEMU, to a shell prompt in this terminal or to run one command
    Run(run::Options),
    /// Make a bootable ISO, for BIOS and UEFI
    Iso(iso::Options),
    /// Run all tests: those of the crates on this machine, then those in QEMU
    Test(test::Options),
    /// Run the guest's `bench` program, counting guest instructions
    Bench(bench::Options),
    /// Make a new server with its protocol, client and tests, or take it back
    NewServer(new_server::Options),
    /// Kill services at every point of a workload, and compare what comes of it with a model
    Sweep(sweep::Options),
    /// Kill services at random while clients work, and compare what comes of it with a model
    Storm(storm::Options),
    /// Make random system calls, and compare what comes of each with a model
    Fuzz(fuzz::Options),
    /// Draw who holds which capability, as Mermaid or SVG
    Graph(graph::Options),
    /// Run a command and write a trace of it that the Perfetto viewer opens
    Trace(trace::Options),
    /// Debug the kernel and a server with gdb
    Gdb(gdb::Options),
    /// Break checks of the kernel in a copy, one at a time, and show which test catches each
    Mutate(mutate::Options),
    /// Name the functions at the addresses of a crash report
    Symbolize(symbolize::Options),
    /// Make disk images and move files in and out of them
    #[command(subcommand)]
    Disk(disk::Command),
    /// Check system.toml and lint everything, for all targets
    #[command(visible_alias = "clippy")]
    Check,
}

fn main() -> ExitCode {
    let failed = |code: u8| move |error: anyhow::Error| fail(&error, code);
    match Cli::parse().command {
        Command::Build => build().unwrap_or_else(failed(1)),
        Command::Run(options) => options.run().unwrap_or_else(failed(MACHINE_FAILED)),
        Command::Iso(options) => options.run().unwrap_or_else(failed(1)),
        Command::Test(options) => options.run().unwrap_or_else(failed(1)),
        Command::Bench(options) => options.run().unwrap_or_else(failed(MACHINE_FAILED)),
        Command::NewServer(options) => options.run().unwrap_or_else(failed(1)),
        Command::Sweep(options) => options.run().unwrap_or_else(failed(MACHINE_FAILED)),
        Command::Storm(options) => options.run().unwrap_or_else(failed(MACHINE_FAILED)),
        Command::Fuzz(options) => options.run().unwrap_or_else(failed(MACHINE_FAILED)),
        Command::Graph(options) => options.run().unwrap_or_else(failed(1)),
        Command::Trace(options) => options.run().unwrap_or_else(failed(MACHINE_FAILED)),
        Command::Gdb(options) => options.run().unwrap_or_else(failed(1)),
        Command::Mutate(options) => options.run().unwrap_or_else(failed(1)),
        Command::Symbolize(options) => options.run().unwrap_or_else(failed(1)),
        Command::Disk(command) => command.run().unwrap_or_else(failed(1)),
        Command::Check => lint::run().unwrap_or_else(failed(1)),
    }
}

fn build() -> anyhow::Result<ExitCode> {
    let images = harness::build::build()?;
    println!("kernel        {}", harness::workspace::shown(&images.kernel));
    println!("boot archive  {}", harness::workspace::shown(&images.archive));
    println!("programs      {}", images.programs.len());
    Ok(ExitCode::SUCCESS)
}

/// Says what went wrong and gives the exit code for it.
fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    let timed_out = matches!(error.downcast_ref(), Some(harness::Failure::Timeout { .. }));
    if error.downcast_ref::<harness::description::BadDescription>().is_some() {
        eprintln!("{error}");
    } else {
        eprintln!("error: {error:#}");
    }
    ExitCode::from(if timed_out { TIMED_OUT } else { code })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
