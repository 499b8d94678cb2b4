//! QEMU's command line, for every use of it.

use crate::{Images, iso::Firmware, latency};
use anyhow::{Context, Result, ensure};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

/// `erms=off`: counts of guest instructions stay comparable (QEMU counts each step of `rep movsb`).
const CPU: &str = "max,erms=off";
/// The word with which programs lie at the same random addresses in each boot, so that the boots compare.
pub const FIXED_LAYOUT: &str = "layout=1";
/// QEMU's PVH loader keeps the kernel's command line in a buffer of this many bytes.
const COMMAND_LINE: usize = 960;

/// Where the guest's serial line leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serial {
    /// To pipes.
    Pipes,
    /// To the terminal, with QEMU's escape key Ctrl-A.
    Terminal,
}

/// What the machine boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// QEMU loads these itself (PVH).
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The boot archive.
        archive: PathBuf,
    },
    /// An ISO, in the drive that the firmware starts from. It has its command line within it.
    Iso(PathBuf, Firmware),
}

impl From<&Images> for Boot {
    fn from(images: &Images) -> Boot {
        Boot::Kernel { kernel: images.kernel.clone(), archive: images.archive.clone() }
    }
}

/// A machine to be started.
#[derive(Debug, Clone)]
pub struct Config {
    /// Another QEMU than the one that `TESSERA_QEMU` or the path leads to.
    pub qemu: Option<PathBuf>,
    /// What it boots from.
    pub boot: Boot,
    /// The disk image.
    pub disk: Option<PathBuf>,
    /// Requests that the disk serves in a second; `None`: as many as it can.
    pub disk_speed: Option<u32>,
    /// MiB of RAM.
    pub memory: u32,
    /// Words for the kernel's command line, where QEMU loads it.
    pub words: Vec<String>,
    /// Count instructions: one guest instruction is one nanosecond and one tick of the TSC.
    pub icount: bool,
    /// A reboot of the guest starts it again instead of ending QEMU.
    pub reboot: bool,
    /// The serial line.
    pub serial: Serial,
    /// Wait before the first instruction for a gdb at this socket.
    pub gdb: Option<PathBuf>,
    /// Listen at this socket for a [`Monitor`](crate::monitor::Monitor).
    pub monitor: Option<PathBuf>,
}

impl Config {
    /// The command that starts the machine.
    pub fn command(&self) -> Result<Command> {
        let mut words = self.words.join(" ");
        let measures = latency::file().is_some();
        if measures && matches!(self.boot, Boot::Kernel { .. }) {
            words = format!("{words} {}", latency::WORD);
        }
        ensure!(
            words.len() < COMMAND_LINE,
            "the command is too long for the kernel's command line by {} bytes; \
             put it into a script on the disk (`cargo xtask disk put`) and run that",
            (words.len() - COMMAND_LINE) / 2 + 1
        );
        let usual = || std::env::var_os("TESSERA_QEMU").map_or_else(|| "qemu-system-x86_64".into(), PathBuf::from);
        let mut command = bound_to_this_process(installed(&self.qemu.clone().unwrap_or_else(usual))?);
        command.args(["-M", "q35", "-cpu", CPU, "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none"]);
        command.arg("-m").arg(self.memory.to_string());
        match &self.boot {
            Boot::Kernel { kernel, archive } => {
                command.arg("-kernel").arg(kernel).arg("-initrd").arg(escaped(archive)).arg("-append").arg(words);
            }
            Boot::Iso(file, firmware) => {
                ensure!(words.is_empty(), "an ISO has its command line within it");
                if let Some(firmware) = firmware.file()? {
                    command.arg("-bios").arg(firmware);
                }
                let mut drive = OsString::from("if=none,id=cd0,format=raw,media=cdrom,readonly=on,file=");
                drive.push(escaped(file));
                command.arg("-drive").arg(drive).args(["-device", "ide-cd,drive=cd0,bootindex=0"]);
            }
        }
        command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
        command.args(["-serial", if self.serial == Serial::Terminal { "mon:stdio" } else { "stdio" }]);
        if let Some(socket) = &self.gdb {
            let mut listener = OsString::from("socket,id=gdb0,server=on,wait=off,path=");
            listener.push(escaped(socket));
            command.arg("-S").arg("-chardev").arg(listener).args(["-gdb", "chardev:gdb0"]);
        }
        if let Some(socket) = &self.monitor {
            let mut listener = OsString::from("unix:");
            listener.push(escaped(socket));
            listener.push(",server=on,wait=off");
            command.arg("-qmp").arg(listener);
        }
        if !self.reboot {
            command.arg("-no-reboot");
        }
        if self.icount || measures {
            // With sleep=off the guest's time would leap over every wait for the disk, to the next deadline: all that
            // have one would give up at once. Counts of instructions are the same either way.
            command.args(["-accel", "tcg", "-icount", "shift=0,sleep=on"]);
        }
        if let Some(disk) = &self.disk {
            let mut drive = OsString::from("if=none,id=disk0,format=raw,cache=writeback,file=");
            drive.push(escaped(disk));
            if let Some(speed) = self.disk_speed {
                drive.push(format!(",throttling.iops-total={speed}"));
            }
            command.arg("-drive").arg(drive).args(["-device", "virtio-blk-pci,drive=disk0,disable-legacy=on"]);
        }
        Ok(command)
    }
}

