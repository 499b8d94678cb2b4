//! Booting a system and driving it: one command at a time, or a session at the console.

use crate::{
    build::Images,
    disk::Disk,
    iso::{self, Firmware},
    latency,
    machine::{Machine, Streams, find, tail},
    qemu::{self, Boot, Config, Serial},
    sweep::counts_of,
    workspace,
};
use anyhow::{Context, Result, ensure};
use std::{
    fmt::Display,
    path::PathBuf,
    time::{Duration, Instant},
};
use tempfile::TempPath;

/// How long a machine may take for anything, unless said otherwise. Emulators on busy machines are slow.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long a guest whose command has ended may take to bring its disk to rest and power off.
pub const POWER_OFF: Duration = Duration::from_secs(15);
/// The prompt of the interactive shell ends so.
pub const PROMPT: &str = "$ ";
/// The size of the disk that a system gets when none is given.
pub const SCRATCH: u64 = 64 << 20;

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// What it wrote to its standard output; in a session, to both streams, with line ends as it wrote them.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error; empty in a session.
    pub stderr: Vec<u8>,
    /// What the kernel and the servers logged.
    pub log: String,
}

impl Output {
    /// Its standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error as text.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// How often the points of [`Builder::kill`] and [`Builder::hang`] have struck this service.
    pub fn kills(&self, service: &str) -> u64 {
        counts_of(&self.log).get(service).map_or(0, |counts| counts.kills)
    }

    /// Itself, if it ended with status 0; otherwise an error that shows everything.
    pub fn success(self) -> Result<Output> {
        self.expect_status(0)
    }

    /// Itself, if it ended with this status; otherwise an error that shows everything.
    pub fn expect_status(self, status: i32) -> Result<Output> {
        let (out, err, log) = (self.text(), self.error_text(), tail(self.log.as_bytes()));
        ensure!(
            self.status == status,
            "the command ended with status {}, not {status}\nstdout: {out}\nstderr: {err}\n{log}",
            self.status
        );
        Ok(self)
    }
}

/// Describes a machine; made by [`System::builder`].
#[derive(Debug)]
pub struct Builder {
    qemu: Option<PathBuf>,
    images: Option<Images>,
    description: Option<PathBuf>,
    disk: Option<PathBuf>,
    no_disk: bool,
    disk_speed: Option<u32>,
    memory: u32,
    words: Vec<String>,
    layout: Option<String>,
    icount: bool,
    iso: Option<Firmware>,
    patience: Duration,
    stdin: Vec<u8>,
}

/// Files that are there for as long as their machine.
#[derive(Debug)]
struct Lent {
    _disk: Option<Disk>,
    _iso: Option<TempPath>,
}

impl Builder {
    /// Boots with this disk instead of a fresh one. It is yours: it outlives the machine.
    pub fn disk(mut self, disk: &Disk) -> Builder {
        self.disk = Some(disk.path().to_owned());
        self
    }

    /// The disk serves so many requests in a second and no more: each is with the device for long.
    pub fn disk_speed(mut self, requests: u32) -> Builder {
        self.disk_speed = Some(requests);
        self
    }

    /// Boots without a disk.
    pub fn no_disk(mut self) -> Builder {
        self.no_disk = true;
        self
    }

    /// MiB of RAM (128 unless said otherwise).
    pub fn memory(mut self, mib: u32) -> Builder {
        self.memory = mib;
        self
    }

    /// Adds a word to the kernel's command line, such as `seed=7`.
    pub fn word(mut self, word: impl Into<String>) -> Builder {
        self.words.push(word.into());
        self
    }

    /// Has programs at other random addresses than those of [`qemu::FIXED_LAYOUT`]: as they follow from this seed, or
    /// without one at such that nobody knows.
    pub fn layout(mut self, seed: Option<u64>) -> Builder {
        self.layout = seed.map(|seed| format!("layout={seed}"));
        self
    }

    /// Kills a service at a chosen point of its work, such as `fs@before-reply:12`; several points stand one after the
    /// other with commas. [`Output::kills`] tells whether they have struck.
    pub fn kill(self, points: impl Display) -> Builder {
        self.word(format!("kill={points}")).word("count=1")
    }

    /// Has a service hang, for ever, at a chosen entry into the kernel, such as `fs@entry:12`.
    pub fn hang(self, points: impl Display) -> Builder {
        self.word(format!("hang={points}")).word("count=1")
    }

    /// Counts instructions: while the guest is not idle, one is a nanosecond of its time.
    pub fn icount(mut self) -> Builder {
        self.icount = true;
        self
    }

