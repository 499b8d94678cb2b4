//! Servers that die at chosen points of their work, and what their successors and callers find.

use super::*;
use crate::killpoint::{KILLED, KillPoints};
use abi::ProcessState;

struct Scene {
    w: World,
    queue: Handle,
    server: Actor,
    receive: Handle,
    client: Actor,
}

/// A server called `fs` that dies as `word` says, and a client that has called it.
fn scene(word: &str) -> Scene {
    let mut w = World::new();
    let (queue, server, client) = (w.queue(4), w.actor(60), w.actor(60));
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    let send = w.grant(client, queue, Rights::SEND, 7);
    w.k.processes[server.process].name[..3].copy_from_slice(b"fs\0");
    w.k.processes[server.process].name[3..].fill(0);
    w.begin(client, sys(Sysno::Call).on(send).words(&[5]));
    w.switch_to(server.thread);
    w.k.kill_points = KillPoints::parse(word).expect("it is well formed");
    (w.k.watched, w.k.handoff_allowed) = (true, Allowed::Nothing);
    Scene { w, queue, server, receive, client }
}

impl Scene {
    /// The server is dead, and all that it had is in order.
    fn assert_dead(&mut self) {
        self.w.switch_to(self.w.init.thread);
        let process = &self.w.k.processes[self.server.process];
        assert_eq!((process.state, process.exit), (ProcessState::Exited, KILLED));
        self.w.audit();
    }
}

#[test]
fn at_an_entry_nothing_is_done_any_more() {
    let mut s = scene("kill=fs@entry:1");
    s.w.begin(s.server, sys(Sysno::Recv).on(s.receive));
    s.assert_dead();
    let found = s.w.receive(s.w.init, s.queue);
    assert_eq!((found.words[0], found.tag.attempt()), (5, 0), "it has never been received");
}

#[test]
fn at_an_exception_its_fault_is_nobody_s_business_any_more() {
    let mut s = scene("kill=fs@entry:2");
    s.w.receive(s.server, s.receive);
    s.w.fault(s.server, 14, 4, 0xdead_b000);
    s.assert_dead();
    assert_eq!(s.w.receive(s.w.init, s.queue).tag.attempt(), 1);
}

#[test]
fn at_a_message_the_call_has_been_received() {
    let mut s = scene("kill=fs@message:1");
    s.w.begin(s.server, sys(Sysno::Recv).on(s.receive));
    s.assert_dead();
    let found = s.w.receive(s.w.init, s.queue);
    assert_eq!((found.words[0], found.tag.attempt()), (5, 1));
}

#[test]
fn before_a_reply_the_caller_still_waits() {
    let mut s = scene("kill=fs@before-reply:1");
    let id = s.w.receive(s.server, s.receive).id;
    s.w.begin(s.server, sys(Sysno::Reply).token(id).words(&[6]));
    s.assert_dead();
    assert!(s.w.waits(s.client));
    assert_eq!(s.w.receive(s.w.init, s.queue).id, id);
}

#[test]
fn after_a_reply_the_caller_has_it() {
    for number in [Sysno::Reply, Sysno::ReplyRecv] {
        let mut s = scene("kill=fs@after-reply:1");
        let id = s.w.receive(s.server, s.receive).id;
        s.w.begin(s.server, sys(number).on(s.receive).token(id).words(&[6]));
        s.assert_dead();
        assert_eq!(s.w.result(s.client).expect("it is answered")[0], 6);
    }
}

#[test]
fn a_thread_that_hangs_goes_no_further_and_can_be_killed() {
    let mut s = scene("hang=fs@entry:2");
    let id = s.w.receive(s.server, s.receive).id;
    s.w.begin(s.server, sys(Sysno::Reply).token(id));
    s.w.pass(10 * SECOND);
    assert!(s.w.waits(s.server) && s.w.waits(s.client));
    assert_eq!(s.w.k.processes[s.server.process].state, ProcessState::Running);
    s.w.make(s.w.init, sys(Sysno::ProcessKill).on(s.server.handle)).expect("it is there");
    s.w.audit();
    assert_eq!(s.w.receive(s.w.init, s.queue).id, id);
}

#[test]
fn an_answer_to_nobody_is_no_point() {
    let mut s = scene("kill=fs@before-reply:1");
    s.w.make(s.server, sys(Sysno::Reply).token(12345)).expect_err("there is no such call");
    assert_eq!(s.w.k.processes[s.server.process].state, ProcessState::Running);
}

#[test]
fn a_word_that_is_not_understood_stops_the_boot() {
    let boot = |cmdline: &str| BootInfo {
        free: Default::default(),
        ram: Default::default(),
        archive: PhysRange::default(),
        cmdline: cmdline.try_into().expect("it fits"),
        rsdp: 0,
        tsc_hz: SECOND,
        entry_tsc: 0,
        kernel_root: PAGE_SIZE,
    };
    let direct = DirectMap::buffer(PAGE_SIZE as usize);
    let refused = |line: &str, direct| {
        Kernel::new(FakeMachine::default(), &boot(line), direct).err().expect("it is refused").to_string()
    };
    assert_eq!(refused("kill=fs@reply:1", direct), "`kill=fs@reply:1` on the command line is not understood");
    let direct = DirectMap::buffer(PAGE_SIZE as usize);
    assert_eq!(refused("redelivery=on", direct), "`redelivery=on` on the command line is not understood");
}

#[test]
fn the_totals_are_told_when_the_first_program_opens_ports() {
    let mut s = scene("count=1");
    let id = s.w.receive(s.server, s.receive).id;
    s.w.make(s.server, sys(Sysno::Reply).token(id)).expect("it is answered");
    s.w.switch_to(s.w.init.thread);
    let words = [0x604, 2];
    let create = sys(Sysno::PortsCreate).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(&words);
    let ports = s.w.get(s.w.init, create);
    assert!(s.w.k.machine.log.is_empty());
    s.w.make(s.w.init, sys(Sysno::PortsOpen).on(layout::INIT_SELF).with(ports)).expect("they are free");
    let log = String::from_utf8_lossy(&s.w.k.machine.log).into_owned();
    assert!(
        log.lines().any(|line| line.starts_with("kernel: points of fs: ") && line.ends_with(" 1 1 kills 0")),
        "{log}"
    );
}
