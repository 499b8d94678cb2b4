//! The kernel as a value: every object, the ready threads, the clock, and the machine.

use crate::account::Account;
use crate::audit::Audit;
use crate::coverage::Coverage;
use crate::event::Event;
use crate::first::FirstProgram;
use crate::handoff::Allowed;
use crate::ipc::CallIds;
use crate::irq::{Irq, IrqTable};
use crate::killpoint::KillPoints;
use crate::latency::Latency;
use crate::machine::{Clock, MAX_IRQS, Machine, PhysRange};
use crate::memory::Memory;
use crate::mm::{Mm, Numbers, Pool, Ref, Slots, StaleEntry};
use crate::placement::Placement;
use crate::ports::IoPorts;
use crate::priority::PriorityQueue;
use crate::process::Process;
use crate::queue::Queue;
use crate::reaper::Reaper;
use crate::region::Region;
use crate::schedule::Slice;
use crate::thread::Thread;
use crate::trace::Trace;
use crate::wheel::Wheel;
use abi::{Kind, MachineInfo};
use heapless::Vec;

/// Everything that the kernel knows.
pub struct Kernel<M> {
    /// The hardware.
    pub machine: M,
    pub(crate) mm: Mm,
    pub(crate) slots: Slots,
    pub(crate) accounts: Pool<Account>,
    pub(crate) processes: Pool<Process>,
    pub(crate) threads: Pool<Thread>,
    pub(crate) memories: Pool<Memory>,
    pub(crate) queues: Pool<Queue>,
    pub(crate) events: Pool<Event>,
    pub(crate) irqs: Pool<Irq>,
    pub(crate) ports: Pool<IoPorts>,
    pub(crate) regions: Pool<Region>,
    pub(crate) root: Ref<Account>,
    pub(crate) current: Option<Ref<Thread>>,
    /// While no thread runs: the process whose address space is still loaded.
    pub(crate) left: Option<Ref<Process>>,
    /// Whether that process has I/O ports open.
    pub(crate) ports_open: bool,
    /// What may be done without a look at what else there is to do. [`Kernel::arm`] sets it, so it is right whenever a thread
    /// runs.
    pub(crate) handoff_allowed: Allowed,
    pub(crate) ready: PriorityQueue,
    /// Since the present system call began, a thread became ready or stopped, a priority changed, or the reaper got
    /// work: who runs next must be chosen anew.
    pub(crate) changed: bool,
    pub(crate) slice: Slice,
    pub(crate) wheel: Wheel,
    pub(crate) clock: Clock,
    pub(crate) calls: CallIds,
    pub(crate) numbers: Numbers<Thread>,
    /// An audit that is on its way.
    pub(crate) audit: Option<Audit>,
    pub(crate) reaper: Reaper,
    pub(crate) irq_table: IrqTable,
    pub(crate) machine_caps: u32,
    pub(crate) next_process: u64,
    pub(crate) next_queue: u64,
    pub(crate) first_program: Option<FirstProgram>,
    pub(crate) first_process: Option<Ref<Process>>,
    pub(crate) last_process: Option<Ref<Process>>,
    pub(crate) kernel_root: u64,
    pub(crate) ram: Vec<PhysRange, 32>,
    pub(crate) info: MachineInfo,
    pub(crate) placement: Placement,
    /// Kill points, coverage or the measurement of latency are on: see [`Kernel::sees_every_call`].
    pub(crate) watched: bool,
    pub(crate) kill_points: KillPoints,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    pub(crate) latency: Latency,
    /// Calls that a dead server had received are delivered again.
    pub(crate) redelivers: bool,
}

impl<M: Machine> Kernel<M> {
    /// The process whose address space is loaded.
    #[inline]
    pub(crate) fn loaded(&self) -> Option<Ref<Process>> {
        self.current.map(|current| self.threads[current].process).or(self.left)
    }

    /// The clock that programs read.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether the kernel's command line asks for something that looks at every system call: then all take the general
    /// path.
    pub fn sees_every_call(&self) -> bool {
        self.watched
    }

    /// An object's link to its first capability, by the numbers in a slot.
    pub(crate) fn roots(&mut self, kind: Kind, object: u32) -> &mut u32 {
        fn name<T>(object: u32) -> Ref<T> {
            Ref::from_raw(object).expect("a slot's object is never 0")
        }
        match kind {
            Kind::Account => &mut self.accounts[name(object)].caps,
            Kind::Process => &mut self.processes[name(object)].caps,
            Kind::Thread => &mut self.threads[name(object)].caps,
            Kind::Memory => &mut self.memories[name(object)].caps,
            Kind::Queue => &mut self.queues[name(object)].caps,
            Kind::Event => &mut self.events[name(object)].caps,
            Kind::Irq => &mut self.irqs[name(object)].caps,
            Kind::IoPorts => &mut self.ports[name(object)].caps,
            Kind::Machine => &mut self.machine_caps,
        }
    }

    /// Pays off what `unmap_page` left to do: the CPU forgets the translation if it may know it.
    pub(crate) fn flush(&mut self, process: Ref<Process>, stale: StaleEntry) {
        if self.loaded() == Some(process) {
            self.machine.invalidate(stale.0);
        }
    }

    pub(crate) fn empty_irq_table() -> IrqTable {
        [None; MAX_IRQS]
    }
}
