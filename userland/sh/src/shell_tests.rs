//! The interpreter on a stand-in system whose programs are as simple as can be.
//!
//! The stand-in keeps the promises of the real one: `cat` ends when the other end of its pipe is hung up, not before;
//! a wait with nothing left to happen is a failed test (the real shell would hang).

use super::*;
use crate::system::End;
use std::{cell::RefCell, collections::HashMap, rc::Rc};

#[derive(Clone, Debug, PartialEq)]
enum FakeStream {
    Input,
    Output,
    Errors,
    File(String),
    Read(usize),
    Write(usize),
}

struct Running {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    input: Option<FakeStream>,
    output: FakeStream,
    end: Option<End>,
}

#[derive(Default)]
struct World {
    output: String,
    errors: String,
    files: HashMap<String, String>,
    pipes: Vec<String>,
    hung_up: Vec<FakeStream>,
    running: HashMap<u64, Running>,
    started: u64,
    interrupts: usize,
    claimed: bool,
    typed: Vec<Vec<u8>>,
}

#[derive(Clone, Default)]
struct Fake(Rc<RefCell<World>>);

impl World {
    fn put(&mut self, stream: &FakeStream, text: &str) -> Result<(), String> {
        match stream {
            FakeStream::Output => self.output.push_str(text),
            FakeStream::Errors => self.errors.push_str(text),
            FakeStream::File(path) if path == "full" => return Err("no space left".into()),
            FakeStream::File(path) => self.files.get_mut(path).ok_or("gone")?.push_str(text),
            FakeStream::Write(pipe) if self.hung_up.contains(&FakeStream::Read(*pipe)) => {
                return Err("broken pipe".into());
            }
            FakeStream::Write(pipe) => self.pipes[*pipe].push_str(text),
            _ => return Err("not for writing".into()),
        }
        Ok(())
    }

    /// Lets one process run to its end; whether one did.
    fn step(&mut self) -> bool {
        let mut numbers: Vec<u64> = self.running.keys().copied().collect();
        numbers.sort();
        numbers.into_iter().any(|number| self.run(number))
    }

    fn run(&mut self, number: u64) -> bool {
        let process = &self.running[&number];
        if process.end.is_some() {
            return false;
        }
        let (arguments, output) = (process.arguments.clone(), process.output.clone());
        let mut end = End::Exited(0);
        match arguments[0].as_str() {
            "echo" => {
                let text = match &arguments[1..] {
                    [option, words @ ..] if option == "-n" => words.join(" "),
                    words => words.join(" ") + "\n",
                };
                if self.put(&output, &text).is_err() {
                    end = End::Exited(1);
                }
            }
            "cat" => {
                let text = match process.input.clone() {
                    Some(FakeStream::Read(pipe)) if !self.hung_up.contains(&FakeStream::Write(pipe)) => return false,
                    Some(FakeStream::Read(pipe)) => self.pipes[pipe].clone(),
                    Some(FakeStream::File(path)) => self.files[&path].clone(),
                    Some(_) => "typed\n".into(),
                    None => String::new(),
                };
                let _ = self.put(&output, &text);
            }
            "env" => {
                let lines: String = process.environment.iter().map(|(n, v)| format!("{n}={v}\n")).collect();
                let _ = self.put(&output, &lines);
            }
            "status" => end = End::Exited(arguments[1].parse().unwrap()),
            "fault" => end = End::Faulted("page fault at 0x0 (rip 0x400000)".into(), 139),
            "sh" => {
                let _ = self.put(&output, &format!("<{}>\n", arguments[2]));
            }
            _ => return false,
        }
        self.running.get_mut(&number).unwrap().end = Some(end);
        true
    }
}

impl System for Fake {
    type Stream = FakeStream;
    type Process = u64;

