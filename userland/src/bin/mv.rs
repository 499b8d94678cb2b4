//! Renames files, or moves them into a directory.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, string::String};
use libipc::proto::info::FileKind;
use userland::{Accepts, Given, Program, Stop, paths};

userland::program!(Accepts::operands(2, usize::MAX), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let Some((target, sources)) = given.operands.split_last() else { return Ok(()) };
    let into = program.files.stat(target).is_ok_and(|info| info.kind == FileKind::Directory);
    if sources.len() > 1 && !into {
        program.fail(format!("{target}: not a directory"));
        return Ok(());
    }
    for source in sources {
        let to = if into { paths::join(target, paths::file_name(source)) } else { String::from(*target) };
        if let Err(error) = program.files.rename(source, &to) {
            // The error is about the source unless that is there.
            let about = if program.files.stat(source).is_ok() { &to } else { *source };
            program.fail_at(about, &error);
        }
    }
    Ok(())
}
