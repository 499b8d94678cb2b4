//! The first program supervises all others; when it ends, the kernel starts it again.
//!
//! Invariants:
//! 1. Its capabilities, and what its account has paid for, outlive it: its next incarnation finds everything under the
//!    same handles. Its threads, mappings and address space go; calls that it had received go back to their queues.
//! 2. It starts from the boot archive each time, whatever became of it before.
//! 3. A program that ends over and over stops the machine, with the reason; one that asks for its own end is not to
//!    blame.

use crate::fault::UNWATCHED;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::mm::{Protection, Ref};
use crate::process::Process;
use crate::region::PageRange;
use crate::trouble::Trouble;
use abi::layout::Places;
use abi::{FaultKind, PAGE_SIZE, PRIORITIES, ProcessState, layout};
use core::fmt::Write;
use heapless::Deque;

/// Pages of its stack.
const STACK_PAGES: u64 = 32;
/// More ends of its own than this within [`STORM_TIME`] stop the machine.
const STORM: usize = 10;
/// Nanoseconds.
const STORM_TIME: u64 = 10_000_000_000;

/// What the first program is started from, and how it has fared.
pub(crate) struct FirstProgram {
    process: Ref<Process>,
    archive: Ref<Memory>,
    start: u64,
    size: u64,
    /// When it ended of itself, the last times; nanoseconds.
    deaths: Deque<u64, STORM>,
    /// It has asked for its end.
    ordered: bool,
}

impl FirstProgram {
    /// The program at bytes `start..start + size` of the archive.
    pub(crate) fn new(process: Ref<Process>, archive: Ref<Memory>, start: u64, size: u64) -> FirstProgram {
        FirstProgram { process, archive, start, size, deaths: Deque::new(), ordered: false }
    }

    /// Notes an end at `now`. Whether there were too many.
    fn died(&mut self, now: u64) -> bool {
        if core::mem::take(&mut self.ordered) {
            return false;
        }
        while self.deaths.front().is_some_and(|death| now.saturating_sub(*death) >= STORM_TIME) {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now).is_err()
    }
}

impl<M: Machine> Kernel<M> {
    /// Whether `process` is the first program.
    #[inline]
    pub(crate) fn is_first(&self, process: Ref<Process>) -> bool {
        self.first_program.as_ref().is_some_and(|first| first.process == process)
    }

    /// `process` asks for its own end.
    pub(crate) fn end_on_order(&mut self, process: Ref<Process>) {
        if let Some(first) = self.first_program.as_mut().filter(|first| first.process == process) {
            first.ordered = true;
        }
    }

    /// Loads the first program into its empty process and starts it.
    pub(crate) fn start_program(&mut self, first: &FirstProgram) -> Result<(), Trouble> {
        let process = first.process;
        self.ensure_space(process)?;
        let entry = self.load(process, first.archive, None, first.start, first.size)?;
        let places = self.places();
        let account = self.processes[process].account_ref();
        let stack = self.create(account, Memory::anonymous(STACK_PAGES, account))?;
        let area = places.thread_area(0);
        let top = area + layout::THREAD_AREA;
        let range = PageRange::claim(top - STACK_PAGES * PAGE_SIZE, STACK_PAGES)?;
        if let Err(error) = self.map(process, range, stack, 0, Protection::WRITE) {
            self.memory_unreferenced(stack);
            return Err(error.into());
        }
        let argument = places.raw() | Places::FIRST_PROGRAM;
        self.new_thread(process, entry, top, area, argument, PRIORITIES - 1)?;
        Ok(())
    }

    /// The first program has been torn down: its next incarnation, or the end of the machine.
    pub(crate) fn revive_first(&mut self) {
        let Some(mut first) = self.first_program.take() else { return };
        let process = first.process;
        let now = self.clock.nanoseconds(self.machine.ticks());
        let storm = first.died(now);
        let entry = &mut self.processes[process];
        entry.dying = None;
        entry.state = ProcessState::Empty;
        entry.incarnation += 1;
        entry.image = (0, 0);
        entry.next_index = 0;
        entry.ports.clear();
        match storm {
            true => self.halt_for(process, None),
            false => {
                if let Err(trouble) = self.start_program(&first) {
                    self.halt_for(process, Some(trouble));
                }
            }
        }
        self.first_program = Some(first);
    }

    /// There is no supervisor any more: says how often it ended and how at last, and stops the machine.
    fn halt_for(&mut self, process: Ref<Process>, trouble: Option<Trouble>) {
        let Process { incarnation, exit, ref fault, image, .. } = self.processes[process];
        let mut reason: heapless::String<192> = heapless::String::new();
        // A reason that does not fit is cut.
        let _ = write!(reason, "init died {} times: ", incarnation - 1);
        let _ = match exit {
            UNWATCHED => {
                let kind = FaultKind::from_raw(fault.kind).text();
                let (address, rip) = (fault.address, fault.registers.rip);
                write!(reason, "{kind} at {address:#x}, rip {rip:#x}, image at {:#x}", image.0)
            }
            status => write!(reason, "exited with status {status}"),
        };
        if let Some(trouble) = trouble {
            let _ = write!(reason, "; it cannot be started again: {trouble:?}");
        }
        self.machine.halt(&reason);
    }
}
