//! Lists directories.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, vec, vec::Vec};
use libipc::proto::{directory::Entry, info::FileKind};
use userland::listing::{self, Row};
use userland::{Accepts, Given, Program, Stop, paths};

userland::program!(Accepts::operands(0, usize::MAX).flags("al"), run);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let paths = if given.operands.is_empty() { vec!["."] } else { given.operands.clone() };
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    for path in paths {
        match program.files.stat(path) {
            Ok(info) if info.kind == FileKind::Directory => directories.push(path),
            Ok(info) => files.push(Row { name: path.into(), info }),
            Err(error) => program.fail_at(path, &error),
        }
    }
    show(program, given, &files)?;
    let titled = files.len() + directories.len() > 1 || given.operands.len() > 1;
    for (index, path) in directories.into_iter().enumerate() {
        if titled {
            let gap = if index > 0 || !files.is_empty() { "\n" } else { "" };
            program.say(&format!("{gap}{path}:\n"))?;
        }
        directory(program, given, path)?;
    }
    Ok(())
}

fn show(program: &mut Program, given: &Given<'_>, rows: &[Row]) -> Result<(), Stop> {
    program.say(&if given.has('l') { listing::long(rows) } else { listing::short(rows) })
}

fn directory(program: &mut Program, given: &Given<'_>, path: &str) -> Result<(), Stop> {
    let mut entries = match program.files.entries(path) {
        Ok(entries) => entries,
        Err(error) => {
            program.fail_at(path, &error);
            return Ok(());
        }
    };
    if given.has('a') {
        // The directory itself and the one above are in every directory, whether its list says so or not.
        entries.retain(|entry| entry.name != "." && entry.name != "..");
        let dots = [".", ".."].map(|name| Entry { inode: 0, kind: FileKind::Directory, name: name.into() });
        entries.extend(dots);
    } else {
        entries.retain(|entry| !entry.name.starts_with('.'));
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut rows = Vec::new();
    for entry in entries {
        // What a short listing shows, the directory knows by itself.
        if !given.has('l') {
            rows.push(Row { name: entry.name, info: Default::default() });
            continue;
        }
        let full = paths::join(path, &entry.name);
        match program.files.stat(&full) {
            Ok(info) => rows.push(Row { name: entry.name, info }),
            Err(error) => program.fail_at(&full, &error),
        }
    }
    show(program, given, &rows)
}
