//! The short calls: system calls after which, but for rare cases, the caller goes on, and nobody else does anything.
//!
//! The entry code saves a part of the caller's registers for them, and the rest only where they do not serve: each is a
//! function from registers to registers that says whether it has served. Nothing is special here but the speed: every
//! effect is that of the general path.
//!
//! Always true:
//! 1. A short call that does not serve has changed nothing but what the general path does again; that serves the call, or
//!    says what is wrong with it.
//! 2. Of the caller's context it reads `rax`, `rdi`, `rsi`, `r15` and the words 0 to 3 (`Post`: all words), which the entry
//!    code has put there, and writes `rax` and word 0 (`Recv`: a message), which it takes from there. The rest is of an
//!    earlier entry.
//! 3. Where something looks on or waits to be done in the kernel, it does not serve ([`Kernel::handoff_allowed`]).
//! 4. Their numbers lie between those of `Clock` and of `Call`, in which the entry code finds them.

use crate::cap::{MAPPING, Place, Slot};
use crate::handoff::{Allowed, is_bare};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Ref, SlotRef};
use crate::process::Process;
use crate::region::PageRange;
use crate::syscall::BUDGET;
use crate::thread::Thread;
use abi::{Handle, Kind, Rights, Sysno};

impl<M: Machine> Kernel<M> {
    /// The running thread has made a short call: whether it was served. The thread goes on then.
    #[inline(always)]
    pub fn short(&mut self, number: Sysno) -> bool {
        let Some(me) = self.current.filter(|_| self.handoff_allowed != Allowed::Nothing) else { return false };
        let served = match number {
            Sysno::Duplicate => self.short_duplicate(me),
            Sysno::Close => self.short_close(me),
            Sysno::LeaseRead => self.lease_copy(me, true).ok(),
            Sysno::LeaseWrite => self.lease_copy(me, false).ok(),
            Sysno::MemoryMap => self.short_map(me),
            Sysno::MemoryUnmap => self.short_unmap(me),
            Sysno::Post => self.short_post(me),
            Sysno::Recv => self.short_receive(me),
            _ => None,
        };
        if served.is_some() {
            self.threads[me].context.registers.rax = 0;
        }
        served.is_some()
    }

    /// `Duplicate` from the first page of the table into it.
    #[inline(always)]
    fn short_duplicate(&mut self, me: Ref<Thread>) -> Option<()> {
        let caller = &self.threads[me];
        let process = caller.process;
        let from = self.short_slot(process, caller.context.registers.rdi)?;
        let place = self.processes[process].caps_table.vacant_near()?;
        let rights = Rights::from_bits_retain(caller.context.registers.rdx as u16);
        let badge = self.short_badge(from, caller.context.registers.r8)?;
        let handle = self.derive_in(from, rights, badge, process, place);
        self.threads[me].context.registers.rdx = handle.raw();
        Some(())
    }

    /// `Close` of a capability of the first page that is not its object's last, from which none was derived, and that has
    /// bound no interrupt.
    #[inline(always)]
    fn short_close(&mut self, me: Ref<Thread>) -> Option<()> {
        let caller = &self.threads[me];
        let (process, handle) = (caller.process, caller.context.registers.rdi);
        let slot = self.short_slot(process, handle)?;
        let entry = &self.slots[slot];
        if entry.prev == 0 || entry.child != 0 || entry.is_granted() || entry.kind == Kind::Irq as u8 {
            return None;
        }
        self.vacate_lesser(process, Place::near(slot, Handle::from_raw(handle).index()));
        Some(())
    }

    /// The slot of the capability behind `handle`, in the first page of the table of `process`.
    #[inline(always)]
    pub(crate) fn short_slot(&self, process: Ref<Process>, handle: u64) -> Option<SlotRef> {
        let handle = Handle::from_raw(handle);
        let slot = self.processes[process].caps_table.near_slot(handle.index())?;
        let entry = &self.slots[slot];
        let named = entry.generation == handle.generation() && (1..MAPPING).contains(&entry.kind);
        named.then_some(slot)
    }

    /// `MemoryMap` by capabilities of the first page.
    #[inline(always)]
    fn short_map(&mut self, me: Ref<Thread>) -> Option<()> {
        let caller = &self.threads[me];
        let (process, registers) = (caller.process, &caller.context.registers);
        let target = self.short_object(process, registers.rdi, Kind::Process, Rights::MAP)?;
        let memory = self.find_cap(process, Handle::from_raw(registers.rsi), Kind::Memory, Rights::MAP)?;
        self.memory_map(me, target, memory).ok()
    }

    /// `MemoryUnmap` of one mapping from end to end, which is not the last to keep its memory.
    #[inline(always)]
    fn short_unmap(&mut self, me: Ref<Thread>) -> Option<()> {
        let caller = &self.threads[me];
        let target = self.short_object(caller.process, caller.context.registers.rdi, Kind::Process, Rights::MAP)?;
        let range = PageRange::claim(caller.context.registers.rdx, caller.context.registers.r8).ok()?;
        let region = self.region_of(target, range)?;
        self.remove_lesser(target, region, &mut { BUDGET })
    }

    /// The object behind `handle`, in the first page of the table of `process`.
    #[inline(always)]
    fn short_object<T>(&self, process: Ref<Process>, handle: u64, kind: Kind, needed: Rights) -> Option<Ref<T>> {
        let handle = Handle::from_raw(handle);
        let slot = self.processes[process].caps_table.near_slot(handle.index())?;
        self.slots[slot].object(handle, kind, needed)
    }

    /// The badge of what is derived from the capability in `slot`, where `wanted` is asked for (0: none).
    #[inline(always)]
    pub(crate) fn short_badge(&self, slot: SlotRef, wanted: u64) -> Option<u64> {
        let Slot { kind, rights, badge, .. } = self.slots[slot];
        let mints = kind == Kind::Queue as u8 && rights & Rights::MINT.bits() != 0;
        match wanted {
            0 => Some(badge),
            wanted => mints.then_some(wanted),
        }
    }

    /// `Post` where there is room in the ring and nobody waits to receive.
    #[inline(always)]
    fn short_post(&mut self, me: Ref<Thread>) -> Option<()> {
        let caller = &self.threads[me];
        let (queue, badge) = self.hand_queue(caller.process, caller.context.registers.rdi, Rights::SEND)?;
        if !is_bare(caller.tag().raw(), 0) || self.queues[queue].receiver.is_some() {
            return None;
        }
        self.ring_push(queue, badge, me).ok()
    }

    /// `Recv` where a posted message is next.
    #[inline(always)]
    fn short_receive(&mut self, me: Ref<Thread>) -> Option<()> {
        let caller = &self.threads[me];
        let (queue, _) = self.hand_queue(caller.process, caller.context.registers.rdi, Rights::RECEIVE)?;
        if caller.priority != caller.base || !self.queues[queue].is_ring_next() {
            return None;
        }
        self.deliver_posted(queue, me);
        Some(())
    }
}
