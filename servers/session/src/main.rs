//! The user's session. It is started with `queue:session` (receive), `console`, `fs`, `pipe`, `init` (send, mint),
//! `programs` (the account for programs), and the texts `stack`, `priority` and, in exec mode, `exec`: the command.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, string::String};
use libipc::{
    Startup,
    proto::log::{LogClient, Severity},
};
use session::session::Session;

libipc::entry!(main);

fn main(startup: Startup<'static>) -> i32 {
    let problem: String = match Session::open(&startup) {
        Ok(mut session) => format!("cannot receive: {}", session.run()),
        Err(problem) => problem,
    };
    if let Ok(log) = startup.queue("log") {
        // Where the log does not take it, there is nobody to tell.
        let _ = LogClient::new(log).write(Severity::Error, &problem);
    }
    1
}
