//! Handles with the kind of their object: what one may ask of each. Which kind it really is the kernel checks.

use crate::owned::OwnedHandle;
use crate::sys::{self, Deadline, LoadError, Loaded, MsiTarget, ThreadStart};
use abi::{
    AccountStatus, AuditReport, CapDescriptor, CapabilityStatus, Handle, MachineInfo, ProcessStatus, Rights, SysError,
    ThreadStatus, TraceRecord,
};
use alloc::vec::Vec;

macro_rules! object {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(Handle);
        impl $name {
            /// Takes `handle` for one.
            #[inline]
            pub const fn new(handle: Handle) -> $name { $name(handle) }
            /// The handle.
            #[inline]
            pub const fn handle(self) -> Handle { self.0 }
            /// To be sent in a message: a copy with `rights`.
            pub const fn grant(self, rights: Rights) -> CapDescriptor { CapDescriptor::copy(self.0, rights) }
            /// Derives a capability with `rights`.
            pub fn derive(self, rights: Rights) -> Result<OwnedHandle, SysError> {
                sys::duplicate(self.0, rights, 0).map(OwnedHandle::new)
            }
        }
    )* };
}

object! {
    /// A quota of memory out of which objects are paid.
    Account;
    /// A process.
    Process;
    /// A thread.
    Thread;
    /// A set of frames.
    Memory;
    /// A message queue.
    Queue;
    /// A word of signal bits.
    Event;
    /// An interrupt.
    Irq;
    /// A range of I/O ports.
    IoPorts;
    /// The authority over the hardware.
    Machine;
}

impl Account {
    /// A child account with `pages` of this one's quota.
    pub fn child(self, pages: u64) -> Result<OwnedHandle, SysError> {
        sys::account_create(self.0, pages).map(OwnedHandle::new)
    }
    /// Destroys it and all that it paid for.
    pub fn destroy(self) -> Result<(), SysError> {
        sys::account_destroy(self.0)
    }
    /// Its state.
    pub fn status(self) -> Result<AccountStatus, SysError> {
        sys::account_status(self.0)
    }
    /// The first process that it paid for, or an account below it, with an id greater than `after`.
    pub fn process_after(self, after: u64) -> Result<Option<ProcessStatus>, SysError> {
        sys::account_process(self.0, after)
    }
    /// The first thread that it pays for, or an account below it, with a number of at least `from`, where a bounded
    /// search finds one; and the number to go on from, `None` where there are no more.
    pub fn thread_from(self, from: u64) -> Result<(Option<ThreadStatus>, Option<u64>), SysError> {
        sys::account_thread(self.0, from)
    }
    /// The first capability in the table of process number `process`, which this account or one below it pays for, in its
    /// slots from `from` on, where a bounded search finds one; and the index to go on from, `None` where there are no more.
    pub fn capability_from(self, process: u64, from: u64) -> Result<(Option<CapabilityStatus>, Option<u64>), SysError> {
        sys::account_capability(self.0, process, from)
    }
    /// An empty process. `end` names the event, and its bits, that tell of its end.
    pub fn create_process(
        self,
        end: Option<(Event, u64)>,
        max_priority: u8,
        name: &str,
    ) -> Result<OwnedHandle, SysError> {
        sys::process_create(self.0, end.map(|(e, bits)| (e.handle(), bits)), max_priority, name).map(OwnedHandle::new)
    }
    /// Memory, zero, committed page by page when first touched.
    pub fn create_memory(self, pages: u64) -> Result<OwnedHandle, SysError> {
        sys::memory_create(self.0, pages, false).map(OwnedHandle::new)
    }
    /// Memory, zero, committed at once and physically contiguous.
    pub fn create_contiguous(self, pages: u64) -> Result<OwnedHandle, SysError> {
        sys::memory_create(self.0, pages, true).map(OwnedHandle::new)
    }
    /// A queue with room for `ring` posted messages.
    pub fn create_queue(self, ring: u64) -> Result<OwnedHandle, SysError> {
        self.create_queue_for(ring, abi::MAX_ATTEMPTS)
    }
    /// The same, where a call that its server has died at `attempts` times is answered [`SysError::ServerDied`].
    pub fn create_queue_for(self, ring: u64, attempts: u8) -> Result<OwnedHandle, SysError> {
        sys::queue_create(self.0, ring, attempts).map(OwnedHandle::new)
    }
    /// An event.
    pub fn create_event(self) -> Result<OwnedHandle, SysError> {
        sys::event_create(self.0).map(OwnedHandle::new)
    }
}

