//! Capabilities: slots of a process's table, and the tree of who was derived from whom.
//!
//! Invariants:
//! 1. An occupied slot's object is alive: an object is destroyed only after its last slot.
//! 2. A slot's rights are a subset of those of the slot that it was derived from, at the time it was derived.
//! 3. Every occupied slot is in exactly one list of siblings: the children of a slot, or the roots of its object.
//! 4. A slot's generation rises whenever it is emptied, so an old handle names nothing.
//! 5. A mapping that a capability made is a slot too, derived from that capability, in the table of the process that it
//!    is mapped into. No handle names it, its badge is its region, and the two go together: so a revocation unmaps.

use crate::account::{Account, Purpose};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Frame, FrameKind, Mm, Ref, SLOTS_PER_PAGE, SlotRef};
use crate::process::Process;
use crate::region::Region;
use abi::{Handle, Kind, Rights, SysError};

/// One slot: 32 bytes. All zero is an empty slot of generation 0.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub(crate) object: u32,
    /// [`Kind`], or 0 when empty; with [`MAPPING`], of a mapping.
    pub(crate) kind: u8,
    /// [`GRANTED`], and which rights were used, as [`condensed`] packs them.
    pub(crate) marks: u8,
    pub(crate) rights: u16,
    pub(crate) generation: u32,
    /// First slot derived from this one; of an empty slot: the next empty one (an index).
    pub(crate) child: u32,
    pub(crate) next: u32,
    /// Previous sibling; [`PARENT`] | parent for a first child; 0 for the first root.
    pub(crate) prev: u32,
    pub(crate) badge: u64,
}

/// In `Slot::prev`: what it names is the parent.
pub(crate) const PARENT: u32 = 1;
/// In `Slot::kind`: the slot is a mapping.
pub(crate) const MAPPING: u8 = 0x80;
/// In `Slot::marks`: it stays when its process is reset.
const GRANTED: u8 = 0x80;
/// Further than this among its siblings a capability's parent is not looked for.
const MOST_SIBLINGS: usize = 1024;

impl Slot {
    /// What a page of slots is full of.
    const EMPTY: Slot =
        Slot { object: 0, kind: 0, marks: 0, rights: 0, generation: 0, child: 0, next: 0, prev: 0, badge: 0 };

    /// Whether it stays when its process is reset.
    pub(crate) fn is_granted(&self) -> bool {
        self.marks & GRANTED != 0
    }
    /// Marks rights as used.
    pub(crate) fn mark_used(&mut self, kind: Kind, rights: Rights) {
        self.marks |= condensed(kind, rights);
    }
    /// The rights that are marked as used.
    pub(crate) fn used(&self, kind: Kind) -> Rights {
        kind.all_rights().iter().filter(|right| self.marks & condensed(kind, *right) != 0).collect()
    }
    /// The object that the capability here is about, which is a `T` by its kind, if `handle` names it and it has all of
    /// `needed`.
    #[inline(always)]
    pub(crate) fn object<T>(&self, handle: Handle, kind: Kind, needed: Rights) -> Option<Ref<T>> {
        let fine = self.generation == handle.generation()
            && self.kind == kind as u8
            && self.rights & needed.bits() == needed.bits();
        if fine { Ref::from_raw(self.object) } else { None }
    }
}

/// One bit for each of `rights` that means something for `kind`, in their order. No kind has more than five.
fn condensed(kind: Kind, rights: Rights) -> u8 {
    let named = kind.all_rights().iter().enumerate().filter(|(_, right)| rights.contains(*right));
    named.fold(0, |bits, (n, _)| bits | 1 << n)
}

/// Most pages of slots in a table: 131,072 slots, less the first of each page.
const MAX_PAGES: u32 = 1024;

/// A capability, out of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Its slot, which tells the object and the badge.
    pub slot: SlotRef,
    rights: Rights,
    /// The kind of object.
    pub kind: Kind,
}

impl Cap {
    /// The capability itself if it has all of `needed`.
    #[inline]
    pub fn require(self, kind: Kind, needed: Rights) -> Result<Cap, SysError> {
        if self.kind != kind {
            return Err(SysError::WrongKind);
        }
        self.rights.contains(needed).then_some(self).ok_or(SysError::MissingRights)
    }
    /// What its holder may do.
    pub fn rights(&self) -> Rights {
        self.rights
    }
}

