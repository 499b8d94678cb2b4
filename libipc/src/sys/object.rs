//! Everything but messages: capabilities, accounts, processes, threads, memory, events, interrupts, the machine.

use super::{Deadline, number, trap};
use crate::page;
use abi::layout::Places;
use abi::{
    AccountStatus, AuditReport, CallFlags, CapabilityStatus, Handle, Kind, MachineInfo, ProcessStatus, Rights,
    SysError, Sysno, ThreadStatus, TraceRecord,
};
use alloc::vec::Vec;

#[inline(always)]
fn run(call: Sysno, rdi: u64, rsi: u64, w: [u64; 4]) -> Result<[u64; 4], SysError> {
    let (rax, words) = trap::narrow(number(call, CallFlags::empty()), rdi, rsi, 0, w);
    SysError::check(rax)?;
    Ok(words)
}

#[inline(always)]
fn made(words: [u64; 4]) -> Handle {
    Handle::from_raw(words[0])
}

#[inline(always)]
fn timed(call: Sysno, rdi: u64, w: [u64; 4], deadline: Deadline) -> Result<[u64; 4], SysError> {
    let flags = match deadline {
        None => CallFlags::empty(),
        Some(at) => {
            page::set_deadline(at);
            CallFlags::DEADLINE
        }
    };
    let (rax, words) = trap::narrow(number(call, flags), rdi, 0, 0, w);
    SysError::check(rax)?;
    Ok(words)
}

/// Ends the process.
pub fn exit(status: i32) -> ! {
    loop {
        let _ = run(Sysno::Exit, status as i64 as u64, 0, [0; 4]);
    }
}

/// Ends the calling thread.
pub fn thread_exit() -> ! {
    loop {
        let _ = run(Sysno::ThreadExit, 0, 0, [0; 4]);
    }
}

/// Lets other threads of the same priority run.
#[inline]
pub fn yield_now() {
    trap::bare(number(Sysno::Yield, CallFlags::empty()));
}

/// Sleeps until `deadline`, nanoseconds of [`clock`].
pub fn sleep_until(deadline: u64) {
    let _ = timed(Sysno::Yield, 0, [0; 4], Some(deadline));
}

/// Nanoseconds since power-on.
#[inline]
pub fn clock() -> u64 {
    trap::bare(number(Sysno::Clock, CallFlags::empty())).1
}

/// What [`inspect`] tells of a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What it is about.
    pub kind: Kind,
    /// What its holder may do.
    pub rights: Rights,
    /// Its badge.
    pub badge: u64,
    /// Memory: pages; IoPorts: count; else 0.
    pub size: u64,
}

/// Derives a capability with fewer rights and, where `badge` is not 0, a badge.
pub fn duplicate(handle: Handle, rights: Rights, badge: u64) -> Result<Handle, SysError> {
    let call = number(Sysno::Duplicate, CallFlags::empty());
    let (rax, new) = trap::single(call, handle.raw(), [rights.bits() as u64, badge]);
    SysError::check(rax).map(|()| Handle::from_raw(new))
}

/// Gives a capability up.
pub fn close(handle: Handle) -> Result<(), SysError> {
    SysError::check(trap::single(number(Sysno::Close, CallFlags::empty()), handle.raw(), [0; 2]).0)
}

/// Removes every capability derived from `handle`.
pub fn revoke(handle: Handle) -> Result<(), SysError> {
    run(Sysno::Revoke, handle.raw(), 0, [0; 4]).map(drop)
}

/// Describes a capability.
pub fn inspect(handle: Handle) -> Result<Inspection, SysError> {
    let w = run(Sysno::Inspect, handle.raw(), 0, [0; 4])?;
    let kind = Kind::find(w[0]).ok_or(SysError::WrongKind)?;
    Ok(Inspection { kind, rights: Rights::from_bits_truncate(w[1] as u16), badge: w[2], size: w[3] })
}

/// Makes a child account with `pages` of quota.
pub fn account_create(parent: Handle, pages: u64) -> Result<Handle, SysError> {
    run(Sysno::AccountCreate, parent.raw(), 0, [pages, 0, 0, 0]).map(made)
}

/// Destroys an account and all that it paid for.
pub fn account_destroy(account: Handle) -> Result<(), SysError> {
    run(Sysno::AccountDestroy, account.raw(), 0, [0; 4]).map(drop)
}

/// The state of an account.
pub fn account_status(account: Handle) -> Result<AccountStatus, SysError> {
    run(Sysno::AccountStatus, account.raw(), 0, [0; 4])?;
    Ok(page::account_status())
}