    /// Boots from an ISO, with this firmware, instead of having QEMU load the kernel.
    pub fn iso(mut self, firmware: Firmware) -> Builder {
        self.iso = Some(firmware);
        self
    }

    /// How long the boot and each wait after it may take.
    pub fn patience(mut self, patience: Duration) -> Builder {
        self.patience = patience;
        self
    }

    /// What [`Builder::exec`]'s command reads from its standard input (nothing unless said otherwise).
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Builder {
        self.stdin = bytes.into();
        self
    }

    /// Starts this program instead of QEMU.
    pub fn qemu(mut self, program: impl Into<PathBuf>) -> Builder {
        self.qemu = Some(program.into());
        self
    }

    /// Boots from these images instead of building.
    pub fn images(mut self, images: Images) -> Builder {
        self.images = Some(images);
        self
    }

    /// Boots the system of another description than `servers/system.toml`. The path is relative to the repository.
    pub fn system(mut self, description: impl Into<PathBuf>) -> Builder {
        self.description = Some(workspace::root().join(description.into()));
        self
    }

    /// Boots, runs one command in the guest's shell, powers off.
    pub fn exec(mut self, command: &str) -> Result<Output> {
        self.words.insert(0, qemu::exec_word(command));
        let input = std::mem::take(&mut self.stdin);
        let (mut machine, _lent) = self.start(Streams { framed: true, ..Streams::default() })?;
        machine.feed(std::io::Cursor::new(input))?;
        let what = format!("`{command}` to end");
        let status = machine.wait(&what, self.patience, |state| state.status)?;
        machine.wait_end(POWER_OFF).with_context(|| format!("after `{command}` had ended with status {status}"))?;
        let mut state = machine.state();
        let (stdout, stderr) = (std::mem::take(&mut state.stdout), std::mem::take(&mut state.stderr));
        Ok(Output { status, stdout, stderr, log: String::from_utf8_lossy(&state.log).into_owned() })
    }

    /// Boots to the shell's prompt.
    pub fn boot(self) -> Result<System> {
        let (machine, lent) = self.start(Streams::default())?;
        let mut system = System { machine, patience: self.patience, seen: 0, commands: 0, _lent: lent };
        system.expect(PROMPT)?;
        Ok(system)
    }

    fn start(&self, streams: Streams) -> Result<(Machine, Lent)> {
        let images = match (&self.images, &self.description) {
            (Some(images), _) => images.clone(),
            (None, Some(description)) => Images::of_system(description)?,
            (None, None) => Images::get()?,
        };
        let fresh = self.disk.is_none() && !self.no_disk;
        let fresh = if fresh { Some(Disk::scratch_of(SCRATCH, &images.programs)?) } else { None };
        let words: Vec<String> = self.words.iter().chain(&self.layout).cloned().collect();
        let iso = match self.iso {
            Some(firmware) => {
                let file = tempfile::NamedTempFile::new()?.into_temp_path();
                iso::make(&images, &words.join(" "), &file)?;
                Some((firmware, file))
            }
            None => None,
        };
        let config = Config {
            qemu: self.qemu.clone(),
            boot: match &iso {
                Some((firmware, file)) => Boot::Iso(file.to_path_buf(), *firmware),
                None => (&images).into(),
            },
            disk: self.disk.clone().or(fresh.as_ref().map(|disk| disk.path().to_owned())),
            disk_speed: self.disk_speed,
            memory: self.memory,
            words: if iso.is_some() { Vec::new() } else { words },
            icount: self.icount,
            reboot: false,
            serial: Serial::Pipes,
            gdb: None,
            monitor: None,
        };
        let machine = Machine::start(&config, streams)?;
        Ok((machine, Lent { _disk: fresh, _iso: iso.map(|(_, file)| file) }))
    }
}

/// A running system with its shell at the console.
///
/// Every wait fails at once, with the message, when the kernel panics, and says what it waited for when it is over.
#[derive(Debug)]
pub struct System {
    machine: Machine,
    patience: Duration,
    /// How much of the log earlier waits have consumed.
    seen: usize,
    commands: u32,
    _lent: Lent,
}

impl System {
    /// A machine of 128 MiB with a fresh 64 MiB disk.
    pub fn builder() -> Builder {
        Builder {
            qemu: None,
            images: None,
            description: None,
            disk: None,
            no_disk: false,
            disk_speed: None,
            memory: 128,
            words: Vec::new(),
            layout: Some(qemu::FIXED_LAYOUT.to_owned()),
            icount: false,
            iso: None,
            patience: PATIENCE,
            stdin: Vec::new(),
        }
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.type_bytes(format!("{line}\r").as_bytes())
    }

