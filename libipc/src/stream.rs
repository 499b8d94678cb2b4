//! A stream as programs use it: keeps the offset, reads and writes all, reads lines.

use crate::object::Queue;
use crate::owned::OwnedHandle;
use crate::proto::FsError;
use crate::proto::stream::StreamClient;
use crate::sys;
use alloc::string::String;
use alloc::vec::Vec;

/// Most bytes of one request, so that a long transfer lets others in between.
const PIECE: usize = 256 << 10;

/// A stream and the offset where the next byte is read or written. Waits without limit, as a person may take their time,
/// unless made by [`Stream::prompt`].
#[derive(Debug)]
pub struct Stream {
    client: StreamClient,
    /// Keeps the capability, where the stream is its owner.
    #[allow(dead_code, reason = "dropped with the stream")]
    owner: Option<OwnedHandle>,
    offset: u64,
}

impl Stream {
    /// Takes over a capability.
    pub fn new(handle: OwnedHandle) -> Stream {
        let queue = handle.queue();
        Stream { owner: Some(handle), ..Stream::borrowed(queue) }
    }
    /// Takes over a capability to what never waits for a person: a wait ends as that of any other call does.
    pub fn prompt(handle: OwnedHandle) -> Stream {
        Stream { client: StreamClient::new(handle.queue()), owner: Some(handle), offset: 0 }
    }
    /// Uses a capability that somebody else keeps.
    pub fn borrowed(queue: Queue) -> Stream {
        Stream::borrowed_from(queue, 0)
    }
    /// Uses a capability that somebody else keeps, from byte `offset` on.
    pub fn borrowed_from(queue: Queue, offset: u64) -> Stream {
        Stream { client: StreamClient::new(queue).until(sys::NEVER), owner: None, offset }
    }
    /// The capability.
    pub fn queue(&self) -> Queue {
        self.client.queue()
    }
    /// Where the next byte is read or written.
    pub fn offset(&self) -> u64 {
        self.offset
    }
    /// Sets that.
    pub fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }
    /// Reads what there is, at most what `buffer` holds; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FsError> {
        let length = buffer.len().min(PIECE);
        let read = self.client.read(self.offset, &mut buffer[..length])?.min(length as u64);
        self.offset += read;
        Ok(read as usize)
    }
    /// Reads until `buffer` is full or the stream ends; returns the bytes read.
    pub fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize, FsError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read(&mut buffer[done..])? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }
    /// Reads to the end, appending to `into`.
    pub fn read_to_end(&mut self, into: &mut Vec<u8>) -> Result<usize, FsError> {
        let before = into.len();
        let mut step = 4096;
        loop {
            let start = into.len();
            into.resize(start + step, 0);
            let read = self.read(&mut into[start..]);
            into.truncate(start + *read.as_ref().unwrap_or(&0));
            match read? {
                0 => return Ok(into.len() - before),
                n if n == step => step = (step * 2).min(PIECE),
                _ => {}
            }
        }
    }
    /// Writes some of `data`; returns how much.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, FsError> {
        let length = data.len().min(PIECE);
        let written = self.client.write(self.offset, &data[..length])?.min(length as u64);
        self.offset += written;
        Ok(written as usize)
    }
    /// Writes all of `data`.
    pub fn write_all(&mut self, mut data: &[u8]) -> Result<(), FsError> {
        while !data.is_empty() {
            match self.write(data)? {
                0 => return Err(FsError::Io),
                n => data = &data[n..],
            }
        }
        Ok(())
    }
    /// Its lines.
    pub fn lines(self) -> Lines {
        Lines { stream: self, pending: Vec::new(), start: 0, ended: false }
    }
}

impl core::fmt::Write for Stream {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.write_all(text.as_bytes()).map_err(|_| core::fmt::Error)
    }
}

/// The lines of a stream, without their line feeds. Bytes that are no UTF-8 come as U+FFFD.
pub struct Lines {
    stream: Stream,
    pending: Vec<u8>,
    start: usize,
    ended: bool,
}

impl Iterator for Lines {
    type Item = Result<String, FsError>;
    fn next(&mut self) -> Option<Self::Item> {
        let mut searched = self.start;
        loop {
            if let Some(at) = self.pending[searched..].iter().position(|b| *b == b'\n') {
                let end = searched + at;
                let line = String::from_utf8_lossy(&self.pending[self.start..end]).into_owned();
                self.start = end + 1;
                return Some(Ok(line));
            }
            if self.ended {
                let rest = &self.pending[self.start..];
                let line = (!rest.is_empty()).then(|| Ok(String::from_utf8_lossy(rest).into_owned()));
                self.start = self.pending.len();
                return line;
            }
            self.pending.drain(..self.start);
            self.start = 0;
            searched = self.pending.len();
            let mut buffer = [0; 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(n) => self.pending.extend_from_slice(&buffer[..n]),
                Err(e) => {
                    self.ended = true;
                    return Some(Err(e));
                }
            }
        }
    }
}
