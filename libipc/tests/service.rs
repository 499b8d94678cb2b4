//! The server loop: events, posted messages, time, several protocols, its end.

use libipc::abi::{Message, Tag};
use libipc::proto::FsError;
use libipc::proto::stream::{StreamProtocol, StreamServer};
use libipc::testing::System;
use libipc::*;
use std::sync::mpsc::{Receiver, Sender, channel};

protocol! {
    /// To stop the server.
    pub protocol Stop = 2002 version 1;
    error FsError;
    /// Ends its loop after this answer.
    idempotent fn stop() = 1;
}

/// Tells what happens to it; its stream gives back what was written.
struct Witness {
    tell: Sender<String>,
    content: Vec<u8>,
    stopping: bool,
    alarm: Option<u64>,
}

impl StopServer for Witness {
    fn stop(&mut self, _: &Context) -> Result<Reply<()>, FsError> {
        self.stopping = true;
        Ok(Reply::Now(()))
    }
}

impl StreamServer for Witness {
    fn recall(&mut self, _: MessageId) -> Option<answer::Answer> {
        None
    }
    fn read(&mut self, _: &Context, offset: u64, buffer: Lease<Write>) -> Result<Reply<u64>, FsError> {
        let start = (offset as usize).min(self.content.len());
        let piece = &self.content[start..self.content.len().min(start + buffer.len().min(7) as usize)];
        buffer.write_at(0, piece)?;
        Ok(Reply::Now(piece.len() as u64))
    }
    fn write(&mut self, _: &Context, offset: u64, data: Lease<Read>) -> Result<Reply<u64>, FsError> {
        if offset > self.content.len() as u64 {
            return Err(FsError::BadArgument);
        }
        let mut piece = vec![0; data.len().min(5) as usize];
        data.read_at(0, &mut piece)?;
        self.content.truncate(offset as usize);
        self.content.extend(&piece);
        Ok(Reply::Now(piece.len() as u64))
    }
}

impl Service for Witness {
    protocols!(StreamProtocol, StopProtocol);
    fn on_event(&mut self, badge: u64, bits: u64) {
        self.tell.send(format!("event {badge} {bits}")).unwrap();
    }
    fn on_post(&mut self, badge: u64, message: Message) {
        self.tell.send(format!("post {badge} {}", message.words[0])).unwrap();
        self.alarm = Some(sys::clock() + 1_000_000);
    }
    fn next_deadline(&self) -> sys::Deadline {
        self.alarm
    }
    fn on_deadline(&mut self) {
        self.alarm = None;
        self.tell.send("alarm".into()).unwrap();
    }
    fn is_stopping(&self) -> bool {
        self.stopping
    }
}

struct Rig {
    system: System,
    queue: testing::ObjectId,
    event: testing::ObjectId,
    client: testing::TestProcess,
    send: Handle,
    told: Receiver<String>,
    server: std::thread::JoinHandle<Result<(), SysError>>,
}

fn rig() -> Rig {
    let system = System::new();
    let (server, client) = (system.process("server"), system.process("client"));
    let (queue, event) = (system.queue(2), system.event());
    let receive = server.grant(queue, Rights::RECEIVE, 0);
    let wait = server.grant(event, Rights::WAIT, 0);
    let send = client.grant(queue, Rights::SEND, 3);
    let (tell, told) = channel();
    let server = server.run(move || {
        Event::new(wait).bind(Queue::new(receive), 9)?;
        serve(Queue::new(receive), &mut Witness { tell, content: Vec::new(), stopping: false, alarm: None })
    });
    Rig { system, queue, event, client, send, told, server }
}

#[test]
fn events_posts_and_deadlines_reach_the_service() {
    let rig = rig();
    rig.system.signal(rig.event, 6);
    assert_eq!(rig.told.recv().unwrap(), "event 9 6");
    rig.client.enter(|| sys::post(rig.send, Message { tag: Tag::new(1, 1), words: [4; 8] }).unwrap());
    assert_eq!(rig.told.recv().unwrap(), "post 3 4");
    assert_eq!(rig.told.recv().unwrap(), "alarm");
}

#[test]
fn a_deadline_comes_also_to_a_service_that_never_runs_out_of_messages() {
    let rig = rig();
    let send = rig.send;
    let enough = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flood: Vec<_> = (0..8)
        .map(|_| {
            let enough = enough.clone();
            rig.client.run(move || {
                while !enough.load(std::sync::atomic::Ordering::Relaxed) {
                    server::ping(Queue::new(send), None).unwrap();
                }
            })
        })
        .collect();
    rig.client.enter(|| sys::post(rig.send, Message { tag: Tag::new(1, 1), words: [4; 8] }).unwrap());
    assert_eq!(rig.told.recv().unwrap(), "post 3 4");
    assert_eq!(rig.told.recv_timeout(std::time::Duration::from_secs(20)).as_deref(), Ok("alarm"));
    enough.store(true, std::sync::atomic::Ordering::Relaxed);
    flood.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_service_that_stops_answers_its_last_call_and_ends() {
    let rig = rig();
    rig.client.enter(|| assert_eq!(StopClient::new(Queue::new(rig.send)).stop(), Ok(())));
    assert_eq!(rig.server.join().unwrap(), Ok(()));
}

#[test]
fn a_service_ends_when_its_queue_is_gone_for_good() {
    let rig = rig();
    rig.system.close(rig.queue);
    assert_eq!(rig.server.join().unwrap(), Ok(()));
}

#[test]
fn a_stream_writes_all_and_reads_to_the_end_in_whatever_pieces() {
    let rig = rig();
    let text = "one\ntwo is longer than a piece\n\nfour, without line feed";
    rig.client.enter(|| {
        let mut stream = Stream::borrowed(Queue::new(rig.send));
        stream.write_all(text.as_bytes()).unwrap();
        assert_eq!(stream.offset(), text.len() as u64);
        stream.seek(0);
        let mut all = b"before: ".to_vec();
        assert_eq!(stream.read_to_end(&mut all), Ok(text.len()));
        assert_eq!(all, format!("before: {text}").as_bytes());
        stream.seek(4);
        let mut part = [0; 20];
        assert_eq!(stream.read_full(&mut part), Ok(20));
        assert_eq!(part, text.as_bytes()[4..24]);
        stream.seek(0);
        let lines: Vec<String> = stream.lines().map(Result::unwrap).collect();
        assert_eq!(lines, text.split('\n').collect::<Vec<_>>());
    });
}

#[test]
fn an_error_of_the_stream_ends_reading_and_writing() {
    let rig = rig();
    rig.client.enter(|| {
        let mut stream = Stream::borrowed_from(Queue::new(rig.send), 1000);
        assert_eq!(stream.write_all(b"x"), Err(FsError::BadArgument));
        let lines: Vec<_> = Stream::borrowed(Queue::new(Handle::NONE)).lines().collect();
        assert_eq!(lines, [Err(FsError::Sys(SysError::BadHandle))]);
    });
}

#[test]
fn a_call_gives_up_at_its_deadline() {
    let system = System::new();
    let client = system.process("client");
    let send = client.grant(system.queue(0), Rights::SEND, 0);
    client.enter(|| {
        let stop = StopClient::new(Queue::new(send)).until(Some(sys::clock() + 1_000_000));
        assert_eq!(stop.stop(), Err(FsError::Sys(SysError::TimedOut)));
    });
}
