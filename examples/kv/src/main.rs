//! The server as a program: joins the library to what `init` hands it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use libipc::{Failure, Startup};

libipc::entry!(start);

fn start(startup: Startup<'static>) -> Result<(), Failure> {
    let memory = startup.memory("persistent")?.map(true)?.leak().unwrap_or_default();
    kv::run(startup.queue("queue:kv")?, memory)
}