impl Process {
    /// Loads an ELF image, at a random address.
    pub fn load(self, memory: Memory, offset: u64, length: u64) -> Result<Loaded, LoadError> {
        sys::process_load(self.0, memory.0, offset, length)
    }
    /// Where it has what lies at `address` in this program, whose image it has too.
    pub fn address_of(self, address: u64) -> Result<u64, SysError> {
        let own = crate::memory::own_process().status()?.image;
        Ok(address.wrapping_sub(own).wrapping_add(self.status()?.image))
    }
    /// Derives a capability into its table; returns its handle there.
    pub fn give(self, handle: Handle, rights: Rights, badge: u64) -> Result<Handle, SysError> {
        sys::process_grant(self.0, handle, rights, badge)
    }
    /// Its state.
    pub fn status(self) -> Result<ProcessStatus, SysError> {
        sys::process_status(self.0)
    }
    /// Ends it.
    pub fn kill(self, status: i32) -> Result<(), SysError> {
        sys::process_kill(self.0, status)
    }
    /// Copies out of it from `address` on, where it has faulted.
    pub fn read(self, address: u64, into: &mut [u8]) -> Result<(), SysError> {
        sys::process_read(self.0, address, into)
    }
    /// Empties it for its next incarnation, whose number it returns.
    pub fn reset(self) -> Result<u64, SysError> {
        sys::process_reset(self.0)
    }
    /// Makes and starts a thread.
    pub fn start(self, start: ThreadStart) -> Result<OwnedHandle, SysError> {
        sys::thread_create(self.0, start).map(OwnedHandle::new)
    }
    /// Maps memory into it.
    pub fn map(self, memory: Memory, address: u64, first: u64, pages: u64, protection: Rights) -> Result<(), SysError> {
        sys::memory_map(self.0, memory.0, address, first, pages, protection)
    }
    /// Opens ports to it until it is reset.
    pub fn open_ports(self, ports: IoPorts) -> Result<(), SysError> {
        sys::ports_open(self.0, ports.0)
    }
}

impl Thread {
    /// Sets its priority.
    pub fn set_priority(self, priority: u8) -> Result<(), SysError> {
        sys::thread_priority(self.0, priority)
    }
}

impl Memory {
    /// Its size in pages.
    pub fn pages(self) -> Result<u64, SysError> {
        sys::inspect(self.0).map(|i| i.size)
    }
    /// Physical address of a page, and how many pages from there on are contiguous.
    pub fn physical(self, page: u64) -> Result<(u64, u64), SysError> {
        sys::memory_address(self.0, page)
    }
}

impl Queue {
    /// Derives a capability with `rights` and `badge`.
    pub fn mint(self, rights: Rights, badge: u64) -> Result<OwnedHandle, SysError> {
        sys::duplicate(self.0, rights, badge).map(OwnedHandle::new)
    }
    /// To be sent in a message: a copy with `rights` and `badge`.
    pub const fn minted(self, rights: Rights, badge: u64) -> CapDescriptor {
        CapDescriptor::mint(self.0, rights, badge)
    }
}

impl Event {
    /// Sets bits.
    #[inline]
    pub fn signal(self, bits: u64) -> Result<(), SysError> {
        sys::event_signal(self.0, bits)
    }
    /// Waits for bits, clears and returns them.
    #[inline]
    pub fn wait(self, bits: u64, deadline: Deadline) -> Result<u64, SysError> {
        sys::event_wait(self.0, bits, deadline)
    }
    /// Lets its bits come as messages with `badge` on `queue`.
    pub fn bind(self, queue: Queue, badge: u64) -> Result<(), SysError> {
        sys::event_bind(self.0, queue.0, badge)
    }
}

impl Irq {
    /// Binds it to bits of `event`, and unmasks it.
    pub fn bind(self, event: Event, bits: u64) -> Result<(), SysError> {
        sys::irq_bind(self.0, event.0, bits)
    }
    /// Unmasks it after it was delivered.
    #[inline]
    pub fn acknowledge(self) -> Result<(), SysError> {
        sys::irq_ack(self.0)
    }
}

impl Machine {
    /// What the kernel knows of the hardware.
    pub fn info(self) -> Result<MachineInfo, SysError> {
        sys::machine_info(self.0)
    }
    /// Every frame, and what pays for it.
    pub fn audit(self) -> Result<AuditReport, SysError> {
        sys::machine_audit(self.0)
    }
    /// Events of the kernel's trace from number `from` on into `into`, as many as one report holds. Returns the number of
    /// the first, how many they are, and how many there ever were.
    pub fn trace(self, from: u64, into: &mut Vec<TraceRecord>) -> Result<(u64, usize, u64), SysError> {
        sys::machine_trace(self.0, from, into)
    }
    /// Writes to the kernel's log.
    pub fn log(self, text: &str) -> Result<(), SysError> {
        sys::machine_log(self.0, text.as_bytes())
    }
    /// Memory of a physical range.
    pub fn physical(self, account: Account, address: u64, pages: u64) -> Result<OwnedHandle, SysError> {
        sys::memory_physical(self.0, account.0, address, pages).map(OwnedHandle::new)
    }
    /// An interrupt for an I/O APIC line; `level`: level-triggered, active low.
    pub fn line(self, account: Account, line: u32, level: bool) -> Result<OwnedHandle, SysError> {
        sys::irq_line(self.0, account.0, line, level).map(OwnedHandle::new)
    }
    /// A message-signalled interrupt.
    pub fn msi(self, account: Account) -> Result<(OwnedHandle, MsiTarget), SysError> {
        sys::irq_msi(self.0, account.0).map(|(h, target)| (OwnedHandle::new(h), target))
    }
    /// A range of I/O ports.
    pub fn ports(self, account: Account, first: u16, count: u32) -> Result<OwnedHandle, SysError> {
        sys::ports_create(self.0, account.0, first, count).map(OwnedHandle::new)
    }
}
