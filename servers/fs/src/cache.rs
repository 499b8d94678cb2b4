//! The block cache: what the filesystem reads and writes, in the persistent memory.
//!
//! 1. Between two operations the index maps each cached block to its newest version, and every version is committed.
//! 2. A committed block is never changed where it lies: `edit` gives a copy in another slot, which is *staged*. `commit`
//!    makes all staged blocks current in one flip, `abort` forgets them.
//! 3. Only slots that are dirty or logged have an entry in the persistent table; a clean slot may vanish at any time.
//! 4. A block freed since the last transfer to the journal is not given out again before the next: the state that is
//!    safe on disk may still need its contents. So a block just allocated (*fresh*) is unused in that state, and may be
//!    written in place at any time, without the journal.
//! 5. What is dirty and not fresh never exceeds what the journal can take as one transaction.

use alloc::vec;
use alloc::vec::Vec;

use crate::disk::{BLOCK, Disk};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::journal::Journal;
use crate::record::{Packed, Record};
use crate::region::{Change, DIRTY, FRESH, Identity, LOGGED, NONE, Phase, Region, Root, tag_block};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Free,
    Clean,
    Dirty,
    Logged,
    Staged,
}

#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub block: u64,
    pub state: State,
    pub fresh: bool,
    /// Used since the clock hand last passed.
    used: bool,
    /// A staged version exists; this one is kept for the case of an abort.
    shadowed: bool,
    /// Its checksum was found right, or it was made here.
    verified: bool,
    /// Where it stands among those with an entry, while it is dirty or logged.
    place: u32,
}

const FREE: Slot =
    Slot { block: 0, state: State::Free, fresh: false, used: false, shadowed: false, verified: false, place: NONE };

/// What a slot counts for.
#[derive(Clone, Copy)]
struct Counted {
    /// It has an entry.
    listed: bool,
    /// It must go through the journal.
    journalled: bool,
    /// It cannot be given up without the journal.
    pinned: bool,
}

impl Slot {
    #[inline]
    fn counted(&self) -> Counted {
        let (dirty, logged) = (self.state == State::Dirty, self.state == State::Logged);
        let journalled = dirty && !self.fresh;
        Counted { listed: dirty || logged, journalled, pinned: journalled || logged || self.state == State::Staged }
    }
}

/// Free slots that are remembered.
const SPARES: usize = 64;
/// The most blocks moved with one request.
const MAX_RUN: usize = 32;

/// The cache over a disk.
pub struct Cache<'m, D> {
    pub(crate) region: Region<'m>,
    pub(crate) disk: D,
    pub(crate) journal: Journal,
    pub(crate) slots: Vec<Slot>,
    /// Blocks on their way between slots and disk that do not lie side by side.
    pub(crate) bounce: &'m mut [u8],
    /// Whether what has taken effect is recorded.
    recording: bool,
    index: Index,
    /// What the operation under way changes. Until the commit a tag is no more than a block, and there is no check.
    stage: Vec<Change>,
    /// Freed ranges of the operation under way.
    stage_freed: Vec<(u64, u32)>,
    hand: usize,
    /// Slots that were free when they came here: taken first, as what was in use a moment ago is near.
    spare: Vec<u32>,
    blocks: u64,
    max_stage: usize,
    /// Blocks that may be on their way to the journal when an operation of full size begins.
    max_journalled: usize,
    /// Slots that are dirty or logged, in no order.
    tabled: Vec<u32>,
    /// Slots that are dirty and not fresh.
    pub(crate) journalled: usize,
    /// Slots that are free, clean, or dirty and fresh.
    reclaimable: usize,
}

impl<'m, D: Disk> Cache<'m, D> {
    /// Opens the cache in `bytes`. The second result says whether it held a valid state of this filesystem.
    ///
    /// # Errors
    /// [`Error::CacheFull`] if there is too little memory.
    pub fn open(bytes: &'m mut [u8], disk: D, identity: Identity) -> Result<(Self, bool)> {
        // Part of the memory, as the disk's device reaches that.
        let run = (bytes.len() / BLOCK / 16).clamp(4, MAX_RUN);
        let split = bytes.len().checked_sub(run * BLOCK).ok_or(Error::CacheFull)? / BLOCK * BLOCK;
        let (bytes, bounce) = bytes.split_at_mut(split);
        let (region, kept) = Region::open(bytes, identity)?;
        let count = region.slots();
        let mut cache = Self {
            region,
            disk,
            journal: Journal::default(),
            slots: vec![FREE; count],
            bounce: &mut bounce[..run * BLOCK],
            recording: true,
            index: Index::new(count),
            stage: Vec::new(),
            stage_freed: Vec::new(),
            hand: 0,
            spare: Vec::new(),
            blocks: identity.blocks,
            max_stage: count / 3,
            max_journalled: 0,
            tabled: Vec::new(),
            journalled: 0,
            reclaimable: count,
        };
        cache.load_slots();
        Ok((cache, kept))
    }

