//! What the kernel reports about objects, in the payload of the caller's message page.

use crate::{Kind, numbered};

/// The general registers of a thread.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Registers {
    pub rax: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub rbx: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rbp: u64,
    pub rcx: u64,
    pub r11: u64,
    pub rip: u64,
    pub rflags: u64,
    pub rsp: u64,
}

numbered! {
    /// Why a thread was stopped.
    #[derive(Default)]
    pub enum FaultKind: u64 {
        /// It was not.
        #[default]
        None = 0, "no fault";
        /// An address that is not mapped, or not for this access (#PF).
        Page = 1, "page fault";
        /// A privileged instruction, a port without its capability, a bad segment (#GP).
        Protection = 2, "general protection fault";
        /// An instruction that does not exist (#UD).
        InvalidInstruction = 3, "invalid instruction";
        /// Division by zero or overflow of a quotient (#DE).
        Divide = 4, "divide error";
        /// A floating-point exception that the program unmasked (#MF, #XM).
        FloatingPoint = 5, "floating-point exception";
        /// A breakpoint or single step (#BP, #DB).
        Debug = 6, "breakpoint";
        /// The account could not pay for a page of lazily committed memory.
        NoMemory = 7, "out of memory";
        /// A misaligned access with alignment checks on (#AC), or another exception (#OF, #BR, #NM, #SS, #NP).
        Other = 8, "processor exception";
    }
}

impl FaultKind {
    /// The kind with this number; an unknown one reads as `Other`.
    pub fn from_raw(raw: u64) -> FaultKind {
        Self::find(raw).unwrap_or(FaultKind::Other)
    }
}

/// The fault that stopped a process's thread.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultReport {
    /// [`FaultKind`] as a number.
    pub kind: u64,
    /// The address that was accessed, for a page fault and `NoMemory`; else 0.
    pub address: u64,
    /// The processor's error code (Intel SDM vol. 3, section 6.15), 0 where the exception has none.
    pub code: u64,
    /// Number of the thread in its process.
    pub thread: u64,
    /// Its registers.
    pub registers: Registers,
}

/// What a process is doing.
#[repr(u64)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessState {
    /// It has no thread yet.
    #[default]
    Empty = 0,
    /// It has threads, and none has faulted.
    Running = 1,
    /// One of its threads faulted; all are stopped.
    Faulted = 2,
    /// It called `Exit` or was killed; it has no threads and no memory.
    Exited = 3,
}

impl ProcessState {
    /// The state with this number; an unknown one reads as `Exited`.
    pub fn from_raw(raw: u64) -> ProcessState {
        use ProcessState::*;
        [Empty, Running, Faulted].into_iter().find(|s| *s as u64 == raw).unwrap_or(Exited)
    }
}

/// Everything about a process that its supervisor may know (`ProcessStatus`, `AccountProcess`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessStatus {
    /// A number that no other process has had since power-on.
    pub id: u64,
    /// 1 at first; one more with each `ProcessReset`.
    pub incarnation: u64,
    /// [`ProcessState`] as a number.
    pub state: u64,
    /// The status given to `Exit` or `ProcessKill`.
    pub exit: i64,
    /// Its name, padded with zero bytes.
    pub name: [u8; 16],
    /// Number of its threads.
    pub threads: u64,
    /// Base priority of its first thread.
    pub priority: u64,
    /// Pages that its account has paid for, without those lent to child accounts.
    pub pages: u64,
    /// Time its threads have run, nanoseconds.
    pub cpu_time: u64,
    /// What its first thread waits for: 0 nothing, 1 a reply, 2 a message, 3 an event or the clock, 4 stopped.
    pub waiting: u64,
    /// Where its image lies: the address that is 0 in its file, and the first address after it; 0 where none is loaded.
    pub image: u64,
    /// See `image`.
    pub image_end: u64,
    /// The fault, where `state` is `Faulted` (or was when it was killed).
    pub fault: FaultReport,
}