/// The first process under `account` with an id greater than `after`.
pub fn account_process(account: Handle, after: u64) -> Result<Option<ProcessStatus>, SysError> {
    let w = run(Sysno::AccountProcess, account.raw(), 0, [after, 0, 0, 0])?;
    Ok((w[0] != 0).then(page::process_status))
}

/// The first thread under `account` with a number of at least `from`, where a bounded search finds one, and the number
/// to go on from, `None` where there are no more.
pub fn account_thread(account: Handle, from: u64) -> Result<(Option<ThreadStatus>, Option<u64>), SysError> {
    let w = run(Sysno::AccountThread, account.raw(), 0, [from, 0, 0, 0])?;
    Ok(((w[1] != 0).then(page::thread_status), (w[0] != 0).then_some(w[0])))
}

/// The first capability in the table of process number `process`, which is paid for under `account`, in its slots from
/// `from` on, where a bounded search finds one; and the index to go on from, `None` where there are no more.
pub fn account_capability(
    account: Handle,
    process: u64,
    from: u64,
) -> Result<(Option<CapabilityStatus>, Option<u64>), SysError> {
    let w = run(Sysno::AccountCapability, account.raw(), 0, [process, from, 0, 0])?;
    Ok(((w[1] != 0).then(page::capability_status), (w[0] != 0).then_some(w[0])))
}

/// Makes an empty process. `end` names the event, and its bits, that tell of its end.
pub fn process_create(
    account: Handle,
    end: Option<(Handle, u64)>,
    max_priority: u8,
    name: &str,
) -> Result<Handle, SysError> {
    let (event, bits) = end.unwrap_or((Handle::NONE, 0));
    let mut bytes = [0; 16];
    let length = name.floor_char_boundary(16);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    let [low, high] = [0, 8].map(|at| u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i])));
    let words = [bits, max_priority as u64, low, high];
    run(Sysno::ProcessCreate, account.raw(), event.raw(), words).map(made)
}

/// Why an image was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file is malformed.
    Image(Option<abi::ImageDefect>),
    /// Anything else.
    Sys(SysError),
}

/// An image that was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Where it starts.
    pub entry: u64,
    /// Random places for the rest of the process.
    pub places: Places,
}

/// Loads the ELF image of `length` bytes at byte `offset` of `memory`, at a random address.
pub fn process_load(process: Handle, memory: Handle, offset: u64, length: u64) -> Result<Loaded, LoadError> {
    let call = number(Sysno::ProcessLoad, CallFlags::empty());
    let (rax, w) = trap::narrow(call, process.raw(), memory.raw(), 0, [offset, length, 0, 0]);
    match SysError::check(rax) {
        Ok(()) => Ok(Loaded { entry: w[0], places: Places::from_raw(w[1]) }),
        Err(SysError::BadImage) => Err(LoadError::Image(abi::ImageDefect::find(w[0]))),
        Err(e) => Err(LoadError::Sys(e)),
    }
}

/// Derives a capability into the table of `process`; returns its handle there.
pub fn process_grant(process: Handle, handle: Handle, rights: Rights, badge: u64) -> Result<Handle, SysError> {
    run(Sysno::ProcessGrant, process.raw(), handle.raw(), [rights.bits() as u64, badge, 0, 0]).map(made)
}

/// The caller's next capability, from index `from` of its table on, and the index to go on from, 0 at the end. `None`:
/// there is none in the slots that were looked at.
pub fn capability_next(from: u64) -> Result<(Option<Handle>, u64), SysError> {
    let w = run(Sysno::CapabilityNext, 0, 0, [from, 0, 0, 0])?;
    Ok(((w[0] != 0).then(|| made(w)), w[1]))
}

/// The state of a process.
pub fn process_status(process: Handle) -> Result<ProcessStatus, SysError> {
    run(Sysno::ProcessStatus, process.raw(), 0, [0; 4])?;
    Ok(page::process_status())
}

/// Copies out of a process that has faulted.
pub fn process_read(process: Handle, address: u64, into: &mut [u8]) -> Result<(), SysError> {
    let to = into.as_mut_ptr().expose_provenance() as u64;
    let words = [address, to, into.len() as u64, 0];
    run(Sysno::ProcessRead, process.raw(), 0, words).map(drop)
}