    fn load_slots(&mut self) {
        for slot in 0..self.slots.len() as u32 {
            let tag = self.region.tag(slot);
            if tag == 0 {
                continue;
            }
            let block = tag_block(tag);
            let state = if tag & LOGGED != 0 { State::Logged } else { State::Dirty };
            self.slots[slot as usize] = Slot { block, state, fresh: tag & FRESH != 0, verified: true, ..FREE };
            self.index.set(block, slot);
            self.recount(slot, FREE.counted(), self.slots[slot as usize].counted());
        }
    }

    /// The running counts and the list, after a slot was as `was` and now is in this state.
    #[inline]
    fn recount(&mut self, slot: u32, was: Counted, is: Counted) {
        if was.listed != is.listed {
            self.list(slot, is.listed);
        }
        self.journalled = self.journalled + usize::from(is.journalled) - usize::from(was.journalled);
        self.reclaimable = self.reclaimable + usize::from(was.pinned) - usize::from(is.pinned);
    }

    /// Puts slot into the list of those that are dirty or logged, or takes it out.
    fn list(&mut self, slot: u32, into: bool) {
        if into {
            self.slots[slot as usize].place = self.tabled.len() as u32;
            self.tabled.push(slot);
            return;
        }
        let place = self.slots[slot as usize].place;
        self.tabled.swap_remove(place as usize);
        if let Some(&moved) = self.tabled.get(place as usize) {
            self.slots[moved as usize].place = place;
        }
    }

    #[inline]
    pub(crate) fn set_state(&mut self, slot: u32, state: State, fresh: bool) {
        let s = &mut self.slots[slot as usize];
        let was = s.counted();
        (s.state, s.fresh) = (state, fresh);
        let is = s.counted();
        self.recount(slot, was, is);
    }

    fn release(&mut self, slot: u32) {
        self.set_state(slot, State::Free, false);
        self.slots[slot as usize] = FREE;
        self.keep_spare(slot);
    }

    #[inline]
    fn keep_spare(&mut self, slot: u32) {
        if self.spare.len() < SPARES {
            self.spare.push(slot);
        }
    }

    /// Limits the size of an operation so that two of them fit into the journal's largest transaction.
    pub(crate) fn limit_stage(&mut self) {
        self.max_stage = (self.slots.len() / 3).min(self.journal.capacity() / 2).min(1024);
        self.max_journalled = self.journal.capacity() - self.max_stage;
    }

    /// The most blocks that one operation may change.
    #[inline]
    pub fn max_stage(&self) -> usize {
        self.max_stage
    }

    /// Number of blocks that the operation under way may still change.
    pub fn stage_room(&self) -> usize {
        self.max_stage.saturating_sub(self.stage.len())
    }

    /// Number of ranges that the operation under way may still free.
    pub fn freed_room(&self) -> usize {
        self.region.freed_capacity().saturating_sub(self.region.root().freed as usize + self.stage_freed.len())
    }

    /// The answer that message `id` was given, if it has taken effect.
    pub fn answered(&self, id: u64) -> Option<Packed> {
        if self.recording { self.region.recorded(id) } else { None }
    }

    /// The contents of `block`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a block beyond the filesystem, [`Error::Io`], [`Error::CacheFull`].
    #[inline]
    pub fn read(&mut self, block: u64) -> Result<&[u8]> {
        let slot = self.slot_of(block)?;
        Ok(self.region.data(slot))
    }

