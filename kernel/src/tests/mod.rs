//! The object logic under test, driven as programs drive it: registers, system calls, message pages, time.
//!
//! [`World`] is a booted kernel on a fake machine; an [`Actor`] is a process with a thread in it; [`audit`] checks the
//! invariants that the modules promise, by walking everything that there is.

mod account;
mod audit;
mod cap;
mod elf;
mod event;
mod fault;
mod first;
mod fuzz;
mod image;
mod inventory;
mod ipc;
mod irq;
mod killpoint;
mod lease;
mod memory;
mod ordeal;
mod priority;
mod reaper;
mod recovery;
mod region;
mod schedule;
mod syscall;
mod trace;
mod wheel;

use crate::fake::FakeMachine;
use crate::handoff::{Allowed, Handover};
use crate::kernel::Kernel;
use crate::machine::{BootInfo, Entered, Exception, IrqLine, PhysRange, Resume};
use crate::mm::{DirectMap, Frame, Mm, Ref};
use crate::process::Process;
use crate::thread::{NEVER, Thread, Wait};
use abi::{
    CallFlags, CapDescriptor, Handle, LeaseAccess, LeaseDescriptor, MessagePage, PAGE_SIZE, Registers, Rights,
    SysError, Sysno, Tag, layout,
};
use std::cell::Cell;
use std::mem::offset_of;

/// Where the `syscall` instruction of every program is.
const SITE: u64 = 0x40_1000;
/// The numbers of the short calls: the first, and the first behind them.
const SHORT: (u64, u64) = (Sysno::Clock as u64 + 1, Sysno::Call as u64);
/// Where threads start.
const ENTRY: u64 = 0x40_0200;
/// The priority of every actor that is not given another one.
const PRIORITY: u8 = 10;
/// Frames of the largest memory.
const MOST_FRAMES: u64 = 16 * 1024;
/// Frames of an ordinary world's memory: 4 MiB.
const FRAMES: u64 = 1024;
/// Nanoseconds, which are also the fake machine's ticks.
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

thread_local! {
    /// One memory for all worlds of a test, one after another: so each finds the dirt of the last.
    static MEMORY: DirectMap = DirectMap::buffer((MOST_FRAMES * PAGE_SIZE) as usize);
    static IN_USE: Cell<bool> = const { Cell::new(false) };
}

/// A system call as a program makes it.
#[derive(Clone, Copy, Debug)]
struct Call {
    number: u64,
    flags: CallFlags,
    rdi: u64,
    rsi: u64,
    r15: u64,
    words: [u64; 8],
}

fn sys(number: Sysno) -> Call {
    Call { number: number as u64, flags: CallFlags::empty(), rdi: 0, rsi: 0, r15: 0, words: [0; 8] }
}

impl Call {
    fn on(self, handle: Handle) -> Call {
        Call { rdi: handle.raw(), ..self }
    }
    fn with(self, handle: Handle) -> Call {
        Call { rsi: handle.raw(), ..self }
    }
    fn tag(self, tag: Tag) -> Call {
        Call { rsi: tag.raw(), ..self }
    }
    fn token(self, id: u64) -> Call {
        Call { r15: id, ..self }
    }
    fn flags(self, flags: CallFlags) -> Call {
        Call { flags: self.flags | flags, ..self }
    }
    fn words(self, words: &[u64]) -> Call {
        let mut all = [0; 8];
        all[..words.len()].copy_from_slice(words);
        Call { words: all, ..self }
    }
}

/// A process with one thread, and what init holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Actor {
    process: Ref<Process>,
    thread: Ref<Thread>,
    /// Init's capability to the process.
    handle: Handle,
    /// Init's capability to its account.
    account: Handle,
    /// Init's capability to the thread.
    control: Handle,
}

/// What a receiver finds in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Received {
    badge: u64,
    tag: Tag,
    id: u64,
    words: [u64; 8],
}

struct World {
    k: Kernel<FakeMachine>,
    /// The first program, at the actors' priority.
    init: Actor,
    /// Number of the next message page.
    areas: u64,
    shared: bool,
    way: Way,
}

/// Which path calls and replies take, where both could serve them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Whichever the kernel chooses.
    Any,
    /// The handoff wherever its other conditions hold.
    Handoff,
    /// The general path.
    General,
}