/// Ends a process.
pub fn process_kill(process: Handle, status: i32) -> Result<(), SysError> {
    run(Sysno::ProcessKill, process.raw(), 0, [status as i64 as u64, 0, 0, 0]).map(drop)
}

/// Empties a process for its next incarnation, whose number it returns.
pub fn process_reset(process: Handle) -> Result<u64, SysError> {
    run(Sysno::ProcessReset, process.raw(), 0, [0; 4]).map(|w| w[0])
}

/// How a thread starts.
#[derive(Clone, Copy, Debug)]
pub struct ThreadStart {
    /// First instruction.
    pub entry: u64,
    /// Stack pointer.
    pub stack: u64,
    /// Address of the message page to be.
    pub page: u64,
    /// Its `rdi`.
    pub argument: u64,
    /// Its priority.
    pub priority: u8,
}

/// Makes and starts a thread.
pub fn thread_create(process: Handle, start: ThreadStart) -> Result<Handle, SysError> {
    let words = [start.entry, start.stack, start.page, start.argument, start.priority as u64, 0, 0, 0];
    let (rax, w) = trap::wide(number(Sysno::ThreadCreate, CallFlags::empty()), process.raw(), 0, 0, words);
    SysError::check(rax)?;
    Ok(made(w))
}

/// Sets a thread's priority.
pub fn thread_priority(thread: Handle, priority: u8) -> Result<(), SysError> {
    run(Sysno::ThreadPriority, thread.raw(), 0, [priority as u64, 0, 0, 0]).map(drop)
}

/// Makes a memory object of `pages`; `contiguous` commits it at once, physically contiguous.
pub fn memory_create(account: Handle, pages: u64, contiguous: bool) -> Result<Handle, SysError> {
    run(Sysno::MemoryCreate, account.raw(), 0, [pages, contiguous as u64, 0, 0]).map(made)
}

/// Makes a memory object of a physical range.
pub fn memory_physical(machine: Handle, account: Handle, address: u64, pages: u64) -> Result<Handle, SysError> {
    run(Sysno::MemoryPhysical, machine.raw(), account.raw(), [address, pages, 0, 0]).map(made)
}

/// Maps `pages` of `memory`, from its page `first`, into another process at `address`.
///
/// A program maps memory into itself by [`crate::Memory::map`], which keeps track of its addresses.
pub fn memory_map(
    process: Handle,
    memory: Handle,
    address: u64,
    first: u64,
    pages: u64,
    protection: Rights,
) -> Result<(), SysError> {
    let flags = CallFlags::empty();
    let words = [address, first, pages, protection.bits() as u64];
    SysError::check(trap::double(number(Sysno::MemoryMap, flags), process.raw(), memory.raw(), words))
}

/// Removes every mapping of `process` that lies in the range.
pub(crate) fn memory_unmap(process: Handle, address: u64, pages: u64) -> Result<(), SysError> {
    SysError::check(trap::single(number(Sysno::MemoryUnmap, CallFlags::empty()), process.raw(), [address, pages]).0)
}

/// Physical address of a page of `memory`, and how many pages from there on are contiguous.
pub fn memory_address(memory: Handle, page: u64) -> Result<(u64, u64), SysError> {
    run(Sysno::MemoryAddress, memory.raw(), 0, [page, 0, 0, 0]).map(|w| (w[0], w[1]))
}

/// Makes a queue with room for `ring` posted messages. A call that its server has died at `attempts` times (0: the usual
/// number) is answered [`SysError::ServerDied`].
pub fn queue_create(account: Handle, ring: u64, attempts: u8) -> Result<Handle, SysError> {
    run(Sysno::QueueCreate, account.raw(), 0, [ring, attempts.into(), 0, 0]).map(made)
}

/// Makes an event.
pub fn event_create(account: Handle) -> Result<Handle, SysError> {
    run(Sysno::EventCreate, account.raw(), 0, [0; 4]).map(made)
}

/// Sets bits of an event.
#[inline]
pub fn event_signal(event: Handle, bits: u64) -> Result<(), SysError> {
    run(Sysno::EventSignal, event.raw(), 0, [bits, 0, 0, 0]).map(drop)
}

/// Waits for bits of an event, clears and returns them.
#[inline]
pub fn event_wait(event: Handle, bits: u64, deadline: Deadline) -> Result<u64, SysError> {
    timed(Sysno::EventWait, event.raw(), [bits, 0, 0, 0], deadline).map(|w| w[0])
}