/// The table of a process.
#[derive(Clone, Copy)]
pub struct CapTable {
    /// First slot of the first page.
    first: SlotRef,
    /// Slots in the first page: all of a page, or none.
    near: u32,
    /// From the second page on: a page of the first slots of all of them.
    directory: Option<Frame>,
    pages: u32,
    /// Index of the first empty slot of the first page, and of the first one beyond; 0 for none. The first page's go
    /// first: its capabilities are found in fewer steps.
    free: [u32; 2],
    /// Occupied slots that do not stay over a reset.
    own: u32,
    /// Occupied slots that do.
    granted: u32,
}

/// A slot as its table knows it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) slot: SlotRef,
    pub(crate) index: u32,
    /// The list of empty slots that it is in when it is empty.
    list: usize,
}

impl Place {
    #[inline(always)]
    fn new(slot: SlotRef, index: u32) -> Place {
        Place { slot, index, list: usize::from(index >= SLOTS_PER_PAGE) }
    }

    /// The slot with this index, which is in the first page.
    #[inline(always)]
    pub(crate) fn near(slot: SlotRef, index: u32) -> Place {
        Place { slot, index, list: 0 }
    }
}

impl Default for CapTable {
    fn default() -> CapTable {
        let first = SlotRef::NOWHERE;
        CapTable { first, near: 0, directory: None, pages: 0, free: [0; 2], own: 0, granted: 0 }
    }
}

impl CapTable {
    /// Index of an empty slot, 0 for none.
    #[inline(always)]
    fn vacant(&self) -> u32 {
        if self.free[0] != 0 { self.free[0] } else { self.free[1] }
    }

    /// An empty slot of the first page, still in its list.
    #[inline(always)]
    pub(crate) fn vacant_near(&self) -> Option<Place> {
        let index = self.free[0];
        (index != 0).then(|| Place { slot: self.first.nth(index), index, list: 0 })
    }

    /// The slot with this index.
    #[inline(always)]
    pub(crate) fn slot(&self, mm: &Mm, index: u32) -> Option<SlotRef> {
        if index < SLOTS_PER_PAGE { self.near_slot(index) } else { self.far_slot(mm, index) }
    }

    /// The same where it is in the first page.
    #[inline(always)]
    pub(crate) fn near_slot(&self, index: u32) -> Option<SlotRef> {
        (index < self.near).then(|| self.first.nth(index))
    }

    /// The same in the second page or a later one.
    #[inline(never)]
    fn far_slot(&self, mm: &Mm, index: u32) -> Option<SlotRef> {
        let page = index / SLOTS_PER_PAGE;
        if page >= self.pages {
            return None;
        }
        let both = mm.word(self.directory?, page as usize / 2);
        Some(SlotRef::from_raw((both >> (32 * (page % 2))) as u32)?.nth(index))
    }

    /// Number of pages of slots.
    pub fn pages(&self) -> u32 {
        self.pages
    }
    /// Slots that are not empty.
    pub(crate) fn occupied(&self) -> u32 {
        self.own + self.granted
    }
    /// Occupied slots: those that do not stay over a reset, and those that do.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.own, self.granted)
    }
    /// Frames that it takes.
    #[cfg(test)]
    pub(crate) fn frames(&self) -> u64 {
        u64::from(self.pages) + u64::from(self.directory.is_some())
    }
}

/// The number in a slot for the one object of kind Machine, which is in no pool.
pub const THE_MACHINE: u32 = 1;

impl<M: Machine> Kernel<M> {
    /// The object of a capability.
    #[inline(always)]
    pub(crate) fn object<T>(&self, cap: Cap) -> Ref<T> {
        Ref::from_raw(self.slots[cap.slot].object).expect("invariant 1: the object is alive")
    }

    fn slot_at(&self, table: &CapTable, index: u32) -> Option<SlotRef> {
        table.slot(&self.mm, index)
    }

