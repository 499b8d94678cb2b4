//! Copies files, and with `-r` directories with all that is in them.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, string::String};
use libipc::proto::{FsError, info::FileKind};
use userland::{Accepts, Given, Program, Stop, paths};

userland::program!(Accepts::operands(2, usize::MAX).flags("rR"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let Some((target, sources)) = given.operands.split_last() else { return Ok(()) };
    let into = program.files.stat(target).is_ok_and(|info| info.kind == FileKind::Directory);
    if sources.len() > 1 && !into {
        program.fail(format!("{target}: not a directory"));
        return Ok(());
    }
    let recursive = given.has('r') || given.has('R');
    for source in sources {
        let to = if into { paths::join(target, paths::file_name(source)) } else { String::from(*target) };
        match program.files.stat(source) {
            Err(error) => program.fail_at(source, &error),
            Ok(info) if info.kind != FileKind::Directory => file(program, source, &to)?,
            Ok(_) if !recursive => program.fail(format!("{source}: is a directory (-r copies it)")),
            Ok(_) if paths::lies_in(&program.files.absolute(&to), &program.files.absolute(source)) => {
                program.fail(format!("{source}: cannot copy a directory into itself"));
            }
            Ok(_) => tree(program, source, &to)?,
        }
    }
    Ok(())
}

/// A file whose copy fails half way is left as it is, and said so.
fn file(program: &mut Program, source: &str, target: &str) -> Result<(), Stop> {
    let mut from = match program.files.open(source) {
        Ok(from) => from,
        Err(error) => return refuse(program, source, error),
    };
    let same = |program: &Program| -> Result<bool, FsError> {
        Ok(program.files.stat(source)?.inode == program.files.stat(target)?.inode)
    };
    if same(program) == Ok(true) {
        program.fail(format!("{source} and {target} are the same file"));
        return Ok(());
    }
    let mut to = match program.files.create(target) {
        Ok(to) => to,
        Err(error) => return refuse(program, target, error),
    };
    while let Some(piece) = program.piece(&mut from)? {
        let written = to.write_all(&piece);
        program.give_back(piece);
        if let Err(error) = written {
            return refuse(program, target, error);
        }
    }
    Ok(())
}

fn refuse(program: &mut Program, path: &str, error: FsError) -> Result<(), Stop> {
    program.fail_at(path, &error);
    Ok(())
}

/// The depth of a tree is bounded: a path fits into one message.
fn tree(program: &mut Program, source: &str, target: &str) -> Result<(), Stop> {
    match program.files.mkdir(target) {
        Err(FsError::Exists) if program.files.stat(target).is_ok_and(|info| info.kind == FileKind::Directory) => {}
        Err(error) => return refuse(program, target, error),
        Ok(()) => {}
    }
    let entries = match program.files.entries(source) {
        Ok(entries) => entries,
        Err(error) => return refuse(program, source, error),
    };
    for entry in entries {
        let (from, to) = (paths::join(source, &entry.name), paths::join(target, &entry.name));
        match entry.kind {
            _ if entry.name == "." || entry.name == ".." => {}
            FileKind::Directory => tree(program, &from, &to)?,
            _ => file(program, &from, &to)?,
        }
    }
    Ok(())
}