    /// The contents of `block` of a file, and of those of the `want` blocks asked for that lie side by side with it. What
    /// must come from the disk comes at once; and if the block before it is here, so that the file is probably read from
    /// end to end, some more. There are `left`.
    #[inline]
    pub fn read_ahead(&mut self, block: u64, want: usize, left: usize) -> Result<&[u8]> {
        let slot = match self.index.get(block) {
            Some(slot) => {
                self.slots[slot as usize].used = true;
                slot
            }
            None => {
                let sequential = block > 0 && self.index.get(block - 1).is_some();
                self.fill(block, if sequential { MAX_RUN } else { want }.min(left))?
            }
        };
        let mut run = 1;
        while run < want.min(left) && self.index.get(block + run as u64) == Some(slot + run as u32) {
            self.slots[slot as usize + run].used = true;
            run += 1;
        }
        Ok(self.region.run(slot, run))
    }

    /// The contents of `block`, whose checksum `check` tests when it comes from the disk.
    pub fn read_checked(&mut self, block: u64, check: impl Fn(&[u8]) -> bool) -> Result<&[u8]> {
        let slot = self.slot_of(block)?;
        if !self.slots[slot as usize].verified {
            if !check(self.region.data(slot)) {
                return Err(Error::Corrupt);
            }
            self.slots[slot as usize].verified = true;
        }
        Ok(self.region.data(slot))
    }

    #[inline]
    fn slot_of(&mut self, block: u64) -> Result<u32> {
        match self.index.get(block) {
            Some(slot) => {
                self.slots[slot as usize].used = true;
                Ok(slot)
            }
            None => self.fill(block, 1),
        }
    }

    /// Reads `block`, and up to `run` blocks from there on that are not cached, with one request.
    fn fill(&mut self, block: u64, run: usize) -> Result<u32> {
        if block >= self.blocks {
            return Err(Error::Corrupt);
        }
        let run = run.min(self.bounce.len() / BLOCK).min((self.blocks - block) as usize).max(1);
        let missing = (1..run).take_while(|&i| self.index.get(block + i as u64).is_none()).count();
        let want = 1 + missing.min(self.reclaimable.saturating_sub(self.max_stage));
        // Slots first: finding them may need the bounce buffer.
        let mut taken = [NONE; MAX_RUN];
        let got = self.take_slots(&mut taken[..want])?;
        let taken = &taken[..got];
        if let Err(e) = self.fetch(block, taken) {
            taken.iter().for_each(|&slot| self.slots[slot as usize] = FREE);
            return Err(e);
        }
        for (i, &slot) in taken.iter().enumerate() {
            self.slots[slot as usize] = Slot { block: block + i as u64, state: State::Clean, used: true, ..FREE };
            self.index.set(block + i as u64, slot);
        }
        Ok(taken[0])
    }

    /// Reads blocks from `block` on into these slots: at once where they lie side by side, as they mostly do.
    fn fetch(&mut self, block: u64, slots: &[u32]) -> Result<()> {
        if slots.iter().zip(slots[0]..).all(|(&slot, next)| slot == next) {
            return Ok(self.disk.read_blocks(block, self.region.run_mut(slots[0], slots.len()))?);
        }
        let bounce = &mut self.bounce[..slots.len() * BLOCK];
        self.disk.read_blocks(block, bounce)?;
        for (&slot, data) in slots.iter().zip(bounce.chunks_exact(BLOCK)) {
            self.region.data_mut(slot).copy_from_slice(data);
        }
        Ok(())
    }

    /// Takes slots out of reach of `victim`; at least one, or it is an error.
    fn take_slots(&mut self, taken: &mut [u32]) -> Result<usize> {
        let one = taken.len() == 1;
        for (i, place) in taken.iter_mut().enumerate() {
            match if one { self.victim(NONE) } else { self.next_victim(NONE) } {
                Ok(slot) => *place = slot,
                Err(e) if i == 0 => return Err(e),
                Err(_) => return Ok(i),
            }
            self.slots[*place as usize] = Slot { state: State::Clean, shadowed: true, ..FREE };
        }
        Ok(taken.len())
    }

    /// An empty slot; a clean one is given up for it if need be, but not `keep`.
    fn victim(&mut self, keep: u32) -> Result<u32> {
        while let Some(slot) = self.spare.pop() {
            if self.slots[slot as usize].state == State::Free {
                return Ok(slot);
            }
        }
        self.next_victim(keep)
    }

