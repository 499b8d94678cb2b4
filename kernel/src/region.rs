//! Regions: the mappings of an address space.
//!
//! Invariants:
//! 1. The regions of a process are disjoint and stand in its list in ascending order.
//! 2. A region lies inside the user half, and its pages inside its memory object.
//! 3. A present page-table entry of the user half belongs to a region, or is a thread's message page, which no region
//!    overlaps.
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
        let region = Region {
            start: range.start,
            pages: range.pages,
            memory: Some(memory),
            offset,
            protection,
            process: Some(process),
            next,
            prev: before,
            memory_next,
            memory_prev: None,
            slot: None,
        };
        let region = self.create(self.processes[process].account_ref(), region)?;
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
        self.processes[process].region_count += 1;
        Ok(region)
    }

    /// Maps as `map` does, through a capability: what revokes it unmaps.
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

    /// Removes all regions in `range`, up to `budget` pages; `true` when done. A region that reaches out of the range
    /// is refused before anything changes.
    pub(crate) fn unmap(
        &mut self,
        process: Ref<Process>,
        range: PageRange,
        budget: &mut u32,
    ) -> Result<bool, SysError> {
        // Most often it is one region from end to end.
        let last = self.region_before(process, range.end() - 1);
        if let Some(region) = last
            && self.regions[region].start == range.start
            && self.regions[region].end() == range.end()
        {
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
        let Region { start, memory, process, next, prev, memory_next, memory_prev, slot, .. } = self.regions[region];
        let end = self.regions[region].end();
        let process = process.expect("a region in use has a process");
        let memory = memory.expect("a region in use has a memory object");
        if let Some(space) = self.processes[process].space {
            let mut at = start;
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
        }
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
        *budget = budget.saturating_sub(1);
        match slot {
            Some(slot) => self.vacate(slot),
            None => self.memory_unreferenced(memory),
        }
        true
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
