//! Runs as the first program, instead of init: tries the runtime and the kernel's message path on the machine itself.
//!
//! Its own image, in the boot archive as `child`, is started as a second program that serves a queue.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use libipc::abi::{Message, ProcessState, Tag, layout};
use libipc::proto::FsError;
use libipc::proto::stream::{StreamClient, StreamProtocol, StreamServer};
use libipc::spawn::{Child, Command, Image};
use libipc::*;

macro_rules! log {
    ($($arg:tt)*) => { Machine::new(layout::INIT_MACHINE).log(&alloc::format!("{}\n", format_args!($($arg)*))) };
}

/// Bytes in memory.
struct Bytes(Vec<u8>);

impl StreamServer for Bytes {
    fn recall(&mut self, _: MessageId) -> Option<answer::Answer> {
        None
    }
    fn read(&mut self, cx: &Context, offset: u64, buffer: Lease<Write>) -> Result<Reply<u64>, FsError> {
        if offset == 666 && cx.attempt() == 0 {
            sys::exit(3); // dies of it, the first time
        }
        let start = (offset as usize).min(self.0.len());
        let piece = &self.0[start..self.0.len().min(start + buffer.len() as usize)];
        buffer.write_at(0, piece)?;
        Ok(Reply::Now(piece.len() as u64))
    }
    fn write(&mut self, _: &Context, offset: u64, data: Lease<Read>) -> Result<Reply<u64>, FsError> {
        let end = offset as usize + data.len() as usize;
        self.0.resize(self.0.len().max(end), 0);
        data.read_at(0, &mut self.0[offset as usize..end])?;
        Ok(Reply::Now(data.len()))
    }
}

impl Service for Bytes {
    protocols!(StreamProtocol);
}

#[cfg(target_os = "none")]
libipc::entry!(start);
fn start(startup: Startup<'static>) -> Result<i32, Failure> {
    match startup.arg(1) {
        None => {
            let result = first();
            let _ = match &result {
                Ok(()) => log!("selftest: ok"),
                Err(e) => log!("selftest: FAILED: {e:?}"),
            };
            result.map(|()| {
                loop {
                    sys::sleep_until(u64::MAX);
                }
            })
        }
        Some("serve") => {
            serve(startup.queue("queue:bytes")?, &mut Bytes(Vec::new()))?;
            Ok(0)
        }
        Some("status") => {
            libipc::println!("to nobody");
            Ok(startup.arg(2).and_then(|s| s.parse().ok()).unwrap_or(-1))
        }
        Some("heap") => {
            let mut all = Vec::new();
            for n in 0..200u32 {
                all.push(alloc::vec![n as u8; 1000]);
            }
            Ok(all.iter().map(|v| v[999] as i32).sum())
        }
        Some("call") => {
            let read = StreamClient::new(startup.queue("bytes")?).read(666, &mut [0; 8])?;
            Ok(7 + read as i32)
        }
        Some("exhaust") => Ok(core::hint::black_box(alloc::vec![1u8; 64 << 20])[0] as i32),
        Some("panic") => panic!("on purpose"),
        Some("float") => Ok((startup.arg_count() as f64 * 1.5 + 0.5) as i32),
        Some(other) => Err(Failure::from(other)),
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    let _ = start;
}

fn account() -> Account {
    Account::new(layout::INIT_ACCOUNT)
}

fn image() -> Result<Image, Failure> {
    let archive = Memory::new(layout::INIT_ARCHIVE);
    let mapping = archive.map(false)?;
    let length = mapping.len() as u64;
    let (start, size) = find(mapping.bytes(), "child").ok_or("no child in the archive")?;
    (start + size <= length).then(|| Image::borrowed(archive, start, size)).ok_or(Failure::from("archive cut off"))
}

fn find(archive: &[u8], name: &str) -> Option<(u64, u64)> {
    let mut at = 0;
    loop {
        let header = archive.get(at..at + 512)?;
        let size = header[124..135].iter().fold(0usize, |n, b| n << 3 | (b & 7) as usize);
        if header[..name.len()] == *name.as_bytes() && header[name.len()] == 0 {
            return Some((at as u64 + 512, size as u64));
        }
        if header[0] == 0 {
            return None;
        }
        at += 512 + size.next_multiple_of(512);
    }
}

fn run(image: &Image, args: &[&str]) -> Result<(ProcessState, i32), Failure> {
    let mut command = Command::new("child");
    command.args(args.iter().copied());
    let status = command.spawn(image, account())?.wait()?;
    Ok((ProcessState::from_raw(status.state), status.exit as i32))
}

fn expect<T: PartialEq + core::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), Failure> {
    if got == wanted {
        let _ = log!("selftest: {what}: ok");
        return Ok(());
    }
    Err(Failure::from(alloc::format!("{what}: got {got:?}, wanted {wanted:?}")))
}