    fn standard(&self) -> [FakeStream; 3] {
        [FakeStream::Input, FakeStream::Output, FakeStream::Errors]
    }
    fn open(&mut self, path: &str, mode: Mode) -> Result<FakeStream, String> {
        let files = &mut self.0.borrow_mut().files;
        match mode {
            Mode::Read if !files.contains_key(path) => return Err("no such file".into()),
            Mode::Read => {}
            Mode::Truncate => drop(files.insert(path.into(), String::new())),
            Mode::Append => drop(files.entry(path.into()).or_default()),
        }
        Ok(FakeStream::File(path.into()))
    }
    fn pipe(&mut self) -> Result<(FakeStream, FakeStream), String> {
        let pipes = &mut self.0.borrow_mut().pipes;
        pipes.push(String::new());
        Ok((FakeStream::Read(pipes.len() - 1), FakeStream::Write(pipes.len() - 1)))
    }
    fn hang_up(&mut self, end: FakeStream) {
        self.0.borrow_mut().hung_up.push(end);
    }
    fn is_pipe(&self, stream: &FakeStream) -> bool {
        matches!(stream, FakeStream::Read(_) | FakeStream::Write(_))
    }
    fn write(&mut self, stream: &FakeStream, bytes: &[u8]) -> Result<(), String> {
        assert!(!self.is_pipe(stream), "the shell itself writes into a pipe: it could wait for ever");
        self.0.borrow_mut().put(stream, std::str::from_utf8(bytes).unwrap())
    }
    fn start(&mut self, launch: Launch<'_, Self>) -> Result<u64, NoStart> {
        let world = &mut *self.0.borrow_mut();
        match launch.name {
            "nope" => return Err(NoStart::NotFound("command not found".into())),
            "text" => return Err(NoStart::NotExecutable("not an ELF file".into())),
            "big" => return Err(NoStart::Failed("out of memory".into())),
            _ => {}
        }
        world.started += 1;
        let running = Running {
            arguments: launch.arguments.to_vec(),
            environment: launch.environment.to_vec(),
            input: launch.input,
            output: launch.output,
            end: None,
        };
        world.running.insert(world.started, running);
        Ok(world.started)
    }
    fn number(&self, process: &u64) -> u64 {
        *process
    }
    fn ended(&mut self, process: &u64) -> Option<End> {
        self.0.borrow().running[process].end.clone()
    }
    fn kill(&mut self, process: &u64, status: i32) {
        self.0.borrow_mut().running.get_mut(process).unwrap().end.get_or_insert(End::Exited(status));
    }
    fn discard(&mut self, process: u64) {
        self.0.borrow_mut().running.remove(&process).expect("discarded twice");
    }
    fn wait(&mut self) -> Wake {
        let world = &mut *self.0.borrow_mut();
        if world.step() {
            return Wake::Change;
        }
        assert!(world.interrupts > 0, "the shell waits for what will never happen");
        world.interrupts -= 1;
        Wake::Interrupt
    }
    fn enter(&mut self, path: &str) -> Result<(), String> {
        if path.contains("nope") { Err("no such file".into()) } else { Ok(()) }
    }
    fn entries(&mut self, _: &str) -> Option<Vec<Entry>> {
        let names = self.0.borrow().files.keys().cloned().collect::<Vec<_>>();
        Some(names.into_iter().map(|name| Entry { name, is_dir: false }).collect())
    }
    fn lend_terminal(&mut self) {
        self.0.borrow_mut().claimed = false;
    }
    fn claim_terminal(&mut self) {
        self.0.borrow_mut().claimed = true;
    }
    fn read_terminal(&mut self) -> Option<Vec<u8>> {
        let mut world = self.0.borrow_mut();
        assert!(world.claimed, "read a terminal that was lent");
        if world.typed.is_empty() { None } else { Some(world.typed.remove(0)) }
    }
}

fn shell() -> Shell<Fake> {
    Shell::new(Fake::default(), "/")
}