    /// Types keys, such as `b"\x03"` for Ctrl-C.
    pub fn type_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.machine.send(bytes)
    }

    /// Waits until the console shows `text`, and returns what stood before it. Each wait begins where the last one
    /// found its text.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        self.expect_within(text, self.patience)
    }

    /// The same with a deadline of its own.
    pub fn expect_within(&mut self, text: &str, within: Duration) -> Result<String> {
        let from = self.seen;
        let (before, seen) = self.machine.wait(&format!("{text:?} on the console"), within, |state| {
            let new = &state.log[from..];
            let at = find(new, text.as_bytes())?;
            Some((String::from_utf8_lossy(&new[..at]).into_owned(), from + at + text.len()))
        })?;
        self.seen = seen;
        Ok(before)
    }

    /// Runs a command in the shell, waits for it and returns its status and what it showed on the console.
    ///
    /// The command must be a complete one of one line; one that ends in `&` needs [`System::type_line`].
    pub fn run(&mut self, command: &str) -> Result<Output> {
        // The marks are typed with quotes in their middle, so that the echo of the line never looks like one.
        self.commands += 1;
        let n = self.commands;
        self.type_line(&format!("echo '[begin-''{n}]'; {command}; echo '[end-''{n}-'$?']'"))?;
        self.expect(&format!("[begin-{n}]")).with_context(|| format!("when starting `{command}`"))?;
        self.expect("\n")?;
        let stdout = self.expect(&format!("[end-{n}-")).with_context(|| format!("when running `{command}`"))?;
        let status = self.expect("]")?;
        let status =
            status.parse().with_context(|| format!("the shell gave `{status}` as the status of `{command}`"))?;
        self.expect(PROMPT)?;
        Ok(Output { status, stdout: stdout.replace("\r\n", "\n").into_bytes(), stderr: Vec::new(), log: self.log() })
    }

    /// Everything that came over the serial line so far.
    pub fn log(&self) -> String {
        self.machine.log()
    }

    /// Has the guest power off, and waits until it has.
    pub fn poweroff(mut self) -> Result<()> {
        self.type_line("poweroff")?;
        let started = Instant::now();
        let proper = self.machine.wait_end(self.patience)?;
        ensure!(
            proper,
            "QEMU failed while powering off, after {} s\n{}",
            started.elapsed().as_secs(),
            tail(self.log().as_bytes())
        );
        Ok(())
    }

    /// Cuts the power. What the guest had written to its disk is there; what it had in its memory is not. Returns
    /// all that came over the serial line.
    pub fn kill(mut self) -> String {
        self.machine.kill();
        self.log()
    }
}

