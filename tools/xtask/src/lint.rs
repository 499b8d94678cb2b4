//! `cargo xtask check`: the description of the system, and clippy for every target with warnings as errors,
//! and the formatting.

use anyhow::{Result, ensure};
use harness::{
    build::{BUILD_STD, KERNEL_TARGET, USER_TARGET, check_description, check_description_of, user_packages},
    line::Line,
    toolchain::Toolchain,
    workspace,
};
use std::{
    io::{self, IsTerminal, Write},
    process::{Command, ExitCode, Stdio},
};

/// Checks everything; the first complaint ends it.
pub fn run() -> Result<ExitCode> {
    check_description()?;
    check_description_of(&workspace::examples_toml())?;
    let toolchain = Toolchain::choose()?;
    let mut kernel = toolchain.cargo();
    kernel.arg("clippy").args(BUILD_STD).args([
        "--target",
        KERNEL_TARGET,
        "--profile",
        "kernel",
        "--package",
        "kernel",
    ]);
    lint("the kernel", &mut kernel)?;
    let mut user = toolchain.cargo();
    user.arg("clippy").args(BUILD_STD).args(["--target", USER_TARGET, "--release"]);
    user.args(user_packages()?.iter().flat_map(|package| ["--package", package]));
    lint("servers and programs", &mut user)?;
    let mut host = Command::new("cargo");
    lint("host crates and tests", host.args(["clippy", "--workspace", "--lib", "--tests"]))?;
    lint(
        "the tools",
        Command::new("cargo").args(["clippy", "--package", "xtask", "--package", "harness", "--all-targets"]),
    )?;
    let formatted = Command::new("cargo").current_dir(workspace::root()).args(["fmt", "--all", "--check"]).status()?;
    ensure!(formatted.success(), "not everything is formatted; `cargo fmt --all` does it");
    Ok(ExitCode::SUCCESS)
}

fn lint(what: &str, cargo: &mut Command) -> Result<()> {
    let line = Line::show(&format!("checking {what}"));
    let color = if io::stderr().is_terminal() { "always" } else { "never" };
    cargo.current_dir(workspace::root()).args(["--quiet", "--color", color, "--", "-D", "warnings"]);
    let output = cargo.stdin(Stdio::null()).output()?;
    line.hide();
    io::stderr().write_all(&output.stderr)?;
    ensure!(output.status.success(), "clippy has complaints about {what}; they are above");
    Ok(())
}
