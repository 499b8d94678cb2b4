//! The supervisor.

use crate::protocol;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

bitflags::bitflags! {
    /// What a capability on the supervisor's queue allows: bits 32 to 64 of its badge. Bits 0 to 32 say who holds it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Allowed: u32 {
        /// Ask: list, log, processes, memory, uptime.
        const INSPECT = 1;
        /// Kill and restart services.
        const CONTROL = 2;
        /// Switch off and restart the machine.
        const POWER = 4;
        /// Write to the log (protocol `log`).
        const LOG = 8;
        /// Say that all is synced and the machine may go down at once.
        const SESSION = 16;
    }
}

impl Allowed {
    /// The badge of a capability that allows this, held by `who`.
    pub const fn badge(self, who: u32) -> u64 {
        (self.bits() as u64) << 32 | who as u64
    }
    /// What a badge allows, and who holds it.
    pub const fn of_badge(badge: u64) -> (Allowed, u32) {
        (Allowed::from_bits_truncate((badge >> 32) as u32), badge as u32)
    }
}

/// A service as the supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: ServiceState,
    /// Its process's number; 0 where it has none.
    pub process: u64,
    /// How often it was restarted.
    pub restarts: u32,
    /// For how long its incarnation has run, nanoseconds.
    pub uptime: u64,
    /// Pages that its account has paid for.
    pub pages: u64,
    /// Why it was restarted last; empty where it was not.
    pub last_end: String,
}

/// What a service is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceState {
    /// It has been started and has not answered yet.
    Starting,
    /// It runs.
    Running,
    /// It will be started again after a pause.
    Waiting,
    /// It has failed too often and is not started again.
    Failed,
    /// It was stopped on purpose.
    Stopped,
}

/// A process as the supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its number.
    pub id: u64,
    /// 1 at first, one more with each restart.
    pub incarnation: u64,
    /// `abi::ProcessState` as a number.
    pub state: u64,
    /// Its name.
    pub name: String,
    /// Its threads.
    pub threads: u64,
    /// Priority of its first thread.
    pub priority: u64,
    /// Pages that its account has paid for.
    pub pages: u64,
    /// Time that its threads have run, nanoseconds.
    pub cpu_time: u64,
    /// What its first thread waits for: 0 nothing, 1 a reply, 2 a message, 3 an event or the clock, 4 stopped.
    pub waiting: u64,
}

/// A line of the machine's audit: what there is, and what is accounted for. The same, or something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// What is counted.
    pub name: String,
    /// What there is.
    pub found: u64,
    /// What is accounted for.
    pub paid: u64,
}

/// A thread, and whom it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitInfo {
    /// Its number in the system.
    pub number: u64,
    /// Number of its process.
    pub process: u64,
    /// Its number there.
    pub index: u64,
    /// The process's name.
    pub name: String,
    /// The priority that it has now.
    pub priority: u64,
    /// `abi::ThreadWait` as a number.
    pub wait: u64,
    /// For how long it has waited, nanoseconds.
    pub age: u64,
    /// The queue's number; 0 for none.
    pub queue: u64,
    /// The id of its call; 0 for none.
    pub message: u64,
    /// How often that was delivered.
    pub attempts: u64,
    /// Number of the process that it waits for; 0 for none.
    pub blamed: u64,
    /// The name of that.
    pub blamed_name: String,
    /// Time that it has run, nanoseconds.
    pub ran: u64,
}

/// A capability of a process. Numbers are those of `abi::CapabilityStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityInfo {
    /// The name under which its holder finds it, or, of the supervisor's own, what it is for; empty where it has none.
    pub name: String,
    /// Its handle.
    pub handle: u64,
    /// `abi::Kind` of its object, as a number.
    pub kind: u64,
    /// Number of its object.
    pub object: u64,
    /// Its rights.
    pub rights: u64,
    /// Those that were used or handed on, where the kernel notes that.
    pub used: u64,
    /// Its badge.
    pub badge: u64,
    /// Where a piece of hardware begins.
    pub first: u64,
    /// Pages or ports.
    pub size: u64,
    /// Whether it stays over a restart of its holder.
    pub granted: bool,
    /// Number of the process that has what it was derived from; 0 for none.
    pub parent_process: u64,
    /// Handle of that.
    pub parent: u64,
    /// Number of the account that pays for its object; 0 for none.
    pub payer: u64,
}

crate::words_struct! {
    /// The machine's memory, in pages.
    pub struct MemoryInfo {
        /// All of it.
        pub total: u64,
        /// In use by nobody.
        pub free: u64,
        /// The quota for programs.
        pub programs_limit: u64,
        /// What of that is used.
        pub programs_used: u64,
        /// What the services use.
        pub services_used: u64,
    }
}

protocol! {
    /// The supervisor. Which operations a capability allows, its badge says.
    pub protocol Svc = 6 version 1;
    /// What the supervisor refuses.
    error SvcError {
        /// No service has this name.
        NoService = 1 => "no such service",
        /// The capability does not allow it.
        NotPermitted = 2 => "operation not permitted",
        /// The service is not in a state for this.
        BadState = 3 => "service is not in a state for this",
    }

    /// The services from number `first` on, as many as an answer holds; none: there are no more.
    idempotent fn list(first: u32) -> Vec<ServiceInfo> = 1;
    /// Kills a service's process as a fault would; it is restarted as its policy says.
    recorded fn kill(name: &str) = 2;
    /// Restarts a service, also one that has failed or was stopped. Returns when it has been started.
    recorded fn restart(name: &str) = 3;
    /// The log of a service (of all for ""), from `cookie` on (0: from the oldest line there is). Returns the next cookie
    /// and the bytes used; 0 bytes: there is no more.
    idempotent fn log(name: &str, cookie: u64, text: &mut [u8]) -> (u64, u64) = 4;
    /// The processes with numbers greater than `after`, as many as an answer holds; none: there are no more.
    idempotent fn processes(after: u64) -> Vec<ProcessInfo> = 5;
    /// The machine's memory.
    idempotent fn memory() -> MemoryInfo = 6;
    /// Nanoseconds since power-on.
    idempotent fn uptime() -> u64 = 7;
    /// Syncs the file systems and switches the machine off.
    idempotent fn poweroff() = 8;
    /// Syncs the file systems and restarts the machine.
    idempotent fn reboot() = 9;
    /// Replaces a service's image by the first `length` bytes of memory `image` (`READ`, `MAP`), while clients wait.
    /// Returns why the old image was put back; empty where the new one runs.
    recorded fn upgrade(name: &str, image: Cap, length: u64) -> String = 12;
    /// The report of a service's last crash. Returns the bytes used; 0: it has not crashed.
    idempotent fn report(name: &str, text: &mut [u8]) -> u64 = 13;
    /// Counts every frame of the machine and what accounts have paid for.
    idempotent fn audit() -> Vec<AuditRow> = 10;
    /// The threads with numbers of at least `from`, as many as an answer holds; none: there are no more.
    idempotent fn waits(from: u64) -> Vec<WaitInfo> = 11;
    /// Whether the kernel notes which rights are used, and the capabilities of process number `process` in its slots from
    /// `from` on, as many as an answer holds; none: there are no more.
    idempotent fn capabilities(process: u64, from: u64) -> (bool, Vec<CapabilityInfo>) = 14;
    /// Events of the kernel's trace from number `from` on, `abi::TraceRecord`s byte for byte, as many as `events` has room
    /// for and there are. Returns the number of the first (a later one where that has been overwritten), how many they are,
    /// and how many there ever were.
    idempotent fn trace(from: u64, events: &mut [u8]) -> (u64, u64, u64) = 15;
}
