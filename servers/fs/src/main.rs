//! The filesystem server.
//!
//! What the supervisor hands it, by name:
//!
//! | name | what |
//! |---|---|
//! | `queue:fs` | its queue (`RECEIVE`, `MINT`, `SEND`) |
//! | `block` | the block server's queue |
//! | `persistent` | the block cache, of at least 512 KiB |
//! | `log` | for what it has to say |
//! | text `incarnation` | higher with each restart |
//! | text `records` | `off`: what has taken effect is not recorded |
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{
    format,
    string::{String, ToString},
};
use core::sync::atomic::{AtomicU64, Ordering};

use fs::{FileStore, Fs, badge::INODES, remote::RemoteDisk, server::Server};
use libipc::{Startup, server, sys};

libipc::entry!(main);

/// Bytes at the end of the persistent memory for what the disk's device reads or writes and is not in the cache.
const BUFFER: usize = fs::BLOCK;
/// Nanoseconds from 1970 to power-on, as far as known.
static BOOT: AtomicU64 = AtomicU64::new(0);

/// The machine has no calendar: time goes on from the last change of the disk.
fn calendar() -> u64 {
    BOOT.load(Ordering::Relaxed) + sys::clock()
}

fn main(startup: Startup<'static>) -> Result<(), String> {
    let queue = startup.queue("queue:fs").map_err(|missing| missing.to_string())?;
    let block = startup.queue("block").map_err(|missing| missing.to_string())?;
    let memory = startup.memory("persistent").map_err(|missing| missing.to_string())?;
    let epoch = startup.env("incarnation").and_then(|text| text.parse().ok()).unwrap_or(1);
    let mapped = memory.map(true).map_err(|error| format!("cannot map its persistent memory: {error}"))?;
    let address = mapped.address();
    let bytes = mapped.leak().ok_or("its persistent memory is read-only")?;
    let split = bytes.len().checked_sub(BUFFER).ok_or("its persistent memory is too small")?;
    let (cache, buffer) = bytes.split_at_mut(split);
    let disk = RemoteDisk::open(block, memory, address, buffer, epoch)
        .map_err(|error| format!("cannot attach to the disk: {error}"))?;
    let mut fs = Fs::open(cache, disk, calendar).map_err(|error| format!("cannot open the filesystem: {error:?}"))?;
    if startup.env("records") == Some("off") {
        fs.stop_recording();
    }
    if fs.space().is_ok_and(|space| space.inodes >= INODES) {
        return Err("the filesystem has more inodes than a badge can tell apart".into());
    }
    BOOT.store(fs.last_change().saturating_sub(sys::clock()), Ordering::Relaxed);
    server::serve(queue, &mut Server::new(queue, fs)).map_err(|error| format!("cannot receive: {error}"))
}
