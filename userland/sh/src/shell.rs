//! The interpreter: runs scripts on a [`System`].
//!
//! Invariants:
//! 1. `status` is that of the last pipeline that ended, 0 to 255.
//! 2. Every process that was started is discarded once it has ended, and every pipe end hung up.
//! 3. No failure of the system ends the shell: it becomes a message and a status.

use crate::builtin;
use crate::history::History;
use crate::job::{Job, Member, state_text};
use crate::syntax::{self, Command, Connector, Item, Pipeline, SyntaxError, Target};
use crate::system::{Entry, Launch, Mode, NoStart, System, Wake};
use crate::word::Scope;
use alloc::{collections::BTreeMap, format, string::String, string::ToString, vec, vec::Vec};
use core::cell::RefCell;

/// Status of a command that does not exist.
pub const NOT_FOUND: i32 = 127;
/// Status of a file that is no program, or that could not be started.
pub const NOT_EXECUTABLE: i32 = 126;
/// Status of a text that is no script.
pub const BAD_SYNTAX: i32 = 2;
/// Status of a job that ^C ended.
pub const INTERRUPTED: i32 = 130;

/// A variable.
#[derive(Debug, Clone, Default)]
pub struct Variable {
    /// Its value.
    pub value: String,
    /// Programs get it as well.
    pub exported: bool,
}

/// A shell.
pub struct Shell<S: System> {
    /// What it runs on.
    pub system: S,
    /// Variables by name.
    pub variables: BTreeMap<String, Variable>,
    /// `$0`, `$1` and so on.
    pub parameters: Vec<String>,
    /// `$?`
    pub status: i32,
    /// The current directory's absolute path.
    pub here: String,
    /// Lines entered.
    pub history: History,
    /// Background jobs.
    pub jobs: Vec<Job<S>>,
    /// Processes of background jobs that were reported as ended, with their statuses, the latest last.
    pub ended: Vec<(u64, i32)>,
    /// Set by `exit`: the status to end with.
    pub exit: Option<i32>,
    /// Somebody types the commands: job numbers are told.
    pub interactive: bool,
    /// `$$`
    pub number: u64,
    /// `$!`
    pub last_background: u64,
    interrupted: bool,
}

/// Input, output and errors of a command. The input of a background job is none.
pub struct Streams<S: System> {
    input: Option<S::Stream>,
    output: S::Stream,
    errors: S::Stream,
    /// What a builtin said into the pipe after it, to be carried there.
    piped: RefCell<String>,
}

impl<S: System> Streams<S> {
    fn new(input: Option<S::Stream>, output: S::Stream, errors: S::Stream) -> Streams<S> {
        Streams { input, output, errors, piped: RefCell::default() }
    }

    /// Writes to standard output, for a builtin.
    pub fn say(&self, system: &mut S, text: &str) -> Result<(), String> {
        self.put(system, &self.output, text)
    }

    /// Writes `sh: ...` to standard errors. Where even that fails nobody can be told.
    pub fn complain(&self, system: &mut S, message: &str) {
        let _ = self.put(system, &self.errors, &format!("sh: {message}\n"));
    }

    fn put(&self, system: &mut S, stream: &S::Stream, text: &str) -> Result<(), String> {
        if system.is_pipe(stream) {
            self.piped.borrow_mut().push_str(text);
            return Ok(());
        }
        system.write(stream, text.as_bytes())
    }

    /// The pipe after the command: a command writes into no other.
    fn pipe(&self, system: &S) -> Option<S::Stream> {
        [&self.output, &self.errors].into_iter().find(|stream| system.is_pipe(stream)).cloned()
    }
}

/// A command ready to run.
struct Ready<S: System> {
    arguments: Vec<String>,
    assignments: Vec<(String, String)>,
    streams: Streams<S>,
    ends: Vec<S::Stream>,
    /// Not to be run, with this status, for this reason.
    refused: Option<(i32, String)>,
}

impl<S: System> Ready<S> {
    fn names_builtin(&self) -> bool {
        self.arguments.first().is_some_and(|name| builtin::is_builtin(name))
    }
}

impl<S: System> Shell<S> {
    /// A shell without variables, in directory `here`.
    pub fn new(system: S, here: &str) -> Shell<S> {
        Shell {
            system,
            variables: BTreeMap::new(),
            parameters: vec!["sh".into()],
            status: 0,
            here: here.into(),
            history: History::default(),
            jobs: Vec::new(),
            ended: Vec::new(),
            exit: None,
            interactive: false,
            number: 0,
            last_background: 0,
            interrupted: false,
        }
    }

