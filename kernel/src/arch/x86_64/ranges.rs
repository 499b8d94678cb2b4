//! Sets of physical memory as ascending lists of ranges.
//!
//! Invariants of every list made here:
//! 1. Ranges are non-empty, ascending, disjoint and not adjacent.
//! 2. A full list never lies on the unsafe side: [`add`] then covers more than it was asked to, [`subtract`] leaves
//!    less.

use heapless::Vec;
use kernel::machine::PhysRange;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Adds `new` to `list`. Where the list is full, the ranges with the smallest gap between them are joined.
pub fn add<const N: usize>(list: &mut Vec<PhysRange, N>, new: PhysRange) {
    if new.start >= new.end {
        return;
    }
    let mut merged = new;
    list.retain(|r| {
        let touches = r.start <= merged.end && merged.start <= r.end;
        if touches {
            merged = PhysRange { start: r.start.min(merged.start), end: r.end.max(merged.end) };
        }
        !touches
    });
    if list.is_full() {
        join_nearest(list);
        return add(list, merged);
    }
    let at = list.iter().position(|r| r.start > merged.start).unwrap_or(list.len());
    // Cannot fail: the list has room, and `at` is at most its length.
    let _ = list.insert(at, merged);
}

/// Joins the two neighbours of a full list that are nearest to each other.
fn join_nearest<const N: usize>(list: &mut Vec<PhysRange, N>) {
    let nearest = (1..list.len()).min_by_key(|&i| list[i].start - list[i - 1].end);
    if let Some(i) = nearest {
        list[i - 1].end = list[i].end;
        list.remove(i);
    }
}

/// Removes `hole` from `list`. Where a split would need an entry that the full list does not have, the smaller part is
/// lost.
pub fn subtract<const N: usize>(list: &mut Vec<PhysRange, N>, hole: PhysRange) {
    if hole.start >= hole.end {
        return;
    }
    let mut i = 0;
    while i < list.len() {
        let range = list[i];
        if hole.end <= range.start || range.end <= hole.start {
            i += 1;
            continue;
        }
        let below = PhysRange { start: range.start, end: hole.start.max(range.start) };
        let above = PhysRange { start: hole.end.min(range.end), end: range.end };
        let (small, large) = if length(below) < length(above) { (below, above) } else { (above, below) };
        if length(large) == 0 {
            list.remove(i);
            continue;
        }
        list[i] = large;
        i += 1;
        if length(small) > 0 {
            let at = if small.start < large.start { i - 1 } else { i };
            if list.insert(at, small).is_ok() {
                i += 1;
            }
        }
    }
}

/// Bytes in `range`.
pub fn length(range: PhysRange) -> u64 {
    range.end.saturating_sub(range.start)
}

/// The whole pages within `range`.
pub fn inward(range: PhysRange) -> PhysRange {
    let start = range.start.checked_next_multiple_of(PAGE).unwrap_or(!(PAGE - 1));
    PhysRange { start, end: (range.end & !(PAGE - 1)).max(start) }
}

/// The pages that `range` touches.
pub fn outward(range: PhysRange) -> PhysRange {
    let end = range.end.checked_next_multiple_of(PAGE).unwrap_or(!(PAGE - 1));
    PhysRange { start: range.start & !(PAGE - 1), end }
}
