//! Removes files, and with `-r` directories with all that is in them.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use libipc::proto::{FsError, info::FileKind};
use userland::{Accepts, Given, Program, Stop, paths};

userland::program!(Accepts::operands(0, usize::MAX).flags("rRf"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let force = given.has('f');
    if given.operands.is_empty() && !force {
        return Err(Stop::usage("missing operand".into()));
    }
    for path in &given.operands {
        if matches!(paths::file_name(path), "." | ".." | "/") {
            program.fail(format!("{path}: refusing to remove '.', '..' or '/'"));
            continue;
        }
        match program.files.stat(path) {
            Err(FsError::NotFound) if force => {}
            Err(error) => program.fail_at(path, &error),
            Ok(info) if info.kind != FileKind::Directory => file(program, path, force),
            Ok(_) if given.has('r') || given.has('R') => tree(program, path, force),
            Ok(_) => program.fail(format!("{path}: is a directory")),
        }
    }
    Ok(())
}

fn file(program: &mut Program, path: &str, force: bool) {
    match program.files.unlink(path) {
        Ok(()) => {}
        Err(FsError::NotFound) if force => {}
        Err(error) => program.fail_at(path, &error),
    }
}

/// The depth of a tree is bounded: a path fits into one message.
fn tree(program: &mut Program, path: &str, force: bool) {
    let entries = match program.files.entries(path) {
        Ok(entries) => entries,
        Err(error) => return program.fail_at(path, &error),
    };
    for entry in entries {
        let full = paths::join(path, &entry.name);
        match entry.kind {
            _ if entry.name == "." || entry.name == ".." => {}
            FileKind::Directory => tree(program, &full, force),
            _ => file(program, &full, force),
        }
    }
    if let Err(error) = program.files.rmdir(path) {
        program.fail_at(path, &error);
    }
}
