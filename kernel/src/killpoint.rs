//! Kill points: a test option that ends a process at a chosen point of its life, as `ProcessKill` by its supervisor would.
//!
//! Words of the kernel's command line:
//!
//! - `kill=POINT[,POINT]...` with `POINT` = `NAME@WHERE:[+]N`. `NAME` is the process's name, and `WHERE` says when it
//!   dies: `entry`, on its N-th system call or exception, before anything is done about it; `message`, after its N-th
//!   message, call, post or event, has been given to it, before it sees that; `before-reply` and `after-reply`, on its
//!   N-th answer to a call, before or after the caller has it (a `ReplyRecv` may have taken the next message by then).
//!   Counts go on across incarnations. `+N` counts from the moment in which the point before it in the list struck, and
//!   waits for that: so a second death is placed within the recovery from a first.
//! - `hang=POINT[,POINT]...`, each `WHERE` an `entry`: the thread never comes back from there, instead of the process's
//!   death. Points of both words form one list.
//! - `count=1` logs what was counted, one line for each name, when the first program opens I/O ports: it does that to
//!   switch the machine off, and only then.
//!
//! Invariants:
//! 1. Without these words nothing is counted, and the handoff pays nothing.
//! 2. With them every call takes the general path, so every point exists.
//! 3. A point strikes once, and only a process that runs.
//! 4. A word that is not understood stops the boot: a test never runs without its kill.

use crate::kernel::Kernel;
use crate::latency::Entry;
use crate::machine::Machine;
use crate::mm::Ref;
use crate::process::Process;
use crate::schedule::Next;
use crate::thread::{NEVER, Thread, Wait};
use abi::{MessageId, PRIORITIES, ProcessState, Sysno};
use core::fmt::Write;
use heapless::Vec;

/// The exit status of a process that was killed at a point.
pub const KILLED: i64 = -3;
/// Most points of one boot.
const MOST_POINTS: usize = 12;
/// Most names that are counted; further ones are not.
const MOST_NAMES: usize = 24;

/// Where in its work a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Entry,
    Message,
    BeforeReply,
    AfterReply,
}

impl Place {
    fn parse(text: &str) -> Option<Place> {
        Some(match text {
            "entry" => Place::Entry,
            "message" => Place::Message,
            "before-reply" => Place::BeforeReply,
            "after-reply" => Place::AfterReply,
            _ => return None,
        })
    }
}

type Name = [u8; 16];

/// One death to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    name: Name,
    place: Place,
    at: u64,
    /// `at` counts from the strike of the point before.
    relative: bool,
    /// It stops the thread, instead of killing the process.
    hangs: bool,
    struck: bool,
}

impl Point {
    fn parse(text: &str, hangs: bool) -> Option<Point> {
        let (name, rest) = text.split_once('@')?;
        let (place, count) = rest.split_once(':')?;
        let (relative, digits) = match count.strip_prefix('+') {
            Some(digits) => (true, digits),
            None => (false, count),
        };
        let numeric = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        let at = digits.parse().ok().filter(|at| numeric && *at > 0)?;
        let mut padded = [0; 16];
        padded.get_mut(..name.len()).filter(|room| !room.is_empty())?.copy_from_slice(name.as_bytes());
        let place = Place::parse(place).filter(|place| !hangs || *place == Place::Entry)?;
        Some(Point { name: padded, place, at, relative, hangs, struck: false })
    }
}

/// What processes of one name have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    name: Name,
    entries: u64,
    messages: u64,
    replies: u64,
    kills: u64,
}

impl Tally {
    fn of(&self, place: Place) -> u64 {
        match place {
            Place::Entry => self.entries,
            Place::Message => self.messages,
            Place::BeforeReply | Place::AfterReply => self.replies,
        }
    }
}

/// The points of this boot, and what was counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KillPoints {
    points: Vec<Point, MOST_POINTS>,
    report: bool,
    on: bool,
    tallies: Vec<Tally, MOST_NAMES>,
    /// Dies before anybody else runs.
    due: Option<Ref<Process>>,
}

