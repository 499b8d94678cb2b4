//! The system calls that take a capability first: of which kind, and with which right.

use crate::check::works;
use crate::{Given, cpu};
use alloc::string::String;
use alloc::vec::Vec;
use libipc::abi::{PAGE_SIZE, Sysno, layout};
use libipc::sys::ThreadStart;
use libipc::{Handle, Kind, OwnedHandle, Rights};

/// One system call.
pub struct Operation {
    /// Its number.
    pub number: Sysno,
    /// The kind that `rdi` must be.
    pub kind: Kind,
    /// The right that it must have.
    pub right: Rights,
    /// What `rsi` must be for `rdi` to be looked at.
    pub second: Option<Kind>,
}

const fn on(number: Sysno, kind: Kind, right: Rights) -> Operation {
    Operation { number, kind, right, second: None }
}

const fn with(number: Sysno, kind: Kind, right: Rights, second: Kind) -> Operation {
    Operation { number, kind, right, second: Some(second) }
}

/// All of them but those that take a capability of any kind.
pub const OPERATIONS: &[Operation] = &[
    on(Sysno::Call, Kind::Queue, Rights::SEND),
    on(Sysno::Post, Kind::Queue, Rights::SEND),
    on(Sysno::Recv, Kind::Queue, Rights::RECEIVE),
    on(Sysno::ReplyRecv, Kind::Queue, Rights::RECEIVE),
    on(Sysno::Forward, Kind::Queue, Rights::SEND),
    with(Sysno::ForwardRecv, Kind::Queue, Rights::SEND, Kind::Queue),
    on(Sysno::AccountCreate, Kind::Account, Rights::CREATE),
    on(Sysno::AccountDestroy, Kind::Account, Rights::DESTROY),
    on(Sysno::AccountStatus, Kind::Account, Rights::INSPECT),
    on(Sysno::AccountProcess, Kind::Account, Rights::INSPECT),
    on(Sysno::AccountThread, Kind::Account, Rights::INSPECT),
    on(Sysno::AccountCapability, Kind::Account, Rights::INSPECT),
    on(Sysno::ProcessCreate, Kind::Account, Rights::CREATE),
    with(Sysno::ProcessLoad, Kind::Process, Rights::CONTROL, Kind::Memory),
    with(Sysno::ProcessGrant, Kind::Process, Rights::GRANT, Kind::Memory),
    on(Sysno::ProcessStatus, Kind::Process, Rights::INSPECT),
    on(Sysno::ProcessKill, Kind::Process, Rights::CONTROL),
    on(Sysno::ProcessReset, Kind::Process, Rights::CONTROL),
    on(Sysno::ProcessRead, Kind::Process, Rights::CONTROL),
    on(Sysno::ThreadCreate, Kind::Process, Rights::CONTROL),
    on(Sysno::ThreadPriority, Kind::Thread, Rights::CONTROL),
    on(Sysno::MemoryCreate, Kind::Account, Rights::CREATE),
    on(Sysno::MemoryPhysical, Kind::Machine, Rights::CREATE),
    with(Sysno::MemoryMap, Kind::Process, Rights::MAP, Kind::Memory),
    on(Sysno::MemoryUnmap, Kind::Process, Rights::MAP),
    on(Sysno::MemoryAddress, Kind::Memory, Rights::DMA),
    on(Sysno::QueueCreate, Kind::Account, Rights::CREATE),
    on(Sysno::EventCreate, Kind::Account, Rights::CREATE),
    on(Sysno::EventSignal, Kind::Event, Rights::SIGNAL),
    on(Sysno::EventWait, Kind::Event, Rights::WAIT),
    with(Sysno::EventBind, Kind::Event, Rights::WAIT, Kind::Queue),
    on(Sysno::IrqCreate, Kind::Machine, Rights::CREATE),
    with(Sysno::IrqBind, Kind::Irq, Rights::USE, Kind::Event),
    on(Sysno::IrqAck, Kind::Irq, Rights::USE),
    on(Sysno::PortsCreate, Kind::Machine, Rights::CREATE),
    on(Sysno::MachineInfo, Kind::Machine, Rights::INSPECT),
    on(Sysno::MachineAudit, Kind::Machine, Rights::INSPECT),
    on(Sysno::MachineTrace, Kind::Machine, Rights::INSPECT),
    on(Sysno::MachineLog, Kind::Machine, Rights::CREATE),
];

/// One capability, with all rights, of every kind that a program can make.
pub struct Zoo {
    objects: Vec<(Kind, OwnedHandle)>,
}

impl Zoo {
    /// Makes them.
    pub fn new(given: &Given) -> Result<Zoo, String> {
        let start = ThreadStart {
            entry: cpu::spin as *const () as u64,
            stack: layout::THREAD_AREAS + PAGE_SIZE,
            page: layout::THREAD_AREAS,
            argument: 0,
            priority: 0,
        };
        let process = works("a process", given.account.create_process(None, 0, "zoo"))?;
        let thread = works("a thread", process.process().start(start))?;
        let objects = [
            (Kind::Account, works("an account", given.account.child(4))?),
            (Kind::Process, process),
            (Kind::Thread, thread),
            (Kind::Memory, works("memory", given.account.create_memory(1))?),
            (Kind::Queue, works("a queue", given.account.create_queue(1))?),
            (Kind::Event, works("an event", given.account.create_event())?),
        ];
        Ok(Zoo { objects: objects.into() })
    }
    /// The capability of this kind, if a program can make one.
    pub fn get(&self, kind: Kind) -> Option<Handle> {
        self.objects.iter().find(|(k, _)| *k == kind).map(|(_, handle)| handle.handle())
    }
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (Kind, Handle)> + use<'_> {
        self.objects.iter().map(|(kind, handle)| (*kind, handle.handle()))
    }
    /// What `rsi` is to be for this operation.
    pub fn second(&self, operation: &Operation) -> u64 {
        operation.second.and_then(|kind| self.get(kind)).unwrap_or(Handle::NONE).raw()
    }
}
