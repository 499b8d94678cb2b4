//! Files in the filesystem's memory.

use alloc::{format, vec};
use libipc::{File, PAGE_SIZE, sys};

use super::idle::Idle;
use super::message::ROUNDS;
use super::{Bench, Figure, Outcome, during};

/// The file that is worked on.
const FILE: &str = "/tmp/bench.data";
const PAGE: usize = PAGE_SIZE as usize;

/// How long the filesystem takes at most until it has nothing left to do after a sync, nanoseconds.
const SETTLED: u64 = 300_000_000;

/// A file of `size` bytes, on the disk and in the cache, of a filesystem that has nothing else to do.
fn settled(bench: &Bench, size: u64) -> Outcome<File> {
    let file = file(bench, size)?;
    file.sync().map_err(during(FILE))?;
    sys::sleep_until(sys::clock() + SETTLED);
    Ok(file)
}

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
    let mut file = settled(bench, size)?;
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
    drop(settled(bench, PAGE_SIZE)?);
    Ok(bench.rounds(ROUNDS, |_| bench.files.stat(FILE).map(drop).map_err(during(FILE)))?.figure())
}

/// Opens and closes.
pub fn open(bench: &Bench) -> Outcome<Figure> {
    drop(settled(bench, PAGE_SIZE)?);
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

/// A file comes and goes.
pub fn create(bench: &Bench) -> Outcome<Figure> {
    const NEW: &str = "/tmp/bench.new";
    let root = bench.files.root();
    let round = |_| {
        drop(root.create(NEW).map_err(during(NEW))?);
        root.unlink(NEW).map_err(during(NEW))
    };
    Ok(bench.rounds(ROUNDS, round)?.figure())
}

/// Files of [`LARGE`] bytes that the host has put on the disk, so that none of them is in anybody's memory.
const COLD: [&str; 4] = ["/home/bench-0", "/home/bench-1", "/home/bench-2", "/home/bench-3"];
/// Their size.
const LARGE: u64 = 16 << 20;

/// A file that was never read.
fn cold(bench: &Bench, which: usize) -> Outcome<File> {
    bench.files.open(COLD[which]).map_err(|error| format!("{}: {error}: `cargo xtask bench` makes it", COLD[which]))
}

/// Pages of a file that nobody has read, none next to another.
pub fn uncached(bench: &Bench) -> Outcome<Figure> {
    const PAGES: u64 = LARGE / PAGE_SIZE;
    let mut file = cold(bench, 0)?;
    let mut page = vec![0; PAGE];
    let idle = Idle::start(bench)?;
    let round = |number: u64| {
        file.seek(number * 389 % PAGES * PAGE_SIZE);
        match file.read(&mut page).map_err(during(COLD[0]))? {
            PAGE => Ok(()),
            short => Err(format!("{}: {short} bytes", COLD[0])),
        }
    };
    Ok(idle.rounds(bench, 300, |_| Ok(()), round)?.figure())
}

/// A file that nobody has read, from end to end.
pub fn sequential(bench: &Bench) -> Outcome<Figure> {
    let mut files = [cold(bench, 1)?, cold(bench, 2)?, cold(bench, 3)?];
    let mut piece = vec![0; 64 << 10];
    let idle = Idle::start(bench)?;
    let round = |number: u64| {
        let mut left = LARGE;
        while left > 0 {
            match files[number as usize].read(&mut piece).map_err(during(COLD[1]))? as u64 {
                0 => return Err(format!("{}: ends early", COLD[1 + number as usize])),
                length => left -= length,
            }
        }
        Ok(())
    };
    Ok(idle.rounds(bench, 3, |_| Ok(()), round)?.figure())
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