impl KillPoints {
    /// Of a command line; `Err` is the word that is not understood.
    pub fn parse(line: &str) -> Result<KillPoints, &str> {
        let mut parsed = KillPoints::default();
        for word in line.split_ascii_whitespace() {
            let hangs = word.starts_with("hang=");
            if let Some(points) = word.strip_prefix("kill=").or(word.strip_prefix("hang=")) {
                for text in points.split(',') {
                    let first = parsed.points.is_empty();
                    let point = Point::parse(text, hangs).filter(|point| !(first && point.relative)).ok_or(word)?;
                    parsed.points.push(point).map_err(|_| word)?;
                }
            } else if let Some(value) = word.strip_prefix("count=") {
                parsed.report = if value == "1" { true } else { return Err(word) };
            }
        }
        parsed.on = parsed.report || !parsed.points.is_empty();
        Ok(parsed)
    }

    /// Whether anything is to be counted.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    fn tally(&mut self, name: Name) -> Option<&mut Tally> {
        let at = match self.tallies.iter().position(|tally| tally.name == name) {
            Some(at) => at,
            None => {
                self.tallies.push(Tally { name, ..Tally::default() }).ok()?;
                self.tallies.len() - 1
            }
        };
        self.tallies.get_mut(at)
    }

    fn count_of(&self, name: Name, place: Place) -> u64 {
        self.tallies.iter().find(|tally| tally.name == name).map_or(0, |tally| tally.of(place))
    }

    /// Whether a point of `name` is reached; it has struck then, and those that waited for it count from now.
    fn strikes(&mut self, name: Name, place: Place) -> bool {
        self.strike(name, place).is_some()
    }

    /// The same, with whether it is to hang.
    fn strike(&mut self, name: Name, place: Place) -> Option<bool> {
        let count = self.count_of(name, place);
        let ready = |n: usize, point: &Point| !point.relative || n == 0 || self.points[n - 1].struck;
        let reached = |(n, point): &(usize, &Point)| {
            !point.struck && point.name == name && point.place == place && point.at == count && ready(*n, point)
        };
        let (struck, _) = self.points.iter().enumerate().find(reached)?;
        self.points[struck].struck = true;
        if let Some(next) = self.points.get(struck + 1).copied().filter(|next| next.relative) {
            self.points[struck + 1].at += self.count_of(next.name, next.place);
        }
        if let Some(tally) = self.tally(name) {
            tally.kills += 1;
        }
        Some(self.points[struck].hangs)
    }
}

impl<M: Machine> Kernel<M> {
    /// Times and counts an entry of the running thread into the kernel, as far as that is on. `Some`: it goes no further, and this is what to choose.
    /// `raw`: `rax` of a system call.
    #[cold]
    pub(crate) fn entered(&mut self, me: Ref<Thread>, raw: Option<u64>) -> Option<Next> {
        self.stretch_begins(raw.map_or(Entry::Exception, |raw| Entry::Syscall(raw as u8)));
        let process = Some(self.threads[me].process).filter(|p| self.kill_points.on && self.may_strike(*p))?;
        let name = self.processes[process].name;
        if let Some(tally) = self.kill_points.tally(name) {
            tally.entries += 1;
        }
        let struck = self.kill_points.strike(name, Place::Entry);
        if struck == Some(true) {
            self.block(me, Wait::Clock, NEVER);
            return Some(Next::Reschedule);
        }
        let mut dies = struck.is_some();
        let token = MessageId::from_raw(self.threads[me].context.registers.r15);
        let replies = raw.is_some_and(|raw| matches!(Sysno::try_from(raw & 0xff), Ok(Sysno::Reply | Sysno::ReplyRecv)));
        if !dies && replies && self.caller_of(process, token).is_ok() {
            if let Some(tally) = self.kill_points.tally(name) {
                tally.replies += 1;
            }
            dies = self.kill_points.strikes(name, Place::BeforeReply);
            if !dies && self.kill_points.strikes(name, Place::AfterReply) {
                self.kill_points.due = Some(process);
            }
        }
        if dies {
            self.strike(process);
            return Some(Next::Same);
        }
        None
    }

    /// Counts a message that `thread` has been given.
    #[inline]
    pub(crate) fn delivered(&mut self, thread: Ref<Thread>) {
        if self.kill_points.on {
            self.count_message(thread);
        }
    }

    #[cold]
    fn count_message(&mut self, thread: Ref<Thread>) {
        let Some(process) = Some(self.threads[thread].process).filter(|p| self.may_strike(*p)) else { return };
        let name = self.processes[process].name;
        if let Some(tally) = self.kill_points.tally(name) {
            tally.messages += 1;
        }
        if self.kill_points.strikes(name, Place::Message) {
            self.kill_points.due = Some(process);
        }
    }