    /// As `victim`; one after the other they mostly lie side by side.
    fn next_victim(&mut self, keep: u32) -> Result<u32> {
        for round in 0..2 {
            for _ in 0..2 * self.slots.len() {
                let at = self.hand;
                self.hand = if at + 1 == self.slots.len() { 0 } else { at + 1 };
                let s = &mut self.slots[at];
                if s.state == State::Free {
                    return Ok(at as u32);
                }
                if s.state != State::Clean || s.shadowed || at as u32 == keep {
                    continue;
                }
                if s.used {
                    s.used = false;
                    continue;
                }
                self.index.remove(s.block);
                self.slots[at] = FREE;
                return Ok(at as u32);
            }
            if round == 0 && self.clean_fresh()? == 0 {
                break;
            }
        }
        Err(Error::CacheFull)
    }

    /// A copy of `block` to change, part of the operation under way.
    ///
    /// # Errors
    /// As `read`; [`Error::CacheFull`] also if the operation becomes too large.
    pub fn edit(&mut self, block: u64) -> Result<&mut [u8]> {
        let old = self.slot_of(block)?;
        let new = self.stage_over(block, (self.index.find(block).0, old), true)?;
        Ok(self.region.data_mut(new))
    }

    /// As `edit`, for a caller that overwrites all of it: what it holds is undefined.
    #[inline]
    pub fn edit_whole(&mut self, block: u64) -> Result<&mut [u8]> {
        let new = self.stage_whole(block)?;
        Ok(self.region.data_mut(new))
    }

    /// A zeroed block just allocated.
    pub fn edit_new(&mut self, block: u64) -> Result<&mut [u8]> {
        let slot = self.stage_new(block)?;
        let data = self.region.data_mut(slot);
        data.fill(0);
        Ok(data)
    }

    /// As `edit_new`, for a caller that overwrites all of it.
    pub fn edit_new_whole(&mut self, block: u64) -> Result<&mut [u8]> {
        let slot = self.stage_new(block)?;
        Ok(self.region.data_mut(slot))
    }

    fn stage_new(&mut self, block: u64) -> Result<u32> {
        let slot = self.stage_whole(block)?;
        self.slots[slot as usize].fresh = true;
        Ok(slot)
    }

    #[inline]
    fn stage_whole(&mut self, block: u64) -> Result<u32> {
        if block >= self.blocks {
            return Err(Error::Corrupt);
        }
        let (at, old) = self.index.find(block);
        self.stage_over(block, (at, old.unwrap_or(NONE)), false)
    }

    /// A staged version of `block`, which was found at a place of the index and in slot `old`, if that is one.
    #[inline]
    fn stage_over(&mut self, block: u64, (at, old): (usize, u32), copy: bool) -> Result<u32> {
        if old != NONE && self.slots[old as usize].state == State::Staged {
            return Ok(old);
        }
        if self.stage.len() >= self.max_stage {
            return Err(Error::CacheFull);
        }
        let new = self.victim(old)?;
        let mut fresh = false;
        let mut kept = old;
        if old != NONE {
            // `victim` may have written `old` in place meanwhile: it is then clean and no longer fresh.
            let was = self.slots[old as usize];
            fresh = was.state == State::Dirty && was.fresh;
            if copy {
                self.region.copy(old, new);
            }
            if was.state == State::Clean {
                self.release(old);
                kept = NONE;
            } else {
                self.slots[old as usize].shadowed = true;
            }
        }
        self.slots[new as usize] = Slot { block, state: State::Staged, fresh, used: true, verified: true, ..FREE };
        self.reclaimable -= 1;
        self.index.set_at(at, block, new);
        self.stage.push(Change { slot: new, old: kept, tag: block, check: 0 });
        Ok(new)
    }

    /// The operation under way frees `len` blocks from `start` on.
    ///
    /// # Errors
    /// [`Error::CacheFull`] if too many ranges were freed since the last `sync`.
    pub fn free_range(&mut self, start: u64, len: u32) -> Result<()> {
        let full = self.freed_room() == 0;
        match self.stage_freed.last_mut() {
            Some(last) if last.0 + u64::from(last.1) == start && last.1 + len < 1 << 20 => last.1 += len,
            Some(last) if start + u64::from(len) == last.0 && last.1 + len < 1 << 20 => *last = (start, last.1 + len),
            _ if full => return Err(Error::CacheFull),
            _ => self.stage_freed.push((start, len)),
        }
        if !self.stage.is_empty() {
            self.unstage(start, start + u64::from(len));
        }
        Ok(())
    }

    /// Drops the staged versions of blocks in the range; the committed ones go at commit.
    fn unstage(&mut self, start: u64, end: u64) {
        let mut at = 0;
        while at < self.stage.len() {
            let staged = self.stage[at];
            if (start..end).contains(&staged.tag) {
                self.stage.swap_remove(at);
                self.undo(staged);
            } else {
                at += 1;
            }
        }
    }