/// The program's path, or what to install.
fn installed(program: &Path) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file());
    found.with_context(|| format!("there is no {}; on Debian: apt-get install qemu-system-x86", program.display()))
}

/// A command that is killed when this process dies, however it dies, so that no machine is left running.
pub fn bound_to_this_process(program: impl AsRef<OsStr>) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// In QEMU's option lists a comma is written twice.
pub(crate) fn escaped(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = path.as_os_str().as_bytes().iter();
    OsString::from_vec(bytes.flat_map(|byte| if *byte == b',' { vec![b','; 2] } else { vec![*byte] }).collect())
}

/// The command-line word that makes the guest run `command` instead of an interactive shell.
pub fn exec_word(command: &str) -> String {
    let hex: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("exec={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            qemu: Some("/bin/sh".into()),
            boot: Boot::Kernel { kernel: "kernel".into(), archive: "boot.tar".into() },
            disk: Some("a,b.img".into()),
            disk_speed: None,
            memory: 64,
            words: vec![exec_word("ls /bin"), "seed=7".into()],
            icount: false,
            reboot: false,
            serial: Serial::Pipes,
            gdb: None,
            monitor: None,
        }
    }

    fn arguments(config: &Config) -> String {
        let command = config.command().expect("it fits");
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn the_command_travels_in_hexadecimal() {
        assert_eq!(exec_word("ls é"), "exec=6c7320c3a9");
        assert!(arguments(&config()).contains("-append|exec=6c73202f62696e seed=7|"));
    }

    #[test]
    fn the_machine_is_as_described() {
        let all = arguments(&Config { icount: true, ..config() });
        for part in
            ["-M|q35", "-m|64", "-no-reboot", "file=a,,b.img|-device|virtio-blk-pci", "-icount|shift=0,sleep=on"]
        {
            assert!(all.contains(part), "{part} is not in {all}");
        }
        assert!(!arguments(&Config { reboot: true, ..config() }).contains("-no-reboot"));
        assert!(arguments(&Config { disk_speed: Some(50), ..config() }).contains("a,,b.img,throttling.iops-total=50|"));
        assert!(!arguments(&Config { disk: None, ..config() }).contains("virtio"));
    }

    #[test]
    fn an_iso_is_in_the_first_drive_and_takes_no_words() {
        let boot = Boot::Iso("a,b.iso".into(), Firmware::Bios);
        let all = arguments(&Config { boot: boot.clone(), words: vec![], ..config() });
        assert!(all.contains("readonly=on,file=a,,b.iso|-device|ide-cd,drive=cd0,bootindex=0|"), "{all}");
        assert!(!all.contains("-kernel") && !all.contains("-append"), "{all}");
        assert!(Config { boot, ..config() }.command().is_err());
    }

    #[test]
    fn a_command_that_does_not_fit_is_refused_with_a_way_out() {
        let error = Config { words: vec![exec_word(&"x".repeat(3000))], ..config() }.command().expect_err("too long");
        assert!(error.to_string().contains("script on the disk"));
    }
}
