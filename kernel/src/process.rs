//! Processes: an address space, a capability table and threads, paid for by one account.
//!
//! Invariants:
//! 1. A process that is `Running` has a thread and an address space.
//! 2. `held` is the number of calls that it has received and not answered.
//! 3. While `dying` is set none of its threads runs, and the reaper has it in its list.
//! 4. Its incarnation number rises with each reset, and nothing of an earlier incarnation reaches a later one but the
//!    capabilities that were granted to it.

use crate::account::Account;
use crate::event::Event;
use crate::machine::{MAX_PORT_RANGES, PortRange};
use crate::mm::{FrameKind, Object, Ref, Space, Walks};
use crate::reaper::{Dying, Job};
use crate::region::Region;
use crate::thread::Thread;
use abi::{FaultReport, ProcessState};

/// One process.
#[derive(Default)]
pub struct Process {
    /// No other process since power-on has it.
    pub id: u64,
    /// See invariant 4.
    pub incarnation: u64,
    /// What it is doing.
    pub state: ProcessState,
    /// Its exit status.
    pub exit: i64,
    /// For people.
    pub name: [u8; 16],
    /// The account that pays.
    pub account: Option<Ref<Account>>,
    /// Highest priority of its threads.
    pub ceiling: u8,
    /// Its page tables; made with the first mapping.
    pub space: Option<Space>,
    /// What is remembered of it.
    pub(crate) walks: Walks,
    /// The physical address of `space` where a handoff may enter the process: it runs, one of its threads has run
    /// before, and it has no ports open. Else 0.
    pub handoff_root: u64,
    /// Where its image is: see [`abi::ProcessStatus`].
    pub image: (u64, u64),
    /// Page tables paid for, without the root.
    pub tables: u32,
    /// Its capabilities.
    pub caps_table: crate::cap::CapTable,
    /// First region.
    pub regions: Option<Ref<Region>>,
    /// The region that was found last.
    pub region_hint: Option<Ref<Region>>,
    /// Number of regions.
    pub region_count: u32,
    /// First thread.
    pub threads: Option<Ref<Thread>>,
    /// Number of threads.
    pub thread_count: u32,
    /// Number that the next thread gets.
    pub next_index: u16,
    /// Open ports.
    pub ports: heapless::Vec<PortRange, MAX_PORT_RANGES>,
    /// See invariant 2.
    pub held: u32,
    /// The fault that stopped it.
    pub fault: FaultReport,
    /// Signalled at its end.
    pub event: Option<Ref<Event>>,
    /// With these bits.
    pub event_bits: u64,
    /// Neighbours in the list of all processes, which is in the order of ids.
    pub all_next: Option<Ref<Process>>,
    /// See `all_next`.
    pub all_prev: Option<Ref<Process>>,
    /// Neighbours in the event's list of those that signal it.
    pub watch_next: Option<Ref<Process>>,
    /// See `watch_next`.
    pub watch_prev: Option<Ref<Process>>,
    /// Being torn down, and for what.
    pub dying: Option<Dying>,
    /// Next job of the reaper.
    pub next_job: Option<Job>,
    /// Ticks that its dead threads have run.
    pub ran: u64,
    /// First capability to it.
    pub caps: u32,
}

impl Object for Process {
    const FRAME: FrameKind = FrameKind::Process;
    fn vacant() -> Process {
        Process::default()
    }
}

impl Process {
    /// The account that pays.
    #[inline]
    pub fn account_ref(&self) -> Ref<Account> {
        self.account.expect("a process in use has an account")
    }
}
