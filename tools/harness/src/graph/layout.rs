//! Where everything goes: boxes in columns, so that arrows lead to the right, and in an order with few crossings.
//!
//! Columns come from the longest way to a box (K. Sugiyama et al., 1981: layers, then barycentres). An arrow over more
//! than one column gets a way point in each column that it crosses, which has a place like a box: it passes between
//! boxes, not behind them.
//!
//! Invariants:
//! 1. An arrow leads to a column further right, but for those that would close a circle, and those within a box.
//! 2. What is in one column does not overlap.

use super::{Graph, Place};

/// Heights and distances, in pixels.
pub const TITLE: f64 = 26.0;
pub const NOTE: f64 = 16.0;
pub const ROW: f64 = 18.0;
const FOOT: f64 = 6.0;
const LANE: f64 = 12.0;
const GAP: f64 = 28.0;
const BETWEEN: f64 = 110.0;
const MARGIN: f64 = 24.0;
const HEAD: f64 = 56.0;

/// Rounds of ordering and of pulling straight.
const ROUNDS: usize = 12;

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// One for each box.
    pub boxes: Vec<Area>,
    /// For each arrow the points in the columns that it crosses.
    pub ways: Vec<Vec<(f64, f64)>>,
    pub width: f64,
    pub height: f64,
}

/// Something in a column: a box, or a way point of an arrow.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Item {
    height: f64,
    width: f64,
    y: f64,
}

/// Two neighbours that pull at each other: the items and how far below their upper ends the arrow is tied.
type Tie = ((usize, f64), (usize, f64));

/// Places a graph whose boxes have these widths.
pub fn place(graph: &Graph, widths: &[f64]) -> Layout {
    let columns_of = columns(graph);
    let mut items: Vec<Item> = graph
        .boxes
        .iter()
        .zip(widths)
        .map(|(found, width)| Item { height: height(found), width: *width, y: 0.0 })
        .collect();
    let count = columns_of.iter().max().map_or(0, |last| last + 1);
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); count];
    columns_of.iter().enumerate().for_each(|(item, column)| columns[*column].push(item));
    let mut ties: Vec<Tie> = Vec::new();
    let mut points: Vec<Vec<usize>> = Vec::new();
    for arrow in &graph.arrows {
        let (from, to) = (columns_of[arrow.from.of], columns_of[arrow.to.of]);
        let mut chain = vec![(arrow.from.of, offset(graph, arrow.from))];
        let mut mine = Vec::new();
        for members in columns.iter_mut().take(to).skip(from + 1) {
            items.push(Item { height: LANE, width: 0.0, y: 0.0 });
            members.push(items.len() - 1);
            mine.push(items.len() - 1);
            chain.push((items.len() - 1, LANE / 2.0));
        }
        chain.push((arrow.to.of, offset(graph, arrow.to)));
        if to > from {
            ties.extend(chain.windows(2).map(|pair| (pair[0], pair[1])));
        }
        points.push(mine);
    }
    arrange(&mut items, &mut columns, &ties);
    finish(graph, &items, &columns, &points)
}

/// The column of each box: the longest way to it. Arrows that would close a circle do not count.
fn columns(graph: &Graph) -> Vec<usize> {
    let mut columns: Vec<usize> = vec![0; graph.boxes.len()];
    let mut state = vec![0u8; graph.boxes.len()];
    let mut order = Vec::new();
    let mut back = Vec::new();
    for start in 0..graph.boxes.len() {
        depth_first(graph, start, &mut state, &mut order, &mut back);
    }
    for of in order.iter().rev() {
        for (n, arrow) in graph.arrows.iter().enumerate() {
            if arrow.from.of == *of && !back.contains(&n) {
                columns[arrow.to.of] = columns[arrow.to.of].max(columns[*of] + 1);
            }
        }
    }
    // What only leads to others stands right before the first of them, not far off.
    for of in 0..graph.boxes.len() {
        let into = graph.arrows.iter().any(|arrow| arrow.to.of == of && arrow.from.of != of);
        let next = graph.arrows.iter().filter(|arrow| arrow.from.of == of && arrow.to.of != of);
        if let (false, Some(first)) = (into, next.map(|arrow| columns[arrow.to.of]).min()) {
            columns[of] = first.saturating_sub(1);
        }
    }
    columns
}

