//! The system calls. Operands are named by register: `rdi`, `rsi`, `r15`, and `w0..w7` for the words
//! (`rdx r8 r9 r10 rbx r12 r13 r14`). Results come in the words. What every call may return is not repeated:
//! `BadSyscall`; and for each handle operand `BadHandle`, `WrongKind`, `MissingRights`.

use crate::SysError;

bitflags::bitflags! {
    /// Bits 8..16 of `rax`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct CallFlags: u8 {
        /// Give up at `deadline` of the message page. Without it `Call` gives up after [`crate::Sysno::CALL_PATIENCE`],
        /// the other calls that wait have no deadline. A deadline that has passed means: do not wait.
        const DEADLINE = 1;
        /// `Call`: deliver at most once. A server that dies of it answers `ServerDied` at once.
        const ONCE = 2;
    }
}

macro_rules! system_calls {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, )*) => {
        /// A system call, by number.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Sysno { $( $(#[$doc])* $name = $number, )* }

        impl Sysno {
            /// Every system call, in the order of its number.
            pub const ALL: &'static [Sysno] = &[$(Sysno::$name),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Sysno::$name => stringify!($name)),* }
            }
        }

        impl TryFrom<u64> for Sysno {
            type Error = SysError;
            #[inline]
            fn try_from(raw: u64) -> Result<Self, SysError> {
                const TABLE: [Option<Sysno>; 256] = {
                    let mut table = [None; 256];
                    $( table[$number] = Some(Sysno::$name); )*
                    table
                };
                TABLE.get(raw as usize).copied().flatten().ok_or(SysError::BadSyscall)
            }
        }
    };
}

