//! `print!` through a stream: what is buffered, what is not, and a stream that fails. One test, as a program has one
//! standard output.

use libipc::proto::FsError;
use libipc::proto::stream::{StreamProtocol, StreamServer};
use libipc::testing::System;
use libipc::*;
use std::sync::mpsc::{Sender, channel};

struct Sink(Sender<(u64, String)>);

impl StreamServer for Sink {
    fn recall(&mut self, _: MessageId) -> Option<answer::Answer> {
        None
    }
    fn read(&mut self, _: &Context, _: u64, _: Lease<Write>) -> Result<Reply<u64>, FsError> {
        Err(FsError::Unsupported)
    }
    fn write(&mut self, cx: &Context, _: u64, data: Lease<Read>) -> Result<Reply<u64>, FsError> {
        let mut bytes = vec![0; data.len() as usize];
        data.read_at(0, &mut bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| FsError::BadArgument)?;
        let broken = text.contains("break");
        self.0.send((cx.badge(), text)).unwrap();
        if broken { Err(FsError::BrokenPipe) } else { Ok(data.len().into()) }
    }
}

impl Service for Sink {
    protocols!(StreamProtocol);
}

#[test]
fn output_is_buffered_by_line_and_an_error_of_the_stream_is_told_once() {
    let system = System::new();
    let (server, client) = (system.process("sink"), system.process("program"));
    let queue = system.queue(0);
    let receive = server.grant(queue, Rights::RECEIVE, 0);
    let (out, err) = (client.grant(queue, Rights::SEND, 1), client.grant(queue, Rights::SEND, 2));
    let (tell, told) = channel();
    server.run(move || serve(Queue::new(receive), &mut Sink(tell)));
    let all = || told.try_iter().collect::<Vec<_>>();
    let line = |badge: u64, text: &str| (badge, text.to_string());
    client.enter(|| {
        print::set_streams(Some(out), Some(err));
        libipc::print!("a{}", 1);
        assert_eq!(all(), []);
        libipc::println!("b");
        assert_eq!(all(), [line(1, "a1b\n")]);
        libipc::print!("before");
        libipc::eprintln!("error");
        assert_eq!(all(), [line(1, "before"), line(2, "error\n")]);
        let large = "x".repeat(3000);
        libipc::print!("y{large}");
        print::flush();
        assert_eq!(all(), [line(1, "y"), line(1, &large)]);
        assert_eq!(print::out_bytes(b"break\n"), Err(FsError::BrokenPipe));
        libipc::println!("not tried");
        assert_eq!(all(), [line(1, "break\n")]);
        assert_eq!(print::take_error(), Some(FsError::BrokenPipe));
        assert_eq!(print::take_error(), None);
    });
}
