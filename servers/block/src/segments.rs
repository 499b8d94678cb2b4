//! Where attached memory lies for the device: a range of it as runs of physically contiguous bytes.

use alloc::vec::Vec;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Most runs of a request: as many as always fit into an empty virtqueue, beside its header and status.
pub const MAX_SEGMENTS: usize = 32;

/// Physical addresses of a memory object's pages, found out as they are needed.
#[derive(Debug, Default)]
pub struct Pages {
    addresses: Vec<u64>,
}

impl Pages {
    /// Of a memory object with `count` pages.
    pub fn new(count: u64) -> Pages {
        Pages { addresses: alloc::vec![0; count as usize] }
    }

    /// Bytes of the memory.
    pub fn size(&self) -> u64 {
        self.addresses.len() as u64 * PAGE
    }

    /// The lengths of the runs that the `length` bytes from `offset` on consist of, at most [`MAX_SEGMENTS`] of them: so
    /// perhaps of fewer bytes. `lookup` tells the address of a page and how many pages from there on are contiguous.
    /// `None`: the range lies outside, or a page has no address.
    pub fn runs<E>(
        &mut self,
        offset: u64,
        length: u64,
        lookup: impl Fn(u64) -> Result<(u64, u64), E>,
    ) -> Option<Vec<usize>> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size())?;
        let mut runs: Vec<usize> = Vec::new();
        let (mut at, mut expected) = (offset, None);
        while at < end {
            let address = self.address(at / PAGE, &lookup)? + at % PAGE;
            let step = (PAGE - at % PAGE).min(end - at);
            let full = runs.len() == MAX_SEGMENTS;
            match runs.last_mut() {
                Some(last) if expected == Some(address) => *last += step as usize,
                _ if full => break,
                _ => runs.push(step as usize),
            }
            expected = Some(address + step);
            at += step;
        }
        Some(runs)
    }

    /// The physical address of byte `offset`, once [`Pages::runs`] has been asked about it.
    pub fn known(&self, offset: u64) -> Option<u64> {
        let page = self.addresses.get((offset / PAGE) as usize).filter(|a| **a != 0)?;
        Some(page + offset % PAGE)
    }

    fn address<E>(&mut self, page: u64, lookup: &impl Fn(u64) -> Result<(u64, u64), E>) -> Option<u64> {
        let place = self.addresses.get_mut(page as usize)?;
        if *place == 0 {
            let (first, count) = lookup(page).ok()?;
            let rest = self.addresses.get_mut(page as usize..)?;
            for (i, place) in rest.iter_mut().take(count.max(1) as usize).enumerate() {
                *place = first + i as u64 * PAGE;
            }
        }
        self.addresses.get(page as usize).copied().filter(|a| *a != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn contiguous_memory_is_one_run_and_asked_for_once() {
        let (mut pages, asked) = (Pages::new(16), Cell::new(0));
        let lookup = |page: u64| {
            asked.set(asked.get() + 1);
            Ok::<_, ()>((0x10_0000 + page * PAGE, 16 - page))
        };
        assert_eq!(pages.runs(512, 3 * PAGE, lookup), Some(vec![3 * 4096]));
        assert_eq!(pages.runs(0, 16 * PAGE, lookup), Some(vec![16 * 4096]));
        assert_eq!(asked.get(), 1);
        assert_eq!(pages.known(5 * PAGE + 7), Some(0x10_5007));
    }

    #[test]
    fn scattered_pages_are_runs_of_their_own() {
        let mut pages = Pages::new(4);
        let lookup = |page: u64| Ok::<_, ()>(([0x9000, 0x3000, 0x4000, 0x1000][page as usize], 1));
        assert_eq!(pages.runs(4096 - 512, 3 * PAGE, lookup), Some(vec![512, 8192, 3584]));
        assert_eq!(pages.known(4096 - 512), Some(0x9e00));
    }

    #[test]
    fn a_range_of_too_many_runs_is_cut() {
        let mut pages = Pages::new(100);
        let lookup = |page: u64| Ok::<_, ()>(((page + 1) * 0x10_0000, 1));
        let runs = pages.runs(0, 100 * PAGE, lookup).unwrap();
        assert_eq!((runs.len(), runs.iter().sum::<usize>()), (MAX_SEGMENTS, MAX_SEGMENTS * 4096));
    }

    #[test]
    fn a_range_outside_or_without_an_address_is_refused() {
        let mut pages = Pages::new(2);
        let lookup = |page: u64| Ok::<_, ()>((page * PAGE + PAGE, 1));
        assert_eq!(pages.runs(1, 2 * PAGE, lookup), None);
        assert_eq!(pages.runs(u64::MAX, 2, lookup), None);
        assert_eq!(Pages::new(2).runs(0, 512, |_| Err(())), None);
    }
}