fn depth_first(graph: &Graph, of: usize, state: &mut [u8], order: &mut Vec<usize>, back: &mut Vec<usize>) {
    if state[of] != 0 {
        return;
    }
    state[of] = 1;
    for (n, arrow) in graph.arrows.iter().enumerate().filter(|(_, arrow)| arrow.from.of == of) {
        match state[arrow.to.of] {
            1 => back.push(n),
            _ => depth_first(graph, arrow.to.of, state, order, back),
        }
    }
    state[of] = 2;
    order.push(of);
}

fn height(found: &super::Box) -> f64 {
    top(found) + found.rows.len() as f64 * ROW + if found.rows.is_empty() { 0.0 } else { FOOT }
}

/// Height of what is above the rows.
pub fn top(found: &super::Box) -> f64 {
    TITLE + if found.note.is_empty() { 0.0 } else { NOTE }
}

/// How far below the upper end of its box a place is.
pub fn offset(graph: &Graph, place: Place) -> f64 {
    let found = &graph.boxes[place.of];
    place.row.map_or(TITLE / 2.0, |row| top(found) + row as f64 * ROW + ROW / 2.0)
}

/// Orders each column by where its neighbours are, and pulls everything towards them.
fn arrange(items: &mut [Item], columns: &mut [Vec<usize>], ties: &[Tie]) {
    for column in columns.iter() {
        stack(items, column);
    }
    for round in 0..ROUNDS {
        let forward = round % 2 == 0;
        let count = columns.len();
        for step in 0..count {
            let at = if forward { step } else { count - 1 - step };
            let wished: Vec<f64> = columns[at].iter().map(|item| wish(items, ties, *item, forward)).collect();
            let mut order: Vec<usize> = (0..wished.len()).collect();
            let middle = |n: &usize| wished[*n] + items[columns[at][*n]].height / 2.0;
            order.sort_by(|a, b| middle(a).total_cmp(&middle(b)));
            let wished: Vec<f64> = order.iter().map(|n| wished[*n]).collect();
            columns[at] = order.iter().map(|n| columns[at][*n]).collect();
            settle(items, &columns[at], &wished);
        }
    }
}

/// One below the other, from the top.
fn stack(items: &mut [Item], column: &[usize]) {
    let mut y = 0.0;
    for item in column {
        items[*item].y = y;
        y += items[*item].height + gap(items, *item);
    }
}

fn gap(items: &[Item], item: usize) -> f64 {
    if items[item].width == 0.0 { LANE / 2.0 } else { GAP }
}

/// Where an item would like to be: at the mean of those that it is tied to on one side, or where it is.
fn wish(items: &[Item], ties: &[Tie], item: usize, forward: bool) -> f64 {
    let pulls: Vec<f64> = ties
        .iter()
        .filter_map(|(from, to)| {
            let (own, other) = if forward { (to, from) } else { (from, to) };
            (own.0 == item).then(|| items[other.0].y + other.1 - own.1)
        })
        .collect();
    if pulls.is_empty() { items[item].y } else { pulls.iter().sum::<f64>() / pulls.len() as f64 }
}

