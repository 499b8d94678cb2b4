//! All cases: which program, with which argument, what must happen, and how it must end.

use libipc::abi::FaultKind;

/// How a hostile program must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself with status 0: everything that it tried was refused as it must be.
    Refused,
    /// Stopped by a fault of this kind.
    Fault(FaultKind),
    /// Stopped by a fault of any kind.
    AnyFault,
    /// With this status.
    Status(i32),
    /// Not at all: it is ended after a while.
    Never,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The program's file.
    pub program: &'static str,
    /// Its argument.
    pub argument: &'static str,
    /// What must happen.
    pub must: &'static str,
    /// How it must end.
    pub end: End,
}

const fn refused(program: &'static str, must: &'static str) -> Case {
    Case { program, argument: "", must, end: End::Refused }
}

const fn drain(argument: &'static str) -> Case {
    let must = "the account runs dry, nobody else notices, and all comes back";
    Case { program: "drain", argument, must, end: End::Refused }
}

const fn faults(program: &'static str, argument: &'static str, must: &'static str, kind: FaultKind) -> Case {
    Case { program, argument, must, end: End::Fault(kind) }
}

const fn memory(argument: &'static str, must: &'static str) -> Case {
    faults("reach", argument, must, FaultKind::Page)
}

/// Every case but the single instructions, which [`crate::cpu`] lists.
pub const CASES: &[Case] = &[
    refused("forged-handles", "a guessed handle names nothing"),
    refused("stale-handles", "a closed handle never names the slot's next occupant"),
    refused("wide-handles", "an index or generation out of range names nothing, in every system call"),
    refused("wrong-kinds", "every system call refuses every other kind of object"),
    refused("bad-numbers", "numbers and flags that no system call has are refused"),
    refused("weak-rights", "every operation refuses a capability without its right"),
    refused("grow-rights", "no derivation, transfer or grant adds a right"),
    refused("forge-badges", "a badge cannot be chosen without the right to mint"),
    refused("forge-tags", "a tag with the kernel's bits or wrong counts is refused"),
    refused("guess-tokens", "a guessed message id answers nobody"),
    refused("steal-tokens", "only the process that received a call can answer it"),
    refused("reuse-tokens", "a token is used up by its reply, and by its forward"),
    refused("late-replies", "a token dies with the caller's wait and with the caller"),
    refused("forward-rights", "a call is forwarded with SEND alone, and gets that capability's badge"),
    refused("lease-ranges", "a lease that wraps, lies in the kernel, or is not mapped is BadLease"),
    refused("lease-access", "a lease is used only as it was lent, within its bounds, until the reply"),
    refused("lease-targets", "a copy into memory that is not the caller's to write is BadAddress"),
    refused("lease-chains", "a lease is passed on only by who holds it"),
    refused("lease-races", "a lease that changes while it is used harms its lender alone"),
    refused("map-anywhere", "mappings stay in the user half, aligned, disjoint, within their memory"),
    refused("map-rights", "a mapping never has more than its capability, and is never W and X"),
    refused("start-anywhere", "a thread starts in the user half, on its own message page"),
    refused("device-memory", "no physical memory, port or interrupt without the machine's capability"),
    refused("bad-images", "no malformed ELF file is loaded, and none costs anything"),
    refused("kill-others", "nobody is killed, reset or destroyed without the capability for it"),
    refused("own-account", "the account that pays for the caller cannot be destroyed by it"),
    Case { program: "kill-self", argument: "", must: "it ends with the status it gives itself", end: End::Status(42) },
    Case {
        program: "pull-the-rug",
        argument: "",
        must: "closing all of one's capabilities harms oneself alone",
        end: End::Status(43),
    },
    refused("deadlock", "a cycle of callers is refused with Deadlock"),
    refused("revoke", "revoked capabilities are gone in every process"),
    refused("revoke-mappings", "memory mapped through a revoked capability is unmapped"),
    refused("revoke-self", "a derived capability that revokes its own parent's tree finds its own only"),
    refused("priorities", "no thread or process gets a priority above its ceiling"),
    drain("accounts"),
    drain("processes"),
    drain("threads"),
    drain("memory"),
    drain("contents"),
    drain("contiguous"),
    drain("queues"),
    drain("rings"),
    drain("events"),
    drain("capabilities"),
    drain("mappings"),
    drain("page-tables"),
    drain("grants"),
    drain("depth"),
    refused("flood-posts", "a full ring is WouldBlock, and calls come through"),
    refused("flood-calls", "many callers are served beside each other"),
    refused("flood-capabilities", "capabilities sent to a server that wants none do not stay there"),
    refused("flood-events", "signals by the hundred thousand are one signal"),
    refused("flood-timers", "many short sleeps keep nobody else from the processor"),
    refused("bomb-processes", "processes that start processes end with the account of the first"),
    refused("bomb-threads", "threads that start threads end with their process"),
    Case { program: "spin", argument: "loop", must: "an endless loop gets its slices and no more", end: End::Never },
    Case {
        program: "spin",
        argument: "calls",
        must: "endless system calls get their slices and no more",
        end: End::Never,
    },
    Case { program: "spin", argument: "yield", must: "endless yields get their slices and no more", end: End::Never },
    Case {
        program: "spin",
        argument: "victim",
        must: "endless calls to a server leave room for others",
        end: End::Never,
    },
    refused("vectors", "no vector register or control word comes from another address space"),
    refused("old-memory", "memory is zero when it is got, whoever had it before"),
    refused("flags", "no flag of a program means anything in the kernel"),
    refused("wild-stacks", "the kernel never uses a program's stack pointer"),
    faults("step", "", "a single step into a system call is a debug fault of the program", FaultKind::Debug),
    memory("read-null", "page 0 is never mapped"),
    memory("read-kernel", "kernel memory cannot be read"),
    memory("write-kernel", "kernel memory cannot be written"),
    memory("run-kernel", "kernel memory cannot be executed"),
    memory("write-text", "code cannot be written"),
    memory("run-data", "data cannot be executed"),
    memory("run-stack", "the stack cannot be executed"),
    memory("run-message", "the message page cannot be executed"),
    memory("write-startup", "startup pages cannot be written"),
    memory("below-stack", "below the stack is a guard page"),
    memory("read-image", "no program is where its linker put it"),
    memory("run-image", "no program runs where its linker put it"),
    faults("reach", "run-gap", "a non-canonical address cannot be executed", FaultKind::Protection),
    faults("reach", "read-gap", "a non-canonical address cannot be read", FaultKind::Protection),
];
