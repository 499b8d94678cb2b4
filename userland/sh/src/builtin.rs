//! Commands that change the shell itself.

use crate::job::state_text;
use crate::path::absolute;
use crate::shell::{INTERRUPTED, Shell, Streams, remember};
use crate::system::System;
use crate::word::quoted;
use alloc::{format, string::String};

/// The builtins, with what they do.
pub const ALL: &[(&str, &str)] = &[
    (":", "do nothing"),
    ("cd", "cd [DIR]: make DIR (or /; or with - the one before) the current directory"),
    ("exit", "exit [STATUS]: end the shell"),
    ("export", "export NAME[=VALUE]...: hand variables to programs"),
    ("fg", "fg [N]: wait for job N in the foreground"),
    ("history", "list the lines entered"),
    ("jobs", "list the background jobs"),
    ("pwd", "print the current directory"),
    ("unset", "unset NAME...: forget variables"),
    ("wait", "wait [PID | %N]...: wait for background jobs"),
];

/// Whether the shell does this itself.
pub fn is_builtin(name: &str) -> bool {
    ALL.iter().any(|(builtin, _)| *builtin == name)
}

/// Runs a builtin: its status.
pub fn run<S: System>(shell: &mut Shell<S>, arguments: &[String], streams: &Streams<S>) -> i32 {
    let Some((name, operands)) = arguments.split_first() else { return 0 };
    if operands.first().is_some_and(|first| first == "--help") {
        let text = ALL.iter().find(|(builtin, _)| builtin == name).map_or("", |(_, text)| *text);
        return print(shell, name, streams, &format!("{name}: {text}\n"));
    }
    let result = match name.as_str() {
        "cd" => cd(shell, operands, streams),
        "exit" => exit(shell, operands),
        "export" => return export(shell, operands, streams),
        "fg" => fg(shell, operands),
        "history" => {
            let lines: String =
                shell.history.numbered().map(|(number, line)| format!("{number:5}  {line}\n")).collect();
            return print(shell, name, streams, &lines);
        }
        "jobs" => return jobs(shell, streams),
        "pwd" => return print(shell, name, streams, &format!("{}\n", shell.here.clone())),
        "unset" => {
            operands.iter().for_each(|name| drop(shell.variables.remove(name)));
            Ok(0)
        }
        "wait" => wait(shell, operands),
        _ => Ok(0),
    };
    result.unwrap_or_else(|Wrong(status, message)| {
        streams.complain(&mut shell.system, &format!("{name}: {message}"));
        status
    })
}

/// A status and a message.
struct Wrong(i32, String);

/// Writes to standard output; the status of that.
fn print<S: System>(shell: &mut Shell<S>, name: &str, streams: &Streams<S>, text: &str) -> i32 {
    match streams.say(&mut shell.system, text) {
        Ok(()) => 0,
        Err(why) => {
            streams.complain(&mut shell.system, &format!("{name}: standard output: {why}"));
            1
        }
    }
}

fn cd<S: System>(shell: &mut Shell<S>, operands: &[String], streams: &Streams<S>) -> Result<i32, Wrong> {
    if operands.len() > 1 {
        return Err(Wrong(2, "too many operands".into()));
    }
    let back = operands.first().is_some_and(|operand| operand == "-");
    let wanted = match operands.first() {
        _ if back => match shell.variables.get("OLDPWD") {
            Some(before) => before.value.clone(),
            None => return Err(Wrong(1, "no directory before this one".into())),
        },
        Some(path) => path.clone(),
        None => "/".into(),
    };
    let path = absolute(&shell.here, &wanted);
    shell.system.enter(&path).map_err(|why| Wrong(1, format!("{wanted}: {why}")))?;
    let before = core::mem::replace(&mut shell.here, path);
    shell.set("OLDPWD", before);
    if back {
        return Ok(print(shell, "cd", streams, &format!("{}\n", shell.here.clone())));
    }
    Ok(0)
}

fn exit<S: System>(shell: &mut Shell<S>, operands: &[String]) -> Result<i32, Wrong> {
    let status = match operands {
        [] => shell.status,
        [status] => {
            let number = status.parse::<i64>().map_err(|_| Wrong(2, format!("{status}: not a number")))?;
            (number & 0xff) as i32
        }
        _ => return Err(Wrong(2, "too many operands".into())),
    };
    shell.exit = Some(status);
    Ok(status)
}

