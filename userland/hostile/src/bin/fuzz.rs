//! `fuzz SEED COUNT`: random system calls, and earlier ones with something changed, by several processes of several
//! threads at once. Each process compares every outcome with a model of its capability table.
//!
//! 1. A call that may change the table is made while the thread has the model, so the model is never behind.
//! 2. Calls that change no table are also made beside those, and may wait; they are judged where nothing has changed
//!    meanwhile.
//! 3. The same seed throws the same dice. On a machine that counts instructions (`--icount`) it makes the same calls.
//!
//! What a call may do to the program itself is kept out: it does not end itself, does not map or unmap in its own address
//! space, and starts no thread with a good message page. Every wait has a deadline that has passed.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hostile::check::{same, works};
use hostile::model::Model;
use hostile::operations::OPERATIONS;
use hostile::{Verdict, given, raw};
use libipc::abi::{CallFlags, PAGE_SIZE, ProcessState, Sysno, layout};
use libipc::dir::Namespace;
use libipc::lock::Lock;
use libipc::spawn::{Child, Command, Image};
use libipc::sys::ThreadStart;
use libipc::{Account, Handle, Kind, Rights, Startup, SysError, sys};

libipc::entry!(main);

/// Processes that make calls.
const WORKERS: u64 = 3;
/// Threads of each.
const THREADS: u64 = 3;
/// Pages of the stack of a further thread.
const STACK: u64 = 8;
/// Pages of each process.
const QUOTA: u64 = 256;
/// The longest that a call beside the others waits, nanoseconds.
const LONGEST: u64 = 100_000;
/// Capabilities that a worker has at most.
const MOST: usize = 64;
/// Calls between two comparisons of the whole table.
const SWEEP: u64 = 256;
/// Calls that are shown when something is wrong.
const SHOWN: usize = 12;

fn main(startup: Startup<'static>) -> i32 {
    let number = |at| startup.arg(at).and_then(|text| text.parse::<u64>().ok());
    let (Some(seed), Some(count)) = (number(1), number(2)) else {
        libipc::println!("usage: fuzz SEED COUNT");
        return 2;
    };
    let outcome = match number(3) {
        Some(worker) => work(&startup, seed, worker, count),
        None => direct(&startup, seed, count),
    };
    match outcome {
        Ok(()) => 0,
        Err(why) => {
            libipc::println!("fuzz: {why}");
            if number(3).is_none() {
                libipc::println!("fuzz: to repeat it: fuzz {seed} {count}");
            }
            1
        }
    }
}

/// Starts the workers and waits for them.
fn direct(startup: &Startup<'static>, seed: u64, count: u64) -> Verdict {
    libipc::println!("fuzz: seed {seed}, {count} calls");
    let began = sys::clock();
    let account = works("account", startup.account())?;
    let files = works("directories", Namespace::of(startup))?;
    let mut file = works("its file", files.open("/bin/fuzz"))?;
    let image = works("its file", Image::read(&mut file, account))?;
    let before = works("status", account.status())?.used;
    let mut workers = Vec::new();
    for worker in 1..=WORKERS {
        let mut command = Command::new("fuzz");
        let texts = [format!("{seed}"), format!("{}", count.div_ceil(WORKERS)), format!("{worker}")];
        command.args(texts.iter().map(String::as_str)).memory(QUOTA).stack(16);
        if let Some(out) = startup.handle("stdout") {
            command.grant("stdout", out, Rights::SEND);
        }
        let child = works("start", command.spawn(&image, account))?;
        (1..THREADS).try_for_each(|n| start_thread(&child, account, n))?;
        workers.push(child);
    }
    for worker in workers {
        let status = works("wait", worker.wait())?;
        if (status.state, status.exit) != (ProcessState::Exited as u64, 0) {
            return Err(format!("a worker's end is {status:?}"));
        }
    }
    let after = works("status", account.status())?.used;
    same("pages that the workers have left behind", after.saturating_sub(before) / 2, 0)?;
    let (made, took) = (count.div_ceil(WORKERS) * WORKERS, sys::clock() - began);
    libipc::println!("fuzz: {made} calls in {} us, all as the model says", took / 1000);
    Ok(())
}

