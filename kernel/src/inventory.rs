//! The inventory: what each process holds, where it comes from, and who pays for the objects.
//!
//! Invariants:
//! 1. It changes nothing, and looks at a bounded number of slots at a time.
//! 2. A process or account that the asked account does not pay for has number 0: nothing is told of it.

use crate::account::Account;
use crate::cap::Cap;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::memory::Backing;
use crate::mm::Ref;
use crate::process::Process;
use abi::{CapabilityStatus, Handle, Kind, SysError};

impl<M: Machine> Kernel<M> {
    /// The first capability in the slots from `from` on of the process with this id, which `account` or one below it pays
    /// for, as far as a step of bounded length goes; and the index to go on from, 0 where there are no more slots.
    pub(crate) fn next_holding(
        &self,
        account: Ref<Account>,
        id: u64,
        from: u64,
    ) -> Result<(Option<CapabilityStatus>, u64), SysError> {
        let before = id.checked_sub(1).ok_or(SysError::BadArgument)?;
        let process = self.next_process_below(account, before).filter(|p| self.processes[*p].id == id);
        let process = process.ok_or(SysError::BadArgument)?;
        let (handle, next) = self.next_capability(process, from);
        let cap = self.lookup(process, handle).ok();
        Ok((cap.map(|cap| self.holding(account, handle, cap)), next))
    }

    fn holding(&self, account: Ref<Account>, handle: Handle, cap: Cap) -> CapabilityStatus {
        let slot = &self.slots[cap.slot];
        let visible = |p: &Ref<Process>| self.is_below(self.processes[*p].account_ref(), account);
        let parent = self.parent_of(cap.slot).filter(|(process, _)| visible(process));
        let payer = self.payer_of(cap).filter(|payer| self.is_below(*payer, account));
        let (first, size) = self.extent_of(cap);
        CapabilityStatus {
            handle: handle.raw(),
            kind: cap.kind as u64,
            object: self.number_of(cap),
            rights: cap.rights().bits().into(),
            used: slot.used(cap.kind).bits().into(),
            badge: self.slots[cap.slot].badge,
            first,
            size,
            granted: slot.is_granted().into(),
            parent_process: parent.map_or(0, |(process, _)| self.processes[process].id),
            parent: parent.map_or(0, |(_, handle)| handle.raw()),
            payer: payer.map_or(0, |payer| payer.raw().into()),
        }
    }

    /// A number that no other object of the kind has while this one lives: where it has one for people, that.
    fn number_of(&self, cap: Cap) -> u64 {
        match cap.kind {
            Kind::Process => self.processes[self.object(cap)].id,
            Kind::Thread => self.threads[self.object(cap)].number.into(),
            Kind::Queue => self.queues[self.object(cap)].id,
            _ => self.slots[cap.slot].object.into(),
        }
    }

    /// Where a part of the hardware or of memory begins, and how large it is.
    fn extent_of(&self, cap: Cap) -> (u64, u64) {
        match cap.kind {
            Kind::Memory => {
                let memory = &self.memories[self.object(cap)];
                (if let Backing::Device(start) = memory.backing { start } else { 0 }, memory.pages)
            }
            Kind::IoPorts => {
                let range = self.ports[self.object(cap)].range;
                (range.first.into(), range.count.into())
            }
            Kind::Irq => (self.irqs[self.object(cap)].gsi.map_or(u64::MAX, u64::from), 0),
            _ => (0, 0),
        }
    }

    fn payer_of(&self, cap: Cap) -> Option<Ref<Account>> {
        match cap.kind {
            Kind::Account => self.accounts[self.object(cap)].parent,
            Kind::Process => self.processes[self.object(cap)].account,
            Kind::Thread => self.threads[self.object(cap)].account,
            Kind::Memory => self.memories[self.object(cap)].account,
            Kind::Queue => self.queues[self.object(cap)].account,
            Kind::Event => self.events[self.object(cap)].account,
            Kind::Irq => self.irqs[self.object(cap)].account,
            Kind::IoPorts => self.ports[self.object(cap)].account,
            Kind::Machine => None,
        }
    }
}
