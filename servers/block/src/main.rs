//! The block driver.
//!
//! What the supervisor hands it, by name:
//!
//! | name | what |
//! |---|---|
//! | `queue:block` | its queue (`RECEIVE`) |
//! | `mmio:config` | the device's page of PCI configuration space |
//! | `mmio:bar0` to `mmio:bar5` | its memory ranges, those that it has |
//! | `irq` | a message-signalled interrupt; the texts `msi_address` and `msi_data` say how the device raises it |
//! | `dma` | contiguous memory, of at least 128 KiB, that outlives the driver |
//! | `self`, `account`, `log` | as for every service |
//!
//! `self` with the right `GRANT` lets it keep attached memory across its own death, see `attachment`.
//!
//! A client's attached memory must outlive the requests that it makes: it must be paid for by somebody who does not go
//! away with the client (the supervisor, as persistent memory is), since the device writes to it whoever has died.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod attachment;
mod clients;
mod disk;
mod hal;
mod mapped;
mod ring;
mod setup;

use alloc::{format, string::String};
use attachment::Attachment;
use block::schedule::{Buffer, Request, Schedule, Work};
use clients::Owed;
use disk::{BLOCK, Disk};
use libipc::{
    Context, Irq, Lease, OwnedHandle, Read, Reply, Service, Startup, Write,
    context::now,
    proto::block::{BlockError, BlockInfo, BlockProtocol, BlockServer},
    protocols, server,
};

libipc::entry!(main);

/// Badge of the interrupt's event on the queue.
const INTERRUPT: u64 = 1;

struct Driver {
    info: BlockInfo,
    schedule: Schedule<Attachment>,
    disk: Disk,
    irq: Irq,
    /// Keeps the interrupt's event.
    _event: OwnedHandle,
}

fn main(startup: Startup<'static>) -> Result<(), String> {
    let (mut driver, queue) = setup::open(&startup)?;
    server::serve(queue, &mut driver).map_err(|error| format!("cannot receive from queue:block: {error}"))
}

impl Driver {
    /// Moves everything on that can move, and answers what is done.
    fn advance(&mut self) {
        for (call, result) in self.schedule.advance(&mut self.disk) {
            self.disk.clients.answer(call, result);
        }
    }

    fn submit(&mut self, cx: &Context, owed: Owed, work: Work, block: u64, count: u64, buffer: Buffer) {
        let call = self.disk.clients.owe(cx, owed);
        let request = Request { call, work, block, count, buffer, done: 0 };
        if let Err(fault) = self.schedule.submit(request) {
            self.disk.clients.answer(call, Err(fault));
        }
        self.advance();
    }

    fn check_offset(offset: u64) -> Result<(), BlockError> {
        if offset.is_multiple_of(BLOCK) { Ok(()) } else { Err(BlockError::BadLength) }
    }
}

impl Service for Driver {
    protocols!(BlockProtocol);

    fn on_event(&mut self, badge: u64, _: u64) {
        if badge == INTERRUPT {
            // First, so that what the device finishes from now on is told again.
            let _ = self.irq.acknowledge();
            self.advance();
        }
    }
}

impl BlockServer for Driver {
    fn info(&mut self, _: &Context) -> Result<Reply<BlockInfo>, BlockError> {
        now(self.info)
    }

    fn read(&mut self, cx: &Context, block: u64, count: u64, buffer: Lease<Write>) -> Result<Reply<()>, BlockError> {
        if count.checked_mul(BLOCK) != Some(buffer.len()) {
            return Err(BlockError::BadLength);
        }
        self.submit(cx, Owed::Read(cx.defer(), buffer), Work::Read, block, count, Buffer::Lent);
        Ok(Reply::Later)
    }

    fn write(&mut self, cx: &Context, block: u64, count: u64, data: Lease<Read>) -> Result<Reply<()>, BlockError> {
        if count.checked_mul(BLOCK) != Some(data.len()) {
            return Err(BlockError::BadLength);
        }
        self.submit(cx, Owed::Write(cx.defer(), data), Work::Write, block, count, Buffer::Lent);
        Ok(Reply::Later)
    }

    fn flush(&mut self, cx: &Context) -> Result<Reply<()>, BlockError> {
        self.submit(cx, Owed::Flush(cx.defer()), Work::Flush, 0, 0, Buffer::Lent);
        Ok(Reply::Later)
    }

    fn attach(&mut self, cx: &Context, memory: OwnedHandle, epoch: u64) -> Result<Reply<()>, BlockError> {
        let call = self.disk.clients.owe(cx, Owed::Attach(cx.defer()));
        if let Err(fault) = self.schedule.attach(call, Attachment::take(memory), epoch) {
            self.disk.clients.answer(call, Err(fault));
        }
        self.advance();
        Ok(Reply::Later)
    }

    fn read_into(
        &mut self,
        cx: &Context,
        epoch: u64,
        block: u64,
        count: u64,
        offset: u64,
    ) -> Result<Reply<()>, BlockError> {
        Self::check_offset(offset)?;
        let buffer = Buffer::Attached { epoch, offset };
        self.submit(cx, Owed::ReadInto(cx.defer()), Work::Read, block, count, buffer);
        Ok(Reply::Later)
    }

    fn write_from(
        &mut self,
        cx: &Context,
        epoch: u64,
        block: u64,
        count: u64,
        offset: u64,
    ) -> Result<Reply<()>, BlockError> {
        Self::check_offset(offset)?;
        let buffer = Buffer::Attached { epoch, offset };
        self.submit(cx, Owed::WriteFrom(cx.defer()), Work::Write, block, count, buffer);
        Ok(Reply::Later)
    }
}