/// Puts the items of a column as near to their wishes as their order and heights allow: neighbours that would overlap
/// form a group, which goes to the mean of what its members wish.
fn settle(items: &mut [Item], column: &[usize], wished: &[f64]) {
    // A group: how many, its height, and the sum of where its members would have its upper end.
    let mut groups: Vec<(usize, f64, f64)> = Vec::new();
    for (item, wish) in column.iter().zip(wished) {
        let mut group = (1, items[*item].height + gap(items, *item), *wish);
        while let Some((count, height, sum)) = groups.last().copied() {
            if sum / count as f64 + height <= group.2 / group.0 as f64 {
                break;
            }
            groups.pop();
            group = (count + group.0, height + group.1, sum + group.2 - height * group.0 as f64);
        }
        groups.push(group);
    }
    let mut members = column.iter();
    for (count, _, sum) in groups {
        let mut y = sum / count as f64;
        for item in members.by_ref().take(count) {
            items[*item].y = y;
            y += items[*item].height + gap(items, *item);
        }
    }
}

/// From heights to places on the sheet.
fn finish(graph: &Graph, items: &[Item], columns: &[Vec<usize>], points: &[Vec<usize>]) -> Layout {
    let highest = items.iter().map(|item| item.y).fold(f64::INFINITY, f64::min);
    let highest = if highest.is_finite() { highest } else { 0.0 };
    let mut areas = vec![Area { x: 0.0, y: 0.0, width: 0.0, height: 0.0 }; items.len()];
    let mut x = MARGIN;
    for column in columns {
        let width = column.iter().map(|item| items[*item].width).fold(0.0, f64::max);
        for item in column {
            let Item { height, y, .. } = items[*item];
            areas[*item] = Area { x, y: y - highest + HEAD, width, height };
        }
        x += width + BETWEEN;
    }
    let lowest = areas.iter().map(|area| area.y + area.height).fold(HEAD, f64::max);
    let ways = points.iter().map(|way| {
        let ends = |item: &usize| {
            let Area { x, y, width, height } = areas[*item];
            [(x, y + height / 2.0), (x + width, y + height / 2.0)]
        };
        way.iter().flat_map(ends).collect()
    });
    let ways = ways.collect();
    areas.truncate(graph.boxes.len());
    Layout { boxes: areas, ways, width: x - BETWEEN + MARGIN, height: lowest + MARGIN }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::sample, super::*, *};

    fn overlap(a: &Area, b: &Area) -> bool {
        a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
    }

    fn check(graph: &Graph) {
        let layout = place(graph, &vec![120.0; graph.boxes.len()]);
        for (n, a) in layout.boxes.iter().enumerate() {
            assert!(a.x >= 0.0 && a.y >= HEAD - 0.001, "{a:?}");
            assert!(a.x + a.width <= layout.width && a.y + a.height <= layout.height);
            for b in &layout.boxes[..n] {
                assert!(!overlap(a, b), "{a:?} and {b:?}");
            }
            for (x, y) in layout.ways.iter().flatten() {
                assert!(
                    !(*x > a.x && *x < a.x + a.width && *y > a.y && *y < a.y + a.height),
                    "a way goes behind {a:?}"
                );
            }
        }
    }

    #[test]
    fn arrows_lead_to_the_right_and_boxes_do_not_overlap() {
        let graph = sample();
        let layout = place(&graph, &[100.0; 4]);
        for arrow in graph.arrows.iter().filter(|arrow| arrow.from.of != arrow.to.of) {
            assert!(layout.boxes[arrow.from.of].x < layout.boxes[arrow.to.of].x);
        }
        assert_eq!(layout.ways.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 2, 0]);
        check(&graph);
    }

    #[test]
    fn any_graph_can_be_placed() {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..200 {
            let count = 1 + next(9);
            let rows: Vec<usize> = (0..count).map(|_| next(5)).collect();
            let mut graph = sample();
            graph.boxes = rows
                .iter()
                .map(|rows| super::super::Box {
                    title: "x".into(),
                    note: String::new(),
                    kind: Kind::Service,
                    rows: vec![Row::default(); *rows],
                })
                .collect();
            let mut end = || {
                let of = next(count);
                Place { of, row: (rows[of] > 0).then(|| next(rows[of])) }
            };
            graph.arrows = (0..12).map(|_| Arrow { from: end(), to: end(), label: String::new() }).collect();
            check(&graph);
        }
        check(&Graph::default());
    }
}
