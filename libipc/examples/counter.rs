//! A whole server: a protocol, a state, and a loop. What it counts survives its restarts.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use libipc::answer::Answer;
use libipc::record::Record;
use libipc::{Context, Failure, MessageId, Reply, Service, Startup, protocol, protocols, serve};

protocol! {
    /// Counts.
    pub protocol Counter = 1024 version 1;
    /// What a counter refuses.
    error CounterError {
        /// It is at its end.
        Overflow = 1 => "counter overflow",
    }
    /// Adds to the counter; returns its value.
    recorded fn add(amount: u64) -> u64 = 1;
}

struct Counter<'m>(Record<'m, 4>);

impl CounterServer for Counter<'_> {
    fn recall(&mut self, id: MessageId) -> Option<Answer> {
        self.0.recall(id)
    }
    fn add(&mut self, cx: &Context, amount: u64) -> Result<Reply<u64>, CounterError> {
        let value = u64::from_le_bytes(self.0.state().try_into().unwrap_or_default());
        let sum = value.checked_add(amount).ok_or(CounterError::Overflow)?;
        let mut change = self.0.begin();
        change.state().copy_from_slice(&sum.to_le_bytes());
        let _ = change.commit(cx.id(), &cx.answer::<CounterAddOp>(&Ok(sum)));
        Ok(sum.into())
    }
}

impl Service for Counter<'_> {
    protocols!(CounterProtocol);
}

#[cfg(target_os = "none")]
libipc::entry!(start);
fn start(startup: Startup<'static>) -> Result<(), Failure> {
    let memory = startup.memory("persistent")?.map(true)?.leak().unwrap_or_default();
    let (record, _) = Record::open(memory, 1, 8)?;
    Ok(serve(startup.queue("queue:counter")?, &mut Counter(record))?)
}

#[cfg(not(target_os = "none"))]
fn main() {
    let _ = start;
}
