//! A server that answers whether it is there, and dies of every request.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::bad_server::{Request, receive};
use libipc::{Failure, Startup};

libipc::entry!(main);

fn main(startup: Startup<'static>) -> Result<(), Failure> {
    loop {
        if receive(&startup)? == Request::Other {
            panic!("a request");
        }
    }
}