    /// Kills who was found due while the kernel was in the midst of something.
    #[inline]
    pub(crate) fn strike_due(&mut self) {
        if let Some(process) = self.kill_points.due.take() {
            self.strike(process);
        }
    }

    /// As urgent as if the supervisor had asked for it.
    #[cold]
    fn strike(&mut self, process: Ref<Process>) {
        self.kill(process, false, KILLED);
        self.reaper.priority = PRIORITIES - 1;
    }

    fn may_strike(&self, process: Ref<Process>) -> bool {
        let entry = &self.processes[process];
        entry.state == ProcessState::Running && entry.dying.is_none()
    }

    /// `process` opens I/O ports: if that is the first program, the machine is about to go down.
    pub(crate) fn report_watched(&mut self, process: Ref<Process>) {
        if self.first_process == Some(process) {
            self.report_latency();
            self.report_kill_points();
        }
    }

    fn report_kill_points(&mut self) {
        if !self.kill_points.report {
            return;
        }
        for tally in self.kill_points.tallies.clone() {
            let name = core::str::from_utf8(&tally.name).unwrap_or("?").trim_end_matches('\0');
            let Tally { entries, messages, replies, kills, .. } = tally;
            let mut line: heapless::String<160> = heapless::String::new();
            // The names have 16 bytes and the numbers 20: it fits.
            let _ = writeln!(line, "kernel: points of {name}: {entries} {messages} {replies} kills {kills}");
            self.machine.log(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        let mut name = [0; 16];
        name[..text.len()].copy_from_slice(text.as_bytes());
        name
    }

    /// Counts up to the n-th entry of `who`.
    fn enter(points: &mut KillPoints, who: &str) -> bool {
        points.tally(name(who)).unwrap().entries += 1;
        points.strikes(name(who), Place::Entry)
    }

    #[test]
    fn other_words_are_passed_over_and_nothing_is_on_without_these() {
        let parsed = KillPoints::parse("quiet exec=6b696c6c3d kills=3").unwrap();
        assert_eq!(parsed, KillPoints::default());
        assert!(KillPoints::parse("count=1").unwrap().is_on());
        assert!(KillPoints::parse("kill=fs@entry:1").unwrap().is_on());
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_word() {
        for word in [
            "kill=",
            "kill=fs",
            "kill=fs@entry",
            "kill=fs@entry:",
            "kill=fs@entry:0",
            "kill=fs@entry:-1",
            "kill=fs@entry:++1",
            "kill=fs@entry:+1",
            "kill=fs@entry:1,",
            "kill=@entry:1",
            "kill=fs@reply:1",
            "kill=fs@entry:99999999999999999999999",
            "kill=a-name-of-seventeen@entry:1",
            "kill=a@entry:1,a@entry:2,a@entry:3,a@entry:4,a@entry:5,a@entry:6,a@entry:7,a@entry:8,a@entry:9,\
             a@entry:10,a@entry:11,a@entry:12,a@entry:13",
            "hang=fs@message:1",
            "hang=fs@entry:0",
            "count=",
            "count=2",
        ] {
            assert_eq!(KillPoints::parse(&format!("quiet {word} x")), Err(word));
        }
    }

    #[test]
    fn a_point_strikes_once_at_its_count_and_its_name() {
        let mut points = KillPoints::parse("kill=fs@entry:3").unwrap();
        let struck: Vec<bool, 8> = (0..8).map(|_| enter(&mut points, "fs") | enter(&mut points, "block")).collect();
        assert_eq!(struck, [false, false, true, false, false, false, false, false]);
        assert_eq!(points.tally(name("fs")).unwrap().kills, 1);
    }

    #[test]
    fn a_relative_point_counts_from_the_strike_before_it() {
        let mut points = KillPoints::parse("kill=fs@entry:2,block@entry:+2,fs@entry:+1").unwrap();
        for _ in 0..5 {
            assert!(!enter(&mut points, "block"), "it waits for the first");
        }
        assert!(!enter(&mut points, "fs"));
        assert!(enter(&mut points, "fs"));
        assert!(!enter(&mut points, "block"));
        assert!(!enter(&mut points, "fs"), "it waits for the second");
        assert!(enter(&mut points, "block"));
        assert!(enter(&mut points, "fs"));
        assert!(!enter(&mut points, "fs"));
    }
}
