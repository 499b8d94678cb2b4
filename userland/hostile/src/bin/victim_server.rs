//! The well-behaved server beside the attacks.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::victim::{VictimError, VictimProtocol, VictimServer};
use libipc::context::now;
use libipc::{Context, Failure, Lease, Read, Reply, Service, Startup, protocols, serve};

libipc::entry!(main);

#[derive(Default)]
struct Server {
    answered: u64,
}

impl VictimServer for Server {
    fn add(&mut self, _: &Context, a: u64, b: u64) -> Result<Reply<u64>, VictimError> {
        self.answered += 1;
        now(a.wrapping_add(b))
    }
    fn who(&mut self, cx: &Context) -> Result<Reply<(u64, u64)>, VictimError> {
        self.answered += 1;
        now((cx.badge(), self.answered))
    }
    fn sum(&mut self, _: &Context, data: Lease<Read>) -> Result<Reply<u64>, VictimError> {
        self.answered += 1;
        let mut bytes = [0; 4096];
        let part = bytes.get_mut(..data.len() as usize).ok_or(VictimError::TooLong)?;
        data.read_at(0, part)?;
        now(part.iter().map(|byte| u64::from(*byte)).sum())
    }
}

impl Service for Server {
    protocols!(VictimProtocol);
}

fn main(startup: Startup<'static>) -> Result<(), Failure> {
    Ok(serve(startup.queue("queue:victim")?, &mut Server::default())?)
}
