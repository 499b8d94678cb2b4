//! Shows what is known about files.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use userland::{Accepts, Given, Program, Stop, listing};

userland::program!(Accepts::operands(1, usize::MAX), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    for path in &given.operands {
        match program.files.stat(path) {
            Ok(info) => program.say(&format!(
                "    File: {path}\n    Kind: {}\n    Size: {} bytes, {} on disk\n   Inode: {}\n   Links: {}\n    Mode: {:04o} {}\nModified: {}\n",
                listing::kind(&info),
                info.size,
                info.allocated,
                info.inode,
                info.links,
                info.mode & 0o7777,
                listing::mode(&info),
                listing::date(info.mtime)
            ))?,
            Err(error) => program.fail_at(path, &error),
        }
    }
    Ok(())
}