/// Starts a further thread of a worker, in the n-th area: programs cannot do that to themselves.
fn start_thread(child: &Child, account: Account, n: u64) -> Verdict {
    let page = child.places().thread_area(n);
    let end = page + layout::THREAD_AREA;
    let stack = works("a stack", account.create_memory(STACK))?;
    let rights = Rights::READ | Rights::WRITE;
    works("map it", child.process().map(stack.memory(), end - STACK * PAGE_SIZE, 0, STACK, rights))?;
    // As after a call: the stack is aligned to 16 bytes but for a return address.
    let entry = thread as extern "C" fn(u64) -> ! as usize as u64;
    let entry = works("its address", child.process().address_of(entry))?;
    let start = ThreadStart { entry, stack: end - 8, page, argument: n, priority: given::PRIORITY };
    works("a thread", child.process().start(start)).map(drop)
}

/// What the threads of a worker share; none before the first has begun.
static WORKER: Lock<Option<Worker>> = Lock::new(None);

/// A further thread of a worker.
extern "C" fn thread(number: u64) -> ! {
    while WORKER.lock().is_none() {
        sys::yield_now();
    }
    while turn(number) {}
    if let Some(worker) = WORKER.lock().as_mut() {
        worker.running -= 1;
    }
    sys::thread_exit()
}

/// Random numbers: xorshift64*.
struct Dice(u64);

impl Dice {
    fn new(seed: u64, worker: u64) -> Dice {
        Dice((seed ^ worker << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 16) % end.max(1)
    }
    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
    /// A number that programs use, or none.
    fn word(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => self.below(8),
            2 => self.roll() & 0xffff,
            3 => self.below(64) << 12 | 0x2000_0000_0000,
            4 => self.roll(),
            5 => self.pick(&[u64::MAX, 1 << 47, (1 << 47) - 4096, 0xffff_8000_0000_0000, 4095, 1 << 32]),
            _ => self.below(32),
        }
    }
}

/// One call.
#[derive(Clone, Copy, Debug)]
struct Step {
    number: Sysno,
    flags: u8,
    first: Handle,
    second: u64,
    token: u64,
    words: [u64; 8],
}

struct Worker {
    /// One for each thread.
    dice: [Dice; THREADS as usize],
    /// Whose turn it is.
    thread: usize,
    account: Account,
    model: Model,
    /// Changes of the model so far.
    changes: u64,
    last: Vec<(Step, u64)>,
    /// Calls to be made, and made.
    count: u64,
    made: u64,
    /// Further threads that have not ended.
    running: u64,
    failure: Option<String>,
}

fn work(startup: &Startup<'static>, seed: u64, worker: u64, count: u64) -> Verdict {
    let mut me = Worker {
        dice: core::array::from_fn(|n| Dice::new(seed, worker * THREADS + n as u64)),
        thread: 0,
        account: works("account", startup.account())?,
        model: Model::default(),
        changes: 0,
        last: Vec::with_capacity(SHOWN + 1),
        count,
        made: 0,
        running: THREADS - 1,
        failure: None,
    };
    for (_, handle) in startup.handles() {
        let found = works("inspect", sys::inspect(handle))?;
        me.model.start_with(handle, found.kind, found.rights);
    }
    *WORKER.lock() = Some(me);
    while turn(0) {}
    while WORKER.lock().as_ref().is_some_and(|worker| worker.running > 0) {
        sys::yield_now();
    }
    let mut guard = WORKER.lock();
    let me = guard.as_mut().ok_or("no worker")?;
    let verdict = me.failure.take().map_or_else(|| me.sweep(), Err);
    verdict.map_err(|why| format!("worker {worker}, call {}: {why}\nthe last calls: {:?}", me.made, me.last))
}