/// Handoffs and short calls wherever they serve, or the general path alone: the outcome is the same.
fn a_way() -> impl proptest::strategy::Strategy<Value = Way> {
    proptest::sample::select(vec![Way::Handoff, Way::General])
}

/// Runs a test over both paths.
fn both_ways(test: impl Fn(&mut World)) {
    for way in [Way::Any, Way::Handoff, Way::General] {
        let mut w = World::new();
        w.way = way;
        test(&mut w);
        w.audit();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.shared {
            IN_USE.set(false);
        }
    }
}

/// A thread of a fresh world may use the shared memory; a second world beside it gets its own.
fn memory() -> (DirectMap, bool) {
    if IN_USE.replace(true) {
        (DirectMap::buffer((MOST_FRAMES * PAGE_SIZE) as usize), false)
    } else {
        (MEMORY.with(|m| *m), true)
    }
}

/// Boots a kernel with this archive on `frames` frames of memory.
fn boot(direct: DirectMap, archive: &[u8], frames: u64) -> Result<Kernel<FakeMachine>, crate::boot::BootError> {
    let range = PhysRange { start: 2 * PAGE_SIZE, end: 2 * PAGE_SIZE + archive.len() as u64 };
    let free = PhysRange { start: range.end.next_multiple_of(PAGE_SIZE), end: frames * PAGE_SIZE };
    // For a moment another owner of the same memory, to put the archive there; the kernel starts when it is gone.
    {
        let mut mm = Mm::new(direct, &[free], range).expect("there is room for the frame table");
        for (n, page) in archive.chunks(PAGE_SIZE as usize).enumerate() {
            mm.bytes_mut(Frame(2 + n as u32))[..page.len()].copy_from_slice(page);
        }
    }
    let boot = BootInfo {
        free: [free].into_iter().collect(),
        ram: [PhysRange { start: 0, end: frames * PAGE_SIZE }].into_iter().collect(),
        archive: range,
        cmdline: "quiet".try_into().expect("it fits"),
        rsdp: 0,
        tsc_hz: SECOND,
        entry_tsc: 0,
        kernel_root: PAGE_SIZE,
    };
    Kernel::new(FakeMachine::default(), &boot, direct)
}

impl World {
    fn new() -> World {
        World::of(FRAMES)
    }

    /// A world with this many frames of memory.
    fn of(frames: u64) -> World {
        let (direct, shared) = memory();
        let k = boot(direct, &elf::archive(&elf::Elf::small().bytes()), frames).expect("init starts");
        let mut w = World::around(k, shared);
        let resume = w.k.start();
        w.settle(resume);
        let thread = w.k.current.expect("init runs");
        w.init.thread = thread;
        w.raise(w.init, PRIORITY);
        w.init.process = w.k.threads[thread].process;
        w
    }

    fn around(k: Kernel<FakeMachine>, shared: bool) -> World {
        let nobody = Actor {
            process: Ref::NOWHERE,
            thread: Ref::NOWHERE,
            handle: layout::INIT_SELF,
            account: layout::INIT_ACCOUNT,
            control: Handle::NONE,
        };
        World { k, init: nobody, areas: 1, shared, way: Way::Any }
    }

    /// Lets the kernel work, and threads repeat interrupted calls, until a program runs or all wait.
    fn settle(&mut self, mut resume: Resume) {
        for _ in 0..1_000_000 {
            resume = match resume {
                Resume::Again => self.k.start(),
                Resume::Idle => return assert!(self.k.current.is_none()),
                Resume::Thread(context) => {
                    let current = self.k.current.expect("a thread runs");
                    assert!(std::ptr::eq(context, &self.k.threads[current].context));
                    let context = &mut self.k.threads[current].context;
                    if context.registers.rip != SITE {
                        return;
                    }
                    context.registers.rip += 2;
                    self.enter()
                }
            };
        }
        panic!("the kernel never comes to rest");
    }

    /// The running thread makes a system call.
    fn make_current(&mut self, call: Call) {
        let current = self.k.current.expect("a thread runs");
        let thread = &mut self.k.threads[current];
        thread.context.entered = Entered::Syscall;
        thread.set_words(call.words);
        let r = &mut thread.context.registers;
        (r.rax, r.rdi, r.rsi, r.r15) = (call.number | u64::from(call.flags.bits()) << 8, call.rdi, call.rsi, call.r15);
        r.rip = SITE + 2;
        let resume = self.enter();
        self.settle(resume);
    }

