//! Regions: the mappings of an address space.
//!
//! Invariants:
//! 1. The regions of a process are disjoint and stand in its list in ascending order.
//! 2. A region lies inside the user half, and its pages inside its memory object.
//! 3. A present page-table entry of the user half belongs to a region that says so (`touched`), or is a thread's message
//!    page, which no region overlaps.
//! 4. A process has at most [`MAX_REGIONS`], so that a walk of the list is bounded.

use crate::cap::Cap;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::memory::{Backing, Memory};
use crate::mm::{FrameKind, Object, Protection, Ref, SlotRef};
use crate::process::Process;
use abi::{PAGE_SIZE, SysError, layout};

/// Most regions of a process.
pub const MAX_REGIONS: u32 = 2048;

/// One mapping.
pub struct Region {
    /// First address.
    pub start: u64,
    /// Pages.
    pub pages: u64,
    /// What is mapped.
    pub memory: Option<Ref<Memory>>,
    /// From which page of it.
    pub offset: u64,
    /// How.
    pub protection: Protection,
    /// Whether a page of it was ever present.
    pub touched: bool,
    /// Whose address space.
    pub process: Option<Ref<Process>>,
    /// Next region of the process.
    pub next: Option<Ref<Region>>,
    /// Previous region of the process.
    pub prev: Option<Ref<Region>>,
    /// Next region of the memory object.
    pub memory_next: Option<Ref<Region>>,
    /// Previous region of the memory object.
    pub memory_prev: Option<Ref<Region>>,
    /// The slot that stands for it in the tree of capabilities; `None` where no capability made it.
    pub slot: Option<SlotRef>,
}

impl Object for Region {
    const FRAME: FrameKind = FrameKind::Region;
    fn vacant() -> Region {
        Region {
            start: 0,
            pages: 0,
            memory: None,
            offset: 0,
            protection: Protection::empty(),
            touched: false,
            process: None,
            next: None,
            prev: None,
            memory_next: None,
            memory_prev: None,
            slot: None,
        }
    }
}

impl Region {
    /// First address after it.
    pub fn end(&self) -> u64 {
        self.start + self.pages * PAGE_SIZE
    }
}

/// A range of pages that a program names: aligned, in the user half, not empty. Nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRange {
    /// First address.
    pub start: u64,
    /// Pages.
    pub pages: u64,
}

impl PageRange {
    /// Checks the claim.
    pub fn claim(start: u64, pages: u64) -> Result<PageRange, SysError> {
        let bytes = pages.checked_mul(PAGE_SIZE).ok_or(SysError::BadAddress)?;
        let end = start.checked_add(bytes).ok_or(SysError::BadAddress)?;
        let fine =
            pages > 0 && start.is_multiple_of(PAGE_SIZE) && start >= layout::USER_START && end <= layout::USER_END;
        fine.then_some(PageRange { start, pages }).ok_or(SysError::BadAddress)
    }
    /// First address after it.
    pub fn end(self) -> u64 {
        self.start + self.pages * PAGE_SIZE
    }
}

impl<M: Machine> Kernel<M> {
    /// The last region of `process` that starts at or below `address`.
    #[inline(always)]
    fn region_before(&self, process: Ref<Process>, address: u64) -> Option<Ref<Region>> {
        let hint = self.processes[process].region_hint;
        let mut at = hint.filter(|h| self.regions[*h].start <= address).or(self.processes[process].regions);
        let mut found = None;
        while let Some(region) = at.filter(|r| self.regions[*r].start <= address) {
            found = Some(region);
            at = self.regions[region].next;
        }
        found
    }

    /// The region that holds `address`.
    pub(crate) fn region_at(&mut self, process: Ref<Process>, address: u64) -> Option<Ref<Region>> {
        let region = self.region_before(process, address).filter(|r| address < self.regions[*r].end())?;
        self.processes[process].region_hint = Some(region);
        Some(region)
    }

