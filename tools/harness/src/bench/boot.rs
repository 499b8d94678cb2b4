//! What a boot costs: guest instructions from power-on to the shell's prompt, the firmware's among them.
//!
//! A machine that waits for its disk sleeps meanwhile, and its clock goes on. So QEMU records the run, which makes it
//! count the instructions that were really executed, and is asked for that count when the prompt is there.

use super::{Figure, NO_TRACE, Setting};
use crate::{
    Disk, Images,
    machine::{Machine, Streams, find},
    qemu::{Config, FIXED_LAYOUT, Serial, escaped},
    system::{PROMPT, SCRATCH},
};
use anyhow::{Context, Result};
use std::{
    ffi::OsString,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Boots that are measured.
const ROUNDS: usize = 3;
/// What QEMU writes before the number.
const COUNT: &str = "instruction count = ";

/// Boots a fresh system, some times.
pub fn measure(setting: Setting) -> Result<Figure> {
    let images = Images::get()?;
    let mut counts = (0..ROUNDS).map(|_| once(&images, setting)).collect::<Result<Vec<u64>>>()?;
    counts.sort_unstable();
    Ok(Figure { median: counts[ROUNDS / 2], min: counts[0], max: counts[ROUNDS - 1] })
}

fn once(images: &Images, setting: Setting) -> Result<u64> {
    let Setting { memory, traced, timeout } = setting;
    let disk = Disk::scratch(SCRATCH)?;
    let folder = tempfile::tempdir()?;
    let monitor = folder.path().join("monitor");
    let config = Config {
        qemu: None,
        boot: images.into(),
        disk: None,
        disk_speed: None,
        gdb: None,
        monitor: None,
        memory,
        words: [FIXED_LAYOUT.into()].into_iter().chain((!traced).then(|| NO_TRACE.into())).collect(),
        icount: false,
        reboot: false,
        serial: Serial::Pipes,
    };
    let mut command = config.command()?;
    let option = |before: &str, path: &Path, after: &str| {
        let mut text = OsString::from(before);
        text.push(escaped(path));
        text.push(after);
        text
    };
    command.args(["-accel", "tcg", "-icount"]);
    command.arg(option("shift=0,rr=record,rrfile=", &folder.path().join("record"), ""));
    command.arg("-drive").arg(option("if=none,id=disk0,format=raw,file=", disk.path(), ""));
    command.args(["-drive", "driver=blkreplay,if=none,image=disk0,id=disk1"]);
    command.args(["-device", "virtio-blk-pci,drive=disk1,disable-legacy=on"]);
    command.arg("-monitor").arg(option("unix:", &monitor, ",server=on,wait=off"));
    let mut machine = Machine::run(command, Streams::default())?;
    machine.wait("the shell's prompt", timeout, |state| find(&state.log, PROMPT.as_bytes()))?;
    count(&monitor).context("QEMU does not tell how many instructions it has counted")
}

/// Asks QEMU's monitor.
fn count(monitor: &Path) -> Result<u64> {
    let mut stream = UnixStream::connect(monitor)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"info replay\n")?;
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&said);
        let line = text.split_once(COUNT).and_then(|(_, rest)| rest.split_once(['\r', '\n']));
        if let Some((number, _)) = line {
            return Ok(number.trim().parse()?);
        }
        let length = stream.read(&mut buffer)?;
        anyhow::ensure!(length > 0, "its monitor closed after: {text}");
        said.extend_from_slice(&buffer[..length]);
    }
}
