//! A server that answers whether it is there, and receives every other request without answering it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::bad_server::receive;
use libipc::{Failure, Startup};

libipc::entry!(main);

fn main(startup: Startup<'static>) -> Result<(), Failure> {
    loop {
        receive(&startup)?;
    }
}