    /// Runs a text, line by line as its lines complete commands, so that an error further down does not stop what
    /// stands above it. Ends early after `exit` or ^C.
    pub fn run_text(&mut self, text: &str) -> i32 {
        let mut rest = text;
        let mut line_number = 1;
        while !rest.is_empty() && self.exit.is_none() && !self.interrupted {
            let (taken, parsed) = complete_lines(rest);
            match parsed {
                Ok(script) => script.items.iter().for_each(|item| self.item(item)),
                Err(error) => {
                    self.status = BAD_SYNTAX;
                    let place =
                        if text.trim_end().contains('\n') { format!("line {line_number}: ") } else { String::new() };
                    self.complain(&format!("{place}{error}"));
                    return self.status;
                }
            }
            line_number += rest[..taken].matches('\n').count();
            rest = &rest[taken..];
        }
        self.interrupted = false;
        self.exit.unwrap_or(self.status)
    }

    /// Writes `sh: ...` to the shell's own errors.
    pub fn complain(&mut self, message: &str) {
        let [_, _, errors] = self.system.standard();
        // Where even that fails nobody can be told.
        let _ = self.system.write(&errors, format!("sh: {message}\n").as_bytes());
    }

    fn item(&mut self, item: &Item) {
        if self.exit.is_some() || self.interrupted {
            return;
        }
        if item.background {
            self.background(item);
            return;
        }
        self.pipeline(&item.first, &item.text);
        for (connector, pipeline) in &item.rest {
            if self.exit.is_some() || self.interrupted {
                return;
            }
            if (*connector == Connector::And) == (self.status == 0) {
                self.pipeline(pipeline, &item.text);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, text: &str) {
        let [input, _, _] = self.system.standard();
        if let Some(mut job) = self.launch(pipeline, text, Some(input)) {
            self.status = self.foreground(&mut job);
        }
        if pipeline.negated {
            self.status = i32::from(self.status == 0);
        }
    }

    /// Waits until every member of the job has ended; ^C ends them.
    pub fn foreground(&mut self, job: &mut Job<S>) -> i32 {
        while !job.poll(&mut self.system) {
            if self.system.wait() == Wake::Interrupt {
                job.kill(&mut self.system, INTERRUPTED);
                self.interrupted = true;
            }
        }
        job.status()
    }

    /// Waits until a background job ended; `false`: ^C came first.
    pub fn wait_for_change(&mut self) -> bool {
        self.interrupted = self.system.wait() == Wake::Interrupt;
        !self.interrupted
    }

    /// Starts an item and does not wait. What is more than programs in a pipeline is run by a shell of its own.
    fn background(&mut self, item: &Item) {
        let simple = item.rest.is_empty() && !item.first.negated && item.first.commands.iter().all(is_plain_program);
        let job = if simple { self.launch(&item.first, &item.text, None) } else { self.subshell(&item.text) };
        let Some(mut job) = job else { return };
        job.number = (1..).find(|number| self.jobs.iter().all(|job| job.number != *number)).unwrap_or(usize::MAX);
        self.status = 0;
        let process = job.process_number();
        if process != 0 {
            self.last_background = process;
            if self.interactive {
                let [_, _, errors] = self.system.standard();
                let _ = self.system.write(&errors, format!("[{}] {process}\n", job.number).as_bytes());
            }
        }
        self.jobs.push(job);
    }

    /// Runs a text in a shell of its own, which knows all variables.
    fn subshell(&mut self, text: &str) -> Option<Job<S>> {
        let [_, output, errors] = self.system.standard();
        let arguments = vec!["sh".into(), "-c".into(), text.into()];
        let assignments =
            self.variables.iter().map(|(name, variable)| (name.clone(), variable.value.clone())).collect();
        let streams = Streams::new(None, output, errors);
        let ready = Ready { arguments, assignments, streams, ends: Vec::new(), refused: None };
        let members = vec![self.start(ready)];
        Some(Job { number: 0, text: text.into(), members })
    }

    /// Starts every command of a pipeline. `None`: it was no job but a change of the shell itself.
    fn launch(&mut self, pipeline: &Pipeline, text: &str, input: Option<S::Stream>) -> Option<Job<S>> {
        if let [command] = &pipeline.commands[..]
            && command.words.is_empty()
        {
            self.assign(command);
            return None;
        }
        let ready = self.prepare(pipeline, input);
        if let [one] = &ready[..]
            && one.refused.is_none()
            && one.names_builtin()
        {
            self.status = builtin::run(self, &one.arguments, &one.streams);
            return None;
        }
        self.system.lend_terminal();
        let several = ready.len() > 1;
        let members = ready.into_iter().map(|command| self.member(command, several)).collect();
        Some(Job { number: 0, text: text.into(), members })
    }

    /// Starts one command of a pipeline, or does it.
    fn member(&mut self, command: Ready<S>, several: bool) -> Member<S> {
        if command.refused.is_some() || !command.names_builtin() {
            return self.start(command);
        }
        let mut member = new_member(&command);
        member.status = builtin::run(self, &command.arguments, &command.streams);
        if several {
            // `exit` among others ends its part of the pipeline, not the shell.
            self.exit = None;
        }
        if let Some(pipe) = command.streams.pipe(&self.system) {
            member.tell(&mut self.system, &command.streams.piped.borrow(), &pipe);
        }
        if member.process.is_none() {
            member.hang_up(&mut self.system);
        }
        member
    }

    /// Expands the commands, opens their files and joins them with pipes.
    fn prepare(&mut self, pipeline: &Pipeline, input: Option<S::Stream>) -> Vec<Ready<S>> {
        let [_, output, errors] = self.system.standard();
        let mut ready = Vec::new();
        let mut input = input;
        let mut from_left: Option<S::Stream> = None;
        for (index, command) in pipeline.commands.iter().enumerate() {
            let mut ends: Vec<S::Stream> = from_left.take().into_iter().collect();
            let mut streams = Streams::new(input.take(), output.clone(), errors.clone());
            let mut refused = None;
            if index + 1 < pipeline.commands.len() {
                match self.system.pipe() {
                    Ok((read, write)) => {
                        streams.output = write.clone();
                        ends.push(write);
                        input = Some(read.clone());
                        from_left = Some(read);
                    }
                    Err(why) => refused = Some((NOT_EXECUTABLE, format!("pipe: {why}"))),
                }
            }
            if let Err(message) = self.redirect(command, &mut streams) {
                refused = Some((1, message));
            }
            let arguments = command.words.iter().flat_map(|word| word.expand(self)).collect();
            let assignments = command.assignments.iter().map(|(name, word)| (name.clone(), word.expand_whole(self)));
            let assignments = assignments.collect();
            ready.push(Ready { arguments, assignments, streams, ends, refused });
        }
        ready
    }

    fn redirect(&mut self, command: &Command, streams: &mut Streams<S>) -> Result<(), String> {
        for redirection in &command.redirections {
            let (word, mode) = match &redirection.target {
                Target::Same(other) => {
                    let same = if *other == 1 { streams.output.clone() } else { streams.errors.clone() };
                    *(if redirection.stream == 1 { &mut streams.output } else { &mut streams.errors }) = same;
                    continue;
                }
                Target::Read(word) => (word, Mode::Read),
                Target::Write(word) => (word, Mode::Truncate),
                Target::Append(word) => (word, Mode::Append),
            };
            let path = word.expand_whole(self);
            let file = self.system.open(&path, mode).map_err(|why| format!("{path}: {why}"))?;
            match redirection.stream {
                0 => streams.input = Some(file),
                1 => streams.output = file,
                _ => streams.errors = file,
            }
        }
        Ok(())
    }

    /// Starts a program; where it does not start the member says so and has its status.
    fn start(&mut self, command: Ready<S>) -> Member<S> {
        let mut member = new_member(&command);
        let refused = match (command.refused, command.arguments.first()) {
            (None, Some(name)) => {
                let environment = self.environment(command.assignments);
                let started =
                    start(&mut self.system, &self.jobs, name, &command.arguments, &environment, command.streams);
                started.map(|process| {
                    member.number = self.system.number(&process);
                    member.process = Some(process);
                })
            }
            (Some(refused), _) => Err(refused),
            (None, None) => Ok(()),
        };
        if let Err((status, message)) = refused {
            member.status = status;
            let errors = member.errors.clone();
            member.tell(&mut self.system, &format!("sh: {message}\n"), &errors);
        }
        if member.process.is_none() {
            member.hang_up(&mut self.system);
        }
        member
    }

    fn environment(&self, own: Vec<(String, String)>) -> Vec<(String, String)> {
        let exported = self
            .variables
            .iter()
            .filter(|(name, variable)| variable.exported && own.iter().all(|(other, _)| other != *name));
        let mut all: Vec<_> = exported.map(|(name, variable)| (name.clone(), variable.value.clone())).collect();
        all.extend(own);
        all
    }

    /// Variables change only where no program is named; files of its redirections are made all the same.
    fn assign(&mut self, command: &Command) {
        let [input, output, errors] = self.system.standard();
        let mut streams = Streams::new(Some(input), output, errors);
        self.status = match self.redirect(command, &mut streams) {
            Ok(()) => 0,
            Err(message) => {
                self.complain(&message);
                1
            }
        };
        for (name, word) in &command.assignments {
            let value = word.expand_whole(self);
            self.set(name, value);
        }
    }

    /// Sets a variable; an exported one stays exported.
    pub fn set(&mut self, name: &str, value: String) {
        self.variables.entry(name.into()).or_default().value = value;
    }

    /// Tells which background jobs have ended, and forgets them.
    pub fn report_jobs(&mut self) {
        let mut jobs = core::mem::take(&mut self.jobs);
        jobs.retain_mut(|job| {
            let ended = job.poll(&mut self.system);
            if ended {
                remember(&mut self.ended, job);
            }
            if ended && self.interactive {
                let state = state_text(true, job.status());
                let [_, _, errors] = self.system.standard();
                let line = format!("[{}] {state}  {}\n", job.number, job.text);
                let _ = self.system.write(&errors, line.as_bytes());
            }
            !ended
        });
        self.jobs = jobs;
    }
}

/// Keeps the status of a job that is about to be forgotten, for `wait`; not for ever.
pub fn remember<S: System>(ended: &mut Vec<(u64, i32)>, job: &Job<S>) {
    const LIMIT: usize = 64;
    if ended.len() >= LIMIT {
        ended.remove(0);
    }
    ended.push((job.process_number(), job.status()));
}

/// The shortest run of whole lines that is a script (or can never become one), and its length.
fn complete_lines(text: &str) -> (usize, Result<syntax::Script, SyntaxError>) {
    let mut end = 0;
    loop {
        end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
        match syntax::parse(&text[..end]) {
            Err(SyntaxError::Incomplete(_)) if end < text.len() => {}
            parsed => return (end, parsed),
        }
    }
}

/// Starts a program; status and message where it does not start.
fn start<S: System>(
    system: &mut S,
    jobs: &[Job<S>],
    name: &str,
    arguments: &[String],
    environment: &[(String, String)],
    streams: Streams<S>,
) -> Result<S::Process, (i32, String)> {
    let jobs: Vec<&S::Process> =
        jobs.iter().flat_map(|job| job.members.iter()).filter_map(|member| member.process.as_ref()).collect();
    let Streams { input, output, errors, .. } = streams;
    let launch = Launch { name, arguments, environment, input, output, errors, jobs: &jobs };
    system.start(launch).map_err(|why| match why {
        NoStart::NotFound(why) => (NOT_FOUND, format!("{name}: {why}")),
        NoStart::NotExecutable(why) | NoStart::Failed(why) => (NOT_EXECUTABLE, format!("{name}: {why}")),
    })
}

fn new_member<S: System>(command: &Ready<S>) -> Member<S> {
    Member {
        name: command.arguments.first().cloned().unwrap_or_default(),
        process: None,
        number: 0,
        status: 0,
        carrying: false,
        ends: command.ends.clone(),
        errors: command.streams.errors.clone(),
    }
}

/// Whether a command's first word is written out and names no builtin.
fn is_plain_program(command: &Command) -> bool {
    command.words.first().is_some_and(|word| {
        let text = word.to_string();
        !text.starts_with('$') && !builtin::is_builtin(&text)
    })
}

impl<S: System> Scope for Shell<S> {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.status.to_string()),
            "$" => Some(self.number.to_string()),
            "!" => Some(if self.last_background == 0 { String::new() } else { self.last_background.to_string() }),
            "#" => Some(self.parameters.len().saturating_sub(1).to_string()),
            "@" => Some(self.parameters.get(1..).unwrap_or_default().join(" ")),
            name => match name.parse::<usize>() {
                Ok(index) => self.parameters.get(index).cloned(),
                Err(_) => self.variables.get(name).map(|variable| variable.value.clone()),
            },
        }
    }

    fn entries(&mut self, directory: &str) -> Option<Vec<String>> {
        let entries: Vec<Entry> = self.system.entries(directory)?;
        Some(entries.into_iter().map(|entry| entry.name).collect())
    }
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
