//! Accounts: quotas of physical memory, out of which every object is paid.
//!
//! Invariants:
//! 1. `used <= limit`; `used` is the pages paid for by the account itself plus `lent`.
//! 2. `lent` is the sum of the limits of its child accounts; so the quotas of all accounts are backed by frames.
//! 3. An object is in a slab page of the account that pays for it, and in no other's.

use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Frame, FrameKind, Mm, Object, Pool, Ref, SlabList};
use abi::{AccountStatus, KindUsage, SysError};

/// Most accounts above an account, so that a walk to the root is short.
pub const MAX_DEPTH: u8 = 32;

/// What a page is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Slab pages of objects.
    Objects,
    /// Contents of memory objects.
    Contents,
    /// Page tables.
    PageTables,
    /// Capability tables.
    CapTables,
    /// Rings, index pages, message pages.
    Other,
}

/// The lists of slab pages of an account.
#[derive(Clone, Copy, Default)]
pub struct Slabs {
    pub(crate) accounts: SlabList,
    pub(crate) processes: SlabList,
    pub(crate) threads: SlabList,
    pub(crate) memories: SlabList,
    pub(crate) queues: SlabList,
    pub(crate) events: SlabList,
    pub(crate) irqs: SlabList,
    pub(crate) ports: SlabList,
    pub(crate) regions: SlabList,
}

/// One account.
#[derive(Default)]
pub struct Account {
    /// Pages that it may pay for.
    pub limit: u64,
    /// Pages that it pays for, those lent among them.
    pub used: u64,
    /// Pages lent to child accounts.
    pub lent: u64,
    /// Who lent it its limit; `None` for the root.
    pub parent: Option<Ref<Account>>,
    /// How many accounts are above it.
    pub depth: u8,
    /// First capability to it.
    pub caps: u32,
    /// Being destroyed: nothing new is paid.
    pub dying: bool,
    /// Next job of the reaper.
    pub next_job: Option<crate::reaper::Job>,
    pub(crate) slabs: Slabs,
    contents: u64,
    page_tables: u64,
    cap_tables: u64,
    other: u64,
}

impl Object for Account {
    const FRAME: FrameKind = FrameKind::Account;
    fn vacant() -> Account {
        Account::default()
    }
}

impl Account {
    /// An account with a quota of `limit` pages.
    pub fn new(limit: u64, parent: Option<Ref<Account>>) -> Account {
        Account { limit, parent, ..Account::default() }
    }

    /// The same, with `depth` accounts above it.
    pub fn below(self, depth: u8) -> Account {
        Account { depth, ..self }
    }

    /// Pays for `pages`.
    pub fn charge(&mut self, purpose: Purpose, pages: u64) -> Result<(), SysError> {
        if self.dying || pages > self.limit - self.used {
            return Err(SysError::NoMemory);
        }
        self.used += pages;
        *self.counter(purpose) += pages;
        Ok(())
    }

    /// Takes a payment back.
    pub fn refund(&mut self, purpose: Purpose, pages: u64) {
        self.used -= pages;
        *self.counter(purpose) -= pages;
    }

    fn counter(&mut self, purpose: Purpose) -> &mut u64 {
        match purpose {
            Purpose::Contents => &mut self.contents,
            Purpose::PageTables => &mut self.page_tables,
            Purpose::CapTables => &mut self.cap_tables,
            Purpose::Objects | Purpose::Other => &mut self.other,
        }
    }

    /// Lends `pages` to a child.
    pub fn lend(&mut self, pages: u64) -> Result<(), SysError> {
        if self.dying || pages > self.limit - self.used {
            return Err(SysError::NoMemory);
        }
        self.used += pages;
        self.lent += pages;
        Ok(())
    }

    /// Takes back what was lent.
    pub fn unlend(&mut self, pages: u64) {
        self.used -= pages;
        self.lent -= pages;
    }

    /// The report for programs; free and total frames are the caller's to add.
    pub fn status(&self) -> AccountStatus {
        let s = &self.slabs;
        let lists = [s.accounts, s.processes, s.threads, s.memories, s.queues, s.events, s.irqs, s.ports];
        let mut objects = [KindUsage::default(); 9];
        for (usage, list) in objects.iter_mut().zip(lists) {
            *usage = KindUsage { pages: list.pages.into(), objects: list.objects.into() };
        }
        let slab_pages: u64 = objects.iter().map(|o| o.pages).sum();
        AccountStatus {
            limit: self.limit,
            used: self.used,
            lent: self.lent,
            objects,
            memory: self.contents,
            page_tables: self.page_tables,
            cap_tables: self.cap_tables,
            other: self.other - slab_pages,
            free: 0,
            total: 0,
        }
    }
}

/// A type whose objects accounts pay for: which pool and which slab list they are in.
pub(crate) trait Paid<M: Machine>: Object {
    fn pool(kernel: &mut Kernel<M>) -> (&mut Pool<Self>, &mut Mm);
    fn slabs(account: &mut Account) -> &mut SlabList;
    /// Takes a free slot of the list of `account`, which has one.
    #[inline(always)]
    fn claim(kernel: &mut Kernel<M>, account: Ref<Account>) -> Option<Ref<Self>> {
        let mut list = *Self::slabs(&mut kernel.accounts[account]);
        let name = Self::pool(kernel).0.claim(&mut list);
        *Self::slabs(&mut kernel.accounts[account]) = list;
        name
    }
    /// Gives a slot back to the list of `account`; the frame of its page if that is empty now.
    #[inline(always)]
    fn give_back(kernel: &mut Kernel<M>, account: Ref<Account>, name: Ref<Self>) -> Option<Frame> {
        let mut list = *Self::slabs(&mut kernel.accounts[account]);
        let empty = Self::pool(kernel).0.remove(&mut list, name);
        *Self::slabs(&mut kernel.accounts[account]) = list;
        empty
    }
}