    /// The running thread enters the kernel by a system call, as the entry code has it.
    fn enter(&mut self) -> Resume {
        let current = self.k.current.expect("a thread runs");
        if self.way == Way::General {
            self.k.handoff_allowed = Allowed::Nothing;
        }
        if self.way == Way::Handoff {
            if self.k.slice.sweep == NEVER {
                self.k.slice.sweep = self.k.machine.now + SECOND;
            }
            self.k.arm();
        }
        let allowed = self.k.handoff_allowed != Allowed::Nothing;
        assert!(!allowed || !self.k.reaper.has_jobs() && !self.k.ports_open);
        let r = self.k.threads[current].context.registers;
        let short = Sysno::try_from(r.rax).ok().filter(|number| (SHORT.0..SHORT.1).contains(&(*number as u64)));
        if let Some(number) = short.filter(|_| self.way != Way::General) {
            return self.enter_short(current, number);
        }
        let timed = r.rax >> 8 == u64::from(CallFlags::DEADLINE.bits());
        let handover = match Sysno::try_from(r.rax & 0xff) {
            _ if self.way == Way::General => None,
            Ok(Sysno::Call) if timed => self.k.hand_full_call::<true, true>().map(|to| (to, current)),
            Ok(Sysno::ReplyRecv) if timed => self.k.hand_full_reply::<true, true>().map(|to| (to, current)),
            _ if r.rax > 0xff => None,
            Ok(Sysno::Call) => {
                let words = self.k.hand_call::<false, true>(NEVER);
                words.or_else(|| self.k.hand_full_call::<false, true>()).map(|to| (to, current))
            }
            Ok(Sysno::ReplyRecv) => {
                let words = self.k.hand_reply::<false, true>(NEVER);
                words.or_else(|| self.k.hand_full_reply::<false, true>()).map(|to| (to, current))
            }
            Ok(Sysno::ForwardRecv) => self.k.hand_forward::<true>(),
            _ => None,
        };
        match handover {
            Some((handover, sender)) => self.deliver(sender, handover),
            None => match self.k.syscall_at_once() {
                Some(context) => Resume::Thread(context),
                None => self.k.syscall(),
            },
        }
    }

    /// A short call: what it is not to read is hidden from it, and what it is not to write must be as it was.
    fn enter_short(&mut self, current: Ref<Thread>, number: Sysno) -> Resume {
        let before = self.k.threads[current].context.registers;
        let hide = |r: &mut Registers, from: &Registers| {
            (r.rbp, r.rsp) = (from.rbp, from.rsp);
            if number != Sysno::Post {
                (r.rbx, r.r12, r.r13, r.r14) = (from.rbx, from.r12, from.r13, from.r14);
            }
        };
        hide(&mut self.k.threads[current].context.registers, &Registers::default());
        let served = self.k.short(number);
        if !served || number != Sysno::Recv {
            hide(&mut self.k.threads[current].context.registers, &before);
        }
        let after = &mut self.k.threads[current].context.registers;
        (after.rbp, after.rsp) = (before.rbp, before.rsp);
        if !served {
            assert_eq!(*after, before, "{number:?} has not served and changed registers");
            return self.k.syscall();
        }
        if number != Sysno::Recv {
            assert_eq!(*after, Registers { rax: 0, rdx: after.rdx, ..before }, "{number:?}");
        }
        assert_eq!(self.k.current, Some(current));
        Resume::Thread(&self.k.threads[current].context)
    }

    /// What the way out of the kernel does for a handoff.
    fn deliver(&mut self, sender: Ref<Thread>, handover: Handover) -> Resume {
        let Handover(to) = handover;
        assert_eq!((self.k.current, self.k.threads[to].context.entered), (Some(to), Entered::Syscall));
        let from = &self.k.threads[sender];
        let (words, tag, call) = (from.words(), from.tag(), from.is_calling().then_some((from.badge, from.call)));
        let receiver = &mut self.k.threads[to];
        receiver.set_words(words);
        let registers = &mut receiver.context.registers;
        (registers.rax, registers.rsi) = (0, tag.raw());
        if let Some((badge, id)) = call {
            (registers.rdi, registers.r15) = (badge, id);
        }
        Resume::Thread(&receiver.context)
    }