    fn undo(&mut self, Change { slot, old, tag: block, .. }: Change) {
        self.release(slot);
        if old == NONE {
            self.index.remove(block);
        } else {
            self.slots[old as usize].shadowed = false;
            self.index.set(block, old);
        }
    }

    /// Whether a freed range in quarantine overlaps `start..start+len`: the end of that range.
    pub fn quarantined(&self, start: u64, len: u32) -> Option<(u64, u64)> {
        let end = start + u64::from(len);
        let hit = |(first, count): (u64, u32)| {
            let last = first + u64::from(count);
            (first < end && start < last).then_some((first, last))
        };
        let committed = (0..self.region.root().freed).find_map(|i| hit(self.region.freed(i)));
        committed.or_else(|| self.stage_freed.iter().find_map(|&range| hit(range)))
    }

    /// Whether any freed block waits for the next `sync`.
    pub fn has_quarantine(&self) -> bool {
        self.region.root().freed > 0
    }

    /// Forgets all that the operation under way has done.
    pub fn abort(&mut self) {
        while let Some(staged) = self.stage.pop() {
            self.undo(staged);
        }
        self.stage_freed.clear();
    }

    /// From now on nothing is recorded, and nothing is answered from a record.
    pub fn stop_recording(&mut self) {
        self.recording = false;
    }

    /// Makes the operation under way take effect, together with the answer to its message if it has one.
    pub fn commit(&mut self, message: Option<(u64, Packed)>) {
        if self.stage.is_empty() && self.stage_freed.is_empty() && message.is_none() {
            return;
        }
        let mut root = self.region.root();
        for staged in &mut self.stage {
            let fresh = if self.slots[staged.slot as usize].fresh { FRESH } else { 0 };
            *staged = self.region.entered(staged.slot, staged.old, staged.tag | DIRTY | fresh);
        }
        let dropped = if self.stage_freed.is_empty() { Vec::new() } else { self.drop_freed(&mut root) };
        let record = message.filter(|_| self.recording).map(|(id, answer)| Record { id, answer });
        self.region.flip(root, &self.stage, record);
        self.settle(&dropped);
    }

    /// The freed ranges become part of what is committed. Returns the slots that lose their blocks by it.
    fn drop_freed(&mut self, root: &mut Root) -> Vec<u32> {
        for &(start, len) in &self.stage_freed {
            self.region.put_freed(root.freed, start, len);
            root.freed += 1;
        }
        let dropped = self.slots_in_freed();
        for &slot in &dropped {
            if self.has_entry(slot) {
                self.stage.push(Change::empties(slot));
            }
        }
        dropped
    }

    fn has_entry(&self, slot: u32) -> bool {
        matches!(self.slots[slot as usize].state, State::Dirty | State::Logged)
    }

    /// Brings the tables in the heap into line with a commit.
    fn settle(&mut self, dropped: &[u32]) {
        for &slot in dropped {
            self.index.remove(self.slots[slot as usize].block);
            self.release(slot);
        }
        while let Some(Change { slot, old, .. }) = self.stage.pop() {
            match (slot, old) {
                (NONE, _) => {} // one of those dropped
                (_, NONE) => {
                    let fresh = self.slots[slot as usize].fresh;
                    self.set_state(slot, State::Dirty, fresh);
                }
                _ => self.succeed(slot, old),
            }
        }
        self.stage_freed.clear();
    }

    /// The staged slot `new` becomes dirty in place of `old`, which was dirty or logged and is free now.
    #[inline]
    fn succeed(&mut self, new: u32, old: u32) {
        let before = core::mem::replace(&mut self.slots[old as usize], FREE);
        self.keep_spare(old);
        self.tabled[before.place as usize] = new;
        let slot = &mut self.slots[new as usize];
        (slot.state, slot.place) = (State::Dirty, before.place);
        // What is staged is pinned, and no more of the same kind are there than before.
        self.reclaimable += 1;
        if (before.state, before.fresh) != (State::Dirty, slot.fresh) {
            let (was, is) = (before.counted(), slot.counted());
            self.journalled = self.journalled + usize::from(is.journalled) - usize::from(was.journalled);
            self.reclaimable = self.reclaimable + usize::from(was.pinned) - usize::from(is.pinned);
        }
    }

