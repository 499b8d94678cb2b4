//! Starting the shell: its program from the disk, and what it gets.

use crate::console::Console;
use alloc::{format, string::String, vec::Vec};
use libipc::{
    Account, Dir, Event, Handle, OwnedHandle, Queue, Rights, SysError,
    proto::{FsError, svc::Allowed},
    spawn::{Child, Command, Image},
    startup,
};

/// Where the shell's program is.
const SHELL: &str = "/bin/sh";
/// Pages of the programs' account that the shell does not get: for its own program's memory, its process and its account.
const OVERHEAD: u64 = 64;

/// What every shell of this session gets.
pub struct Means {
    /// The account for programs.
    pub programs: Account,
    /// The maker of pipes.
    pub pipes: Queue,
    /// The supervisor, minted for this session.
    pub supervisor: Handle,
    /// Pages of the shell's stack.
    pub stack: u64,
    /// Priority of the shell and its programs.
    pub priority: u8,
    /// What else its programs may use: names and queues.
    pub services: Vec<(String, Handle)>,
    /// Tells of the shell's end.
    pub end: Event,
    /// Its bits.
    pub bits: u64,
}

/// Why there is no shell. For people: what, where, and what to do.
pub enum NoShell {
    /// The filesystem does not answer, or not yet.
    NoFilesystem(FsError),
    /// There is no such program.
    NoProgram(FsError),
    /// It does not start.
    NoStart(String),
}

impl core::fmt::Display for NoShell {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            NoShell::NoFilesystem(FsError::Sys(SysError::Closed)) => f.write_str(
                "there is no filesystem: the machine has no disk, or a service failed; \
                 start it with a disk, such as './scripts/run.sh --disk FILE'",
            ),
            NoShell::NoFilesystem(error) => {
                write!(f, "the filesystem cannot be used: {error}; check the disk with 'cargo xtask disk check FILE'")
            }
            NoShell::NoProgram(error) => {
                write!(f, "{SHELL}: {error}; the disk needs the programs, as 'cargo xtask disk create' puts them there")
            }
            NoShell::NoStart(why) => write!(f, "{SHELL} does not start: {why}"),
        }
    }
}

/// Starts a shell: for a person, or for one `command`.
pub fn start(means: &Means, root: &OwnedHandle, console: &Console, command: Option<&str>) -> Result<Child, NoShell> {
    let dir = Dir::new(root.queue());
    let mut file = dir.open(SHELL).map_err(NoShell::NoProgram)?;
    let image = Image::read(&mut file, means.programs).map_err(NoShell::NoProgram)?;
    let mut shell = Command::new("sh");
    if let Some(command) = command {
        shell.args(["-c", command]);
    } else {
        shell.grant("console", console.control.handle(), Rights::SEND);
    }
    shell.env("pwd", "/").stack(means.stack).priority(means.priority).on_end(means.end, means.bits);
    shell.grant("stdin", console.input.handle(), Rights::SEND);
    shell.grant("stdout", console.output.handle(), Rights::SEND);
    shell.grant("stderr", console.errors.handle(), Rights::SEND);
    shell.grant("root", root.handle(), Rights::SEND);
    shell.grant("cwd", root.handle(), Rights::SEND);
    shell.grant("pipe", means.pipes.handle(), Rights::SEND);
    for (name, queue) in &means.services {
        shell.grant(&format!("{}{name}", startup::SERVICE), *queue, Rights::SEND | Rights::MINT);
    }
    let allowed = Allowed::INSPECT | Allowed::CONTROL | Allowed::POWER;
    shell.grant_minted("svc", means.supervisor, Rights::SEND | Rights::MINT, allowed.badge(0));
    shell.memory(left(means.programs)?);
    shell.spawn(&image, means.programs).map_err(|error| NoShell::NoStart(format!("{error}")))
}

/// Pages that a shell can be given.
fn left(programs: Account) -> Result<u64, NoShell> {
    let status = programs.status().map_err(|error| NoShell::NoStart(format!("{error}")))?;
    let left = status.limit.saturating_sub(status.used).saturating_sub(OVERHEAD);
    if left == 0 { Err(NoShell::NoStart("no memory is left for programs".into())) } else { Ok(left) }
}

/// The root directory, once the filesystem answers.
pub fn mount(fs: Queue) -> Result<OwnedHandle, NoShell> {
    Dir::new(fs).open_dir(".").map_err(NoShell::NoFilesystem)
}