/// Lets an event's bits come as messages with `badge` on `queue`.
pub fn event_bind(event: Handle, queue: Handle, badge: u64) -> Result<(), SysError> {
    run(Sysno::EventBind, event.raw(), queue.raw(), [badge, 0, 0, 0]).map(drop)
}

/// What a device is to write where, to raise a message-signalled interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiTarget {
    /// Message address register.
    pub address: u64,
    /// Message data register.
    pub data: u64,
}

/// Makes an interrupt object for an I/O APIC line.
pub fn irq_line(machine: Handle, account: Handle, line: u32, level: bool) -> Result<Handle, SysError> {
    run(Sysno::IrqCreate, machine.raw(), account.raw(), [line as u64, level as u64, 0, 0]).map(made)
}

/// Makes a message-signalled interrupt.
pub fn irq_msi(machine: Handle, account: Handle) -> Result<(Handle, MsiTarget), SysError> {
    let w = run(Sysno::IrqCreate, machine.raw(), account.raw(), [u64::MAX, 0, 0, 0])?;
    Ok((made(w), MsiTarget { address: w[1], data: w[2] }))
}

/// Binds an interrupt to bits of an event, and unmasks it.
pub fn irq_bind(irq: Handle, event: Handle, bits: u64) -> Result<(), SysError> {
    run(Sysno::IrqBind, irq.raw(), event.raw(), [bits, 0, 0, 0]).map(drop)
}

/// Unmasks an interrupt after it was delivered.
#[inline]
pub fn irq_ack(irq: Handle) -> Result<(), SysError> {
    run(Sysno::IrqAck, irq.raw(), 0, [0; 4]).map(drop)
}

/// Makes an object for `count` I/O ports from `first`.
pub fn ports_create(machine: Handle, account: Handle, first: u16, count: u32) -> Result<Handle, SysError> {
    run(Sysno::PortsCreate, machine.raw(), account.raw(), [first as u64, count as u64, 0, 0]).map(made)
}

/// Opens ports to `process`.
pub fn ports_open(process: Handle, ports: Handle) -> Result<(), SysError> {
    run(Sysno::PortsOpen, process.raw(), ports.raw(), [0; 4]).map(drop)
}

/// What the kernel knows of the hardware.
pub fn machine_info(machine: Handle) -> Result<MachineInfo, SysError> {
    run(Sysno::MachineInfo, machine.raw(), 0, [0; 4])?;
    Ok(page::machine_info())
}

/// Writes text to the kernel's log, piece by piece where it is longer than a payload.
pub fn machine_log(machine: Handle, text: &[u8]) -> Result<(), SysError> {
    for piece in text.chunks(abi::MAX_PAYLOAD) {
        page::write_payload(0, piece);
        run(Sysno::MachineLog, machine.raw(), 0, [piece.len() as u64, 0, 0, 0])?;
    }
    Ok(())
}

/// Counts all frames, and what all accounts have paid for.
pub fn machine_audit(machine: Handle) -> Result<AuditReport, SysError> {
    run(Sysno::MachineAudit, machine.raw(), 0, [0; 4])?;
    Ok(page::audit_report())
}

/// Events of the kernel's trace from number `from` on into `into`, as many as one report holds. Returns the number of
/// the first, how many they are, and how many there ever were.
pub fn machine_trace(machine: Handle, from: u64, into: &mut Vec<TraceRecord>) -> Result<(u64, usize, u64), SysError> {
    let [start, count, written, ..] = run(Sysno::MachineTrace, machine.raw(), 0, [from, 0, 0, 0])?;
    let count = (count as usize).min(TraceRecord::MOST);
    let payload = page::Payload::copy(count * TraceRecord::SIZE);
    into.extend(payload.bytes().as_chunks().0.iter().map(TraceRecord::from_bytes));
    Ok((start, count, written))
}

/// Any system call with any operands, for tests of the kernel that send it nonsense. Refuses those whose success could
/// break Rust's view of memory in the caller itself (its own mappings; copies to an address).
pub fn raw(rax: u64, rdi: u64, rsi: u64, r15: u64, words: [u64; 8]) -> (u64, [u64; 8]) {
    let forbidden = [Sysno::MemoryMap, Sysno::MemoryUnmap, Sysno::LeaseRead, Sysno::ThreadCreate, Sysno::ProcessLoad];
    if forbidden.iter().any(|call| rax & 0xff == *call as u64) {
        return (SysError::BadSyscall as u64, words);
    }
    let f = trap::message(super::Frame { rax, rdi, rsi, r15, words });
    (f.rax, f.words)
}
