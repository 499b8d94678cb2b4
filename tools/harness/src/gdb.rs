//! gdb on a running machine, with the names of the kernel and of one server.
//!
//! 1. QEMU listens on a socket in the file system; nothing is reachable from outside.
//! 2. A server lies at a random address. Breakpoints in one are made with `sbreak`, which `gdb.py` defines.

use crate::{
    build::{KERNEL_TARGET, USER_TARGET},
    qemu::bound_to_this_process,
    workspace,
};
use anyhow::{Result, bail, ensure};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Our commands, and gdb's settings.
const SCRIPT: &str = include_str!("gdb.py");

/// Where `cargo xtask run --gdb` and `cargo xtask gdb` meet.
pub fn default_socket() -> PathBuf {
    workspace::root().join(".tessera/gdb.sock")
}

/// The kernel with its names.
pub fn kernel_symbols() -> PathBuf {
    workspace::target_dir().join(KERNEL_TARGET).join("kernel/kernel")
}

/// A server or program with its names.
pub fn symbols(name: &str) -> Result<PathBuf> {
    if name.is_empty() || name.contains(['/', '.']) {
        bail!("'{name}' is no name of a service or program");
    }
    let target = Path::new(USER_TARGET).file_stem().unwrap_or_default();
    Ok(workspace::target_dir().join(target).join("release").join(name))
}

/// gdb, about to talk to the machine behind `socket`. The script lives as long as the file that comes with it.
pub fn command(server: Option<&str>, socket: &Path) -> Result<(Command, tempfile::NamedTempFile)> {
    let program = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join("gdb"))
        .find(|file| file.is_file());
    let Some(program) = program else { bail!("there is no gdb; on Debian: apt-get install gdb") };
    let mut script = tempfile::Builder::new().suffix(".py").tempfile()?;
    script.write_all(SCRIPT.as_bytes())?;
    let mut gdb = bound_to_this_process(program);
    gdb.args(["-q", "-nx", "-ex", "set confirm off", "-ex", "set pagination off"]);
    gdb.arg(existing(kernel_symbols())?);
    if let Some(server) = server {
        let file = existing(symbols(server)?)?;
        let file = file.display().to_string();
        gdb.arg("-ex").arg(format!("python tessera_server, tessera_file = {server:?}, {file:?}"));
    }
    gdb.arg("-ex").arg(format!("source {}", script.path().display()));
    gdb.arg("-ex").arg(format!("target remote {}", socket.display()));
    Ok((gdb, script))
}

/// Gives gdb these commands on the machine behind `socket`; what it prints. `detach` as the last leaves the machine running.
///
/// Where a command fails gdb goes on, and may then wait for a stop that does not come: it is ended after `within`.
pub fn batch(server: Option<&str>, socket: &Path, commands: &[&str], within: Duration) -> Result<String> {
    wait_for(socket, Duration::from_secs(30))?;
    let (mut command, _script) = command(server, socket)?;
    command.args(commands.iter().flat_map(|text| ["-ex", text])).arg("-batch");
    let output = tempfile::NamedTempFile::new()?;
    let file = output.reopen()?;
    let mut child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
    let started = Instant::now();
    while child.try_wait()?.is_none() && started.elapsed() < within {
        std::thread::sleep(Duration::from_millis(20));
    }
    if child.try_wait()?.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(String::from_utf8_lossy(&std::fs::read(output.path())?).into_owned())
}

fn existing(file: PathBuf) -> Result<PathBuf> {
    ensure!(file.exists(), "there is no {}; build it with `cargo xtask build`", workspace::shown(&file));
    Ok(file)
}

/// Waits until QEMU listens.
pub fn wait_for(socket: &Path, within: Duration) -> Result<()> {
    let started = Instant::now();
    while !socket.exists() {
        ensure!(started.elapsed() < within, "QEMU does not listen at {}", socket.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_file_and_a_name_that_is_a_path_are_refused() {
        assert!(symbols("../fs").is_err() && symbols("").is_err());
        assert!(symbols("fs").expect("a name").ends_with("x86_64-unknown-tessera-user/release/fs"));
        assert!(existing("/no/such/file".into()).is_err_and(|error| error.to_string().contains("cargo xtask build")));
    }
}
