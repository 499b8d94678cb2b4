//! System calls, from registers to objects: decode, look up, check rights, act, and say who runs next.
//!
//! Invariants:
//! 1. Every operand is checked before anything changes; a refusal changes nothing but `rax`.
//! 2. No path from here panics on what a program put into its registers or its memory.

use crate::account::{Account, MAX_DEPTH, Purpose};
use crate::cap::{Cap, THE_MACHINE};
use crate::event::Event;
use crate::handoff::Allowed;
use crate::irq::Irq;
use crate::kernel::Kernel;
use crate::lease::{MAX_COPY, UserRange};
use crate::machine::{Context, Entered, Machine, PortRange, Resume};
use crate::memory::{Backing, MAX_PAGES, Memory};
use crate::mm::{Frame, FrameKind, Object, Protection, Ref, Run, Space};
use crate::ports::IoPorts;
use crate::process::Process;
use crate::region::PageRange;
use crate::schedule::Next;
use crate::thread::{Thread, Wait};
use crate::trouble::Trouble;
use abi::{
    CallFlags, Handle, Kind, LeaseAccess, MAX_CONTIGUOUS, MessageId, PAGE_SIZE, PRIORITIES, ProcessState, Registers,
    Rights, SysError, Sysno, layout,
};

/// Steps of a long operation within one kernel entry, each of some hundred instructions at most.
pub(crate) const BUDGET: u32 = 64;
/// Groups of 64 frames that one kernel entry looks at for some in a row, 50 instructions each.
/// The memory of tests is small.
const GROUPS: usize = if cfg!(test) { 4 } else { 256 };
/// The flags that a new thread starts with: interrupts on, bit 1 always set (Intel SDM vol. 1, section 3.4.3).
const INITIAL_FLAGS: u64 = 0x202;

/// A system call as it came: numbers became types. Its operands are still in the caller's registers.
#[inline(always)]
fn decode(rax: u64) -> Result<(Sysno, CallFlags), SysError> {
    let number = Sysno::try_from(rax & 0xff)?;
    let flags = CallFlags::from_bits_truncate((rax >> 8) as u8);
    if rax >> 8 == u64::from(flags.bits()) { Ok((number, flags)) } else { Err(SysError::BadSyscall) }
}

/// The operands of the system call of thread `me`.
impl<M: Machine> Kernel<M> {
    #[inline(always)]
    fn first(&self, me: Ref<Thread>) -> Handle {
        Handle::from_raw(self.threads[me].context.registers.rdi)
    }
    /// The object behind the first operand, if it is of this kind and the capability has all of `needed`.
    #[inline(always)]
    fn object_of<T>(&self, me: Ref<Thread>, kind: Kind, needed: Rights) -> Result<Ref<T>, SysError> {
        let handle = self.first(me);
        if let Some(slot) = self.processes[self.threads[me].process].caps_table.near_slot(handle.index())
            && !self.coverage.is_on()
            && let Some(object) = self.slots[slot].object(handle, kind, needed)
        {
            return Ok(object);
        }
        self.object_slowly(me, kind, needed)
    }

    /// The same wherever the slot is, or why there is no such object.
    #[cold]
    #[inline(never)]
    fn object_slowly<T>(&self, me: Ref<Thread>, kind: Kind, needed: Rights) -> Result<Ref<T>, SysError> {
        Ok(self.object(self.allow(self.threads[me].process, self.first(me), kind, needed)?))
    }
    /// The object behind the second operand.
    fn second_of<T>(&self, me: Ref<Thread>, kind: Kind, needed: Rights) -> Result<Ref<T>, SysError> {
        Ok(self.object(self.allow(self.threads[me].process, self.second(me), kind, needed)?))
    }

    #[inline(always)]
    fn second(&self, me: Ref<Thread>) -> Handle {
        Handle::from_raw(self.threads[me].context.registers.rsi)
    }
    #[inline(always)]
    fn token(&self, me: Ref<Thread>) -> MessageId {
        MessageId::from_raw(self.threads[me].context.registers.r15)
    }
    #[inline(always)]
    fn words(&self, me: Ref<Thread>) -> [u64; 8] {
        self.threads[me].words()
    }
}

type Answer = Result<Next, Trouble>;

impl<M: Machine> Kernel<M> {
    /// The running thread made a system call; its registers are in its context: all that comes before the general path.
    /// The context to leave through if that was all.
    #[inline(always)]
    pub fn syscall_at_once(&mut self) -> Option<*const Context> {
        let next = self.hand_on(self.current?)?;
        Some(self.context_of(next))
    }

