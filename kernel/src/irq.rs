//! Interrupts: lines and MSI vectors, turned into bits of an event.
//!
//! Invariants:
//! 1. A handler slot has at most one Irq object, and an I/O APIC line too.
//! 2. A line is unmasked only while its object is bound and no delivery awaits its acknowledgement.
//! 3. A bound interrupt names the capability that bound it, and the binding ends with that capability, however it goes:
//!    closed, revoked, or with its process. So whoever can revoke an interrupt can silence it.

use crate::account::Account;
use crate::cap::Cap;
use crate::event::Event;
use crate::kernel::Kernel;
use crate::machine::{IrqLine, MAX_IRQS, Machine};
use crate::mm::{FrameKind, Object, Ref, SlotRef};
use abi::{SysError, TraceKind, TraceRecord};

/// One interrupt.
#[derive(Default)]
pub struct Irq {
    /// Its handler slot.
    pub slot: u8,
    /// Its I/O APIC line; `None` for an MSI vector, which the device itself masks.
    pub gsi: Option<u32>,
    /// What it signals.
    pub event: Option<Ref<Event>>,
    /// With which bits.
    pub bits: u64,
    /// The capability that bound it.
    pub(crate) bound_by: Option<SlotRef>,
    /// The account that pays.
    pub account: Option<Ref<Account>>,
    /// First capability to it.
    pub caps: u32,
}

impl Object for Irq {
    const FRAME: FrameKind = FrameKind::Irq;
    fn vacant() -> Irq {
        Irq::default()
    }
}

/// The Irq object of each handler slot.
pub(crate) type IrqTable = [Option<Ref<Irq>>; MAX_IRQS];

impl<M: Machine> Kernel<M> {
    /// Makes an interrupt object for I/O APIC line `gsi`, or for a free MSI vector.
    pub(crate) fn create_irq(
        &mut self,
        account: Ref<Account>,
        gsi: Option<u32>,
        level: bool,
    ) -> Result<Ref<Irq>, SysError> {
        let in_use = |irq: &Ref<Irq>| gsi.is_some() && self.irqs[*irq].gsi == gsi;
        if self.irq_table.iter().flatten().any(in_use) {
            return Err(SysError::AddressInUse);
        }
        let slot = self.irq_table.iter().position(Option::is_none).ok_or(SysError::LimitReached)?;
        if gsi.is_some_and(|gsi| !self.machine.route_line(IrqLine(slot as u8), gsi, level)) {
            return Err(SysError::BadArgument);
        }
        let irq = Irq { slot: slot as u8, gsi, account: Some(account), ..Irq::default() };
        let irq = self.create(account, irq)?;
        self.irq_table[slot] = Some(irq);
        Ok(irq)
    }

    /// Binds the interrupt behind `cap` to an event, in place of any binding before, and unmasks it.
    pub(crate) fn bind_irq(&mut self, cap: Cap, event: Ref<Event>, bits: u64) {
        let irq = self.object(cap);
        let entry = &mut self.irqs[irq];
        (entry.event, entry.bits, entry.bound_by) = (Some(event), bits, Some(cap.slot));
        self.unmask(irq);
    }

    /// Unmasks a bound interrupt.
    pub(crate) fn unmask(&mut self, irq: Ref<Irq>) {
        if let (Some(gsi), Some(_)) = (self.irqs[irq].gsi, self.irqs[irq].event) {
            self.machine.unmask_line(gsi);
        }
    }

    /// Ends the binding of an interrupt and masks it.
    pub(crate) fn unbind_irq(&mut self, irq: Ref<Irq>) {
        if let Some(gsi) = self.irqs[irq].gsi {
            self.machine.mask_line(gsi);
        }
        let entry = &mut self.irqs[irq];
        (entry.event, entry.bound_by) = (None, None);
    }

    /// A capability to an interrupt is going: with it goes the binding that it made.
    pub(crate) fn irq_capability_gone(&mut self, irq: Ref<Irq>, slot: SlotRef) {
        if self.irqs[irq].bound_by == Some(slot) {
            self.unbind_irq(irq);
        }
    }

    /// An interrupt arrived: masks its line until it is acknowledged, and signals its event.
    pub(crate) fn raise(&mut self, line: IrqLine) {
        let Some(irq) = self.irq_table.get(line.0 as usize).copied().flatten() else { return };
        self.trace_raw(TraceRecord::what(TraceKind::Irq, 0, 0), line.0.into(), 0);
        if let Some(gsi) = self.irqs[irq].gsi {
            self.machine.mask_line(gsi);
        }
        if let Some(event) = self.irqs[irq].event {
            self.signal(event, self.irqs[irq].bits);
        }
    }
}