/// Status, output and errors of a text in a fresh shell; nothing may be left over.
fn run(text: &str) -> (i32, String, String) {
    let mut shell = shell();
    let status = shell.run_text(text);
    let world = shell.system.0.borrow();
    if shell.jobs.is_empty() {
        assert!(world.running.is_empty(), "a process was not discarded: {text}");
        assert_eq!(world.hung_up.len(), 2 * world.pipes.len(), "a pipe end was not hung up once: {text}");
    }
    (status, world.output.clone(), world.errors.clone())
}

fn output(text: &str) -> String {
    let (_, output, errors) = run(text);
    assert_eq!(errors, "", "{text}");
    output
}

#[test]
fn the_status_follows_the_last_pipeline() {
    assert_eq!(run("status 3").0, 3);
    assert_eq!(run("status 3; echo $?").1, "3\n");
    assert_eq!(run("status 3 | status 0").0, 0);
    assert_eq!(run("status 0 | status 4").0, 4);
    assert_eq!(run("! status 4").0, 0);
    assert_eq!(run("! echo x | cat").0, 1);
    assert_eq!(run("status 259").0, 3);
    assert_eq!(run("status 5\n\n# comment\n").0, 5);
}

#[test]
fn and_or_look_at_the_status_before_them() {
    assert_eq!(output("status 0 && echo a || echo b"), "a\n");
    assert_eq!(output("status 1 && echo a || echo b"), "b\n");
    assert_eq!(output("status 1 || status 0 && echo c"), "c\n");
    assert_eq!(run("status 1 && echo a").0, 1);
}

#[test]
fn a_pipeline_hands_text_on_and_ends() {
    assert_eq!(output("echo hi | cat | cat"), "hi\n");
    assert_eq!(output("echo hi | status 0"), "");
    assert_eq!(output("pwd | cat"), "/\n");
    assert_eq!(output("echo lost | pwd"), "/\n");
    assert_eq!(output("echo a | cd /x; pwd"), "/x\n");
}

#[test]
fn what_the_shell_says_into_a_pipe_comes_out_of_it() {
    assert_eq!(output("nope 2>&1 | cat"), "sh: nope: command not found\n");
    assert_eq!(output("fault 2>&1 | cat"), "sh: fault: page fault at 0x0 (rip 0x400000)\n");
    assert_eq!(output("cd /nope 2>&1 | cat"), "sh: cd: /nope: no such file\n");
    assert_eq!(run("cat < nope 2>&1 | cat").2, "sh: nope: no such file\n");
    assert_eq!(output("cat 2>&1 < nope | cat"), "sh: nope: no such file\n");
    assert_eq!(output("pwd | status 0"), "");
    assert_eq!(output("exit 3 | cat; echo on"), "on\n");
    assert_eq!(run("echo a | nope 2>&1 | status 4").0, 4);
}

#[test]
fn redirections_write_append_and_read() {
    assert_eq!(output("echo a > f; echo b >> f; cat < f"), "a\nb\n");
    assert_eq!(output("echo a > f; echo b > f; cat < f"), "b\n");
    assert_eq!(output("> f; cat < f"), "");
    assert_eq!(output("pwd > f; cat <f"), "/\n");
    assert_eq!(output("nope 2> f; cat < f"), "sh: nope: command not found\n");
    assert_eq!(output("nope > f 2>&1; cat < f"), "sh: nope: command not found\n");
    assert_eq!(output("nope 2>&1 | cat"), "sh: nope: command not found\n");
}

#[test]
fn a_file_that_does_not_open_stops_its_command_only() {
    let (status, output, errors) = run("cat < nope; echo $?");
    assert_eq!((status, output.as_str(), errors.as_str()), (0, "1\n", "sh: nope: no such file\n"));
    assert_eq!(run("cat < nope | cat").0, 0);
}

#[test]
fn what_does_not_start_has_its_own_status() {
    assert_eq!(run("nope"), (127, String::new(), "sh: nope: command not found\n".into()));
    assert_eq!(run("text"), (126, String::new(), "sh: text: not an ELF file\n".into()));
    assert_eq!(run("big"), (126, String::new(), "sh: big: out of memory\n".into()));
    assert_eq!(run("nope | cat").0, 0);
    assert_eq!(run("echo a | nope").0, 127);
}

