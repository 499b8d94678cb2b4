//! Files in the filesystem's memory.

use alloc::{format, vec};
use libipc::{File, PAGE_SIZE};

use super::idle::Idle;
use super::message::ROUNDS;
use super::{Bench, Figure, Outcome, during};

/// The file that is worked on.
const FILE: &str = "/tmp/bench.data";
const PAGE: usize = PAGE_SIZE as usize;

/// A file of `size` bytes, just written.
fn file(bench: &Bench, size: u64) -> Outcome<File> {
    let mut file = bench.files.create(FILE).map_err(during(FILE))?;
    let data = vec![0x5a; 64 << 10];
    let mut left = size as usize;
    while left > 0 {
        let part = left.min(data.len());
        file.write_all(&data[..part]).map_err(during(FILE))?;
        left -= part;
    }
    bench.files.open(FILE).map_err(during(FILE))
}

/// The last page of a file of `size` bytes, again and again.
pub fn read(bench: &Bench, size: u64) -> Outcome<Figure> {
    let mut file = file(bench, size)?;
    let mut page = vec![0; PAGE];
    let round = |_| {
        file.seek(size - PAGE_SIZE);
        match file.read(&mut page).map_err(during(FILE))? {
            PAGE => Ok(()),
            short => Err(format!("{FILE}: {short} bytes")),
        }
    };
    Ok(bench.rounds(ROUNDS, round)?.figure())
}

/// What the path names.
pub fn stat(bench: &Bench) -> Outcome<Figure> {
    drop(file(bench, PAGE_SIZE)?);
    Ok(bench.rounds(ROUNDS, |_| bench.files.stat(FILE).map(drop).map_err(during(FILE)))?.figure())
}

/// Opens and closes.
pub fn open(bench: &Bench) -> Outcome<Figure> {
    drop(file(bench, PAGE_SIZE)?);
    Ok(bench.rounds(ROUNDS, |_| bench.files.open(FILE).map(drop).map_err(during(FILE)))?.figure())
}

/// The same page is written anew.
pub fn overwrite(bench: &Bench) -> Outcome<Figure> {
    drop(file(bench, PAGE_SIZE)?);
    let flags = libipc::proto::directory::OpenFlags::WRITE;
    let mut file = bench.files.open_with(FILE, flags).map_err(during(FILE))?;
    let page = vec![0xa5; PAGE];
    let round = |_| {
        file.seek(0);
        file.write_all(&page).map_err(during(FILE))
    };
    Ok(bench.rounds(ROUNDS, round)?.figure())
}

/// A little is added to a file, and is safe from a power cut.
pub fn append(bench: &Bench) -> Outcome<Figure> {
    let mut file = bench.files.root().append(FILE).map_err(during(FILE))?;
    let idle = Idle::start(bench)?;
    let round = |_| {
        file.write_all(&[0x5a; 100]).map_err(during(FILE))?;
        file.sync().map_err(during(FILE))
    };
    Ok(idle.rounds(bench, 100, |_| Ok(()), round)?.figure())
}