    /// The running threads yield until `thread` runs; what they had in their registers they find there again.
    fn switch_to(&mut self, thread: Ref<Thread>) {
        for _ in 0..5_000 {
            match self.k.current {
                Some(current) if current == thread => return,
                Some(current) if self.k.ready.top() > self.k.threads[current].priority + 1 => self.reschedule(),
                Some(current) => {
                    let context = self.k.threads[current].context;
                    self.make_current(sys(Sysno::Yield));
                    self.k.threads[current].context = context;
                }
                None => break,
            }
        }
        panic!("{thread:?} does not get to run: it waits for {:?}", self.k.threads[thread].wait);
    }

    /// `actor` makes a system call, which may wait.
    fn begin(&mut self, actor: Actor, call: Call) {
        self.switch_to(actor.thread);
        self.make_current(call);
    }

    /// `actor` makes a system call that returns.
    fn make(&mut self, actor: Actor, call: Call) -> Result<[u64; 8], SysError> {
        self.begin(actor, call);
        self.finish(actor)
    }

    /// What the system call of `actor` returns, which the kernel may have it make again.
    fn finish(&mut self, actor: Actor) -> Result<[u64; 8], SysError> {
        if self.k.threads[actor.thread].context.registers.rip == SITE {
            self.switch_to(actor.thread);
        }
        self.result(actor)
    }

    /// The same, and it must succeed: word 0 as a handle.
    fn get(&mut self, actor: Actor, call: Call) -> Handle {
        Handle::from_raw(self.make(actor, call).unwrap_or_else(|e| panic!("{call:?}: {e}"))[0])
    }

    /// What `actor`'s last system call returned.
    fn result(&self, actor: Actor) -> Result<[u64; 8], SysError> {
        let thread = &self.k.threads[actor.thread];
        assert_eq!(thread.wait, Wait::Nothing, "the system call has not returned");
        SysError::check(thread.context.registers.rax).map(|()| thread.words())
    }

    fn waits(&self, actor: Actor) -> bool {
        self.k.threads[actor.thread].wait != Wait::Nothing
    }

    /// What `actor` received.
    fn received(&self, actor: Actor) -> Received {
        let words = self.result(actor).expect("it received something");
        let r = &self.k.threads[actor.thread].context.registers;
        Received { badge: r.rdi, tag: Tag::from_raw(r.rsi), id: r.r15, words }
    }

    /// `actor` receives what is there.
    fn receive(&mut self, actor: Actor, queue: Handle) -> Received {
        self.begin(actor, sys(Sysno::Recv).on(queue));
        self.received(actor)
    }

    /// Time passes, and the timer fires when it was asked to.
    fn pass(&mut self, ns: u64) {
        let end = self.k.machine.now + ns;
        for _ in 0..1_000_000 {
            match self.k.machine.timer {
                Some(at) if at <= end => {
                    self.k.machine.now = self.k.machine.now.max(at);
                    self.k.machine.timer = None;
                    self.interrupted();
                    let resume = self.k.timer();
                    self.settle(resume);
                }
                _ => {
                    self.k.machine.now = end;
                    return;
                }
            }
        }
        panic!("the timer never rests");
    }

    fn interrupted(&mut self) {
        if let Some(current) = self.k.current {
            self.k.threads[current].context.entered = Entered::Interrupt;
        }
    }

    fn interrupt(&mut self, slot: u8) {
        self.interrupted();
        let resume = self.k.irq(IrqLine(slot));
        self.settle(resume);
    }

    /// `actor` raises an exception.
    fn fault(&mut self, actor: Actor, vector: u8, code: u64, address: u64) {
        self.switch_to(actor.thread);
        self.interrupted();
        let resume = self.k.exception(Exception { vector, code, address });
        self.settle(resume);
    }

    /// Gives a thread another priority.
    fn raise(&mut self, actor: Actor, priority: u8) {
        self.k.threads[actor.thread].base = priority;
        self.k.set_priority(actor.thread, priority);
    }

    /// The kernel looks again who runs, as after an interrupt.
    fn reschedule(&mut self) {
        let resume = self.k.start();
        self.settle(resume);
    }

    // Making things, all by init.