/// A thread's turn: a call, with the model or beside the others. `false`: there are no more.
fn turn(number: u64) -> bool {
    let mut guard = WORKER.lock();
    let Some(worker) = guard.as_mut().filter(|worker| worker.made < worker.count && worker.failure.is_none()) else {
        return false;
    };
    worker.thread = number as usize;
    worker.made += 1;
    let pauses = worker.dice().below(4) == 0;
    let verdict = if worker.dice().below(4) > 0 {
        worker.step().and_then(|()| if worker.made % SWEEP == 0 { worker.sweep() } else { Ok(()) })
    } else {
        let (step, changes) = (worker.choose_harmless(), worker.changes);
        let deadline = sys::clock() + worker.dice().below(LONGEST);
        drop(guard);
        let (outcome, _) = step.make(deadline);
        guard = WORKER.lock();
        let Some(worker) = guard.as_mut() else { return false };
        worker.note(step, outcome);
        if worker.changes == changes { worker.judge(&step, SysError::check(outcome)) } else { Ok(()) }
    };
    if let (Err(why), Some(worker)) = (verdict, guard.as_mut()) {
        worker.failure.get_or_insert(format!("thread {number}: {why}"));
    }
    drop(guard);
    if pauses {
        sys::yield_now();
    }
    true
}

impl Step {
    /// Makes the call: `rax` and word 0 of what it returns.
    fn make(&self, deadline: u64) -> (u64, u64) {
        raw::set_deadline(deadline);
        let rax = self.number as u64 | u64::from(self.flags) << 8;
        let frame = raw::call(rax, self.first.raw(), self.second, self.token, self.words);
        (frame.rax, frame.words[0])
    }
}

impl Worker {
    fn dice(&mut self) -> &mut Dice {
        &mut self.dice[self.thread]
    }

    fn step(&mut self) -> Verdict {
        let mut step = self.choose();
        self.tame(&mut step);
        let (rax, made) = step.make(0);
        self.note(step, rax);
        let outcome = SysError::check(rax);
        self.judge(&step, outcome)?;
        if outcome.is_ok() {
            self.follow(&step, Handle::from_raw(made));
        }
        Ok(())
    }

    fn note(&mut self, step: Step, rax: u64) {
        if self.last.len() == SHOWN {
            self.last.remove(0);
        }
        self.last.push((step, rax));
    }

    /// A call that changes no capability, and may wait.
    fn choose_harmless(&mut self) -> Step {
        const HARMLESS: [Sysno; 9] = [
            Sysno::Inspect,
            Sysno::EventSignal,
            Sysno::EventWait,
            Sysno::Recv,
            Sysno::Call,
            Sysno::Post,
            Sysno::AccountStatus,
            Sysno::ProcessStatus,
            Sysno::MemoryAddress,
        ];
        let number = self.dice().pick(&HARMLESS);
        let kind = OPERATIONS.iter().find(|operation| operation.number == number).map(|operation| operation.kind);
        let first = match kind {
            Some(kind) if self.dice().below(8) > 0 => self.fitting(kind),
            _ => self.handle(),
        };
        let own = self.model.get(first).is_some_and(|cap| cap.fixed);
        // Its own streams are for what it has to say.
        let number = if own { Sysno::Inspect } else { number };
        let words = core::array::from_fn(|_| self.dice().word());
        let (second, token) = (self.dice().below(4), self.dice().word());
        Step { number, flags: CallFlags::DEADLINE.bits(), first, second, token, words }
    }

    fn handle(&mut self) -> Handle {
        let count = self.model.caps().len() as u64;
        match self.dice().below(16) {
            0 => Handle::from_raw(self.dice().roll()),
            1 => Handle::new(self.dice().below(256) as u32, self.dice().below(4) as u32),
            // Any that there is or was: the dead are stale handles.
            _ => {
                let at = self.dice().below(count) as usize;
                self.model.caps()[at].handle
            }
        }
    }

    /// A living capability of this kind, where there is one.
    fn fitting(&mut self, kind: Kind) -> Handle {
        let found: Vec<Handle> =
            self.model.caps().iter().filter(|cap| cap.alive && cap.kind == kind).map(|cap| cap.handle).collect();
        if found.is_empty() { self.handle() } else { self.dice().pick(&found) }
    }

