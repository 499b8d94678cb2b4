//! A server with as little behind each operation as there can be: what remains is what the library costs.

use alloc::boxed::Box;
use libipc::answer::Answer;
use libipc::record::Record;
use libipc::{Context, Lease, MessageId, Queue, Reply, Rights, Service, Write, context::now, protocol, protocols};
use libipc::{serve, time};

use super::message::{LEASED, ROUNDS};
use super::{Bench, Figure, Outcome, PRIORITY, Samples, during};

protocol! {
    /// What is measured.
    pub protocol Probe = 1025 version 1;
    /// What a probe refuses.
    error ProbeError {
        /// The lease is not as agreed.
        Lease = 1 => "the lease was refused",
    }
    /// Copies 4 KiB into `buffer`; returns what that has cost.
    idempotent fn copy(buffer: &mut [u8]) -> u64 = 1;
    /// Adds; a death may make it add twice.
    idempotent fn add(amount: u64) -> u64 = 2;
    /// Adds, once.
    recorded fn add_once(amount: u64) -> u64 = 3;
}

/// What the row of the lease copies, at page boundaries on both sides.
#[repr(align(4096))]
struct Page([u8; LEASED]);

static DATA: Page = Page([0x5a; LEASED]);

/// The server: a sum that lives in a record, and one that does not.
struct Probe<'m> {
    record: Record<'m, 4>,
    sum: u64,
}

impl ProbeServer for Probe<'_> {
    fn recall(&mut self, id: MessageId) -> Option<Answer> {
        self.record.recall(id)
    }
    fn copy(&mut self, _: &Context, buffer: Lease<Write>) -> Result<Reply<u64>, ProbeError> {
        let start = time::ticks();
        buffer.write_at(0, &DATA.0).map_err(|_| ProbeError::Lease)?;
        now(time::ticks().saturating_sub(start))
    }
    fn add(&mut self, _: &Context, amount: u64) -> Result<Reply<u64>, ProbeError> {
        self.sum = self.sum.wrapping_add(amount);
        now(self.sum)
    }
    fn add_once(&mut self, cx: &Context, amount: u64) -> Result<Reply<u64>, ProbeError> {
        let value = u64::from_le_bytes(self.record.state().try_into().unwrap_or_default());
        let sum = value.wrapping_add(amount);
        let mut change = self.record.begin();
        change.state().copy_from_slice(&sum.to_le_bytes());
        // The answer of one word always fits.
        let _ = change.commit(cx.id(), &cx.answer::<ProbeAddOnceOp>(&Ok(sum)));
        now(sum)
    }
}

impl Service for Probe<'_> {
    protocols!(ProbeProtocol);
}

/// Serves until the queue is gone.
pub(super) fn answer(queue: Queue, memory: libipc::Memory) -> Outcome<()> {
    let bytes = memory.map(true).map_err(during("map"))?.leak().unwrap_or_default();
    let (record, _) = Record::open(bytes, 1, 8).map_err(during("record"))?;
    serve(queue, &mut Probe { record, sum: 0 }).map_err(during("serve"))
}

fn probe(bench: &Bench, round: impl FnMut(ProbeClient, u64) -> Outcome<()>) -> Outcome<Samples> {
    let mut round = round;
    let queue = bench.queue(0)?;
    let memory = bench.account.create_memory(1).map_err(during("memory"))?;
    let both = Rights::READ | Rights::WRITE | Rights::MAP;
    let grants = [("queue", &queue, Rights::RECEIVE), ("memory", &memory, both)];
    let _partner = bench.partner("probe", PRIORITY, &grants)?;
    let client = ProbeClient::new(queue.queue());
    bench.rounds(ROUNDS, |number| round(client, number))
}

/// What the server of a call pays to write into the caller's memory: timed there.
pub fn lease(bench: &Bench) -> Outcome<Figure> {
    let mut page = Box::new(Page([0; LEASED]));
    let mut costs = Samples::with_room(2 * ROUNDS);
    probe(bench, |client, _| {
        let cost = client.copy(&mut page.0).map_err(during("copy"))?;
        costs.add(cost.saturating_sub(bench.overhead));
        Ok(())
    })?;
    if page.0 == DATA.0 { Ok(costs.figure()) } else { Err("the copy did not arrive".into()) }
}

/// A call through the typed client and the server loop.
pub fn idempotent(bench: &Bench) -> Outcome<Figure> {
    Ok(probe(bench, |client, _| client.add(1).map(drop).map_err(during("add")))?.figure())
}

/// The same, with its effect and answer committed together.
pub fn recorded(bench: &Bench) -> Outcome<Figure> {
    Ok(probe(bench, |client, _| client.add_once(1).map(drop).map_err(during("add")))?.figure())
}