system_calls! {
    /// Ends the calling process with status `rdi` (an `i32`). Needs nothing. Does not return. Its threads, mappings and
    /// capabilities go; calls that it had received go back to their queues; its end event is signalled.
    Exit = 0,
    /// Ends the calling thread. Needs nothing. Does not return. The last thread's end is `Exit` with status 0.
    ThreadExit = 1,
    /// Lets other threads of the same priority run; with `DEADLINE`, sleeps until then. Needs nothing. Returns nothing.
    Yield = 2,
    /// Reads the monotonic clock. Needs nothing. Returns `w0` = nanoseconds since power-on.
    Clock = 3,

    // From here to `Call` stand those after which the caller most often goes on at once, a range that the kernel's entry
    // code tells from the others by its last number.
    /// Derives a capability from `rdi` with rights `w0` (others are dropped) and, where `w1` is not 0 and `rdi` is a
    /// queue with `MINT`, badge `w1`. Returns `w0` = handle. Errors: `MissingRights` (badge without `MINT`),
    /// `NoMemory`, `LimitReached`.
    Duplicate = 4,
    /// Gives up capability `rdi`. What was derived from it stays and counts as derived from its parent; an interrupt that
    /// was bound through it is bound no more.
    Close = 5,
    /// Copies out of lease number `rsi` of call `r15`, from byte `w0` of it, to the caller's address `w1`, `w2` bytes
    /// (at most 64 KiB). Needs `LeaseAccess::READ`. Errors: `BadToken`, `BadLease`, `BadAddress` (the caller's).
    LeaseRead = 6,
    /// Copies into lease number `rsi` of call `r15`, to byte `w0` of it, from the caller's address `w1`, `w2` bytes
    /// (at most 64 KiB). Needs `LeaseAccess::WRITE`. Errors: as `LeaseRead`.
    LeaseWrite = 7,
    /// Maps memory `rsi` into process `rdi` at address `w0`, from its page `w1`, `w2` pages, with protection `w3` (of
    /// `READ`, `WRITE`, `EXECUTE`; not the last two at once). Needs `MAP` on both and the rights of the protection on
    /// `rsi`. Errors: `BadAddress`, `BadArgument`, `AddressInUse`, `NoMemory`.
    MemoryMap = 8,
    /// Removes from process `rdi` every mapping that lies in `w0`, `w1` pages. Needs `MAP`. Errors: `BadAddress` (the
    /// range cuts through a mapping; nothing is changed).
    MemoryUnmap = 9,
    /// Puts a message (tag and words only) into the ring of queue `rdi` and does not wait. Needs `SEND`. Errors:
    /// `BadArgument` (the tag counts payload, capabilities or leases), `WouldBlock` (ring full), `Closed`.
    Post = 10,
    /// Waits for a message. Needs `RECEIVE` on queue `rdi`. Returns `rdi` = badge, `rsi` = tag with [`crate::Delivery`]
    /// and attempt, `r15` = message id (0 unless a call), `w0..w7`, payload and capabilities in the message page.
    /// Bound events come first, then calls by priority and arrival, turn about with posted messages. Errors:
    /// `TimedOut`, `Closed`.
    Recv = 11,

    /// Sends a message and waits for the reply. Needs `SEND` on queue `rdi`. `rsi` = tag, `w0..w7`; payload,
    /// capabilities and leases in the message page as the tag counts them. Returns the reply: `rsi` = tag, `w0..w7`,
    /// payload and received capabilities in the message page. Errors: `BadArgument` (tag), `BadHandle`/`BadLease` (in
    /// the message page), `Closed`, `TimedOut` (not delivered), `OutcomeUnknown` (timed out after delivery),
    /// `ServerDied` (died of it as often as its queue allows, or once with `ONCE`), `Deadlock`.
    Call = 12,
    /// Answers call `r15` with `rsi` = tag, `w0..w7`, payload and capabilities (no leases). Needs nothing but that the
    /// calling process has received it. Errors: `BadToken`, `BadArgument`, `BadHandle` (a capability to send).
    Reply = 13,
    /// `Reply` to `r15`, then `Recv` from `rdi`. Where the reply is refused with `BadToken` (its caller is gone) it is
    /// dropped and the receive goes on; any other refusal receives nothing.
    ReplyRecv = 14,
    /// Passes call `r15`, as it was sent, on to queue `rdi`, whose receiver then owes the reply. Needs `SEND`, and that
    /// the calling process has received the call. The badge becomes that of `rdi`. Errors: `BadToken`, `Closed`.
    Forward = 15,
    /// `Forward` of `r15` to `rdi`, then `Recv` from queue `rsi`. Errors as of both; a refused forward receives nothing.
    ForwardRecv = 16,
    /// Copies `w2` bytes (at most 64 KiB) from byte `w0` of lease `rsi` of call `r15` to byte `w1` of lease `w4` of
    /// call `w3`. Errors: `BadToken`, `BadLease`.
    LeaseCopy = 17,

    /// Removes every capability derived from `rdi`, in every process and in messages not yet answered, and every mapping
    /// and every binding of an interrupt that was made through `rdi` or through one of those. `rdi` stays.
    Revoke = 26,
    /// Describes capability `rdi`. Returns `w0` = [`crate::Kind`], `w1` = [`crate::Rights`], `w2` = badge, `w3` = size
    /// (Memory: pages; IoPorts: count; else 0).
    Inspect = 27,
    /// Finds the caller's next capability: the first in at most 256 slots from index `w0` of its table on. Needs
    /// nothing. Returns `w0` = its handle, or 0 where there is none among those, `w1` = the index to go on from, 0 where
    /// there are no more slots. For a supervisor that has to find again what it has.
    CapabilityNext = 28,

    /// Makes a child of account `rdi` with a quota of `w0` pages, lent by `rdi`. Needs `CREATE`. Returns `w0` = handle.
    /// Errors: `NoMemory`, `BadArgument`.
    AccountCreate = 32,
    /// Destroys account `rdi`, its child accounts and every object that they paid for; the quota goes back to the
    /// parent. Needs `DESTROY`. Errors: `BadState` (the caller itself was paid for by it, or it is the root).
    AccountDestroy = 33,
    /// Writes an [`crate::AccountStatus`] of account `rdi` to the payload. Needs `INSPECT`.
    AccountStatus = 34,
    /// Writes the [`crate::ProcessStatus`] of the first process paid for by account `rdi` or an account below it, and
    /// with an id greater than `w0`, to the payload. Needs `INSPECT`. Returns `w0` = its id, or 0 where there is none.
    AccountProcess = 35,
    /// Writes the [`crate::ThreadStatus`] of the first thread that account `rdi` or an account below it pays for, and
    /// with a number of at least `w0`, to the payload. Needs `INSPECT`. Looks at a bounded count of numbers: returns `w0` =
    /// the number to go on from, 0 where there are no more, `w1` = 1 where it has written a status.
    AccountThread = 36,
    /// Writes the [`crate::CapabilityStatus`] of the first capability in the table of process number `w0`, which account
    /// `rdi` or an account below it pays for, in at most 256 slots from index `w1` of the table on, to the payload. Needs
    /// `INSPECT`. Returns `w0` = the index to go on from, 0 where there are no more slots, `w1` = 1 where it has written a
    /// status. Errors: `BadArgument` (no such process there).
    AccountCapability = 37,

    /// Makes an empty process that account `rdi` pays for. Needs `CREATE`. `rsi` = event (`SIGNAL`) or 0, `w0` = bits
    /// that it is signalled when the process exits or faults, `w1` = highest priority of its threads (at most the
    /// caller's own), `w2 w3` = name, 16 bytes. Returns `w0` = handle. Errors: `NoMemory`, `BadArgument`.
    ProcessCreate = 40,
    /// Loads the ELF image in memory `rsi` (`READ`), from byte `w0` (a multiple of the page size), `w1` bytes long, into
    /// process `rdi`, at a random address. Needs `CONTROL`. Read-only segments are shared with the memory object, others
    /// copied and relocated. Returns `w0` = entry point, `w1` = random bits for the caller to lay out the rest by
    /// ([`crate::layout::Places`]). Errors: `BadImage` (`w0` = [`crate::ImageDefect`]), `AddressInUse`, `NoMemory`, `BadState`
    /// (it has threads, or an image).
    ProcessLoad = 41,
    /// Derives a capability from `rsi`, as `Duplicate` does with rights `w0` and badge `w1`, into the table of process
    /// `rdi`. Needs `GRANT` on `rdi`. It stays in place when the process is reset. Returns `w0` = handle there.
    ProcessGrant = 42,
    /// Writes a [`crate::ProcessStatus`] of process `rdi` to the payload. Needs `INSPECT`.
    ProcessStatus = 43,
    /// Ends process `rdi` with status `w0` as if it had called `Exit`. Needs `CONTROL`. The first program is started
    /// again; what it does to itself by this call is no failure.
    ProcessKill = 44,
    /// Empties process `rdi` for its next incarnation, whatever state it is in: its threads and mappings go, every
    /// capability but those that were granted to it goes, every object that its account paid for goes. Needs
    /// `CONTROL`. Returns `w0` = the new incarnation number.
    ProcessReset = 45,
    /// Copies `w2` bytes (at most 64 KiB) from address `w0` of process `rdi`, which has faulted, to the caller's address
    /// `w1`. Needs `CONTROL`. Errors: `BadState` (it has not faulted), `BadAddress`.
    ProcessRead = 46,

    /// Makes and starts a thread of process `rdi`. Needs `CONTROL`. `w0` = entry point, `w1` = stack pointer, `w2` =
    /// address of its message page, which the kernel makes and maps, `w3` = its `rdi`, `w4` = priority (at most the
    /// process's highest). Returns `w0` = handle. Errors: `BadAddress`, `BadArgument`, `AddressInUse`, `NoMemory`,
    /// `BadState` (the process has exited or faulted), `LimitReached`.
    ThreadCreate = 48,
    /// Sets the priority of thread `rdi` to `w0`. Needs `CONTROL`. Errors: `BadArgument` (above the process's highest).
    ThreadPriority = 49,

    /// Makes a memory object of `w0` pages, zero, that account `rdi` pays for: page by page when first touched, or,
    /// with `w1` = 1, at once and physically contiguous. Needs `CREATE`. Returns `w0` = handle. Errors: `NoMemory`,
    /// `BadArgument` (0 pages, more than 2^20, or more than 128 contiguous ones).
    MemoryCreate = 56,
    /// Makes a memory object of the physical range from address `w0`, `w1` pages, outside RAM; it is mapped uncached.
    /// Needs `CREATE` on machine `rdi` and on account `rsi`. Returns `w0` = handle. Errors: `BadArgument` (not aligned,
    /// overlaps RAM that the kernel manages), `NoMemory`.
    MemoryPhysical = 57,
    /// Tells the physical address of page `w0` of memory `rdi`, and commits it. Needs `DMA`. Returns `w0` =
    /// address, `w1` = how many pages from there on are contiguous, as far as it was looked. Errors: `BadArgument`,
    /// `NoMemory`.
    MemoryAddress = 60,

    /// Makes a queue whose ring holds `w0` posted messages (0 to 1024). A call to it that its server has died at `w1` times
    /// (1 to 255; 0 for [`crate::MAX_ATTEMPTS`]) is answered `ServerDied`. Needs `CREATE` on account `rdi`. Returns `w0` =
    /// handle, with all rights. Errors: `NoMemory`, `BadArgument`.
    QueueCreate = 64,

    /// Makes an event. Needs `CREATE` on account `rdi`. Returns `w0` = handle. Errors: `NoMemory`.
    EventCreate = 68,
    /// Sets bits `w0` of event `rdi`. Needs `SIGNAL`. Wakes a waiting thread, or the receiver of the bound queue.
    EventSignal = 69,
    /// Waits until one of the bits `w0` of event `rdi` is set, and clears those. Needs `WAIT`. Returns `w0` = the bits
    /// that were set. Errors: `TimedOut`, `Closed`, `BadArgument` (no bits), `BadState` (bound to a queue, or another
    /// thread waits).
    EventWait = 70,
    /// Binds event `rdi` to queue `rsi`: from now on its bits come as messages with [`crate::Delivery::Event`], badge
    /// `w0`, the bits in word 0. Needs `WAIT` and, on the queue, `RECEIVE`. Binding again moves it.
    EventBind = 71,

    /// Makes an interrupt object, masked: for I/O APIC line `w0`, or with `w0` = `u64::MAX` for a free MSI vector.
    /// `w1` = 1 for a level-triggered, active-low line. Needs `CREATE` on machine `rdi` and account `rsi`. Returns `w0` =
    /// handle, and for MSI `w1` = message address, `w2` = message data. Errors: `BadArgument`, `AddressInUse` (the line
    /// has an object), `LimitReached`, `NoMemory`.
    IrqCreate = 76,
    /// Binds interrupt `rdi` to event `rsi` (`SIGNAL`), bits `w0`, and unmasks it. Needs `USE`. Binding again moves it. The
    /// binding ends, and the line is masked, when capability `rdi` is closed or revoked, and when the event goes.
    IrqBind = 77,
    /// Unmasks interrupt `rdi` after it was delivered. Needs `USE`.
    IrqAck = 78,

    /// Makes an object for the `w1` ports from `w0`. Needs `CREATE` on machine `rdi` and account `rsi`. Returns `w0` =
    /// handle. Errors: `BadArgument`, `NoMemory`.
    PortsCreate = 80,
    /// Opens the ports of `rsi` (`USE`) to process `rdi` until it is reset. Needs `CONTROL` or `MAP`. Errors:
    /// `LimitReached` (more than 4 ranges).
    PortsOpen = 81,

    /// Writes a [`crate::MachineInfo`] to the payload. Needs `INSPECT` on machine `rdi`.
    MachineInfo = 84,
    /// Writes the first `w0` bytes of the payload to the kernel's log on COM1. Needs `CREATE` on machine `rdi`.
    MachineLog = 85,
    /// Counts all frames, and what all accounts have paid for, and writes an [`crate::AuditReport`] to the payload. Needs
    /// `INSPECT` on machine `rdi`. For finding faults: it looks at every frame and every account, in steps that let
    /// interrupts in, and begins anew where anything changes meanwhile.
    MachineAudit = 86,
    /// Writes the events of the kernel's trace from number `w0` on to the payload, [`crate::TraceRecord`]s, as many as
    /// there are and it holds. Needs `INSPECT` on machine `rdi`. Returns `w0` = number of the first (a later one than was
    /// asked for where that has been overwritten), `w1` = how many, `w2` = how many there ever were.
    MachineTrace = 87,
}

impl Sysno {
    /// How long a `Call` without a deadline waits, nanoseconds: long, but finite. Checked once a second.
    pub const CALL_PATIENCE: u64 = 60_000_000_000;
}
