//! Runs every hostile program, or those named, beside a well-behaved server and its client.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hostile::cases::{CASES, Case, End};
use hostile::check::{holds, same, works};
use hostile::cpu::{IMPOSSIBLE, PRIVILEGED, UNKNOWN};
use hostile::victim::{ATTACK, CLIENT};
use hostile::{Verdict, given};
use libipc::abi::{FaultKind, ProcessState, ProcessStatus};
use libipc::dir::Namespace;
use libipc::spawn::{Child, Command, Image};
use libipc::{Account, Mapping, OwnedHandle, Rights, Startup, SysError, sys};

libipc::entry!(main);

/// Pages of an attack and all its parts.
const QUOTA: u64 = 640;
/// Pages of the server, and of the client.
const VICTIM: u64 = 96;
/// How long an attack may take.
const PATIENCE: u64 = 60_000_000_000;
/// How long an attack that never ends is let run.
const WHILE: u64 = 200_000_000;
/// How long the client may take to be seen at work.
const SIGN_OF_LIFE: u64 = 20_000_000_000;

fn main(startup: Startup<'static>) -> i32 {
    match run(&startup) {
        Ok(0) => 0,
        Ok(_) => 1,
        Err(why) => {
            libipc::println!("hostile: {why}");
            2
        }
    }
}

/// Number of cases that went wrong.
fn run(startup: &Startup<'static>) -> Result<usize, String> {
    let account = works("account", startup.account())?;
    let files = works("directories", Namespace::of(startup))?;
    let mut stage = Stage::new(startup, account, files)?;
    let wanted: Vec<&str> = startup.args().skip(1).collect();
    let (mut done, mut wrong) = (0, 0);
    for case in all_cases().filter(|case| wanted.is_empty() || wanted.contains(&case.program)) {
        let verdict = stage.play(&case);
        done += 1;
        let name = format!("{} {}", case.program, case.argument);
        match verdict {
            Ok(()) => libipc::println!("ok {}: {}", name.trim_end(), case.must),
            Err(why) => {
                wrong += 1;
                libipc::println!("WRONG {}: {}: {why}", name.trim_end(), case.must);
            }
        }
    }
    libipc::println!("{done} attacks, {wrong} wrong");
    if done == 0 { Err(String::from("no attack has this name")) } else { Ok(wrong) }
}

/// Those of the list, and the single instructions.
fn all_cases() -> impl Iterator<Item = Case> {
    let instruction = |list: &'static [hostile::cpu::Instruction], must, end| {
        list.iter().map(move |(name, _)| Case { program: "privileged", argument: name, must, end })
    };
    let privileged =
        instruction(PRIVILEGED, "the instruction is a protection fault", End::Fault(FaultKind::Protection));
    let unknown = instruction(UNKNOWN, "the instruction does not exist", End::Fault(FaultKind::InvalidInstruction));
    let impossible = instruction(IMPOSSIBLE, "the instruction is a fault", End::AnyFault);
    CASES.iter().copied().chain(privileged).chain(unknown).chain(impossible)
}

struct Stage {
    startup: Startup<'static>,
    account: Account,
    files: Namespace,
    queue: OwnedHandle,
    board: Mapping,
    server: Child,
    client: Child,
    last: Option<(&'static str, Image)>,
}

impl Stage {
    fn new(startup: &Startup<'static>, account: Account, files: Namespace) -> Result<Stage, String> {
        let queue = works("queue", account.create_queue(16))?;
        let memory = works("board", account.create_memory(1))?;
        let board = works("board", memory.memory().map(false))?;
        let mut server = Command::new("victim_server");
        server.memory(VICTIM).stack(8).grant("queue:victim", queue.handle(), Rights::RECEIVE);
        let server = start(&files, account, &server, "victim_server")?;
        let mut client = Command::new("victim_client");
        client.memory(VICTIM).stack(8).grant_minted("victim", queue.handle(), Rights::SEND, CLIENT);
        client.grant("board", memory.handle(), Rights::READ | Rights::WRITE | Rights::MAP);
        let client = start(&files, account, &client, "victim_client")?;
        let stage = Stage { startup: *startup, account, files, queue, board, server, client, last: None };
        stage.expect_work()?;
        Ok(stage)
    }

