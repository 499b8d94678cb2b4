//! Loads its own ELF file with every byte of its headers, its table of relocations and its dynamic section changed in turn.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::check::works;
use hostile::{Given, Verdict, holds};
use libipc::abi::{ImageDefect, PAGE_SIZE, SysError};
use libipc::sys::{LoadError, Loaded};

hostile::attack!(run);

/// Bytes of the ELF header, its program headers, and what the linker puts behind them: tables of names, relocations.
const HEADERS: usize = 0x300;
/// Type of the program header that tells where the dynamic section is.
const DYNAMIC: u32 = 2;

fn run(given: &Given) -> Verdict {
    let length = given.image.length();
    let copy = works("memory", given.account.create_memory(length.div_ceil(PAGE_SIZE)))?;
    let mut file = works("map", copy.memory().map(true))?;
    let original = works("map", given.image.memory().map(false))?;
    let mut bytes = alloc::vec![0; length as usize];
    works("read", original.read(0, &mut bytes))?;
    works("copy", file.write(0, &bytes))?;
    let (mut loaded, mut defects) = (0, 0);
    let dynamic = works("find its dynamic section", dynamic(&bytes).ok_or("none"))?;
    for at in (0..HEADERS).chain(dynamic) {
        for value in [0, 1, 0x7f, 0x80, 0xff, !bytes[at]] {
            works("change", file.write(at, &[value]))?;
            match load(given, &copy.memory(), 0, length)? {
                Ok(_) => loaded += 1,
                Err(LoadError::Image(Some(_))) => defects += 1,
                Err(LoadError::Sys(SysError::NoMemory | SysError::AddressInUse)) => {}
                Err(other) => return Err(alloc::format!("byte {at} = {value:#x}: {other:?}")),
            }
        }
        works("change back", file.write(at, &bytes[at..at + 1]))?;
    }
    holds("some loaded, some did not", loaded > 0 && defects > 0)?;
    for (short, defect) in [(0, ImageDefect::Truncated), (63, ImageDefect::Truncated), (64, ImageDefect::Truncated)] {
        let result = load(given, &copy.memory(), 0, short)?;
        holds("a cut file", matches!(result, Err(LoadError::Image(Some(found))) if found == defect))?;
    }
    for (offset, length) in
        [(1, length), (PAGE_SIZE / 2, 64), (u64::MAX, 64), (0, u64::MAX), (1 << 52, 64), (0, length + PAGE_SIZE)]
    {
        holds("a range beyond the memory", load(given, &copy.memory(), offset, length)?.is_err())?;
    }
    Ok(())
}

/// Where in a file its dynamic section is.
fn dynamic(file: &[u8]) -> Option<core::ops::Range<usize>> {
    let headers = file.get(64..)?.chunks_exact(56).take(usize::from(*file.get(56)?));
    let word = |header: &[u8], at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?) as usize);
    let header = headers.into_iter().find(|header| header.starts_with(&DYNAMIC.to_le_bytes()))?;
    let start = word(header, 8)?;
    Some(start..start + word(header, 32)?)
}

/// Loads into a process of its own, which goes again with its account.
fn load(
    given: &Given,
    memory: &libipc::Memory,
    offset: u64,
    length: u64,
) -> Result<Result<Loaded, LoadError>, alloc::string::String> {
    let account = works("an account", given.account.child(96))?;
    let process = works("a process", account.account().create_process(None, 0, "image"))?;
    let result = process.process().load(*memory, offset, length);
    works("destroy", account.account().destroy())?;
    Ok(result)
}