    /// Maps pages `offset..` of `memory` at `range`, which must be free. Pages appear when they are first touched.
    #[inline(always)]
    pub(crate) fn map(
        &mut self,
        process: Ref<Process>,
        range: PageRange,
        memory: Ref<Memory>,
        offset: u64,
        protection: Protection,
    ) -> Result<Ref<Region>, SysError> {
        let inside = offset.checked_add(range.pages).is_some_and(|end| end <= self.memories[memory].pages);
        if !inside {
            return Err(SysError::BadArgument);
        }
        let before = self.region_before(process, range.end() - 1);
        if before.is_some_and(|r| self.regions[r].end() > range.start) || self.has_message_page(process, range) {
            return Err(SysError::AddressInUse);
        }
        if self.processes[process].region_count == MAX_REGIONS {
            return Err(SysError::LimitReached);
        }
        let uncached = matches!(self.memories[memory].backing, Backing::Device(_));
        let protection = if uncached { protection | Protection::UNCACHED } else { protection };
        let next = match before {
            Some(before) => self.regions[before].next,
            None => self.processes[process].regions,
        };
        let memory_next = self.memories[memory].regions;
        let region: Ref<Region> = self.create_vacant(self.processes[process].account_ref())?;
        let entry = &mut self.regions[region];
        (entry.start, entry.pages) = (range.start, range.pages);
        (entry.memory, entry.offset, entry.protection) = (Some(memory), offset, protection);
        (entry.process, entry.next, entry.prev, entry.memory_next) = (Some(process), next, before, memory_next);
        match before {
            Some(before) => self.regions[before].next = Some(region),
            None => self.processes[process].regions = Some(region),
        }
        if let Some(next) = next {
            self.regions[next].prev = Some(region);
        }
        if let Some(other) = memory_next {
            self.regions[other].memory_prev = Some(region);
        }
        self.memories[memory].regions = Some(region);
        let entry = &mut self.processes[process];
        (entry.region_hint, entry.region_count) = (Some(region), entry.region_count + 1);
        Ok(region)
    }

    /// Maps as `map` does, through a capability: what revokes it unmaps.
    #[inline(always)]
    pub(crate) fn map_through(
        &mut self,
        cap: Cap,
        process: Ref<Process>,
        range: PageRange,
        offset: u64,
        protection: Protection,
    ) -> Result<(), SysError> {
        let region = self.map(process, range, self.object(cap), offset, protection)?;
        match self.derive_mapping(cap, process, region) {
            Ok(slot) => {
                self.regions[region].slot = Some(slot);
                Ok(())
            }
            Err(error) => {
                // Nothing of it is present yet, so one step is enough.
                self.remove_region(region, &mut 1);
                Err(error)
            }
        }
    }

    /// Whether a thread of `process` has its message page in `range`.
    #[inline(always)]
    fn has_message_page(&self, process: Ref<Process>, range: PageRange) -> bool {
        let mut at = self.processes[process].threads;
        while let Some(thread) = at {
            if (range.start..range.end()).contains(&self.threads[thread].message_at) {
                return true;
            }
            at = self.threads[thread].sibling_next;
        }
        false
    }

    /// The region that is this range from end to end.
    #[inline(always)]
    pub(crate) fn region_of(&self, process: Ref<Process>, range: PageRange) -> Option<Ref<Region>> {
        let region = self.region_before(process, range.end() - 1)?;
        let Region { start, pages, .. } = self.regions[region];
        ((start, pages) == (range.start, range.pages)).then_some(region)
    }

