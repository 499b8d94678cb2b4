//! A system for a test: processes, queues, events, death and restart.

use super::objects::*;
use super::state::State;
use super::trap::CURRENT;
use abi::{Handle, Rights, SysError};
use std::boxed::Box;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::string::String;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::vec::Vec;

pub(super) struct Shared {
    state: Mutex<State>,
    change: Condvar,
    started: Instant,
}

/// What a killed thread unwinds with.
struct Killed;

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
    pub fn changed(&self) {
        self.change.notify_all();
    }
    /// Sleeps until `deadline`; without, lets others run.
    pub fn pause(&self, deadline: Option<u64>) {
        match deadline.map(|at| at.saturating_sub(self.now())) {
            None | Some(0) => std::thread::yield_now(),
            Some(rest) => std::thread::sleep(Duration::from_nanos(rest)),
        }
    }
    /// Counts a system call of `process` and returns its number; here the process dies if it is to die before it.
    pub fn enter(&self, process: usize) -> Result<u64, SysError> {
        let mut state = self.lock();
        let p = &mut state.processes[process];
        p.calls_made += 1;
        let number = p.calls_made;
        self.pass(state, process, number, Moment::Before).map(|()| number)
    }
    /// The system call of this number is done; here the process dies if it is to die after it.
    pub fn leave(&self, process: usize, number: u64) -> Result<(), SysError> {
        self.pass(self.lock(), process, number, Moment::After)
    }
    fn pass(
        &self,
        mut state: MutexGuard<'_, State>,
        process: usize,
        number: u64,
        moment: Moment,
    ) -> Result<(), SysError> {
        let p = &state.processes[process];
        if p.dies_at.is_some_and(|(at, when)| number >= at && when == moment) && !p.dead {
            state.end(process);
            self.changed();
        }
        let dead = state.processes[process].dead;
        drop(state);
        if dead { die() } else { Ok(()) }
    }
    /// Waits until `take` gives something, `deadline` passes, or the process is killed.
    pub fn wait<T>(
        &self,
        mut state: MutexGuard<'_, State>,
        process: usize,
        deadline: Option<u64>,
        mut take: impl FnMut(&mut State) -> Result<Option<T>, SysError>,
        late: impl FnOnce(&mut State) -> SysError,
    ) -> Result<T, SysError> {
        self.changed();
        loop {
            if state.processes[process].dead {
                drop(state);
                die()?;
                return Err(SysError::BadState);
            }
            if let Some(value) = take(&mut state)? {
                return Ok(value);
            }
            let rest = deadline.map_or(u64::MAX, |at| at.saturating_sub(self.now()));
            if rest == 0 {
                return Err(late(&mut state));
            }
            let longest = Duration::from_nanos(rest.min(1_000_000_000));
            state = self.change.wait_timeout(state, longest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Ends the calling thread, unless its destructors are running already.
fn die() -> Result<(), SysError> {
    if std::thread::panicking() { Err(SysError::BadState) } else { resume_unwind(Box::new(Killed)) }
}

/// Ends the process that runs on the calling thread, as a crash of its own would.
///
/// # Panics
/// Where the thread runs no process of a [`System`].
pub fn crash() -> ! {
    let current = CURRENT.with(|current| current.borrow().clone());
    let (shared, process) = current.expect("a process of a system under test crashes");
    shared.lock().end(process);
    shared.changed();
    resume_unwind(Box::new(Killed))
}

/// A whole system, for one test.
#[derive(Clone)]
pub struct System(Arc<Shared>);

impl Default for System {
    fn default() -> Self {
        System::new()
    }
}

impl System {
    /// With no process in it.
    pub fn new() -> System {
        let shared = Shared { state: Mutex::default(), change: Condvar::new(), started: Instant::now() };
        System(Arc::new(shared))
    }
    /// A queue with room for `ring` posted messages; it outlives every process.
    pub fn queue(&self, ring: usize) -> ObjectId {
        self.0.lock().add(Object::Queue(Queue { ring, ..Queue::default() }))
    }
    /// An event.
    pub fn event(&self) -> ObjectId {
        self.0.lock().add(Object::Event(Event::default()))
    }
    /// Closes a queue for good: servers that have emptied it end.
    pub fn close(&self, queue: ObjectId) {
        if let Ok(queue) = self.0.lock().queue(queue) {
            queue.closed = true;
        }
        self.0.changed();
    }
    /// Closes a queue whose server is not coming back: calls that wait in it are answered `ServerDied`.
    pub fn abandon(&self, queue: ObjectId) {
        self.0.lock().abandon(queue);
        self.0.changed();
    }
    /// Sets bits of an event, as a device would.
    pub fn signal(&self, event: ObjectId, bits: u64) {
        if let Ok(event) = self.0.lock().event(event) {
            event.bits |= bits;
        }
        self.0.changed();
    }
    /// An empty process.
    pub fn process(&self, name: &str) -> TestProcess {
        let process = Process {
            name: String::from(name),
            table: Vec::new(),
            incarnation: 1,
            calls_made: 0,
            dies_at: None,
            deaths: VecDeque::new(),
            dead: false,
        };
        let mut state = self.0.lock();
        state.processes.push(process);
        TestProcess { shared: self.0.clone(), index: state.processes.len() - 1 }
    }
}

/// A process of a [`System`].
#[derive(Clone)]
pub struct TestProcess {
    shared: Arc<Shared>,
    index: usize,
}

impl TestProcess {
    /// Its name.
    pub fn name(&self) -> String {
        self.shared.lock().processes[self.index].name.clone()
    }
    /// Puts a capability into its table, where it stays when the process is restarted.
    pub fn grant(&self, object: ObjectId, rights: Rights, badge: u64) -> Handle {
        self.shared.lock().install(self.index, Cap { object, rights, badge, granted: true })
    }
    /// Capabilities in its table.
    pub fn caps(&self) -> usize {
        self.shared.lock().processes[self.index].table.iter().filter(|(_, cap)| cap.is_some()).count()
    }
    /// System calls that it has made, in all incarnations.
    pub fn calls_made(&self) -> u64 {
        self.shared.lock().processes[self.index].calls_made
    }
    /// Its incarnation; 1 at first.
    pub fn incarnation(&self) -> u64 {
        self.shared.lock().processes[self.index].incarnation
    }
    /// Runs `f` on this thread as the process.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = CURRENT.with(|c| c.replace(Some((self.shared.clone(), self.index))));
        let result = catch_unwind(AssertUnwindSafe(f));
        CURRENT.with(|c| *c.borrow_mut() = before);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
    /// Runs `f` on a thread of its own as the process.
    pub fn run<R: Send + 'static>(&self, f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
        let process = self.clone();
        std::thread::spawn(move || process.enter(f))
    }
    /// Runs `f` as a supervised service: killed, the process is reset, its unanswered calls are redelivered, and `f` is
    /// run again. Ends when `f` returns; a panic of `f` goes to whoever joins.
    pub fn supervise<R: Send + 'static>(&self, f: impl Fn() -> R + Send + 'static) -> JoinHandle<R> {
        let process = self.clone();
        std::thread::spawn(move || {
            loop {
                match catch_unwind(AssertUnwindSafe(|| process.enter(&f))) {
                    Ok(value) => return value,
                    Err(panic) if panic.is::<Killed>() => process.shared.lock().reset(process.index),
                    Err(panic) => {
                        process.kill();
                        resume_unwind(panic)
                    }
                }
            }
        })
    }
    /// Kills it now, wherever it is.
    pub fn kill(&self) {
        self.shared.lock().end(self.index);
        self.shared.changed();
    }
    /// Kills it at the entry of its `n`-th system call from now on (1: the next), before that has any effect.
    pub fn kill_at_call(&self, n: u64) {
        self.kill_at(&[Death { call: n, moment: Moment::Before }]);
    }
    /// Kills it at each of these in turn.
    pub fn kill_at(&self, deaths: &[Death]) {
        let mut state = self.shared.lock();
        state.processes[self.index].deaths = deaths.iter().copied().collect();
        state.plan_next(self.index);
    }
}

/// Memory that survives a supervised process's death.
#[derive(Clone)]
pub struct Persistent(Arc<Mutex<Vec<u8>>>);

impl Persistent {
    /// `size` bytes of zeros.
    pub fn new(size: usize) -> Persistent {
        Persistent(Arc::new(Mutex::new(std::vec![0; size])))
    }
    /// Runs `f` with the bytes.
    pub fn with<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