    /// The capability behind `handle` of `process`.
    #[inline(always)]
    pub(crate) fn lookup(&self, process: Ref<Process>, handle: Handle) -> Result<Cap, SysError> {
        let slot = self.slot_at(&self.processes[process].caps_table, handle.index()).ok_or(SysError::BadHandle)?;
        let entry = &self.slots[slot];
        if entry.generation != handle.generation() {
            return Err(SysError::BadHandle);
        }
        let kind = Kind::find(entry.kind.into()).ok_or(SysError::BadHandle)?;
        let rights = Rights::from_bits_truncate(entry.rights);
        Ok(Cap { kind, rights, slot })
    }

    /// The capability behind `handle` of `process`, if it is of this kind and has all of `needed`.
    #[inline(always)]
    pub(crate) fn find_cap(&self, process: Ref<Process>, handle: Handle, kind: Kind, needed: Rights) -> Option<Cap> {
        let slot = self.slot_at(&self.processes[process].caps_table, handle.index())?;
        let entry = &self.slots[slot];
        if entry.generation != handle.generation() || entry.kind != kind as u8 {
            return None;
        }
        let rights = Rights::from_bits_retain(entry.rights);
        rights.contains(needed).then_some(Cap { slot, rights, kind })
    }

    /// An empty slot of `process`, still in the list of empty ones.
    #[inline(always)]
    fn vacant_slot(&mut self, process: Ref<Process>) -> Result<Place, SysError> {
        if self.processes[process].caps_table.vacant() == 0 {
            self.grow_table(process)?;
        }
        let table = &self.processes[process].caps_table;
        let index = table.vacant();
        let slot = self.slot_at(table, index).ok_or(SysError::LimitReached)?;
        Ok(Place::new(slot, index))
    }

    #[inline(never)]
    fn grow_table(&mut self, process: Ref<Process>) -> Result<(), SysError> {
        let account = self.processes[process].account_ref();
        let mut table = self.processes[process].caps_table;
        if table.pages == MAX_PAGES {
            return Err(SysError::LimitReached);
        }
        if table.pages == 1 && table.directory.is_none() {
            table.directory = Some(self.buy(account, FrameKind::Words, Purpose::CapTables)?);
            self.processes[process].caps_table = table;
        }
        let frame = self.buy(account, FrameKind::CapTable, Purpose::CapTables)?;
        let Some(first) = self.slots.add_page(&mut self.mm, frame) else {
            self.sell(account, frame, Purpose::CapTables);
            return Err(SysError::NoMemory);
        };
        let page = table.pages;
        match table.directory {
            None => (table.first, table.near) = (first, SLOTS_PER_PAGE),
            Some(directory) => {
                let (word, shift) = (page as usize / 2, 32 * (page % 2));
                let old = self.mm.word(directory, word);
                self.mm.set_word(directory, word, old | u64::from(first.raw()) << shift);
            }
        }
        for n in (1..SLOTS_PER_PAGE).rev() {
            let slot = &mut self.slots[first.nth(n)];
            let index = page * SLOTS_PER_PAGE + n;
            let free = &mut table.free[usize::from(page > 0)];
            (slot.generation, slot.child) = (1, *free);
            *free = index;
        }
        // The header says whose page this is, and which.
        let header = &mut self.slots[first];
        (header.object, header.badge) = (process.raw(), page.into());
        table.pages += 1;
        self.processes[process].caps_table = table;
        Ok(())
    }

    /// Puts the first capability to a new object into the table of `process`.
    pub(crate) fn insert_root(&mut self, process: Ref<Process>, kind: Kind, object: u32) -> Result<Handle, SysError> {
        let place = self.vacant_slot(process)?;
        let slot = place.slot;
        let head = *self.roots(kind, object);
        let rights = kind.all_rights().bits();
        let handle = self.occupy(process, place, Slot { object, kind: kind as u8, rights, next: head, ..Slot::EMPTY });
        if let Some(old) = SlotRef::from_raw(head) {
            self.slots[old].prev = slot.raw();
        }
        *self.roots(kind, object) = slot.raw();
        Ok(handle)
    }