    fn account(&mut self, pages: u64) -> Handle {
        self.get(self.init, sys(Sysno::AccountCreate).on(layout::INIT_ACCOUNT).words(&[pages]))
    }

    /// An empty process paid by `account`, whose end signals `event`.
    fn process(&mut self, account: Handle, event: Option<(Handle, u64)>) -> (Handle, Ref<Process>) {
        let (event, bits) = event.unwrap_or((Handle::NONE, 0));
        let words = [bits, PRIORITY.into(), u64::from_le_bytes(*b"actor\0\0\0"), 0];
        let handle = self.get(self.init, sys(Sysno::ProcessCreate).on(account).with(event).words(&words));
        (handle, self.object(self.init, handle))
    }

    /// The object behind a handle.
    fn object<T>(&self, actor: Actor, handle: Handle) -> Ref<T> {
        self.k.object(self.k.lookup(actor.process, handle).expect("a good handle"))
    }

    fn next_area(&mut self) -> u64 {
        self.areas += 1;
        layout::THREAD_AREAS + self.areas * layout::THREAD_AREA
    }

    /// A thread in a process that init controls.
    fn thread_in(&mut self, handle: Handle, account: Handle, priority: u8) -> Actor {
        let area = self.next_area();
        let words = [ENTRY, area + layout::THREAD_AREA, area, 0, priority.into()];
        let control = self.get(self.init, sys(Sysno::ThreadCreate).on(handle).words(&words));
        let (process, thread) = (self.object(self.init, handle), self.object(self.init, control));
        Actor { process, thread, handle, account, control }
    }

    /// A process with an account of `pages` and a thread.
    fn actor(&mut self, pages: u64) -> Actor {
        let account = self.account(pages);
        self.actor_of(account, None)
    }

    fn actor_of(&mut self, account: Handle, event: Option<(Handle, u64)>) -> Actor {
        let (handle, _) = self.process(account, event);
        self.thread_in(handle, account, PRIORITY)
    }

    /// Init grants `actor` a capability.
    fn grant(&mut self, actor: Actor, handle: Handle, rights: Rights, badge: u64) -> Handle {
        let words = [rights.bits().into(), badge];
        self.get(self.init, sys(Sysno::ProcessGrant).on(actor.handle).with(handle).words(&words))
    }

    fn queue(&mut self, ring: u64) -> Handle {
        self.get(self.init, sys(Sysno::QueueCreate).on(layout::INIT_ACCOUNT).words(&[ring]))
    }

    fn event(&mut self) -> Handle {
        self.get(self.init, sys(Sysno::EventCreate).on(layout::INIT_ACCOUNT))
    }

    fn memory(&mut self, pages: u64) -> Handle {
        self.get(self.init, sys(Sysno::MemoryCreate).on(layout::INIT_ACCOUNT).words(&[pages]))
    }

    /// Init maps `memory` whole into `process` at `address`.
    fn map(&mut self, process: Handle, memory: Handle, address: u64, pages: u64, how: Rights) -> Result<(), SysError> {
        let words = [address, 0, pages, how.bits().into()];
        self.make(self.init, sys(Sysno::MemoryMap).on(process).with(memory).words(&words)).map(|_| ())
    }

    // Message pages and memory.

    fn page_of(&self, actor: Actor) -> Frame {
        self.k.threads[actor.thread].message.expect("a thread has a message page")
    }