    /// The same by the general path.
    #[inline(never)]
    pub fn syscall(&mut self) -> Resume {
        let Some(me) = self.current else { return self.start() };
        let raw = self.threads[me].context.registers.rax;
        self.changed = self.watched;
        if self.changed
            && let Some(next) = self.entered(me, Some(raw))
        {
            return self.choose(next);
        }
        self.threads[me].context.registers.rax = 0;
        let answer = match decode(raw) {
            Ok((number, flags)) => self.serve(me, number, flags),
            Err(error) => Err(error.into()),
        };
        if self.coverage.is_on() {
            self.settle_uses();
        }
        let next = match answer {
            // Nobody else was touched: the thread goes on.
            Ok(Next::Same) if !self.changed => return Resume::Thread(&self.threads[me].context),
            Ok(Next::Restart) => self.restart(me, raw),
            Ok(next) => next,
            Err(Trouble::Refuse(error)) => self.refuse(me, error),
            Err(Trouble::Malformed(defect)) => {
                self.threads[me].context.registers.rdx = defect as u64;
                self.refuse(me, SysError::BadImage)
            }
        };
        self.choose(next)
    }

    /// The registers of a thread, for the way out after a handoff to it.
    pub fn context_of(&self, thread: Ref<Thread>) -> *const Context {
        &self.threads[thread].context
    }

    fn refuse(&mut self, me: Ref<Thread>, error: SysError) -> Next {
        self.threads[me].context.registers.rax = error as u64;
        self.threads[me].teardown = false;
        Next::Same
    }

    /// Sets the thread back to its `syscall` instruction, two bytes long (Intel SDM vol. 2, SYSCALL).
    fn restart(&mut self, me: Ref<Thread>, raw: u64) -> Next {
        let registers = &mut self.threads[me].context.registers;
        registers.rax = raw;
        registers.rip -= 2;
        if self.threads[me].wait == Wait::Nothing { Next::Same } else { Next::Reschedule }
    }