    /// Marks a capability of `process` as one that stays when it is reset.
    pub(crate) fn keep(&mut self, process: Ref<Process>, handle: Handle) -> Result<(), SysError> {
        let cap = self.lookup(process, handle)?;
        let entry = &mut self.slots[cap.slot];
        if !entry.is_granted() {
            entry.marks |= GRANTED;
            let table = &mut self.processes[process].caps_table;
            (table.own, table.granted) = (table.own - 1, table.granted + 1);
        }
        Ok(())
    }

    /// Derives a capability from `cap` into the table of `process`: with those of its rights that are in `mask`, and
    /// its badge, or `badge` where that is not 0 and `cap` may mint.
    #[inline(always)]
    pub(crate) fn derive(
        &mut self,
        cap: Cap,
        mask: Rights,
        badge: u64,
        process: Ref<Process>,
        granted: bool,
    ) -> Result<Handle, SysError> {
        let badge = match badge {
            0 => self.slots[cap.slot].badge,
            badge => cap.require(Kind::Queue, Rights::MINT).map(|_| badge)?,
        };
        if self.coverage.is_on() {
            let minted = if badge == self.slots[cap.slot].badge { Rights::empty() } else { Rights::MINT };
            self.slots[cap.slot].mark_used(cap.kind, cap.rights & mask | minted);
        }
        let place = self.vacant_slot(process)?;
        let handle = self.derive_in(cap.slot, mask, badge, process, place);
        if granted {
            self.keep(process, handle)?;
        }
        Ok(handle)
    }

    /// Derives a capability from the one in slot `parent` into an empty place: with those of its rights that are in
    /// `mask`, and this badge.
    #[inline(always)]
    pub(crate) fn derive_in(
        &mut self,
        parent: SlotRef,
        mask: Rights,
        badge: u64,
        process: Ref<Process>,
        place: Place,
    ) -> Handle {
        let Slot { object, kind, rights, .. } = self.slots[parent];
        self.occupy_below(
            parent,
            process,
            place,
            Slot { object, kind, rights: rights & mask.bits(), badge, ..Slot::EMPTY },
        )
    }

    /// Fills an empty place with what is derived from slot `parent`, as its first child.
    #[inline(always)]
    fn occupy_below(&mut self, parent: SlotRef, process: Ref<Process>, place: Place, content: Slot) -> Handle {
        let next = core::mem::replace(&mut self.slots[parent].child, place.slot.raw());
        if let Some(next) = SlotRef::from_raw(next) {
            self.slots[next].prev = place.slot.raw();
        }
        self.occupy(process, place, Slot { next, prev: PARENT | parent.raw(), ..content })
    }

    /// Notes that `region` of `process` was mapped through `cap` (invariant 5). Returns the mapping's slot.
    #[inline(always)]
    pub(crate) fn derive_mapping(
        &mut self,
        cap: Cap,
        process: Ref<Process>,
        region: Ref<Region>,
    ) -> Result<SlotRef, SysError> {
        let place = self.vacant_slot(process)?;
        let (object, kind) = (self.slots[cap.slot].object, cap.kind as u8 | MAPPING);
        self.occupy_below(cap.slot, process, place, Slot { object, kind, badge: region.raw().into(), ..Slot::EMPTY });
        Ok(place.slot)
    }

    /// Fills an empty place, whose generation stays.
    #[inline(always)]
    fn occupy(&mut self, process: Ref<Process>, place: Place, content: Slot) -> Handle {
        let entry = &mut self.slots[place.slot];
        let generation = entry.generation;
        let table = &mut self.processes[process].caps_table;
        table.free[place.list] = entry.child;
        table.own += 1;
        *entry = Slot { generation, ..content };
        Handle::new(place.index, generation)
    }

    /// Puts `new` where the list of siblings refers to `slot` from before it.
    fn set_before(&mut self, slot: SlotRef, new: u32) {
        let Slot { prev, kind, object, .. } = self.slots[slot];
        match SlotRef::from_raw(prev & !PARENT) {
            None => {
                let kind = Kind::find((kind & !MAPPING).into()).expect("the slot is occupied");
                *self.roots(kind, object) = new;
            }
            Some(parent) if prev & PARENT != 0 => self.slots[parent].child = new,
            Some(before) => self.slots[before].next = new,
        }
    }

