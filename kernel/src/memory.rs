//! Memory objects: sets of frames.
//!
//! Invariants:
//! 1. Every frame of an anonymous or contiguous object is of kind `Content` and in this object only.
//! 2. `regions` heads the list of all regions that map it; it lives while it has capabilities or regions.
//! 3. An anonymous page once committed stays until the object dies.

use crate::account::{Account, Purpose};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::{Frame, FrameKind, Object, Ref};
use crate::reaper::Job;
use crate::region::Region;
use abi::{PAGE_SIZE, SysError};

/// Most pages of an object: 4 GiB.
pub const MAX_PAGES: u64 = 1 << 20;

/// Most pages in a row that are told of at once: it bounds the time that looking for them takes.
const MOST_IN_A_ROW: u64 = 64;
const DIRECT: usize = 8;
const FAN: u32 = 1024;

/// Where the frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Committed page by page: up to eight frames here, more in index pages of 1024 frame numbers each, in one level
    /// (`deep` false) or two.
    Anonymous {
        /// Frames of a small object; else `[0]` is the root index page. 0 is none.
        frames: [u32; DIRECT],
        /// Two levels of index pages.
        deep: bool,
    },
    /// Frames in a row from here, charged to the account.
    Contiguous(Frame),
    /// A physical range outside RAM, uncached.
    Device(u64),
    /// A part of RAM that belongs to nobody and stays: the boot archive.
    Archive(Frame),
}

/// One memory object.
pub struct Memory {
    /// Pages.
    pub pages: u64,
    /// Its frames.
    pub backing: Backing,
    /// The account that pays.
    pub account: Option<Ref<Account>>,
    /// First mapping of it.
    pub regions: Option<Ref<Region>>,
    /// First capability to it.
    pub caps: u32,
    /// Given to the reaper.
    pub doomed: bool,
    /// Next job of the reaper.
    pub next_job: Option<Job>,
}

impl Object for Memory {
    const FRAME: FrameKind = FrameKind::Memory;
    fn vacant() -> Memory {
        let backing = Backing::Anonymous { frames: [0; DIRECT], deep: false };
        Memory { pages: 0, backing, account: None, regions: None, caps: 0, doomed: false, next_job: None }
    }
}

impl Memory {
    /// An anonymous object of `pages` pages.
    pub fn anonymous(pages: u64, account: Ref<Account>) -> Memory {
        let backing = Backing::Anonymous { frames: [0; DIRECT], deep: pages > FAN as u64 };
        Memory { pages, backing, account: Some(account), ..Memory::vacant() }
    }
}

impl<M: Machine> Kernel<M> {
    fn index_entry(&self, page: Frame, n: u32) -> u32 {
        (self.mm.word(page, n as usize / 2) >> (32 * (n % 2))) as u32
    }

    fn set_index_entry(&mut self, page: Frame, n: u32, value: u32) {
        let shift = 32 * (n % 2);
        let old = self.mm.word(page, n as usize / 2) & !(0xffff_ffff << shift);
        self.mm.set_word(page, n as usize / 2, old | (value as u64) << shift);
    }

    /// The physical address of page `page`, if it is committed. The page lies in the object.
    pub(crate) fn page_of(&self, memory: Ref<Memory>, page: u64) -> Option<u64> {
        let object = &self.memories[memory];
        debug_assert!(page < object.pages);
        let frame = match object.backing {
            Backing::Contiguous(first) | Backing::Archive(first) => return Some(first.address() + page * PAGE_SIZE),
            Backing::Device(start) => return Some(start + page * PAGE_SIZE),
            Backing::Anonymous { frames, .. } if object.pages <= DIRECT as u64 => frames[page as usize],
            Backing::Anonymous { frames: [0, ..], .. } => 0,
            Backing::Anonymous { frames, deep: false } => self.index_entry(Frame(frames[0]), page as u32),
            Backing::Anonymous { frames, deep: true } => match self.index_entry(Frame(frames[0]), page as u32 / FAN) {
                0 => 0,
                below => self.index_entry(Frame(below), page as u32 % FAN),
            },
        };
        (frame != 0).then(|| Frame(frame).address())
    }

    /// The same, committing the page first where it is not.
    pub(crate) fn commit(&mut self, memory: Ref<Memory>, page: u64) -> Result<u64, SysError> {
        if let Some(address) = self.page_of(memory, page) {
            return Ok(address);
        }
        let account = self.memories[memory].account.expect("an object in use has an account");
        let slot = self.index_page(memory, page, account)?;
        let frame = self.buy(account, FrameKind::Content, Purpose::Contents)?;
        match slot {
            Some((index, n)) => self.set_index_entry(index, n, frame.0),
            None => {
                if let Backing::Anonymous { frames, .. } = &mut self.memories[memory].backing {
                    frames[page as usize] = frame.0;
                }
            }
        }
        Ok(frame.address())
    }

