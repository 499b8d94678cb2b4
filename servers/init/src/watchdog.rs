//! Watches over the supervisor itself: a second thread, which ends the process where the first one hangs, so that the
//! kernel starts it again.
//!
//! 1. It allocates nothing and takes no lock: whatever the first thread hangs in does not hold it up.
//! 2. From its start until it serves its queue, and then from each question to the answer, the supervisor has [`LIMIT`].

use abi::{Handle, PAGE_SIZE, PRIORITIES, Rights, layout};
use core::sync::atomic::{AtomicU64, Ordering};
use libipc::{Account, Process, Queue, SysError, server, sys, sys::ThreadStart};

/// How long the supervisor has to answer, nanoseconds. Nothing that it does takes a tenth of that.
const LIMIT: u64 = 5_000_000_000;
/// Time between two questions, nanoseconds.
const PERIOD: u64 = 1_000_000_000;
const STACK_PAGES: u64 = 4;
/// The status with which the process ends where it hangs.
pub const HUNG: i32 = 124;

/// The queue that the supervisor serves; 0 until it does.
static QUEUE: AtomicU64 = AtomicU64::new(0);

/// Starts the thread, which `account` pays for.
pub fn start(account: Account) -> Result<(), SysError> {
    let area = libipc::memory::own_places().thread_area(1);
    let end = area + layout::THREAD_AREA;
    let process = Process::new(layout::INIT_SELF);
    let stack = account.create_memory(STACK_PAGES)?;
    process.map(stack.memory(), end - STACK_PAGES * PAGE_SIZE, 0, STACK_PAGES, Rights::READ | Rights::WRITE)?;
    let entry: extern "C" fn() -> ! = watch;
    // As after a call: System V ABI for x86-64, section 3.2.2.
    let stack = end - 8;
    process.start(ThreadStart {
        entry: entry as usize as u64,
        stack,
        page: area,
        argument: 0,
        priority: PRIORITIES - 1,
    })?;
    Ok(())
}

/// The supervisor serves this queue from now on.
pub fn serves(queue: Queue) {
    QUEUE.store(queue.handle().raw(), Ordering::Relaxed);
}

extern "C" fn watch() -> ! {
    let latest = sys::clock().saturating_add(LIMIT);
    loop {
        sys::sleep_until(sys::clock().saturating_add(PERIOD));
        let answers = match QUEUE.load(Ordering::Relaxed) {
            0 => sys::clock() < latest,
            queue => answers(Queue::new(Handle::from_raw(queue))),
        };
        if !answers {
            sys::exit(HUNG);
        }
    }
}

fn answers(queue: Queue) -> bool {
    let late = server::ping(queue, Some(sys::clock().saturating_add(LIMIT)));
    !matches!(late, Err(SysError::TimedOut | SysError::OutcomeUnknown))
}