    /// Removes all regions in `range`, up to `budget` pages; `true` when done. A region that reaches out of the range
    /// is refused before anything changes.
    pub(crate) fn unmap(
        &mut self,
        process: Ref<Process>,
        range: PageRange,
        budget: &mut u32,
    ) -> Result<bool, SysError> {
        // Most often it is one region from end to end.
        if let Some(region) = self.region_of(process, range) {
            return Ok(self.remove_region(region, budget));
        }
        let cut = |k: &Self, at: u64| {
            k.region_before(process, at).is_some_and(|r| k.regions[r].start < at && k.regions[r].end() > at)
        };
        if cut(self, range.start) || cut(self, range.end()) {
            return Err(SysError::BadAddress);
        }
        while let Some(region) =
            self.region_before(process, range.end() - 1).filter(|r| self.regions[*r].start >= range.start)
        {
            if *budget == 0 || !self.remove_region(region, budget) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes a region and its page-table entries, up to `budget` of them; `true` when it is gone.
    pub(crate) fn remove_region(&mut self, region: Ref<Region>, budget: &mut u32) -> bool {
        let Region { memory, process, slot, .. } = self.regions[region];
        let process = process.expect("a region in use has a process");
        let memory = memory.expect("a region in use has a memory object");
        if !self.clear_region(process, region, budget) {
            return false;
        }
        self.unlink_region(process, memory, region);
        *budget = budget.saturating_sub(1);
        match slot {
            Some(slot) => self.vacate(slot),
            None => self.memory_unreferenced(memory),
        }
        true
    }

    /// Removes a region of `process` that is not the last to keep its memory; `None`, and nothing is changed but that
    /// pages are no longer present, where more is to be done than `budget` and that.
    #[inline(always)]
    pub(crate) fn remove_lesser(&mut self, process: Ref<Process>, region: Ref<Region>, budget: &mut u32) -> Option<()> {
        let Region { memory, slot, .. } = self.regions[region];
        let (memory, slot) = (memory?, slot?);
        if self.slots[slot].prev == 0 || !self.clear_region(process, region, budget) {
            return None;
        }
        self.unlink_region(process, memory, region);
        self.vacate_lesser(process, self.place_of(slot));
        Some(())
    }

    /// Takes the pages of a region out of the page tables, up to `budget` of them; `true` when none is left.
    #[inline(always)]
    fn clear_region(&mut self, process: Ref<Process>, region: Ref<Region>, budget: &mut u32) -> bool {
        !self.regions[region].touched || self.clear_pages(process, region, budget)
    }

    #[inline(never)]
    fn clear_pages(&mut self, process: Ref<Process>, region: Ref<Region>, budget: &mut u32) -> bool {
        let Some(space) = self.processes[process].space else { return true };
        let (mut at, end) = (self.regions[region].start, self.regions[region].end());
        while let Some(page) = self.mm.next_mapped(space, at, end) {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            if let Some(stale) = self.mm.unmap_page(space, page) {
                self.flush(process, stale);
            }
            at = page + PAGE_SIZE;
        }
        true
    }

    /// Takes a region out of the lists of its process and its memory, and destroys it.
    #[inline(always)]
    fn unlink_region(&mut self, process: Ref<Process>, memory: Ref<Memory>, region: Ref<Region>) {
        let Region { next, prev, memory_next, memory_prev, .. } = self.regions[region];
        match prev {
            Some(prev) => self.regions[prev].next = next,
            None => self.processes[process].regions = next,
        }
        if let Some(next) = next {
            self.regions[next].prev = prev;
        }
        match memory_prev {
            Some(prev) => self.regions[prev].memory_next = memory_next,
            None => self.memories[memory].regions = memory_next,
        }
        if let Some(next) = memory_next {
            self.regions[next].memory_prev = memory_prev;
        }
        let entry = &mut self.processes[process];
        (entry.region_hint, entry.region_count) = (prev, entry.region_count - 1);
        self.destroy(self.processes[process].account_ref(), region);
    }

    /// Makes the page at `address` present for an access. `Err` says why not: `BadAddress` (no region, or not for
    /// this access) or `NoMemory`.
    pub(crate) fn touch(
        &mut self,
        process: Ref<Process>,
        address: u64,
        write: bool,
        execute: bool,
    ) -> Result<u64, SysError> {
        let page = address & !(PAGE_SIZE - 1);
        let region = self.region_at(process, page).ok_or(SysError::BadAddress)?;
        let Region { start, memory, offset, protection, .. } = self.regions[region];
        if write && !protection.contains(Protection::WRITE) || execute && !protection.contains(Protection::EXECUTE) {
            return Err(SysError::BadAddress);
        }
        let memory = memory.expect("a region in use has a memory object");
        self.regions[region].touched = true;
        let target = self.commit(memory, offset + (page - start) / PAGE_SIZE)?;
        self.enter_page(process, page, target, protection)?;
        Ok(target)
    }

    /// Enters a page into the tables of `process`, whose account pays for those that are missing.
    pub(crate) fn enter_page(
        &mut self,
        process: Ref<Process>,
        page: u64,
        target: u64,
        protection: Protection,
    ) -> Result<(), SysError> {
        let account = self.processes[process].account_ref();
        let space = self.processes[process].space.ok_or(SysError::BadState)?;
        let missing = self.mm.tables_missing(space, page) as u64;
        self.accounts[account].charge(crate::account::Purpose::PageTables, missing)?;
        self.processes[process].tables += missing as u32;
        self.mm.map_page(space, page, target, protection).ok_or(SysError::NoMemory)
    }
}
