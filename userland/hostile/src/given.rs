//! What a hostile program is given, and how it ends.

use crate::check::{Verdict, works};
use crate::puppet;
use alloc::string::String;
use libipc::spawn::{Child, Command, Image};
use libipc::{Account, Handle, Memory, OwnedHandle, Process, Queue, Rights, Startup};

/// Pages of a further part of an attack.
const PART: u64 = 128;
/// Pages of its stack.
const STACK: u64 = 16;
/// Its priority: that of any program.
pub const PRIORITY: u8 = 8;

/// What a hostile program is given: its arguments are its name, the case's argument, and the part that it plays.
pub struct Given {
    /// All that it was started with.
    pub startup: Startup<'static>,
    /// What it may pay with.
    pub account: Account,
    /// Itself: to map and to inspect, as every program has it.
    pub process: Process,
    /// The well-behaved server.
    pub victim: Queue,
    /// The program's own file.
    pub image: Image,
}

impl Given {
    fn new(startup: Startup<'static>) -> Result<Given, String> {
        let account = works("account", startup.account())?;
        let process = works("self", startup.process())?;
        let victim = works("victim", startup.queue("victim"))?;
        let memory = works("image", startup.memory("image"))?;
        let length = works("length", startup.env("length").and_then(|text| text.parse().ok()).ok_or("none"))?;
        Ok(Given { startup, account, process, victim, image: Image::borrowed(memory, 0, length) })
    }

    /// What the case says beside the program's name.
    pub fn argument(&self) -> &'static str {
        self.startup.arg(1).unwrap_or("")
    }

    /// A command for a part of this attack, in a process of its own.
    pub fn part(&self, part: &str) -> Command {
        let mut command = Command::new(self.startup.program());
        command.args([self.argument(), part]).memory(PART).stack(STACK).priority(PRIORITY);
        pass(&mut command, self.victim, &self.image);
        for name in ["stdout", "stderr"] {
            if let Some(handle) = self.startup.handle(name) {
                command.grant(name, handle, Rights::SEND);
            }
        }
        command
    }

    /// Starts a part with these capabilities.
    pub fn start(&self, part: &str, grants: &[(&str, &OwnedHandle, Rights)]) -> Result<Child, String> {
        let mut command = self.part(part);
        for (name, handle, rights) in grants {
            command.grant(name, handle.handle(), *rights);
        }
        works("starting a part", command.spawn(&self.image, self.account))
    }

    /// Handles that name something in this program's table, by its startup pages.
    pub fn known(&self) -> impl Iterator<Item = Handle> + use<'_> {
        self.startup.handles().map(|(_, handle)| handle)
    }
}

/// Hands on what every part of an attack has.
pub fn pass(command: &mut Command, victim: Queue, image: &Image) {
    command.grant("victim", victim.handle(), Rights::SEND);
    command.grant("image", Memory::handle(image.memory()), Rights::READ | Rights::MAP | Rights::EXECUTE);
    command.env("length", &alloc::format!("{}", image.length()));
}

/// A part of an attack that another process plays.
pub type Part = (&'static str, fn(&Given) -> Verdict);

/// Plays the part that the arguments name; the status is 0 where all was as it must be.
pub fn perform(startup: Startup<'static>, run: fn(&Given) -> Verdict, parts: &[Part]) -> i32 {
    let verdict = Given::new(startup).and_then(|given| match startup.arg(2) {
        None | Some("") => run(&given),
        Some("puppet") => puppet::play(&given),
        Some(wanted) => match parts.iter().find(|(name, _)| *name == wanted) {
            Some((_, play)) => play(&given),
            None => Err(alloc::format!("no part {wanted}")),
        },
    });
    match verdict {
        Ok(()) => 0,
        Err(why) => {
            libipc::println!("{} {}: {why}", startup.program(), startup.arg(1).unwrap_or(""));
            1
        }
    }
}