impl Drop for System {
    /// A kernel that measures tells what it has found when it goes down.
    fn drop(&mut self) {
        if latency::file().is_some() {
            // Whatever the test has left at the prompt, and nothing where it has ended the machine.
            let typed = self.type_bytes(b"\x03").and_then(|()| self.type_line("poweroff"));
            let _ = typed.and_then(|()| self.machine.wait_end(POWER_OFF));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;
    use std::{fs, os::unix::fs::PermissionsExt};

    struct Fake {
        dir: tempfile::TempDir,
    }

    /// A shell script in QEMU's place.
    fn fake(body: &str) -> Fake {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let script = dir.path().join("qemu");
        fs::write(&script, format!("#!/bin/bash\n{body}\n")).expect("it is written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is made executable");
        Fake { dir }
    }

    impl Fake {
        fn builder(&self) -> Builder {
            let none = PathBuf::new();
            let images = Images { kernel: none.clone(), archive: none, programs: vec![] };
            System::builder()
                .qemu(self.dir.path().join("qemu"))
                .images(images)
                .no_disk()
                .patience(Duration::from_secs(5))
        }

        fn failure<T: std::fmt::Debug>(&self, act: impl FnOnce(Builder) -> Result<T>) -> Failure {
            let error = act(self.builder()).expect_err("it must fail");
            error.downcast_ref::<Failure>().unwrap_or_else(|| panic!("{error:?}")).clone()
        }
    }

    /// The frame of one short text.
    fn frame(channel: char, text: &str) -> String {
        format!("printf '\\035{channel}\\{:03o}\\000%s' '{text}'\n", text.len())
    }

    const EXIT_7: &str = "printf '\\035X\\004\\000\\007\\000\\000\\000'\n";

    #[test]
    fn a_command_gives_its_streams_its_status_and_the_log_apart() {
        let script =
            ["echo booting\n", &frame('O', "out"), &frame('E', "err"), &frame('O', "put"), "echo bye\n", EXIT_7]
                .concat();
        let output = fake(&script).builder().exec("x").expect("it runs");
        assert_eq!((output.status, output.text(), output.error_text()), (7, "output".into(), "err".into()));
        assert_eq!(output.log, "booting\nbye\n");
        let shown = format!("{:#}", output.success().expect_err("7 is no success"));
        assert!(shown.contains("status 7, not 0") && shown.contains("output") && shown.contains("| bye"), "{shown}");
    }

    #[test]
    fn input_is_sent_when_the_console_is_ready_and_not_before() {
        // The first two bytes that arrive are I frame and Z frame; 3 + 4 + 4 bytes in all.
        let script = [
            "sleep 0.2\n",
            &frame('R', ""),
            "input=$(head -c 11 | tr '\\035' '<' | tr -d '\\000\\003')\n",
            "printf '\\035O\\007\\000%s' \"$input\"\n",
            EXIT_7,
        ]
        .concat();
        let output = fake(&script).builder().stdin(*b"abc").exec("cat").expect("it runs");
        assert_eq!(output.text(), "<Iabc<Z");
    }

    #[test]
    fn a_panic_ends_every_wait_at_once_with_its_message() {
        let panicking = fake("echo all is well; echo 'kernel panic: no frames left at mm.rs:7'; exec sleep 1000");
        let started = Instant::now();
        let Failure::Panic { message, tail } = panicking.failure(|builder| builder.exec("x")) else {
            panic!("no panic")
        };
        assert_eq!(message, "no frames left at mm.rs:7");
        assert!(tail.contains("all is well"));
        assert!(matches!(panicking.failure(Builder::boot), Failure::Panic { .. }));
        assert!(started.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn a_panic_in_the_middle_of_a_frame_is_seen() {
        let script = "printf '\\035O\\377\\000half'; echo 'kernel panic: cut in'; exit 35";
        let Failure::Panic { message, .. } = fake(script).failure(|builder| builder.exec("x")) else {
            panic!("no panic")
        };
        assert_eq!(message, "cut in");
    }

    #[test]
    fn a_machine_that_stops_early_says_how_and_what_was_seen_last() {
        let Failure::Stopped { what, how, tail } =
            fake("echo half way; echo oops >&2; exit 35").failure(|b| b.exec("ls"))
        else {
            panic!("no stop")
        };
        assert_eq!((what.as_str(), how.as_str()), ("`ls` to end", "QEMU's exit status 35"));
        assert!(tail.contains("half way") && tail.contains("oops"), "{tail}");
    }

    #[test]
    fn a_hanging_machine_is_given_up_at_the_deadline() {
        let hanging = fake("echo hm; exec sleep 1000");
        let failure = hanging.failure(|builder| builder.patience(Duration::from_secs(1)).exec("ls"));
        let Failure::Timeout { what, seconds: 1, tail } = failure else { panic!("{failure}") };
        assert!(what.contains("`ls` to end") && tail.contains("| hm"), "{what} {tail}");
    }

    #[test]
    fn a_missing_qemu_is_said_so() {
        let error = fake("").builder().qemu("/no/such/qemu").exec("x").expect_err("there is none");
        assert!(format!("{error:#}").contains("there is no /no/such/qemu; on Debian"), "{error:#}");
    }

    #[test]
    fn a_session_runs_commands_and_tells_their_output_from_the_echo() {
        // A shell behind a line discipline that echoes: lines end in CR on the way in, in CRLF on the way out.
        let shell = r#"
            printf 'booting\r\n$ '
            while IFS= read -r -d $'\r' line; do
                printf '%s\r\n' "$line"
                [ "$line" = poweroff ] && exit 0
                eval "$line" | sed 's/$/\r/'
                printf '$ '
            done"#;
        let shell = fake(shell);
        let mut system = shell.builder().boot().expect("it boots");
        let output = system.run("echo hello; echo '$ '; (exit 3)").expect("it runs");
        assert_eq!((output.status, output.text().as_str()), (3, "hello\n$ \n"));
        assert_eq!(system.run("true").expect("it runs").success().expect("0").text(), "");
        system.type_line("echo typed").expect("typed");
        assert_eq!(system.expect("typed\r\n").expect("the echo"), "echo ");
        assert!(system.log().starts_with("booting"));
        system.poweroff().expect("it powers off");
    }
}
