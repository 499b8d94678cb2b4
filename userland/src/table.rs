//! Texts in columns.

use alloc::{string::String, vec::Vec};

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows whose cells are padded to the widest of their column.
#[derive(Debug)]
pub struct Table {
    align: &'static [Align],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; a row's cells beyond them are dropped.
    pub fn new(align: &'static [Align]) -> Table {
        Table { align, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| String::from(*cell)).collect());
    }

    /// The whole table; the last column is not padded.
    pub fn show(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.align.len()).map(width).collect();
        let mut all = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, align), width) in row.iter().zip(self.align).zip(&widths) {
                if !line.is_empty() {
                    line.push(' ');
                }
                let padding = core::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()));
                match align {
                    Align::Left => {
                        line.push_str(cell);
                        line.extend(padding);
                    }
                    Align::Right => {
                        line.extend(padding);
                        line.push_str(cell);
                    }
                }
            }
            all.push_str(line.trim_end());
            all.push('\n');
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_to_the_widest_of_their_column() {
        let mut table = Table::new(&[Align::Left, Align::Right, Align::Left]);
        table.row(["NAME", "PAGES", "STATE"]);
        table.row(["é", "12345678", ""]);
        assert_eq!(table.show(), "NAME    PAGES STATE\né    12345678\n");
    }
}