    #[inline(always)]
    fn serve(&mut self, me: Ref<Thread>, number: Sysno, flags: CallFlags) -> Answer {
        let process = self.threads[me].process;
        let cap = |k: &Self, kind, rights| k.allow(process, k.first(me), kind, rights);
        let second = |k: &Self, kind, rights| k.allow(process, k.second(me), kind, rights);
        match number {
            Sysno::Call => self.call(me, cap(self, Kind::Queue, Rights::SEND)?, flags),
            Sysno::ReplyRecv => {
                let queue = self.object_of(me, Kind::Queue, Rights::RECEIVE)?;
                self.reply_receive(me, self.token(me), queue, flags)
            }
            Sysno::Recv => self.receive(me, self.object_of(me, Kind::Queue, Rights::RECEIVE)?, flags),
            Sysno::Reply => self.reply(me, self.token(me)),
            Sysno::Post => self.post(me, cap(self, Kind::Queue, Rights::SEND)?),
            Sysno::Forward => self.forward(me, self.token(me), cap(self, Kind::Queue, Rights::SEND)?),
            Sysno::ForwardRecv => {
                let queue = self.second_of(me, Kind::Queue, Rights::RECEIVE)?;
                self.forward_receive(me, self.token(me), cap(self, Kind::Queue, Rights::SEND)?, queue, flags)
            }
            Sysno::LeaseRead | Sysno::LeaseWrite => {
                self.lease_copy(me, number == Sysno::LeaseRead)?;
                Ok(Next::Same)
            }
            Sysno::LeaseCopy => self.lease_to_lease(me, process),

            Sysno::Exit => {
                self.blame(me);
                self.kill(process, false, self.first(me).raw() as i32 as i64);
                Ok(Next::Same)
            }
            Sysno::ThreadExit => self.thread_exit(me, process),
            Sysno::Yield => self.pause(me, flags),
            Sysno::Clock => {
                let now = self.clock.nanoseconds(self.machine.ticks());
                self.give(me, [now])
            }

            Sysno::Duplicate => {
                self.duplicate(me)?;
                Ok(Next::Same)
            }
            Sysno::Close => {
                let cap = self.lookup(process, self.first(me))?;
                let done = self.delete(cap.slot, &mut { BUDGET });
                Ok(if done { Next::Same } else { Next::Restart })
            }
            Sysno::Revoke => {
                let cap = self.lookup(process, self.first(me))?;
                let done = self.revoke(cap.slot, &mut { BUDGET });
                Ok(if done { Next::Same } else { Next::Restart })
            }
            Sysno::Inspect => {
                let cap = self.lookup(process, self.first(me))?;
                let size = match cap.kind {
                    Kind::Memory => self.memories[self.object(cap)].pages,
                    Kind::IoPorts => self.ports[self.object(cap)].range.count.into(),
                    _ => 0,
                };
                self.give(me, [cap.kind as u64, cap.rights().bits().into(), self.slots[cap.slot].badge, size])
            }

            Sysno::CapabilityNext => {
                let (handle, next) = self.next_capability(process, self.words(me)[0]);
                self.give(me, [handle.raw(), next])
            }

            Sysno::AccountCreate => {
                self.account_create(me, cap(self, Kind::Account, Rights::CREATE)?, self.words(me)[0])
            }
            Sysno::AccountDestroy => match self.object_of(me, Kind::Account, Rights::DESTROY) {
                // Made again after the teardown, the call finds its handle gone: that is its success.
                Err(SysError::BadHandle) if core::mem::take(&mut self.threads[me].teardown) => Ok(Next::Same),
                account => self.account_destroy(me, process, account?),
            },
            Sysno::AccountStatus => {
                let account = self.object_of(me, Kind::Account, Rights::INSPECT)?;
                self.account_status(me, account)
            }
            Sysno::AccountProcess => {
                let account = self.object_of(me, Kind::Account, Rights::INSPECT)?;
                self.account_process(me, account, self.words(me)[0])
            }
            Sysno::AccountThread => {
                let account = self.object_of(me, Kind::Account, Rights::INSPECT)?;
                let (status, next) = self.next_thread_below(account, self.words(me)[0]);
                if let Some(status) = &status {
                    self.report_thread(me, status);
                }
                self.give(me, [next, status.is_some().into()])
            }
            Sysno::AccountCapability => {
                let account = self.object_of(me, Kind::Account, Rights::INSPECT)?;
                let (status, next) = self.next_holding(account, self.words(me)[0], self.words(me)[1])?;
                if let Some(status) = &status {
                    self.report_capability(me, status);
                }
                self.give(me, [next, status.is_some().into()])
            }

            Sysno::ProcessCreate => self.process_create(me, self.object_of(me, Kind::Account, Rights::CREATE)?),
            Sysno::ProcessLoad => {
                let memory = second(self, Kind::Memory, Rights::READ)?;
                let target = self.object_of(me, Kind::Process, Rights::CONTROL)?;
                self.stopped(target, &[ProcessState::Empty])?;
                self.ensure_space(target)?;
                let entry =
                    self.load(target, self.object(memory), Some(memory), self.words(me)[0], self.words(me)[1])?;
                let places = self.places().raw();
                self.give(me, [entry, places])
            }
            Sysno::ProcessGrant => {
                let target = self.object_of(me, Kind::Process, Rights::GRANT)?;
                let granted = self.lookup(process, self.second(me))?;
                self.stopped(target, &[ProcessState::Empty, ProcessState::Running, ProcessState::Faulted])?;
                let rights = Rights::from_bits_truncate(self.words(me)[0] as u16);
                let handle = self.derive(granted, rights, self.words(me)[1], target, true)?;
                self.give(me, [handle.raw()])
            }
            Sysno::ProcessStatus => {
                let status = self.status_of(self.object_of(me, Kind::Process, Rights::INSPECT)?);
                self.report_status(me, &status);
                Ok(Next::Same)
            }
            Sysno::ProcessKill => {
                let target = self.object_of(me, Kind::Process, Rights::CONTROL)?;
                self.process_kill(me, process, target, self.words(me)[0] as i32 as i64)
            }
            Sysno::ProcessReset => self.process_reset(me, process, self.object_of(me, Kind::Process, Rights::CONTROL)?),

            Sysno::ProcessRead => {
                let target = self.object_of(me, Kind::Process, Rights::CONTROL)?;
                self.process_read(me, process, target)
            }

            Sysno::ThreadCreate => self.thread_create(me, self.object_of(me, Kind::Process, Rights::CONTROL)?),
            Sysno::ThreadPriority => {
                self.thread_priority(self.object_of(me, Kind::Thread, Rights::CONTROL)?, self.words(me)[0])
            }

            Sysno::MemoryCreate => self.memory_create(me, process, self.object_of(me, Kind::Account, Rights::CREATE)?),
            Sysno::MemoryPhysical => {
                cap(self, Kind::Machine, Rights::CREATE)?;
                let account = self.second_of(me, Kind::Account, Rights::CREATE)?;
                self.memory_physical(me, process, account)
            }
            Sysno::MemoryMap => {
                let target = self.object_of(me, Kind::Process, Rights::MAP)?;
                self.memory_map(me, target, second(self, Kind::Memory, Rights::MAP)?)?;
                Ok(Next::Same)
            }
            Sysno::MemoryUnmap => {
                let target: Ref<Process> = self.object_of(me, Kind::Process, Rights::MAP)?;
                let range = PageRange::claim(self.words(me)[0], self.words(me)[1])?;
                let done = self.unmap(target, range, &mut { BUDGET })?;
                Ok(if done { Next::Same } else { Next::Restart })
            }
            Sysno::MemoryAddress => {
                let memory = self.object_of(me, Kind::Memory, Rights::DMA)?;
                self.memory_address(me, memory, self.words(me)[0])
            }

            Sysno::QueueCreate => {
                let account = self.object_of(me, Kind::Account, Rights::CREATE)?;
                let queue = self.create_queue(account, self.words(me)[0], self.words(me)[1])?;
                self.give_new(me, process, Kind::Queue, queue.raw())
            }
            Sysno::EventCreate => {
                let account = self.object_of(me, Kind::Account, Rights::CREATE)?;
                let event = self.create(account, Event::new(account))?;
                self.give_new(me, process, Kind::Event, event.raw())
            }
            Sysno::EventSignal => {
                let event = self.object_of(me, Kind::Event, Rights::SIGNAL)?;
                let woken = self.set_bits(event, self.words(me)[0]);
                Ok(woken.map_or(Next::Same, |woken| self.let_run(me, woken)))
            }
            Sysno::EventWait => self.event_wait(me, self.object_of(me, Kind::Event, Rights::WAIT)?, flags),
            Sysno::EventBind => {
                let queue = self.second_of(me, Kind::Queue, Rights::RECEIVE)?;
                self.bind(self.object_of(me, Kind::Event, Rights::WAIT)?, queue, self.words(me)[0])?;
                Ok(Next::Same)
            }

            Sysno::IrqCreate => {
                cap(self, Kind::Machine, Rights::CREATE)?;
                let account = self.second_of(me, Kind::Account, Rights::CREATE)?;
                self.irq_create(me, process, account)
            }
            Sysno::IrqBind => {
                let event = self.second_of(me, Kind::Event, Rights::SIGNAL)?;
                self.bind_irq(cap(self, Kind::Irq, Rights::USE)?, event, self.words(me)[0]);
                Ok(Next::Same)
            }
            Sysno::IrqAck => {
                let irq: Ref<Irq> = self.object_of(me, Kind::Irq, Rights::USE)?;
                self.unmask(irq);
                Ok(Next::Same)
            }
            Sysno::PortsCreate => {
                cap(self, Kind::Machine, Rights::CREATE)?;
                let account = self.second_of(me, Kind::Account, Rights::CREATE)?;
                let range = PortRange::claim(self.words(me)[0], self.words(me)[1])?;
                let ports = self.create(account, IoPorts { range, account: Some(account), caps: 0 })?;
                self.give_new(me, process, Kind::IoPorts, ports.raw())
            }
            Sysno::PortsOpen => self.ports_open(me, process),

            Sysno::MachineInfo => {
                cap(self, Kind::Machine, Rights::INSPECT)?;
                self.report_machine(me);
                Ok(Next::Same)
            }
            Sysno::MachineAudit => {
                cap(self, Kind::Machine, Rights::INSPECT)?;
                let Some(report) = self.audit_step() else { return Ok(Next::Restart) };
                self.report_audit(me, &report);
                Ok(Next::Same)
            }
            Sysno::MachineTrace => {
                cap(self, Kind::Machine, Rights::INSPECT)?;
                let (counts, records) = self.read_trace(self.words(me)[0]);
                self.report_trace(me, &records);
                self.give(me, counts)
            }
            Sysno::MachineLog => {
                cap(self, Kind::Machine, Rights::CREATE)?;
                self.machine_log(me, self.words(me)[0])
            }
        }
    }