fn first() -> Result<(), Failure> {
    log!("selftest: begins at {} ns", sys::clock())?;
    let image = image()?;
    let before = account().status()?.used;
    expect("status", run(&image, &["status", "42"])?, (ProcessState::Exited, 42))?;
    expect("heap", run(&image, &["heap"])?, (ProcessState::Exited, (0..200).sum()))?;
    expect("float", run(&image, &["float"])?, (ProcessState::Exited, 3))?;
    expect("panic", run(&image, &["panic"])?, (ProcessState::Exited, 101))?;
    expect("exhaust", run(&image, &["exhaust"])?, (ProcessState::Exited, 101))?;
    let mut ticks = sys::clock();
    let _ = run(&image, &["status", "0"])?;
    ticks = sys::clock() - ticks;
    log!("selftest: spawn, exit, wait: {ticks} ns")?;
    let leaked = account().status()?.used - before;
    expect("memory given back after six programs", leaked <= 4, true)?;
    calls(&image)
}

fn server(image: &Image, queue: Queue) -> Result<Child, Failure> {
    let mut command = Command::new("bytes");
    command.arg("serve").grant("queue:bytes", queue.handle(), Rights::RECEIVE);
    Ok(command.spawn(image, account())?)
}

fn calls(image: &Image) -> Result<(), Failure> {
    let queue = account().create_queue(4)?;
    let child = server(image, queue.queue())?;
    let client = StreamClient::new(queue.queue());
    expect("write", client.write(0, b"0123456789")?, 10)?;
    let mut buffer = [0; 100];
    expect("read", client.read(3, &mut buffer)?, 7)?;
    expect("bytes", &buffer[..8], b"3456789\0")?;
    let large: Vec<u8> = (0..300_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
    expect("large write", client.write(0, &large)?, 300_000)?;
    let mut back = alloc::vec![0; 300_001];
    expect("large read", client.read(0, &mut back)?, 300_000)?;
    expect("the same bytes", back[..300_000] == large[..], true)?;
    expect("ping", server::ping(queue.queue(), None), Ok(()))?;
    let start = sys::clock();
    for _ in 0..1000 {
        sys::call(queue.handle(), Message { tag: Tag::new(server::CONTROL_PROTOCOL, 1), words: [0; 8] })?;
    }
    log!("selftest: call and reply: {} ns", (sys::clock() - start) / 1000)?;
    let start = sys::clock();
    for _ in 0..1000 {
        client.read(0, &mut buffer[..8])?;
    }
    log!("selftest: read of 8 bytes: {} ns", (sys::clock() - start) / 1000)?;
    let start = sys::clock();
    for _ in 0..1000 {
        sys::yield_now();
    }
    log!("selftest: yield: {} ns", (sys::clock() - start) / 1000)?;
    let start = sys::clock();
    for _ in 0..1000 {
        sys::clock();
    }
    log!("selftest: clock: {} ns", (sys::clock() - start) / 1000)?;
    let refused = sys::call(queue.handle(), Message { tag: Tag::new(99, 1), words: [0; 8] })?;
    let unknown = error::Refusal::from_status(refused.tag.operation());
    expect("unknown protocol", unknown, error::Refusal::UnknownProtocol)?;
    let soon = Some(sys::clock() + 2_000_000);
    let nobody = account().create_queue(0)?;
    expect("deadline", server::ping(nobody.queue(), soon), Err(SysError::TimedOut))?;
    recovery(image, queue.queue(), child)
}

/// Offset 666 kills the server before it answers: its successor gets the call again.
fn recovery(image: &Image, queue: Queue, server_one: Child) -> Result<(), Failure> {
    let mut command = Command::new("caller");
    command.arg("call").grant("bytes", queue.handle(), Rights::SEND);
    let caller = command.spawn(image, account())?;
    expect("the server dies of the call", server_one.wait()?.exit, 3)?;
    let server_two = server(image, queue)?;
    expect("the caller gets its answer from the successor", caller.wait()?.exit, 7)?;
    server_two.kill()?;
    expect("the successor is killed", server_two.wait()?.exit, Child::KILLED as i64)
}
