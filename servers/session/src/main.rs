//! The user's session. It is started with `queue:session` (receive), `console`, `fs`, `pipe`, `init` (send, mint),
//! `programs` (the account for programs), and the texts `stack`, `priority` and, in exec mode, `exec`: the command.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, string::String};
use libipc::Startup;
use session::session::Session;

libipc::entry!(main);

fn main(startup: Startup<'static>) -> Result<(), String> {
    Err(format!("cannot receive: {}", Session::open(&startup)?.run()))
}