/// Pages of one kind in an account.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindUsage {
    /// Pages.
    pub pages: u64,
    /// Objects.
    pub objects: u64,
}

/// The state of an account (`AccountStatus`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountStatus {
    /// Pages that it may pay for, those lent to child accounts among them.
    pub limit: u64,
    /// Pages that it has paid for or lent.
    pub used: u64,
    /// Pages lent to child accounts, part of `used`.
    pub lent: u64,
    /// Pages that hold objects of the kind with index k + 1 (see [`Kind`]).
    pub objects: [KindUsage; Kind::ALL.len()],
    /// Pages of memory objects' contents.
    pub memory: u64,
    /// Page tables.
    pub page_tables: u64,
    /// Pages of capability tables.
    pub cap_tables: u64,
    /// Rings of queues, index pages of memory objects, message pages, port bitmaps.
    pub other: u64,
    /// Frames of the whole machine that are free (an account may have a right to them all the same).
    pub free: u64,
    /// Frames of the whole machine.
    pub total: u64,
}

/// What a thread does, and whom it waits for (`AccountThread`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadStatus {
    /// Its number in the system, as it stands in the ids of its calls.
    pub number: u64,
    /// Its number in its process.
    pub index: u64,
    /// Number of its process.
    pub process: u64,
    /// Name of its process, padded with zero bytes.
    pub name: [u8; 16],
    /// The priority that it was given.
    pub base: u64,
    /// The priority that it has now.
    pub priority: u64,
    /// [`ThreadWait`] as a number.
    pub wait: u64,
    /// For how long it has waited, nanoseconds.
    pub age: u64,
    /// Number of the queue that it waits at, or that its call was taken from; 0 for none.
    pub queue: u64,
    /// The id of its call, where it waits for delivery or an answer.
    pub message: u64,
    /// How often that call was delivered.
    pub attempts: u64,
    /// Number of the process that it waits for: that has taken its call, or received from the queue last; 0 for none.
    pub blamed: u64,
    /// Name of that process.
    pub blamed_name: [u8; 16],
    /// Time that it has run, nanoseconds.
    pub ran: u64,
}

numbered! {
    /// What a thread waits for.
    #[derive(Default)]
    pub enum ThreadWait: u64 {
        /// Nothing: it runs or could.
        #[default]
        Nothing = 0, "ready";
        /// That its call is received.
        Delivery = 1, "delivery";
        /// That its call is answered.
        Answer = 2, "answer";
        /// A message.
        Message = 3, "message";
        /// Bits of an event.
        Event = 4, "event";
        /// A point in time.
        Clock = 5, "clock";
        /// The end of a teardown that it asked for.
        Teardown = 6, "teardown";
        /// Nothing any more.
        Stopped = 7, "stopped";
    }
}

impl ThreadWait {
    /// The wait with this number; an unknown one reads as `Stopped`.
    pub fn from_raw(raw: u64) -> ThreadWait {
        Self::find(raw).unwrap_or(ThreadWait::Stopped)
    }
}

/// What a process holds, and where it comes from (`AccountCapability`). Processes and accounts that the asked account does
/// not pay for are 0 here.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilityStatus {
    /// Its [`crate::Handle`] in the table of its holder.
    pub handle: u64,
    /// [`Kind`] of its object.
    pub kind: u64,
    /// Number of its object. Of a process, thread or queue that by which other reports name it; of others some number
    /// that no other object of the kind has while this one lives.
    pub object: u64,
    /// [`crate::Rights`].
    pub rights: u64,
    /// Those of its rights that were used or handed on since it is there. Only where the kernel's command line has the word
    /// `coverage=1`; else 0.
    pub used: u64,
    /// Its badge.
    pub badge: u64,
    /// Memory of a physical range: its address. IoPorts: the first port. Irq: its line, `u64::MAX` for an MSI vector. Else
    /// 0.
    pub first: u64,
    /// Memory: pages. IoPorts: how many. Else 0.
    pub size: u64,
    /// 1: it stays when its holder is reset.
    pub granted: u64,
    /// Number of the process that has the capability from which it was derived; 0: it was derived from none, or from one
    /// with more than 1,023 that were derived later.
    pub parent_process: u64,
    /// Handle of that.
    pub parent: u64,
    /// Number of the account that pays for its object.
    pub payer: u64,
}