    fn slots_in_freed(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for &(start, len) in &self.stage_freed {
            let range = start..start + u64::from(len);
            if len as usize <= self.slots.len() {
                found.extend(range.filter_map(|block| self.index.get(block)));
            } else {
                let inside = |slot: &u32| {
                    let s = &self.slots[*slot as usize];
                    s.state != State::Free && !s.shadowed && range.contains(&s.block)
                };
                found.extend((0..self.slots.len() as u32).filter(inside));
            }
        }
        found
    }

    /// Whether an operation of full size can begin; if not, `sync` makes it possible.
    #[inline]
    pub fn has_room(&self) -> bool {
        let root = self.region.root();
        root.phase == Phase::Idle
            && self.journalled <= self.max_journalled
            && self.reclaimable >= self.max_stage + 4
            && self.region.freed_capacity() - root.freed as usize >= 32
    }

    /// Slots in state `state`, fresh or not as asked, by block number.
    pub(crate) fn sorted(&self, state: State, fresh: bool) -> Vec<u32> {
        let wanted = |&slot: &u32| {
            let s = &self.slots[slot as usize];
            s.state == state && s.fresh == fresh && !s.shadowed
        };
        let mut found: Vec<u32> = self.tabled.iter().copied().filter(wanted).collect();
        found.sort_unstable_by_key(|&slot| self.slots[slot as usize].block);
        found
    }

    /// Writes slots, sorted by block, in place: neighbours with one request.
    pub(crate) fn write_in_place(&mut self, slots: &[u32]) -> Result<()> {
        let room = self.bounce.len() / BLOCK;
        let mut at = 0;
        while at < slots.len() {
            let first = self.slots[slots[at] as usize].block;
            let follows = |i: &usize| self.slots[slots[at + i] as usize].block == first + *i as u64;
            let run = (0..room.min(slots.len() - at)).take_while(follows).count().max(1);
            let slots = &slots[at..at + run];
            if slots.iter().zip(slots[0]..).all(|(&slot, next)| slot == next) {
                self.disk.write_blocks(first, self.region.run(slots[0], run))?;
            } else {
                for (&slot, data) in slots.iter().zip(self.bounce.chunks_exact_mut(BLOCK)) {
                    data.copy_from_slice(self.region.data(slot));
                }
                self.disk.write_blocks(first, &self.bounce[..run * BLOCK])?;
            }
            at += run;
        }
        Ok(())
    }

    /// Writes fresh dirty blocks in place, which makes their slots clean. Returns how many.
    fn clean_fresh(&mut self) -> Result<usize> {
        if self.region.root().phase != Phase::Idle {
            return Ok(0);
        }
        let slots = self.sorted(State::Dirty, true);
        if slots.is_empty() {
            return Ok(0);
        }
        self.write_in_place(&slots)?;
        self.retag(self.region.root(), &slots, &[]);
        Ok(slots.len())
    }

    /// One flip after which `cleaned` are clean, `logged` are logged, and the root is `root`.
    pub(crate) fn retag(&mut self, root: Root, cleaned: &[u32], logged: &[u32]) {
        let clean = cleaned.iter().map(|&old| Change::empties(old));
        let log = logged.iter().map(|&slot| self.region.retagged(slot, tag_block(self.region.tag(slot)) | LOGGED));
        let changes: Vec<Change> = clean.chain(log).collect();
        self.region.flip(root, &changes, None);
        for &slot in cleaned {
            self.set_state(slot, State::Clean, false);
        }
        for &slot in logged {
            self.set_state(slot, State::Logged, false);
        }
    }

    /// Forgets a clean block, because it changes on the disk.
    pub(crate) fn forget(&mut self, block: u64) {
        let Some(slot) = self.index.get(block).filter(|&slot| self.slots[slot as usize].state == State::Clean) else {
            return;
        };
        self.index.remove(block);
        self.release(slot);
    }

    /// Forgets every clean block, because the disk has changed below.
    pub(crate) fn forget_clean(&mut self) {
        for slot in 0..self.slots.len() as u32 {
            if self.slots[slot as usize].state == State::Clean {
                self.index.remove(self.slots[slot as usize].block);
                self.release(slot);
            }
        }
    }

    /// Whether anything committed is not yet safe on disk.
    pub fn is_dirty(&self) -> bool {
        self.slots.iter().any(|s| s.state == State::Dirty)
    }
}
