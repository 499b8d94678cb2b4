//! A server that answers once that it is there, and receives nothing after that.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::bad_server::{Request, receive};
use libipc::{Failure, Startup, sys};

libipc::entry!(main);

fn main(startup: Startup<'static>) -> Result<(), Failure> {
    while receive(&startup)? != Request::Ping {}
    loop {
        sys::sleep_until(u64::MAX);
    }
}