    fn write_page(&mut self, actor: Actor, at: usize, bytes: &[u8]) {
        let frame = self.page_of(actor);
        self.k.mm.bytes_mut(frame)[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn write_words(&mut self, actor: Actor, at: usize, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.write_page(actor, at, &bytes);
    }

    fn set_payload(&mut self, actor: Actor, payload: &[u8]) {
        self.write_page(actor, 0, payload);
    }

    fn payload(&self, actor: Actor, length: usize) -> Vec<u8> {
        self.k.mm.bytes(self.page_of(actor))[..length].to_vec()
    }

    /// Word `n` of the payload.
    fn payload_word(&self, actor: Actor, n: usize) -> u64 {
        self.k.mm.word(self.page_of(actor), n)
    }

    fn set_caps(&mut self, actor: Actor, caps: &[CapDescriptor]) {
        for (n, cap) in caps.iter().enumerate() {
            let words = [cap.handle.raw(), cap.rights, cap.badge];
            self.write_words(actor, offset_of!(MessagePage, caps) + 24 * n, &words);
        }
    }

    fn received_cap(&self, actor: Actor, n: usize) -> Handle {
        Handle::from_raw(self.payload_word(actor, offset_of!(MessagePage, received) / 8 + n))
    }

    fn set_lease(&mut self, actor: Actor, n: usize, lease: LeaseDescriptor) {
        let last = u64::from(lease.access) | u64::from(lease.index) << 32;
        let words = [lease.start, lease.length, lease.of, last];
        self.write_words(actor, offset_of!(MessagePage, leases) + 32 * n, &words);
    }

    fn set_deadline(&mut self, actor: Actor, at: u64) {
        self.write_words(actor, offset_of!(MessagePage, deadline), &[at]);
    }

    /// Bytes of a program's memory, touched as a program would.
    fn peek(&mut self, process: Ref<Process>, address: u64, length: usize) -> Option<Vec<u8>> {
        (address..address + length as u64).map(|at| self.byte(process, at, None)).collect()
    }

    fn poke(&mut self, process: Ref<Process>, address: u64, bytes: &[u8]) -> Option<()> {
        for (n, byte) in bytes.iter().enumerate() {
            self.byte(process, address + n as u64, Some(*byte))?;
        }
        Some(())
    }

    fn byte(&mut self, process: Ref<Process>, address: u64, write: Option<u8>) -> Option<u8> {
        let space = self.k.processes[process].space?;
        let page = address & !(PAGE_SIZE - 1);
        let physical = match self.k.mm.translate(space, page) {
            Some((physical, writable)) if writable || write.is_none() => physical,
            Some(_) => return None,
            None => self.k.touch(process, page, write.is_some(), false).ok()?,
        };
        let byte = &mut self.k.mm.bytes_mut(Frame::containing(physical))[(address % PAGE_SIZE) as usize];
        *byte = write.unwrap_or(*byte);
        Some(*byte)
    }

    /// Checks every invariant.
    fn audit(&mut self) -> audit::Totals {
        audit::audit(&mut self.k)
    }
}

/// So many cases of a property, or more: `TESSERA_CASES` multiplies them for a long search.
fn cases(count: u32) -> proptest::prelude::ProptestConfig {
    let factor = std::env::var("TESSERA_CASES").ok().and_then(|f| f.parse().ok()).unwrap_or(1);
    proptest::prelude::ProptestConfig { cases: count * factor, failure_persistence: None, ..Default::default() }
}

/// A lease of the sender's own memory.
fn lend(start: u64, length: u64, access: LeaseAccess) -> LeaseDescriptor {
    LeaseDescriptor { start, length, of: 0, access: access.bits(), index: 0 }
}

#[test]
fn the_first_program_runs_with_five_capabilities_and_everything_is_accounted_for() {
    let mut w = World::new();
    let totals = w.audit();
    assert_eq!(totals.capabilities, 5);
    let init = w.init;
    for (handle, kind) in [(1, 2), (2, 1), (3, 9), (4, 4), (5, 4)] {
        let words = w.make(init, sys(Sysno::Inspect).on(Handle::new(handle, 1))).unwrap();
        assert_eq!(words[0], kind);
    }
    assert_eq!(w.make(init, sys(Sysno::Inspect).on(Handle::new(6, 1))), Err(SysError::BadHandle));
}

#[test]
fn a_machine_without_room_or_without_a_first_program_is_refused_with_the_reason() {
    use crate::boot::BootError;
    let direct = DirectMap::buffer(1 << 20);
    assert!(matches!(boot(direct, &[0; 1024], 64), Err(BootError::NoMember("init"))));
    let archive = elf::archive(b"no program at all, but long enough for the header of one, which it does not have");
    assert!(matches!(boot(direct, &archive, 64), Err(BootError::FirstProgram(_))));
    let archive = elf::archive(&elf::Elf::small().bytes());
    for frames in 5..60 {
        match boot(direct, &archive, frames) {
            Ok(_) => return assert!(frames > 10),
            Err(BootError::NoRam | BootError::NoTrace)
            | Err(BootError::FirstProgram(crate::trouble::Trouble::Refuse(SysError::NoMemory))) => {}
            Err(other) => panic!("{frames} frames: {other}"),
        }
    }
    panic!("60 frames are enough");
}
