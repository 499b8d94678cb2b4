//! `print!` and its kin: through the streams that the parent handed over, with a small buffer.
//!
//! Invariants:
//! 1. Standard output is written at a line feed, when the buffer is full, and before the program ends; standard error
//!    at once.
//! 2. A stream that fails is not tried again by `print!`; [`take_error`] tells, and the runtime ends such a program with
//!    a status that is not 0.

use crate::lock::Lock;
use crate::object::Queue;
use crate::proto::FsError;
use crate::stream::Stream;
use abi::Handle;
use core::fmt::{self, Write};

const BUFFER: usize = 1024;

struct Output {
    stream: Option<Stream>,
    buffer: [u8; BUFFER],
    used: usize,
    failed: Option<FsError>,
}

impl Output {
    const fn new() -> Output {
        Output { stream: None, buffer: [0; BUFFER], used: 0, failed: None }
    }
    fn flush(&mut self) {
        let used = core::mem::take(&mut self.used);
        if used > 0 {
            self.send(Piece::Buffered(used));
        }
    }
    fn send(&mut self, piece: Piece<'_>) {
        let (None, Some(stream)) = (self.failed, &mut self.stream) else { return };
        let result = match piece {
            Piece::Buffered(used) => stream.write_all(&self.buffer[..used]),
            Piece::Direct(bytes) => stream.write_all(bytes),
        };
        self.failed = result.err();
    }
    fn write(&mut self, bytes: &[u8]) {
        if bytes.len() > BUFFER - self.used {
            self.flush();
        }
        if bytes.len() > BUFFER {
            return self.send(Piece::Direct(bytes));
        }
        self.buffer[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
        if bytes.contains(&b'\n') {
            self.flush();
        }
    }
}

enum Piece<'a> {
    Buffered(usize),
    Direct(&'a [u8]),
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        if self.failed.is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}

static OUT: Lock<Output> = Lock::new(Output::new());
static ERR: Lock<Output> = Lock::new(Output::new());

/// Says where standard output and error go. The runtime does so from the startup pages.
pub fn set_streams(out: Option<Handle>, err: Option<Handle>) {
    let stream = |handle: Option<Handle>| handle.map(|h| Stream::borrowed(Queue::new(h)));
    OUT.lock().stream = stream(out);
    ERR.lock().stream = stream(err);
}

/// Writes to standard output. For `print!`.
pub fn out(text: fmt::Arguments<'_>) {
    let _ = OUT.lock().write_fmt(text);
}

/// Writes bytes to standard output, in order with `print!`.
pub fn out_bytes(bytes: &[u8]) -> Result<(), FsError> {
    let mut out = OUT.lock();
    out.write(bytes);
    out.failed.map_or(Ok(()), Err)
}

/// Writes to standard error. For `eprint!`.
pub fn err(text: fmt::Arguments<'_>) {
    flush();
    let mut err = ERR.lock();
    let _ = err.write_fmt(text);
    err.flush();
}

/// Writes to standard error unless another thread is at it or the stream has failed. For the panic handler.
pub fn try_err(text: fmt::Arguments<'_>) {
    if let Some(mut err) = ERR.try_lock() {
        let _ = err.write_fmt(text);
        err.flush();
    }
}

/// Writes out what `print!` has buffered.
pub fn flush() {
    OUT.lock().flush();
}

/// Writes out what `print!` has buffered, unless another thread is at it. For the panic handler.
pub fn try_flush() {
    if let Some(mut out) = OUT.try_lock() {
        out.flush();
    }
}

/// Writes out what is buffered; the error that standard output has met, if any.
pub fn take_error() -> Option<FsError> {
    let mut out = OUT.lock();
    out.flush();
    out.failed.take()
}

/// Prints to standard output.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::print::out(format_args!($($arg)*)) };
}
/// Prints a line to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print::out(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::print::out(format_args!("{}\n", format_args!($($arg)*))) };
}
/// Prints to standard error.
#[macro_export]
macro_rules! eprint {
    ($($arg:tt)*) => { $crate::print::err(format_args!($($arg)*)) };
}
/// Prints a line to standard error.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::print::err(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::print::err(format_args!("{}\n", format_args!($($arg)*))) };
}