    /// A new call, or one of the last with something changed.
    fn choose(&mut self) -> Step {
        if !self.last.is_empty() && self.dice().below(8) == 0 {
            return self.change();
        }
        let number = match self.dice().below(4) {
            0 => self.dice().pick(&[Sysno::Duplicate, Sysno::Close, Sysno::Revoke, Sysno::Inspect]),
            1 => self.dice().pick(&[
                Sysno::AccountCreate,
                Sysno::ProcessCreate,
                Sysno::MemoryCreate,
                Sysno::QueueCreate,
                Sysno::EventCreate,
                Sysno::AccountDestroy,
                Sysno::Duplicate,
            ]),
            _ => self.dice().pick(Sysno::ALL),
        };
        let operation = OPERATIONS.iter().find(|operation| operation.number == number);
        let good = self.dice().below(4) > 0;
        let first = match operation {
            Some(operation) if good => self.fitting(operation.kind),
            _ => self.handle(),
        };
        let second = match operation.and_then(|operation| operation.second) {
            Some(kind) if good => self.fitting(kind).raw(),
            _ if self.dice().below(2) == 0 => self.handle().raw(),
            _ => self.dice().word(),
        };
        let words = core::array::from_fn(|_| self.dice().word());
        Step { number, flags: CallFlags::DEADLINE.bits(), first, second, token: self.dice().word(), words }
    }

    fn change(&mut self) -> Step {
        let count = self.last.len() as u64;
        let at = self.dice().below(count) as usize;
        let (mut step, _) = self.last[at];
        match self.dice().below(5) {
            0 => step.first = self.handle(),
            1 => step.second = self.handle().raw(),
            2 => step.token = self.dice().word(),
            3 => step.words[self.dice().below(8) as usize] = self.dice().word(),
            _ => step.words[self.dice().below(8) as usize] ^= 1 << self.dice().below(64),
        }
        step
    }

    /// Keeps out what would end the program, and what would fill it.
    fn tame(&mut self, step: &mut Step) {
        let account = self.account;
        let harmful = match step.number {
            Sysno::Exit | Sysno::ThreadExit => true,
            // Its own mappings, its streams; by whichever capability.
            Sysno::MemoryMap | Sysno::MemoryUnmap | Sysno::Call | Sysno::Post => self.model.is_given(step.first),
            Sysno::Close => self.model.get(step.first).is_some_and(|cap| cap.fixed),
            // An account whose last capability is closed is not to be had back.
            _ => false,
        };
        if harmful {
            step.number = Sysno::Clock;
        }
        let cap = self.model.get(step.first).copied();
        match step.number {
            Sysno::Close if cap.is_some_and(|cap| cap.kind == Kind::Account && cap.parent.is_none()) => {
                step.number = Sysno::AccountDestroy;
            }
            Sysno::ThreadCreate => step.words[2] |= 1,
            Sysno::AccountCreate => step.words[0] = self.dice().below(24),
            // What outlives its capabilities is paid for by an account that can be destroyed.
            Sysno::ProcessCreate | Sysno::MemoryCreate if step.first == account.handle() => {
                step.number = Sysno::EventCreate;
            }
            _ => {}
        }
        let makes = matches!(
            step.number,
            Sysno::Duplicate
                | Sysno::AccountCreate
                | Sysno::ProcessCreate
                | Sysno::MemoryCreate
                | Sysno::QueueCreate
                | Sysno::EventCreate
        );
        if makes && self.model.living() >= MOST {
            self.make_room(step);
        }
    }

    fn make_room(&mut self, step: &mut Step) {
        let loose: Vec<_> = self.model.caps().iter().filter(|cap| cap.alive && !cap.fixed).copied().collect();
        let cap = self.dice().pick(&loose);
        let is_root_account = cap.kind == Kind::Account && cap.parent.is_none();
        step.number = if is_root_account { Sysno::AccountDestroy } else { Sysno::Close };
        step.first = cap.handle;
    }