fn export<S: System>(shell: &mut Shell<S>, operands: &[String], streams: &Streams<S>) -> i32 {
    if operands.is_empty() {
        let exported = shell.variables.iter().filter(|(_, variable)| variable.exported);
        let lines: String = exported.map(|(name, v)| format!("export {name}={}\n", quoted(&v.value))).collect();
        return print(shell, "export", streams, &lines);
    }
    let mut status = 0;
    for operand in operands {
        let (name, value) =
            operand.split_once('=').map_or((operand.as_str(), None), |(name, value)| (name, Some(value)));
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            streams.complain(&mut shell.system, &format!("export: {name}: not a variable's name"));
            status = 1;
            continue;
        }
        let variable = shell.variables.entry(name.into()).or_default();
        variable.exported = true;
        if let Some(value) = value {
            variable.value = value.into();
        }
    }
    status
}

fn jobs<S: System>(shell: &mut Shell<S>, streams: &Streams<S>) -> i32 {
    let mut lines = String::new();
    let mut jobs = core::mem::take(&mut shell.jobs);
    jobs.retain_mut(|job| {
        let ended = job.poll(&mut shell.system);
        let process = job.process_number();
        let state = state_text(ended, job.status());
        lines.push_str(&format!("[{}] {process:>5} {state}  {}\n", job.number, job.text));
        if ended {
            remember(&mut shell.ended, job);
        }
        !ended
    });
    shell.jobs = jobs;
    print(shell, "jobs", streams, &lines)
}

/// Where in the list of jobs the one is that an operand names: `%N`, or the number of one of its processes.
fn find<S: System>(shell: &Shell<S>, operand: &str) -> Option<usize> {
    if let Some(number) = operand.strip_prefix('%') {
        let number = number.parse::<usize>().ok()?;
        return shell.jobs.iter().position(|job| job.number == number);
    }
    let number = operand.parse::<u64>().ok()?;
    shell.jobs.iter().position(|job| job.members.iter().any(|member| member.number == number))
}

fn fg<S: System>(shell: &mut Shell<S>, operands: &[String]) -> Result<i32, Wrong> {
    let index = match operands {
        [] => shell.jobs.len().checked_sub(1).ok_or(Wrong(1, "no background job".into()))?,
        [job] => find(shell, job)
            .or_else(|| find(shell, &format!("%{job}")))
            .ok_or_else(|| Wrong(1, format!("{job}: no such job")))?,
        _ => return Err(Wrong(2, "too many operands".into())),
    };
    let mut job = shell.jobs.remove(index);
    shell.system.lend_terminal();
    Ok(shell.foreground(&mut job))
}

/// Without operands waits for all jobs. ^C ends the wait, not the jobs.
fn wait<S: System>(shell: &mut Shell<S>, operands: &[String]) -> Result<i32, Wrong> {
    shell.system.lend_terminal();
    if operands.is_empty() {
        while !shell.jobs.is_empty() {
            if !wait_for(shell, 0).1 {
                return Ok(INTERRUPTED);
            }
        }
        return Ok(0);
    }
    let mut status = 0;
    for operand in operands {
        let Some(index) = find(shell, operand) else {
            let known = shell.ended.iter().position(|(number, _)| operand.parse() == Ok(*number));
            let known = known.ok_or_else(|| Wrong(127, format!("{operand}: no such job")))?;
            status = shell.ended.remove(known).1;
            continue;
        };
        let (ended, finished) = wait_for(shell, index);
        status = ended;
        if !finished {
            return Ok(INTERRUPTED);
        }
    }
    Ok(status)
}

/// Waits for the job at `index` and forgets it: its status, and whether it ended before ^C.
fn wait_for<S: System>(shell: &mut Shell<S>, index: usize) -> (i32, bool) {
    loop {
        let Some(job) = shell.jobs.get_mut(index) else { return (0, true) };
        if job.poll(&mut shell.system) {
            let status = job.status();
            shell.jobs.remove(index);
            return (status, true);
        }
        if !shell.wait_for_change() {
            return (INTERRUPTED, false);
        }
    }
}