/// Types whose pool and lists are in two places, so that both can be had at once.
macro_rules! paid {
    ($($type:ty, $pool:ident;)*) => {$(
        impl<M: Machine> Paid<M> for $type {
            fn pool(kernel: &mut Kernel<M>) -> (&mut Pool<Self>, &mut Mm) { (&mut kernel.$pool, &mut kernel.mm) }
            fn slabs(account: &mut Account) -> &mut SlabList { &mut account.slabs.$pool }
            #[inline(always)]
            fn claim(kernel: &mut Kernel<M>, account: Ref<Account>) -> Option<Ref<Self>> {
                kernel.$pool.claim(&mut kernel.accounts[account].slabs.$pool)
            }
            #[inline(always)]
            fn give_back(kernel: &mut Kernel<M>, account: Ref<Account>, name: Ref<Self>) -> Option<Frame> {
                kernel.$pool.remove(&mut kernel.accounts[account].slabs.$pool, name)
            }
        }
    )*};
}

impl<M: Machine> Paid<M> for Account {
    fn pool(kernel: &mut Kernel<M>) -> (&mut Pool<Self>, &mut Mm) {
        (&mut kernel.accounts, &mut kernel.mm)
    }
    fn slabs(account: &mut Account) -> &mut SlabList {
        &mut account.slabs.accounts
    }
}

paid! {
    crate::process::Process, processes;
    crate::thread::Thread, threads;
    crate::memory::Memory, memories;
    crate::queue::Queue, queues;
    crate::event::Event, events;
    crate::irq::Irq, irqs;
    crate::ports::IoPorts, ports;
    crate::region::Region, regions;
}

impl<M: Machine> Kernel<M> {
    /// Makes an object that `account` pays for.
    pub(crate) fn create<T: Paid<M>>(&mut self, account: Ref<Account>, value: T) -> Result<Ref<T>, SysError> {
        let name = self.create_vacant(account)?;
        T::pool(self).0[name] = value;
        Ok(name)
    }

    /// The same, vacant.
    #[inline(always)]
    pub(crate) fn create_vacant<T: Paid<M>>(&mut self, account: Ref<Account>) -> Result<Ref<T>, SysError> {
        self.mm.note_change();
        if T::slabs(&mut self.accounts[account]).needs_page() {
            self.add_slab_page::<T>(account)?;
        }
        T::claim(self, account).ok_or(SysError::NoMemory)
    }

    /// Adds a slab page that `account` pays for.
    #[inline(never)]
    fn add_slab_page<T: Paid<M>>(&mut self, account: Ref<Account>) -> Result<(), SysError> {
        self.accounts[account].charge(Purpose::Objects, 1)?;
        let mut list = *T::slabs(&mut self.accounts[account]);
        let (pool, mm) = T::pool(self);
        let added = mm.take_dirty(T::FRAME).and_then(|frame| {
            let added = pool.add_page(mm, &mut list, frame);
            if added.is_none() {
                mm.release(frame);
            }
            added
        });
        *T::slabs(&mut self.accounts[account]) = list;
        added.ok_or_else(|| {
            self.accounts[account].refund(Purpose::Objects, 1);
            SysError::NoMemory
        })
    }

    /// Destroys an object that `account` paid for; nothing refers to it any more.
    #[inline(always)]
    pub(crate) fn destroy<T: Paid<M>>(&mut self, account: Ref<Account>, name: Ref<T>) {
        self.mm.note_change();
        if let Some(frame) = T::give_back(self, account, name) {
            self.mm.release(frame);
            self.accounts[account].refund(Purpose::Objects, 1);
        }
    }

    /// Whether `account` is `ancestor` or below it.
    pub(crate) fn is_below(&self, account: Ref<Account>, ancestor: Ref<Account>) -> bool {
        let mut at = Some(account);
        while let Some(here) = at {
            if here == ancestor {
                return true;
            }
            at = self.accounts[here].parent;
        }
        false
    }

    /// Takes a zeroed frame that `account` pays for.
    pub(crate) fn buy(&mut self, account: Ref<Account>, kind: FrameKind, purpose: Purpose) -> Result<Frame, SysError> {
        self.accounts[account].charge(purpose, 1)?;
        self.mm.take(kind).ok_or_else(|| {
            self.accounts[account].refund(purpose, 1);
            SysError::NoMemory
        })
    }

    /// Gives back a frame that `account` paid for.
    pub(crate) fn sell(&mut self, account: Ref<Account>, frame: Frame, purpose: Purpose) {
        self.mm.release(frame);
        self.accounts[account].refund(purpose, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_pays_up_to_its_limit_and_not_a_page_more() {
        let mut account = Account::new(3, None);
        account.charge(Purpose::Contents, 2).unwrap();
        assert_eq!(account.charge(Purpose::Contents, 2), Err(SysError::NoMemory));
        account.lend(1).unwrap();
        assert_eq!(account.lend(1), Err(SysError::NoMemory));
        account.refund(Purpose::Contents, 2);
        account.unlend(1);
        assert_eq!(account.used, 0);
    }

    #[test]
    fn a_dying_account_pays_nothing() {
        let mut account = Account { dying: true, ..Account::new(3, None) };
        assert_eq!(account.charge(Purpose::Other, 1), Err(SysError::NoMemory));
    }
}