#[test]
fn a_fault_is_reported_with_its_place() {
    let (status, _, errors) = run("fault");
    assert_eq!((status, errors.as_str()), (139, "sh: fault: page fault at 0x0 (rip 0x400000)\n"));
}

#[test]
fn variables_are_set_exported_and_forgotten() {
    assert_eq!(output("a=1; echo $a${b}x"), "1x\n");
    assert_eq!(output("a='x  y'; echo $a \"$a\""), "x y x  y\n");
    assert_eq!(output("a=1 env; echo $a"), "a=1\n\n");
    assert_eq!(output("a=1; export a b=2; env"), "a=1\nb=2\n");
    assert_eq!(output("export a=1; a=3 env"), "a=3\n");
    assert_eq!(output("export a=1; unset a; env"), "");
    assert_eq!(output("a=1; b=$a$a; echo $b"), "11\n");
}

#[test]
fn parameters_and_numbers_are_variables() {
    let mut shell = shell();
    shell.parameters = ["script", "x", "y z"].map(String::from).into();
    shell.number = 42;
    shell.run_text("echo $0 $1 \"$2\" $# $@ $9 $$");
    assert_eq!(shell.system.0.borrow().output, "script x y z 2 x y z 42\n");
}

#[test]
fn cd_moves_and_says_where_it_cannot() {
    assert_eq!(output("cd /a/b; cd ..; pwd; cd c/./d; pwd; cd; pwd"), "/a\n/a/c/d\n/\n");
    assert_eq!(output("cd /a; cd /b; cd -; pwd"), "/a\n/a\n");
    let (status, output, errors) = run("cd /nope; pwd");
    assert_eq!((status, output.as_str(), errors.as_str()), (0, "/\n", "sh: cd: /nope: no such file\n"));
}

#[test]
fn exit_ends_at_once_with_its_status() {
    assert_eq!(run("exit 3; echo no"), (3, String::new(), String::new()));
    assert_eq!(run("status 4; exit").0, 4);
    assert_eq!(run("exit -1").0, 255);
    assert_eq!(run("exit x"), (2, String::new(), "sh: exit: x: not a number\n".into()));
    assert_eq!(run("status 0 && exit 5 || echo no").0, 5);
}

#[test]
fn background_jobs_are_numbered_and_waited_for() {
    let mut shell = shell();
    shell.interactive = true;
    shell.run_text("echo a & status 3 & wait; echo done $!");
    let world = shell.system.0.borrow();
    assert_eq!(world.output, "a\ndone 2\n");
    assert_eq!(world.errors, "[1] 1\n[2] 2\n");
    assert!(world.running.is_empty());
}

#[test]
fn wait_for_one_job_gives_its_status() {
    assert_eq!(run("status 3 & wait %1").0, 3);
    assert_eq!(run("status 3 & wait $!").0, 3);
    assert_eq!(run("status 3 & echo x; wait $!").0, 3);
    assert_eq!(run("wait 99").0, 127);
    assert_eq!(run("status 3 & fg").0, 3);
}

#[test]
fn the_status_of_a_job_can_be_asked_for_once_after_it_was_reported() {
    let mut shell = shell();
    assert_eq!(shell.run_text("status 3 & echo x; jobs; wait $!"), 3);
    assert_eq!(shell.run_text("wait $!"), 127);
}

#[test]
fn a_background_list_runs_in_a_shell_of_its_own() {
    assert_eq!(output("echo a && echo b & wait"), "<echo a && echo b>\n");
    assert_eq!(output("cat & wait"), "", "a background job has no input");
}