    /// Moves the children of `slot` in front of it, up to `budget` of them. `true` when it has none left.
    fn promote_children(&mut self, slot: SlotRef, budget: &mut u32) -> bool {
        while let Some(child) = SlotRef::from_raw(self.slots[slot].child) {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            let after = self.slots[child].next;
            self.slots[slot].child = after;
            if let Some(after) = SlotRef::from_raw(after) {
                self.slots[after].prev = PARENT | slot.raw();
            }
            self.set_before(slot, child.raw());
            self.slots[child].prev = self.slots[slot].prev;
            self.slots[child].next = slot.raw();
            self.slots[slot].prev = child.raw();
        }
        true
    }

    /// Empties a slot; what was derived from it becomes derived from its parent. Goes up to `budget` steps; `true` when
    /// done. The object dies with its last capability.
    pub(crate) fn delete(&mut self, slot: SlotRef, budget: &mut u32) -> bool {
        if self.slots[slot].kind & MAPPING != 0 {
            let region = Ref::from_raw(self.slots[slot].badge as u32).expect("invariant 5: a mapping has a region");
            return self.remove_region(region, budget);
        }
        if !self.promote_children(slot, budget) {
            return false;
        }
        *budget = budget.saturating_sub(1);
        self.vacate(slot);
        true
    }

    /// Empties a slot that has no children.
    pub(crate) fn vacate(&mut self, slot: SlotRef) {
        let Slot { object, kind, next, .. } = self.slots[slot];
        let granted = self.slots[slot].is_granted();
        self.set_before(slot, next);
        let (process, index) = self.place(slot);
        if granted {
            let table = &mut self.processes[process].caps_table;
            (table.own, table.granted) = (table.own + 1, table.granted - 1);
        }
        self.empty(process, Place::new(slot, index));
        let kind = Kind::find((kind & !MAPPING).into()).expect("the slot was occupied");
        if kind == Kind::Irq {
            self.irq_capability_gone(Ref::from_raw(object).expect("invariant 1: the object is alive"), slot);
        }
        if *self.roots(kind, object) == 0 {
            self.unreferenced(kind, object);
        }
    }

    /// Empties a slot that has no children, is not its object's first root, and was not granted.
    #[inline(always)]
    pub(crate) fn vacate_lesser(&mut self, process: Ref<Process>, place: Place) {
        let Slot { next, prev, .. } = self.slots[place.slot];
        match SlotRef::from_raw(prev & !PARENT) {
            Some(parent) if prev & PARENT != 0 => self.slots[parent].child = next,
            Some(before) => self.slots[before].next = next,
            None => {}
        }
        self.empty(process, place);
    }

    /// Empties a place, to which nothing before it refers any more.
    #[inline(always)]
    fn empty(&mut self, process: Ref<Process>, place: Place) {
        let Slot { generation, next, prev, .. } = self.slots[place.slot];
        if let Some(next) = SlotRef::from_raw(next) {
            self.slots[next].prev = prev;
        }
        let table = &mut self.processes[process].caps_table;
        let child = core::mem::replace(&mut table.free[place.list], place.index);
        table.own -= 1;
        self.slots[place.slot] = Slot { generation: generation.wrapping_add(1).max(1), child, ..Slot::EMPTY };
    }

    /// The place of a slot in the table that it is in.
    #[inline(always)]
    pub(crate) fn place_of(&self, slot: SlotRef) -> Place {
        Place::new(slot, self.place(slot).1)
    }

    /// In whose table a slot is, and its index there.
    #[inline(always)]
    fn place(&self, slot: SlotRef) -> (Ref<Process>, u32) {
        let Slot { object: owner, badge: page, .. } = self.slots[slot.sibling(0)];
        let process = Ref::from_raw(owner).expect("a page of slots has an owner");
        (process, page as u32 * SLOTS_PER_PAGE + slot.position())
    }

    /// The capability that the one in `slot` was derived from: who has it, and under which handle. `None` also where it
    /// has more than [`MOST_SIBLINGS`] younger siblings.
    pub(crate) fn parent_of(&self, slot: SlotRef) -> Option<(Ref<Process>, Handle)> {
        let mut at = slot;
        for _ in 0..MOST_SIBLINGS {
            let prev = self.slots[at].prev;
            let before = SlotRef::from_raw(prev & !PARENT)?;
            if prev & PARENT != 0 {
                let (process, index) = self.place(before);
                return Some((process, Handle::new(index, self.slots[before].generation)));
            }
            at = before;
        }
        None
    }

