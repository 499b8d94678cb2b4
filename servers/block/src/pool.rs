//! Pages of DMA memory: which are in use. The pages are contiguous for the device, so a run of them is a buffer.

/// Most pages that a pool manages.
pub const MAX_PAGES: usize = 1024;

/// The pages of a pool, by number.
#[derive(Clone, Debug)]
pub struct Pool {
    used: [u64; MAX_PAGES / 64],
    pages: usize,
}

impl Pool {
    /// A pool of `pages` (at most [`MAX_PAGES`]), of which the first `reserved` are never given out.
    pub const fn new(pages: usize, reserved: usize) -> Pool {
        let pages = if pages < MAX_PAGES { pages } else { MAX_PAGES };
        let mut pool = Pool { used: [0; MAX_PAGES / 64], pages };
        let mut page = 0;
        while page < reserved && page < MAX_PAGES {
            pool.used[page / 64] |= 1 << (page % 64);
            page += 1;
        }
        pool
    }

    fn is_free(&self, page: usize) -> bool {
        page < self.pages && self.used[page / 64] & 1 << (page % 64) == 0
    }

    /// Takes a run of `count` pages; the number of its first.
    pub fn take(&mut self, count: usize) -> Option<usize> {
        let mut first = 0;
        while count > 0 && first + count <= self.pages {
            match (first..first + count).rev().find(|page| !self.is_free(*page)) {
                None => {
                    (first..first + count).for_each(|page| self.used[page / 64] |= 1 << (page % 64));
                    return Some(first);
                }
                Some(taken) => first = taken + 1,
            }
        }
        None
    }

    /// Gives a run back.
    pub fn give(&mut self, first: usize, count: usize) {
        for page in (first..first.saturating_add(count)).take_while(|page| *page < self.pages) {
            self.used[page / 64] &= !(1 << (page % 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn runs_never_overlap_and_all_pages_can_be_had() {
        let mut pool = Pool::new(200, 3);
        let (mut taken, mut pages) = (Vec::new(), BTreeSet::new());
        for count in [1, 5, 64, 70, 30, 20, 7, 1, 1] {
            if let Some(first) = pool.take(count) {
                assert!((first..first + count).all(|p| (3..200).contains(&p) && pages.insert(p)));
                taken.push((first, count));
            }
        }
        assert_eq!(pages.len(), 197, "first fit leaves no page over here");
        for (first, count) in taken.drain(..) {
            pool.give(first, count);
        }
        assert_eq!(pool.take(197), Some(3));
        assert_eq!(pool.take(1), None);
    }

    #[test]
    fn impossible_runs_are_refused() {
        let mut pool = Pool::new(10, 10);
        assert_eq!((pool.take(1), pool.take(0)), (None, None));
        assert_eq!(Pool::new(10, 0).take(11), None);
        assert_eq!(Pool::new(MAX_PAGES * 2, 0).take(MAX_PAGES), Some(0));
    }

    #[test]
    fn a_run_fits_into_a_hole_of_its_size() {
        let mut pool = Pool::new(8, 0);
        assert_eq!(pool.take(8), Some(0));
        pool.give(2, 3);
        assert_eq!((pool.take(4), pool.take(3), pool.take(1)), (None, Some(2), None));
    }
}