#[test]
fn control_c_ends_the_foreground_and_the_rest_of_the_line() {
    let mut shell = shell();
    shell.system.0.borrow_mut().interrupts = 1;
    assert_eq!(shell.run_text("forever | cat; echo no"), 130);
    assert_eq!(shell.system.0.borrow().output, "");
    assert_eq!(shell.run_text("echo yes"), 0);
    assert_eq!(shell.system.0.borrow().output, "yes\n");
}

#[test]
fn control_c_ends_a_wait_and_not_the_job() {
    let mut shell = shell();
    shell.system.0.borrow_mut().interrupts = 1;
    assert_eq!(shell.run_text("forever & wait"), 130);
    assert_eq!(shell.jobs.len(), 1);
}

#[test]
fn jobs_lists_what_runs_and_forgets_what_is_done() {
    let mut shell = shell();
    shell.run_text("forever & status 2 & echo x; jobs; jobs");
    let output = shell.system.0.borrow().output.clone();
    assert_eq!(output, "x\n[1]     1 Running  forever\n[2]     2 Exit 2  status 2\n[1]     1 Running  forever\n");
}

#[test]
fn a_syntax_error_stops_the_text_with_its_line() {
    assert_eq!(run("echo a; | b"), (2, String::new(), "sh: syntax error: a command is missing before '|'\n".into()));
    let (status, output, errors) = run("echo a\necho b |\n cat\n&& c\n");
    assert_eq!((status, output.as_str()), (2, "a\nb\n"));
    assert_eq!(errors, "sh: line 4: syntax error: a command is missing before '&&'\n");
    assert_eq!(run("echo 'a").2, "sh: syntax error: the command ends inside '...'\n");
}

#[test]
fn patterns_become_files() {
    assert_eq!(output("> b.txt; > a.txt; > c; echo *.txt"), "a.txt b.txt\n");
}

#[test]
fn a_builtin_that_cannot_write_says_so() {
    let (status, _, errors) = run("pwd > full");
    assert_eq!((status, errors.as_str()), (1, "sh: pwd: standard output: no space left\n"));
}

#[test]
fn every_builtin_has_help() {
    for (name, text) in builtin::ALL {
        assert_eq!(output(&format!("{name} --help")), format!("{name}: {text}\n"));
    }
}

/// What the terminal showed while the pieces were typed, and the status at the end.
fn typed(pieces: &[&str]) -> (i32, String, String) {
    let mut shell = shell();
    shell.system.0.borrow_mut().typed = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
    let status = crate::session::interact(&mut shell);
    let world = shell.system.0.borrow();
    (status, world.output.clone(), world.errors.clone())
}

#[test]
fn the_prompt_shows_where_one_is() {
    let (status, output, _) = typed(&["cd /x\r", "echo hi\r", "\x04"]);
    assert_eq!(status, 0);
    assert_eq!(output, "tessera:/$ cd /x\r\ntessera:/x$ echo hi\r\nhi\ntessera:/x$ \r\n");
}

#[test]
fn lines_typed_ahead_and_lines_that_continue_are_run() {
    let (status, output, errors) = typed(&["echo 'a\rb'; status 3\rexit\rno\r"]);
    assert_eq!(status, 3);
    assert!(output.contains("\r\n> ") && output.contains("a\nb\n"), "{output}");
    assert_eq!(errors, "");
}

#[test]
fn control_c_gives_the_line_up() {
    assert_eq!(typed(&["echo 'a\r\x03", "exit\r"]).0, 130);
    let (_, output, _) = typed(&["status 1\x03", "echo $?\r", "exit 0\r"]);
    assert!(output.contains("\n130\n"), "{output}");
}

#[test]
fn the_end_of_the_terminal_ends_the_shell() {
    assert_eq!(typed(&["status 7\r"]).0, 7);
}

#[test]
fn the_end_of_a_job_is_told_before_the_next_prompt() {
    let (_, _, errors) = typed(&["status 2 &\r", "echo x\r", "\r", "exit\r"]);
    assert_eq!(errors, "[1] 1\n[1] Exit 2  status 2\n");
}