    /// Removes descendants of `slot`, up to `budget` steps; `true` when none is left.
    pub(crate) fn revoke(&mut self, slot: SlotRef, budget: &mut u32) -> bool {
        while let Some(child) = SlotRef::from_raw(self.slots[slot].child) {
            if *budget == 0 {
                return false;
            }
            self.delete(child, budget);
        }
        let Slot { kind, object, .. } = self.slots[slot];
        if kind == Kind::Irq as u8 {
            self.irq_capability_gone(Ref::from_raw(object).expect("invariant 1: the object is alive"), slot);
        }
        true
    }

    /// Removes every capability to an object, up to `budget` steps; `true` when none is left.
    pub(crate) fn revoke_object(&mut self, kind: Kind, object: u32, budget: &mut u32) -> bool {
        while let Some(root) = SlotRef::from_raw(*self.roots(kind, object)) {
            if *budget == 0 {
                return false;
            }
            self.promote_children(root, budget);
            if SlotRef::from_raw(self.slots[root].child).is_none() && *budget > 0 {
                let last = self.slots[root].next == 0 && *self.roots(kind, object) == root.raw();
                if self.delete(root, budget) && last {
                    return true;
                }
            }
        }
        true
    }

    /// Empties the table of `process`, up to `budget` steps, from slot `cursor` on; with `keep` those granted to it
    /// stay. `true` when done.
    pub(crate) fn clear_table(
        &mut self,
        process: Ref<Process>,
        keep: bool,
        cursor: &mut u32,
        budget: &mut u32,
    ) -> bool {
        let table = self.processes[process].caps_table;
        while *cursor < table.pages * SLOTS_PER_PAGE {
            let CapTable { own, granted, .. } = self.processes[process].caps_table;
            if own == 0 && (keep || granted == 0) {
                return true;
            }
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            let slot = self.slot_at(&table, *cursor).expect("the cursor is inside the table");
            let Slot { kind, .. } = self.slots[slot];
            if kind != 0
                && slot.position() != 0
                && !(keep && self.slots[slot].is_granted())
                && !self.delete(slot, budget)
            {
                return false;
            }
            *cursor += 1;
        }
        true
    }

    /// The first capability of `process` in its slots from `from` on, as far as a step of bounded length goes, and the
    /// index to go on from; 0: there are no more slots.
    pub(crate) fn next_capability(&self, process: Ref<Process>, from: u64) -> (Handle, u64) {
        const STEP: u32 = 256;
        let table = self.processes[process].caps_table;
        let slots = table.pages * SLOTS_PER_PAGE;
        let start = u32::try_from(from).unwrap_or(u32::MAX).min(slots);
        let end = start.saturating_add(STEP).min(slots);
        for index in start..end {
            let Some(slot) = self.slot_at(&table, index).filter(|slot| slot.position() != 0) else { continue };
            let Slot { kind, generation, .. } = self.slots[slot];
            if kind != 0 && kind & MAPPING == 0 {
                return (Handle::new(index, generation), if index + 1 < slots { u64::from(index) + 1 } else { 0 });
            }
        }
        (Handle::NONE, if end < slots { end.into() } else { 0 })
    }

    /// Frees pages of the empty table of a process that nobody knows any more, up to `budget` of them. `true` when done.
    pub(crate) fn free_table(&mut self, process: Ref<Process>, account: Ref<Account>, budget: &mut u32) -> bool {
        let mut table = self.processes[process].caps_table;
        while table.pages > 0 {
            if *budget == 0 {
                self.processes[process].caps_table = table;
                return false;
            }
            *budget -= 1;
            let slot = self.slot_at(&table, (table.pages - 1) * SLOTS_PER_PAGE).expect("the page is in the table");
            table.pages -= 1;
            let frame = self.slots.remove_page(slot);
            self.sell(account, frame, Purpose::CapTables);
        }
        if let Some(directory) = table.directory {
            self.sell(account, directory, Purpose::CapTables);
        }
        self.processes[process].caps_table = CapTable::default();
        true
    }
}
