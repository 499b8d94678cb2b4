//! The pipe server.
//!
//! It is started with `queue:pipe` (receive, mint) and `persistent` (its records).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use libipc::{
    Queue, Startup, SysError,
    registers::Registers,
    server,
    sys::{self, Received},
};
use pipe::{pipes::Pipes, server::Server};

libipc::entry!(main);

fn main(startup: Startup<'static>) -> Result<(), String> {
    let queue = startup.queue("queue:pipe").map_err(|missing| missing.to_string())?;
    let memory = startup.memory("persistent").map_err(|missing| missing.to_string())?;
    let words = Registers::map(memory).map_err(|error| format!("cannot map its records: {error}"))?;
    // Where the records are lost, generations go on from the milliseconds since power-on: nobody makes a thousand pipes
    // a second for long enough to meet an old one again.
    let generation = (sys::clock() / 1_000_000) as u32;
    let mut server = Server::new(queue, Pipes::open(words, generation));
    recover(queue, &mut server)
        .and_then(|()| server::serve(queue, &mut server))
        .map_err(|error| format!("cannot receive: {error}"))
}

/// Accepts everything that waits in the queue, those calls first that the last incarnation had received. A call that
/// carries something is refused at once: what it carries is there only until the next receive.
fn recover(queue: Queue, server: &mut Server<Registers>) -> Result<(), SysError> {
    let mut later = Vec::new();
    loop {
        match sys::recv(queue.handle(), Some(0)) {
            Ok(received) => {
                let tag = received.message.tag;
                match tag.attempt() > 0 || tag.caps() > 0 || tag.payload() > 0 {
                    true => answer(server, received),
                    false => later.push(received),
                }
            }
            Err(SysError::TimedOut | SysError::WouldBlock) => break,
            Err(error) => return Err(error),
        }
    }
    for received in later {
        answer(server, received);
    }
    server.recovered();
    Ok(())
}

fn answer(server: &mut Server<Registers>, received: Received) {
    if let Some((id, message)) = server::handle(server, received) {
        // Refused only where the caller is gone.
        let _ = sys::reply(id, message);
    }
}
