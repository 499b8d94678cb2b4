//! Works on files as its number says, and checks every result: what other tests run while servers die.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, string::String, vec::Vec};
use core::fmt::Display;
use libipc::dir::Namespace;
use libipc::proto::directory::OpenFlags;
use libipc::proto::{FsError, info::FileKind};
use libipc::{Dir, Startup, Stream};
use userland::workload::{Model, Script, Step};

libipc::entry!(main);

/// Where workloads have their directories, and the log that they share.
const PLACE: &str = "/home";
const SHARED: &str = "/home/log";
const NEW: OpenFlags = OpenFlags::WRITE.union(OpenFlags::CREATE).union(OpenFlags::EXCLUSIVE);

type Outcome<T> = Result<T, String>;

const USAGE: &str = "usage: workload NUMBER STEPS";

fn main(startup: Startup<'static>) -> i32 {
    match startup.arg(1) {
        Some("--help") => {
            libipc::println!("{USAGE}\nwork on files as a number says, and check every result: for tests");
            return 0;
        }
        Some(option) if option.starts_with('-') => {
            libipc::eprintln!("workload: unknown option '{option}'\n{USAGE}");
            return 2;
        }
        _ => {}
    }
    let numbers: Vec<u64> = startup.args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let &[number, steps] = numbers.as_slice() else {
        libipc::eprintln!("{USAGE}");
        return 2;
    };
    match work(&startup, Script::new(number, steps as usize)) {
        Ok(()) => 0,
        Err(why) => {
            libipc::eprintln!("workload {number}: {why}");
            1
        }
    }
}

fn work(startup: &Startup<'static>, mut script: Script) -> Outcome<()> {
    let files = Namespace::of(startup).map_err(during("start"))?;
    let mut output = Stream::borrowed(startup.queue("stdout").map_err(during("start"))?);
    let own = format!("{PLACE}/{}", script.directory());
    files.root().mkdir(&own).map_err(during("make the directory"))?;
    let top = files.root().open_dir(&own).map_err(during("open the directory"))?;
    let mut shared = files.root().append(SHARED).map_err(during("open the log"))?;
    while let Some(step) = script.next() {
        take(Dir::new(top.queue()), &script.model, &step).map_err(|error| format!("step {}: {error}", named(&step)))?;
        if let Some(record) = script.record() {
            shared.write_all(record.as_bytes()).map_err(during("append to the log"))?;
        }
        if let Some(line) = script.line() {
            output.write_all(line.as_bytes()).map_err(during("print"))?;
        }
    }
    Ok(())
}

fn during<E: Display>(what: impl Display) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

/// The step in few words.
fn named(step: &Step) -> String {
    let mut text = format!("{step:?}");
    text.truncate(80); // what it writes is of no interest
    text
}

/// What was expected is not what came.
fn differs(what: impl Display) -> FsErrorOr {
    FsErrorOr::Differs(format!("{what}"))
}

/// A refusal, or a result that is not the model's.
enum FsErrorOr {
    Refused(FsError),
    Differs(String),
}

impl From<FsError> for FsErrorOr {
    fn from(error: FsError) -> Self {
        FsErrorOr::Refused(error)
    }
}

impl Display for FsErrorOr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            FsErrorOr::Refused(error) => f.write_str(error.text()),
            FsErrorOr::Differs(what) => f.write_str(what),
        }
    }
}

/// Makes a step, and compares with the model, which has made it already.
fn take(top: Dir, model: &Model, step: &Step) -> Result<(), FsErrorOr> {
    match step {
        Step::Create(path, bytes) => Ok(top.open_with(path, NEW)?.write_all(bytes)?),
        Step::CreateAgain(path) => must_refuse(top.open_with(path, NEW).map(drop), FsError::Exists),
        Step::Write(path, at, bytes) => {
            let mut file = top.open_with(path, OpenFlags::WRITE)?;
            file.seek(*at);
            Ok(file.write_all(bytes)?)
        }
        Step::Append(path, bytes) => Ok(top.open_with(path, OpenFlags::WRITE | OpenFlags::APPEND)?.write_all(bytes)?),
        Step::Truncate(path, size) => Ok(top.open_with(path, OpenFlags::WRITE)?.truncate(*size)?),
        Step::Rename(from, to) => Ok(top.rename(from, to)?),
        Step::Unlink(path) => Ok(top.unlink(path)?),
        Step::Mkdir(path) => Ok(top.mkdir(path)?),
        Step::Rmdir(path) => Ok(top.rmdir(path)?),
        Step::RmdirFull(path) => must_refuse(top.rmdir(path), FsError::NotEmpty),
        Step::Read(path) => read(top, model, path),
        Step::Stat(path) => stat(top, model, path),
        Step::List(path) => list(top, model, path),
        Step::Sync(path) => Ok(top.open_with(path, OpenFlags::WRITE)?.sync()?),
    }
}

fn must_refuse(result: Result<(), FsError>, expected: FsError) -> Result<(), FsErrorOr> {
    match result {
        Err(error) if error == expected => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(differs("was not refused")),
    }
}

fn read(top: Dir, model: &Model, path: &str) -> Result<(), FsErrorOr> {
    let content = top.read(path)?;
    let expected = model.files.get(path).map(Vec::as_slice).unwrap_or_default();
    let same = content.iter().zip(expected).take_while(|(is, should)| is == should).count();
    match content == expected {
        true => Ok(()),
        false => Err(differs(format!("{} bytes, not {}; alike up to {same}", content.len(), expected.len()))),
    }
}

fn stat(top: Dir, model: &Model, path: &str) -> Result<(), FsErrorOr> {
    let info = top.stat(path)?;
    let expected = model.files.get(path).map_or(0, |content| content.len() as u64);
    match info.size == expected && info.kind == FileKind::File {
        true => Ok(()),
        false => Err(differs(format!("{} bytes, not {expected}", info.size))),
    }
}

fn list(top: Dir, model: &Model, path: &str) -> Result<(), FsErrorOr> {
    let entries = top.list(if path.is_empty() { "." } else { path })?;
    let mut names: Vec<String> =
        entries.into_iter().map(|entry| entry.name).filter(|name| name != "." && name != "..").collect();
    names.sort();
    let expected = model.names(path);
    if names == expected { Ok(()) } else { Err(differs(format!("{names:?}, not {expected:?}"))) }
}
