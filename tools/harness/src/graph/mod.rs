//! The capability graph: who holds what, and from whom.
//!
//! A graph is boxes with rows, and arrows between rows. It is made of a description ([`described`]) or of what a running
//! system tells ([`running`]), and drawn as Mermaid ([`mermaid`]) or SVG ([`svg`]).
//!
//! Invariants:
//! 1. Every [`Place`] of an arrow names a box, and a row of it or its title.
//! 2. The same input gives the same drawing, byte for byte.

mod described;
mod layout;
mod mermaid;
mod running;
mod svg;

pub use described::described;
pub use mermaid::mermaid;
pub use running::running;
pub use svg::svg;

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The supervisor.
    Supervisor,
    /// A service, or the process of one.
    Service,
    /// A program, or all of them.
    Program,
    /// Hardware.
    Device,
}

/// One line in a box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// What is said first.
    pub name: String,
    /// And then.
    pub detail: String,
    /// What of it was never used; empty where that is not known, or nothing.
    pub unused: String,
}

/// A process, service or device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Box {
    /// Its name.
    pub title: String,
    /// A line under the name; may be empty.
    pub note: String,
    /// What it stands for.
    pub kind: Kind,
    /// What is in it.
    pub rows: Vec<Row>,
}

/// A row of a box, or its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the box.
    pub of: usize,
    /// Number of the row.
    pub row: Option<usize>,
}

/// From what gives to what has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrow {
    /// Where it begins.
    pub from: Place,
    /// Where its head is.
    pub to: Place,
    /// What is written on it; may be empty.
    pub label: String,
}

/// Boxes and arrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// What it shows, in a line.
    pub title: String,
    /// The boxes.
    pub boxes: Vec<Box>,
    /// The arrows.
    pub arrows: Vec<Arrow>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph with everything that can be drawn: a long arrow over two columns, a loop, odd letters, a lone box.
    pub fn sample() -> Graph {
        let row = |name: &str, detail: &str, unused: &str| Row {
            name: name.into(),
            detail: detail.into(),
            unused: unused.into(),
        };
        let of = |title: &str, kind, rows: Vec<Row>| Box { title: title.into(), note: "priority 9".into(), kind, rows };
        let arrow = |from: (usize, usize), to: (usize, usize), label: &str| Arrow {
            from: Place { of: from.0, row: Some(from.1) },
            to: Place { of: to.0, row: Some(to.1) },
            label: label.into(),
        };
        Graph {
            title: "a <sample> & more".into(),
            boxes: vec![
                of("init", Kind::Supervisor, vec![row("queue:fs", "send,mint", ""), row("queue:block", "send", "")]),
                of("fs", Kind::Service, vec![row("block", "send \"x\"", "mint"), row("queue:fs", "send", "")]),
                of("sh", Kind::Program, vec![row("-", "send", "")]),
                of("lone", Kind::Device, vec![]),
            ],
            arrows: vec![
                arrow((0, 0), (1, 1), ""),
                arrow((1, 1), (2, 0), "badge 0x3"),
                arrow((0, 1), (2, 0), ""),
                arrow((1, 0), (1, 1), ""),
            ],
        }
    }

    #[test]
    fn drawings_are_the_same_each_time() {
        assert_eq!(svg(&sample()), svg(&sample()));
        assert_eq!(mermaid(&sample()), mermaid(&sample()));
    }
}
