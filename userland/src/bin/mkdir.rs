//! Makes directories.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use libipc::proto::{FsError, info::FileKind};
use userland::{Accepts, Files, Given, Program, Stop};

userland::program!(Accepts::operands(1, usize::MAX).flags("p"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    for path in &given.operands {
        let made = if given.has('p') { with_parents(&program.files, path) } else { program.files.mkdir(path) };
        if let Err(error) = made {
            program.fail_at(path, &error);
        }
    }
    Ok(())
}

/// Makes what is missing on the way; a directory that is there already is as good as made.
fn with_parents(files: &Files, path: &str) -> Result<(), FsError> {
    let ends = path.char_indices().filter(|(at, c)| *c == '/' && *at > 0).map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        let part = &path[..end];
        match files.mkdir(part) {
            Err(FsError::Exists) if files.stat(part)?.kind == FileKind::Directory => {}
            made => made?,
        }
    }
    Ok(())
}