    /// How many pages from `page` on, which is committed at `address`, are in a row. Of anonymous pages no more than
    /// [`MOST_IN_A_ROW`] are looked at.
    pub(crate) fn pages_in_a_row(&self, memory: Ref<Memory>, page: u64, address: u64) -> u64 {
        let Memory { pages, backing, .. } = self.memories[memory];
        if !matches!(backing, Backing::Anonymous { .. }) {
            return pages - page;
        }
        let others = 1..(pages - page).min(MOST_IN_A_ROW);
        let follows = |n: &u64| self.page_of(memory, page + n) == Some(address + n * PAGE_SIZE);
        1 + others.take_while(follows).count() as u64
    }

    /// The index page and place for page `page`, made where it is missing; `None` for a small object.
    fn index_page(
        &mut self,
        memory: Ref<Memory>,
        page: u64,
        account: Ref<Account>,
    ) -> Result<Option<(Frame, u32)>, SysError> {
        let object = &self.memories[memory];
        let Backing::Anonymous { frames, deep } = object.backing else { return Err(SysError::BadArgument) };
        if object.pages <= DIRECT as u64 {
            return Ok(None);
        }
        let root = match frames[0] {
            0 => {
                let root = self.buy(account, FrameKind::Words, Purpose::Other)?;
                if let Backing::Anonymous { frames, .. } = &mut self.memories[memory].backing {
                    frames[0] = root.0;
                }
                root
            }
            root => Frame(root),
        };
        if !deep {
            return Ok(Some((root, page as u32)));
        }
        let n = page as u32 / FAN;
        let below = match self.index_entry(root, n) {
            0 => {
                let below = self.buy(account, FrameKind::Words, Purpose::Other)?;
                self.set_index_entry(root, n, below.0);
                below
            }
            below => Frame(below),
        };
        Ok(Some((below, page as u32 % FAN)))
    }

    /// Frees frames of an object that has no mappings, up to `budget` of them; `true` when it has none left.
    pub(crate) fn free_contents(&mut self, memory: Ref<Memory>, budget: &mut u32) -> bool {
        let object = &self.memories[memory];
        let (pages, account) = (object.pages, object.account.expect("an object in use has an account"));
        match object.backing {
            Backing::Device(_) | Backing::Archive(_) => true,
            Backing::Contiguous(first) => {
                while self.memories[memory].pages > 0 && *budget > 0 {
                    let last = self.memories[memory].pages - 1;
                    self.memories[memory].pages = last;
                    self.sell(account, Frame(first.0 + last as u32), Purpose::Contents);
                    *budget -= 1;
                }
                self.memories[memory].pages == 0
            }
            Backing::Anonymous { frames, .. } if pages <= DIRECT as u64 => {
                for frame in frames.into_iter().filter(|f| *f != 0) {
                    self.sell(account, Frame(frame), Purpose::Contents);
                }
                self.memories[memory].backing = Memory::vacant().backing;
                *budget = budget.saturating_sub(DIRECT as u32);
                true
            }
            Backing::Anonymous { frames: [0, ..], .. } => true,
            Backing::Anonymous { frames, deep } => {
                let entries = if deep { pages.div_ceil(FAN as u64) } else { pages };
                let done = self.free_index(account, Frame(frames[0]), deep, entries as u32, budget);
                if done {
                    self.memories[memory].backing = Backing::Anonymous { frames: [0; DIRECT], deep };
                }
                done
            }
        }
    }

    fn free_index(&mut self, account: Ref<Account>, page: Frame, deep: bool, entries: u32, budget: &mut u32) -> bool {
        let mut n = 0;
        while n < entries {
            let both = self.mm.word(page, n as usize / 2);
            if both == 0 {
                n = (n / 2 + 1) * 2;
                continue;
            }
            let entry = (both >> (32 * (n % 2))) as u32;
            n += 1;
            if entry == 0 {
                continue;
            }
            if *budget == 0 {
                return false;
            }
            if deep {
                if !self.free_index(account, Frame(entry), false, FAN, budget) {
                    return false;
                }
            } else {
                self.sell(account, Frame(entry), Purpose::Contents);
                *budget -= 1;
            }
            self.set_index_entry(page, n - 1, 0);
        }
        self.sell(account, page, Purpose::Other);
        true
    }
}