/// Frames of one kind in the frame table, and pages that accounts have paid for of that kind: the same, or the kernel
/// has lost count.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditLine {
    /// In the frame table.
    pub found: u64,
    /// By accounts.
    pub paid: u64,
}

/// Every frame of the machine and what pays for it (`MachineAudit`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Frames of the whole machine.
    pub total: u64,
    /// Free frames: those that the frame table shows, and those that the kernel counts.
    pub free: AuditLine,
    /// Contents of memory objects, and message pages.
    pub contents: AuditLine,
    /// Page tables.
    pub page_tables: AuditLine,
    /// Capability tables, index pages, rings, the table of threads.
    pub words: AuditLine,
    /// Pages of objects, as [`AuditReport::OBJECTS`] names them.
    pub objects: [AuditLine; 9],
    /// All frames but the free ones, and all that accounts have paid for.
    pub all: AuditLine,
    /// Accounts.
    pub accounts: u64,
    /// Accounts that have paid for more than they may, or whose loans are not the limits of those below them.
    pub unsound: u64,
    /// Processes.
    pub processes: u64,
    /// Capabilities in all tables, mappings among them.
    pub capabilities: u64,
}

impl AuditReport {
    /// What the lines of `objects` count.
    pub const OBJECTS: [&'static str; 9] =
        ["accounts", "processes", "threads", "memories", "queues", "events", "irqs", "ports", "regions"];

    /// Every line with its name.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, AuditLine)> {
        let kinds = [("free", self.free), ("contents", self.contents), ("page tables", self.page_tables)];
        let objects = Self::OBJECTS.into_iter().zip(self.objects);
        kinds.into_iter().chain([("words", self.words)]).chain(objects).chain([("all", self.all)])
    }
    /// Whether every frame is free or paid for by exactly one account, kind by kind.
    pub fn is_balanced(&self) -> bool {
        self.unsound == 0
            && self.lines().all(|(_, line)| line.found == line.paid)
            && self.free.found + self.all.found == self.total
    }
}

/// What the kernel knows of the hardware (`MachineInfo`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineInfo {
    /// Physical address of the ACPI root pointer, 0 where the boot protocol gave none.
    pub rsdp: u64,
    /// Ticks of the time-stamp counter per second.
    pub tsc_hz: u64,
    /// Frames of RAM.
    pub frames: u64,
    /// Instructions (time-stamp ticks) from kernel entry to the start of the first program.
    pub boot_ticks: u64,
    /// Time-stamp counter at kernel entry.
    pub entry_tsc: u64,
    /// Bytes of the boot archive.
    pub archive_bytes: u64,
    /// Bytes of `cmdline` that are used.
    pub cmdline_bytes: u64,
    /// The kernel's command line.
    pub cmdline: [u8; crate::MAX_CMDLINE],
}

const _: () = assert!(size_of::<Registers>() == 18 * 8);
const _: () = assert!(size_of::<ProcessStatus>() <= crate::MAX_PAYLOAD);
const _: () = assert!(size_of::<AccountStatus>() <= crate::MAX_PAYLOAD);
const _: () = assert!(size_of::<MachineInfo>() <= crate::MAX_PAYLOAD);
const _: () = assert!(size_of::<ThreadStatus>() == 8 * 16);
const _: () = assert!(size_of::<CapabilityStatus>() == 8 * 12);
const _: () = assert!(size_of::<AuditReport>() == 8 * (1 + 2 * 14 + 4));