    /// One case: the attack's end is as it must be, nothing of it is left, and the victims have noticed nothing.
    fn play(&mut self, case: &Case) -> Verdict {
        if self.last.as_ref().is_none_or(|(name, _)| *name != case.program) {
            self.last = None;
            self.last = Some((case.program, image(&self.files, self.account, case.program)?));
        }
        let before = works("status", self.account.status())?;
        let ended = self.attack(case);
        let after = works("status", self.account.status())?;
        self.expect_work()?;
        check_end(case.end, &ended?)?;
        same("pages that the attack has left behind", after.used, before.used)
    }

    fn attack(&self, case: &Case) -> Result<ProcessStatus, String> {
        let Some((_, image)) = &self.last else { return Err(String::from("no image")) };
        let mut command = Command::new(case.program);
        command.arg(case.argument).memory(QUOTA).stack(16).priority(given::PRIORITY);
        command.grant_minted("victim", self.queue.handle(), Rights::SEND, ATTACK);
        let rights = Rights::READ | Rights::MAP | Rights::EXECUTE;
        command.grant("image", image.memory().handle(), rights).env("length", &format!("{}", image.length()));
        for name in ["stdout", "stderr"] {
            if let Some(handle) = self.startup.handle(name) {
                command.grant(name, handle, Rights::SEND);
            }
        }
        let child = works("start", command.spawn(image, self.account))?;
        if case.end == End::Never {
            let waited = child.event().wait(child.bits(), Some(sys::clock() + WHILE));
            holds("it does not end by itself", waited == Err(SysError::TimedOut))?;
            works("kill", child.kill())?;
        }
        works("its end", child.wait_until(Some(sys::clock() + PATIENCE)))
    }

    /// The client is seen to have got its answers, and the server is the one that it was.
    fn expect_work(&self) -> Verdict {
        let from = self.rounds()?;
        let until = sys::clock() + SIGN_OF_LIFE;
        while self.rounds()? < from + 2 {
            holds("the client goes on", sys::clock() < until)?;
            sys::sleep_until(sys::clock() + 1_000_000);
        }
        same("the client's complaints", self.word(8)?, 0)?;
        for victim in [&self.server, &self.client] {
            let status = works("a victim", victim.status())?;
            same("a victim's state", ProcessState::from_raw(status.state), ProcessState::Running)?;
            same("its incarnation", status.incarnation, 1)?;
        }
        Ok(())
    }

    fn rounds(&self) -> Result<u64, String> {
        self.word(0)
    }

    fn word(&self, at: usize) -> Result<u64, String> {
        let mut bytes = [0; 8];
        works("board", self.board.read(at, &mut bytes))?;
        Ok(u64::from_le_bytes(bytes))
    }
}

fn image(files: &Namespace, account: Account, program: &str) -> Result<Image, String> {
    let path = format!("/bin/{}", program.replace('-', "_"));
    let mut file = files.open(&path).map_err(|error| format!("{path}: {error:?}"))?;
    Image::read(&mut file, account).map_err(|error| format!("{path}: {error:?}"))
}

fn start(files: &Namespace, account: Account, command: &Command, program: &str) -> Result<Child, String> {
    let image = image(files, account, program)?;
    command.spawn(&image, account).map_err(|error| format!("{program}: {error}"))
}

fn check_end(expected: End, status: &ProcessStatus) -> Verdict {
    let state = ProcessState::from_raw(status.state);
    match expected {
        End::Fault(kind) => {
            same("its end", state, ProcessState::Faulted)?;
            same("its fault", FaultKind::from_raw(status.fault.kind), kind)
        }
        End::AnyFault => same("its end", state, ProcessState::Faulted),
        End::Refused => same("its end", (state, status.exit), (ProcessState::Exited, 0)),
        End::Status(exit) => same("its end", (state, status.exit), (ProcessState::Exited, exit.into())),
        End::Never => same("its end", (state, status.exit), (ProcessState::Exited, Child::KILLED.into())),
    }
}