    /// Whether the kernel may have said this.
    fn judge(&self, step: &Step, outcome: Result<(), SysError>) -> Verdict {
        let Some(expected) = self.expected(step) else { return Ok(()) };
        match expected {
            Some(error) => same("the refusal", outcome, Err(error)),
            None => {
                let refused = [SysError::BadHandle, SysError::WrongKind, SysError::MissingRights];
                match outcome {
                    Err(error) if refused.contains(&error) => {
                        Err(format!("refused with {error:?}, and it has what it needs"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// The error that the capabilities alone make certain; `None`: there is no telling.
    fn expected(&self, step: &Step) -> Option<Option<SysError>> {
        let first = self.model.get(step.first);
        if matches!(step.number, Sysno::Close | Sysno::Revoke | Sysno::Inspect) {
            return Some(first.is_none().then_some(SysError::BadHandle));
        }
        if step.number == Sysno::Duplicate {
            let Some(cap) = first else { return Some(Some(SysError::BadHandle)) };
            return Some(match step.words[1] {
                0 => None,
                _ if cap.kind != Kind::Queue => Some(SysError::WrongKind),
                _ if !cap.rights.contains(Rights::MINT) => Some(SysError::MissingRights),
                _ => None,
            });
        }
        let operation = OPERATIONS.iter().find(|operation| operation.number == step.number)?;
        if operation.second.is_some() {
            // Which of two operands is looked at first is not part of the interface.
            return None;
        }
        let error = match first {
            None => Some(SysError::BadHandle),
            Some(cap) if cap.kind != operation.kind => Some(SysError::WrongKind),
            Some(cap) if !cap.rights.contains(operation.right) => Some(SysError::MissingRights),
            Some(_) => None,
        };
        // A process's event is a second handle, so is what pays for a thing of the machine; a message may carry some.
        let more = matches!(
            step.number,
            Sysno::Call | Sysno::ProcessCreate | Sysno::MemoryPhysical | Sysno::IrqCreate | Sysno::PortsCreate
        );
        if error.is_none() && more { None } else { Some(error) }
    }

    /// What a call that was done has changed.
    fn follow(&mut self, step: &Step, made: Handle) {
        self.changes += 1;
        let Some(first) = self.model.caps().iter().position(|cap| cap.alive && cap.handle == step.first) else {
            return;
        };
        let kind = match step.number {
            Sysno::Duplicate => {
                return self.model.derive(made, first, Rights::from_bits_truncate(step.words[0] as u16));
            }
            Sysno::Close => return self.model.close(first),
            Sysno::Revoke => return self.model.revoke(first),
            Sysno::AccountDestroy => return self.model.destroy(first),
            Sysno::ProcessReset => return self.model.reset(first),
            Sysno::AccountCreate => Kind::Account,
            Sysno::ProcessCreate => Kind::Process,
            Sysno::MemoryCreate => Kind::Memory,
            Sysno::QueueCreate => Kind::Queue,
            Sysno::EventCreate => Kind::Event,
            _ => return,
        };
        self.model.make(made, kind, first);
    }

    /// The whole table: every living capability is what the model says, no dead one is there, and there are no others.
    fn sweep(&self) -> Verdict {
        for cap in self.model.caps() {
            match (cap.alive, sys::inspect(cap.handle)) {
                (true, Ok(found)) => same("a capability", (found.kind, found.rights), (cap.kind, cap.rights))?,
                (false, Err(SysError::BadHandle)) => {}
                (_, other) => return Err(format!("{cap:?} is {other:?}")),
            }
        }
        let (mut found, mut from) = (0, 0);
        loop {
            let (handle, next) = works("the next capability", sys::capability_next(from))?;
            if let Some(handle) = handle {
                found += 1;
                same("a capability that the model does not have", self.model.get(handle).is_none(), false)?;
            }
            if next == 0 {
                return same("living capabilities", found, self.model.living());
            }
            from = next;
        }
    }
}