    /// Results into the words.
    fn give<const N: usize>(&mut self, me: Ref<Thread>, results: [u64; N]) -> Answer {
        let mut words = self.threads[me].words();
        words[..N].copy_from_slice(&results);
        self.threads[me].set_words(words);
        Ok(Next::Same)
    }

    /// The first capability to a new object into the caller's table; without room the object goes again.
    fn give_new(&mut self, me: Ref<Thread>, process: Ref<Process>, kind: Kind, object: u32) -> Answer {
        match self.insert_root(process, kind, object) {
            Ok(handle) => self.give(me, [handle.raw()]),
            Err(error) => {
                self.unreferenced(kind, object);
                Err(error.into())
            }
        }
    }

    #[inline(always)]
    fn duplicate(&mut self, me: Ref<Thread>) -> Result<(), SysError> {
        let process = self.threads[me].process;
        let cap = self.lookup(process, self.first(me))?;
        let rights = Rights::from_bits_truncate(self.words(me)[0] as u16);
        let handle = self.derive(cap, rights, self.words(me)[1], process, false)?;
        self.threads[me].context.registers.rdx = handle.raw();
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn lease_copy(&mut self, me: Ref<Thread>, reads: bool) -> Result<(), SysError> {
        let process = self.threads[me].process;
        let [offset, address, length, ..] = self.words(me);
        if length > MAX_COPY {
            return Err(SysError::BadArgument);
        }
        let own = UserRange::claim(process, address, length).ok_or(SysError::BadAddress)?;
        let access = if reads { LeaseAccess::READ } else { LeaseAccess::WRITE };
        let lent = self.lease(process, self.token(me), self.second(me).raw(), offset, length, access)?;
        let (from, to) = if reads { (lent, own) } else { (own, lent) };
        self.copy_user(from, to).map_err(|e| e.with_lease(reads))
    }

    fn lease_to_lease(&mut self, me: Ref<Thread>, process: Ref<Process>) -> Answer {
        let [from_offset, to_offset, length, other, index, ..] = self.words(me);
        if length > MAX_COPY {
            return Err(SysError::BadArgument.into());
        }
        let from =
            self.lease(process, self.token(me), self.second(me).raw(), from_offset, length, LeaseAccess::READ)?;
        let other = MessageId::from_raw(other);
        let to = self.lease(process, other, index, to_offset, length, LeaseAccess::WRITE)?;
        self.copy_user(from, to).map_err(|_| SysError::BadLease)?;
        Ok(Next::Same)
    }

    fn thread_exit(&mut self, me: Ref<Thread>, process: Ref<Process>) -> Answer {
        self.blame(me);
        if self.processes[process].thread_count == 1 {
            self.kill(process, false, 0);
            return Ok(Next::Same);
        }
        if !self.revoke_object(Kind::Thread, me.raw(), &mut { BUDGET }) {
            return Ok(Next::Restart);
        }
        self.remove_thread(me);
        Ok(Next::Reschedule)
    }

    fn account_create(&mut self, me: Ref<Thread>, cap: Cap, pages: u64) -> Answer {
        if pages == 0 {
            return Err(SysError::BadArgument.into());
        }
        let parent: Ref<Account> = self.object(cap);
        let process = self.threads[me].process;
        let depth = self.accounts[parent].depth + 1;
        if depth > MAX_DEPTH {
            return Err(SysError::LimitReached.into());
        }
        self.accounts[parent].lend(pages)?;
        let child = self.create(parent, Account::new(pages, Some(parent)).below(depth)).inspect_err(|_| {
            self.accounts[parent].unlend(pages);
        })?;
        match self.insert_root(process, Kind::Account, child.raw()) {
            Ok(handle) => self.give(me, [handle.raw()]),
            Err(error) => {
                self.destroy(parent, child);
                self.accounts[parent].unlend(pages);
                Err(error.into())
            }
        }
    }

    fn account_destroy(&mut self, me: Ref<Thread>, process: Ref<Process>, account: Ref<Account>) -> Answer {
        if self.is_below(self.processes[process].account_ref(), account) || account == self.root {
            return Err(SysError::BadState.into());
        }
        self.doom_account(account);
        self.threads[me].teardown = true;
        Ok(self.await_teardown(me))
    }

    fn account_status(&mut self, me: Ref<Thread>, account: Ref<Account>) -> Answer {
        let mut status = self.accounts[account].status();
        (status.free, status.total) = (self.mm.free_frames(), self.mm.total_frames());
        let usage = status.objects.map(|o| [o.pages, o.objects]);
        let mut words: heapless::Vec<u64, 32> = heapless::Vec::new();
        let head = [status.limit, status.used, status.lent];
        let tail = [status.memory, status.page_tables, status.cap_tables, status.other, status.free, status.total];
        for word in head.into_iter().chain(usage.into_iter().flatten()).chain(tail) {
            words.push(word).map_err(|_| SysError::LimitReached)?;
        }
        const _: () = assert!(size_of::<abi::AccountStatus>() == 8 * (3 + 18 + 6));
        self.report(me, &words);
        Ok(Next::Same)
    }

    fn account_process(&mut self, me: Ref<Thread>, account: Ref<Account>, after: u64) -> Answer {
        let found = self.next_process_below(account, after);
        if let Some(process) = found {
            let status = self.status_of(process);
            self.report_status(me, &status);
        }
        let id = found.map_or(0, |p| self.processes[p].id);
        self.give(me, [id])
    }

    /// The process with the smallest id above `after` that is paid for by `account` or an account below it.
    pub(crate) fn next_process_below(&self, account: Ref<Account>, after: u64) -> Option<Ref<Process>> {
        let mut at = self.first_process;
        while let Some(process) = at {
            let entry = &self.processes[process];
            if entry.id > after && self.is_below(entry.account_ref(), account) {
                return Some(process);
            }
            at = entry.all_next;
        }
        None
    }

    fn process_create(&mut self, me: Ref<Thread>, account: Ref<Account>) -> Answer {
        let creator = self.threads[me].process;
        let [bits, ceiling, name0, name1, ..] = self.words(me);
        let event: Option<Ref<Event>> = match self.second(me).is_none() {
            true => None,
            false => Some(self.second_of(me, Kind::Event, Rights::SIGNAL)?),
        };
        if ceiling >= PRIORITIES as u64 || ceiling as u8 > self.processes[creator].ceiling {
            return Err(SysError::BadArgument.into());
        }
        let mut name = [0; 16];
        name[..8].copy_from_slice(&name0.to_le_bytes());
        name[8..].copy_from_slice(&name1.to_le_bytes());
        let process = self.new_process(account, ceiling as u8, name)?;
        if let Some(event) = event {
            self.watch(process, event, bits);
        }
        self.give_new_process(me, creator, process)
    }

    fn give_new_process(&mut self, me: Ref<Thread>, creator: Ref<Process>, process: Ref<Process>) -> Answer {
        match self.insert_root(creator, Kind::Process, process.raw()) {
            Ok(handle) => self.give(me, [handle.raw()]),
            Err(error) => {
                self.processes[process].state = ProcessState::Exited;
                self.unreferenced(Kind::Process, process.raw());
                Err(error.into())
            }
        }
    }

    /// Makes an empty process.
    pub(crate) fn new_process(
        &mut self,
        account: Ref<Account>,
        ceiling: u8,
        name: [u8; 16],
    ) -> Result<Ref<Process>, SysError> {
        self.next_process += 1;
        let process = Process {
            id: self.next_process,
            incarnation: 1,
            name,
            account: Some(account),
            ceiling,
            ..Process::default()
        };
        let process = self.create(account, process)?;
        let last = self.last_process.replace(process);
        self.processes[process].all_prev = last;
        match last {
            Some(last) => self.processes[last].all_next = Some(process),
            None => self.first_process = Some(process),
        }
        Ok(process)
    }

    /// Gives a process its page tables, if it has none.
    #[inline(always)]
    pub(crate) fn ensure_space(&mut self, process: Ref<Process>) -> Result<Space, SysError> {
        if let Some(space) = self.processes[process].space {
            return Ok(space);
        }
        self.make_space(process)
    }

    #[inline(never)]
    fn make_space(&mut self, process: Ref<Process>) -> Result<Space, SysError> {
        let account = self.processes[process].account_ref();
        let root = self.buy(account, FrameKind::PageTable, Purpose::PageTables)?;
        let space = self.mm.init_space(root, self.kernel_root);
        self.processes[process].space = Some(space);
        Ok(space)
    }

    /// Refuses with `BadState` unless the process is in one of `states` and not being torn down.
    fn stopped(&self, process: Ref<Process>, states: &[ProcessState]) -> Result<(), SysError> {
        let Process { state, dying, .. } = &self.processes[process];
        (dying.is_none() && states.contains(state)).then_some(()).ok_or(SysError::BadState)
    }

    fn process_kill(&mut self, me: Ref<Thread>, own: Ref<Process>, target: Ref<Process>, status: i64) -> Answer {
        let Process { state, dying, .. } = &self.processes[target];
        // Made again after the teardown, the call is done, even if a reset has begun the next incarnation meanwhile.
        let (exited, torn_down) = (*state == ProcessState::Exited, dying.is_none());
        if exited || core::mem::take(&mut self.threads[me].teardown) && torn_down {
            self.threads[me].teardown = false;
            return Ok(Next::Same);
        }
        if target == own {
            self.end_on_order(own);
        }
        self.kill(target, false, status);
        if target == own {
            return Ok(Next::Same);
        }
        self.threads[me].teardown = true;
        Ok(self.await_teardown(me))
    }

    fn process_reset(&mut self, me: Ref<Thread>, own: Ref<Process>, target: Ref<Process>) -> Answer {
        // The reset takes everything that the account paid for: the caller, too, were it among that.
        if self.is_below(self.processes[own].account_ref(), self.processes[target].account_ref()) {
            return Err(SysError::BadState.into());
        }
        // Made again after the teardown, the call finds the flag set and the process empty.
        if core::mem::take(&mut self.threads[me].teardown) && self.processes[target].dying.is_none() {
            let incarnation = self.processes[target].incarnation;
            return self.give(me, [incarnation]);
        }
        self.kill(target, true, -1);
        self.threads[me].teardown = true;
        Ok(self.await_teardown(me))
    }

    /// Copies out of a stopped process.
    fn process_read(&mut self, me: Ref<Thread>, own: Ref<Process>, target: Ref<Process>) -> Answer {
        let [from, to, length, ..] = self.words(me);
        if length > MAX_COPY {
            return Err(SysError::BadArgument.into());
        }
        self.stopped(target, &[ProcessState::Faulted])?;
        let from = UserRange::claim(target, from, length).ok_or(SysError::BadAddress)?;
        let to = UserRange::claim(own, to, length).ok_or(SysError::BadAddress)?;
        self.copy_user(from, to).map_err(|_| SysError::BadAddress)?;
        Ok(Next::Same)
    }

    fn thread_create(&mut self, me: Ref<Thread>, target: Ref<Process>) -> Answer {
        let owner = self.threads[me].process;
        let [entry, stack, message_at, argument, priority, ..] = self.words(me);
        self.stopped(target, &[ProcessState::Empty, ProcessState::Running])?;
        if priority > self.processes[target].ceiling as u64 {
            return Err(SysError::BadArgument.into());
        }
        let thread = self.new_thread(target, entry, stack, message_at, argument, priority as u8)?;
        match self.insert_root(owner, Kind::Thread, thread.raw()) {
            Ok(handle) => self.give(me, [handle.raw()]),
            Err(error) => {
                self.remove_thread(thread);
                if self.processes[target].thread_count == 0 {
                    self.processes[target].state = ProcessState::Empty;
                }
                Err(error.into())
            }
        }
    }

    /// Makes a thread and starts it.
    pub(crate) fn new_thread(
        &mut self,
        process: Ref<Process>,
        entry: u64,
        stack: u64,
        message_at: u64,
        argument: u64,
        priority: u8,
    ) -> Result<Ref<Thread>, SysError> {
        let user = |address: u64| (layout::USER_START..=layout::USER_END).contains(&address);
        let page = PageRange::claim(message_at, 1)?;
        if !user(entry) || !user(stack) {
            return Err(SysError::BadAddress);
        }
        let space = self.ensure_space(process)?;
        if self.region_at(process, page.start).is_some() || self.mm.translate(space, page.start).is_some() {
            return Err(SysError::AddressInUse);
        }
        if self.processes[process].thread_count >= u16::MAX as u32 {
            return Err(SysError::LimitReached);
        }
        let account = self.processes[process].account_ref();
        let frame = self.buy(account, FrameKind::Content, Purpose::Other)?;
        let made = self.enter_page(process, page.start, frame.address(), Protection::WRITE).and_then(|()| {
            let thread = Thread { process, account: Some(account), ..Thread::vacant() };
            let thread = self.create(account, thread)?;
            self.number(thread).inspect_err(|_| self.destroy(account, thread))?;
            Ok(thread)
        });
        let thread = made.inspect_err(|_| {
            if let Some(stale) = self.mm.unmap_page(space, page.start) {
                self.flush(process, stale);
            }
            self.sell(account, frame, Purpose::Other);
        })?;
        let registers =
            Registers { rip: entry, rsp: stack, rdi: argument, rflags: INITIAL_FLAGS, ..Registers::default() };
        let sibling_next = self.processes[process].threads.replace(thread);
        if let Some(sibling) = sibling_next {
            self.threads[sibling].sibling_prev = Some(thread);
        }
        let entry = &mut self.threads[thread];
        entry.context = Context { registers, entered: Entered::Interrupt };
        (entry.message, entry.message_at) = (Some(frame), page.start);
        (entry.base, entry.priority, entry.sibling_next) = (priority, priority, sibling_next);
        let target = &mut self.processes[process];
        entry.index = target.next_index;
        target.next_index = target.next_index.wrapping_add(1);
        target.thread_count += 1;
        if core::mem::replace(&mut target.state, ProcessState::Running) == ProcessState::Empty {
            self.trace_start(process);
        }
        self.ready.push(&mut self.threads, thread);
        self.changed = true;
        Ok(thread)
    }

    fn thread_priority(&mut self, thread: Ref<Thread>, priority: u64) -> Answer {
        let process = self.threads[thread].process;
        if priority > self.processes[process].ceiling as u64 {
            return Err(SysError::BadArgument.into());
        }
        self.threads[thread].base = priority as u8;
        if self.threads[thread].wait != Wait::Stopped {
            self.set_priority(thread, priority as u8);
        }
        Ok(Next::Same)
    }

    fn memory_create(&mut self, me: Ref<Thread>, process: Ref<Process>, account: Ref<Account>) -> Answer {
        let [pages, contiguous, ..] = self.words(me);
        let most = if contiguous == 1 { MAX_CONTIGUOUS } else { MAX_PAGES };
        if pages == 0 || pages > most || contiguous > 1 {
            return Err(SysError::BadArgument.into());
        }
        let mut memory = Memory::anonymous(pages, account);
        if contiguous == 1 {
            let from = core::mem::take(&mut self.threads[me].searched) as usize;
            let first = match self.mm.find_run(pages as usize, from, GROUPS) {
                Run::At(first) => first,
                Run::Unfinished(next) => {
                    self.threads[me].searched = next as u32;
                    return Ok(Next::Restart);
                }
                Run::Nowhere => return Err(SysError::NoMemory.into()),
            };
            self.accounts[account].charge(Purpose::Contents, pages)?;
            memory.backing = Backing::Contiguous(self.mm.take_run_at(first, pages as usize));
        }
        let backing = memory.backing;
        let memory = self.create(account, memory).inspect_err(|_| {
            if let Backing::Contiguous(first) = backing {
                (0..pages as u32).for_each(|n| self.sell(account, Frame(first.0 + n), Purpose::Contents));
            }
        })?;
        self.give_new(me, process, Kind::Memory, memory.raw())
    }

    fn memory_physical(&mut self, me: Ref<Thread>, process: Ref<Process>, account: Ref<Account>) -> Answer {
        let [start, pages, ..] = self.words(me);
        let end = pages.checked_mul(PAGE_SIZE).and_then(|bytes| start.checked_add(bytes));
        let end = end.filter(|end| *end <= 1 << 52).ok_or(SysError::BadArgument)?;
        let in_ram = self.ram.iter().any(|range| start < range.end && end > range.start);
        if start % PAGE_SIZE != 0 || pages == 0 || pages > MAX_PAGES || in_ram {
            return Err(SysError::BadArgument.into());
        }
        let memory = Memory { backing: Backing::Device(start), ..Memory::anonymous(pages, account) };
        let memory = self.create(account, memory)?;
        self.give_new(me, process, Kind::Memory, memory.raw())
    }

    #[inline(always)]
    pub(crate) fn memory_map(&mut self, me: Ref<Thread>, target: Ref<Process>, memory: Cap) -> Result<(), SysError> {
        let [address, offset, pages, protection, ..] = self.words(me);
        let wanted = u16::try_from(protection).ok().and_then(Rights::from_bits).ok_or(SysError::BadArgument)?;
        let both = Rights::WRITE | Rights::EXECUTE;
        if !(Rights::READ | both).contains(wanted) || !wanted.contains(Rights::READ) || wanted.contains(both) {
            return Err(SysError::BadArgument);
        }
        let memory = memory.require(Kind::Memory, wanted)?;
        self.note_use(memory, wanted);
        let range = PageRange::claim(address, pages)?;
        self.stopped(target, &[ProcessState::Empty, ProcessState::Running, ProcessState::Faulted])?;
        self.ensure_space(target)?;
        let mut how = Protection::empty();
        how.set(Protection::WRITE, wanted.contains(Rights::WRITE));
        how.set(Protection::EXECUTE, wanted.contains(Rights::EXECUTE));
        self.map_through(memory, target, range, offset, how)
    }

    fn memory_address(&mut self, me: Ref<Thread>, memory: Ref<Memory>, page: u64) -> Answer {
        if page >= self.memories[memory].pages {
            return Err(SysError::BadArgument.into());
        }
        let address = self.commit(memory, page)?;
        self.give(me, [address, self.pages_in_a_row(memory, page, address)])
    }

    fn event_wait(&mut self, me: Ref<Thread>, event: Ref<Event>, flags: CallFlags) -> Answer {
        let mask = self.words(me)[0];
        if mask == 0 {
            return Err(SysError::BadArgument.into());
        }
        let Event { bits, waiter, queue, .. } = self.events[event];
        if queue.is_some() || waiter.is_some() {
            return Err(SysError::BadState.into());
        }
        if bits & mask != 0 {
            self.events[event].bits &= !mask;
            return self.give(me, [bits & mask]);
        }
        let deadline = self.deadline(me, flags)?;
        self.block(me, Wait::Signal(event, mask), deadline);
        self.events[event].waiter = Some(me);
        Ok(Next::Reschedule)
    }

    fn irq_create(&mut self, me: Ref<Thread>, process: Ref<Process>, account: Ref<Account>) -> Answer {
        let [line, level, ..] = self.words(me);
        let gsi = match line {
            u64::MAX => None,
            line => Some(u32::try_from(line).map_err(|_| SysError::BadArgument)?),
        };
        let irq = self.create_irq(account, gsi, level == 1)?;
        let slot = crate::machine::IrqLine(self.irqs[irq].slot);
        let next = self.give_new(me, process, Kind::Irq, irq.raw())?;
        if gsi.is_none() {
            let message = self.machine.msi_message(slot);
            let registers = &mut self.threads[me].context.registers;
            (registers.r8, registers.r9) = (message.address, message.data.into());
        }
        Ok(next)
    }

    fn ports_open(&mut self, me: Ref<Thread>, own: Ref<Process>) -> Answer {
        let cap = self.lookup(own, self.first(me))?.require(Kind::Process, Rights::empty())?;
        if !cap.rights().intersects(Rights::CONTROL | Rights::MAP) {
            return Err(SysError::MissingRights.into());
        }
        self.note_use(cap, cap.rights() & (Rights::CONTROL | Rights::MAP));
        self.report_watched(own);
        let target: Ref<Process> = self.object(cap);
        let ports: Ref<IoPorts> = self.second_of(me, Kind::IoPorts, Rights::USE)?;
        let range = self.ports[ports].range;
        if self.processes[target].ports.contains(&range) {
            return Ok(Next::Same);
        }
        self.processes[target].ports.push(range).map_err(|_| SysError::LimitReached)?;
        self.processes[target].handoff_root = 0;
        if self.loaded() == Some(target) {
            self.machine.open_ports(&self.processes[target].ports);
            self.ports_open = true;
            self.handoff_allowed = Allowed::Nothing;
        }
        Ok(Next::Same)
    }

    fn machine_log(&mut self, me: Ref<Thread>, bytes: u64) -> Answer {
        if bytes > abi::MAX_PAYLOAD as u64 {
            return Err(SysError::BadArgument.into());
        }
        let page = self.threads[me].message.ok_or(SysError::BadState)?;
        self.machine.log(&self.mm.bytes(page)[..bytes as usize]);
        Ok(Next::Same)
    }

    /// The number of the one object of kind Machine in a slot.
    pub(crate) const MACHINE: u32 = THE_MACHINE;
}
