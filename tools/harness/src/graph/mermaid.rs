//! Mermaid: text that many viewers of Markdown draw (<https://mermaid.js.org/syntax/flowchart.html>).

use super::{Graph, Kind, Place, Row};
use std::fmt::Write;

/// The graph as a flowchart: a subgraph for each box, a node for each row.
pub fn mermaid(graph: &Graph) -> String {
    let mut out = format!("---\ntitle: {}\n---\nflowchart LR\n", quoted(&graph.title));
    for (of, found) in graph.boxes.iter().enumerate() {
        let heading =
            if found.note.is_empty() { found.title.clone() } else { format!("{}: {}", found.title, found.note) };
        if found.rows.is_empty() {
            let _ = writeln!(out, "  {}[{}]:::{}", id(Place { of, row: None }), quoted(&heading), class(found.kind));
            continue;
        }
        let _ = writeln!(out, "  subgraph {}[{}]", id(Place { of, row: None }), quoted(&heading));
        for (n, row) in found.rows.iter().enumerate() {
            let class = if row.unused.is_empty() { "row" } else { "unused" };
            let _ = writeln!(out, "    {}[{}]:::{class}", id(Place { of, row: Some(n) }), quoted(&text(row)));
        }
        let _ = writeln!(out, "  end\n  class {} {}", id(Place { of, row: None }), class(found.kind));
    }
    for arrow in &graph.arrows {
        let label = if arrow.label.is_empty() { String::new() } else { format!("|{}|", quoted(&arrow.label)) };
        let _ = writeln!(out, "  {} -->{label} {}", id(arrow.from), id(arrow.to));
    }
    out + CLASSES
}

const CLASSES: &str = "  classDef supervisor fill:#ede4f7,stroke:#7a4fb0\n  \
    classDef service fill:#e3eefb,stroke:#2f6fb2\n  \
    classDef program fill:#e6f4e6,stroke:#3f8f4a\n  \
    classDef device fill:#f6efdf,stroke:#a07a24\n  \
    classDef row fill:#ffffff,stroke:#b8c0c8\n  \
    classDef unused fill:#ffffff,stroke:#c0392b,stroke-dasharray:4\n";

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Supervisor => "supervisor",
        Kind::Service => "service",
        Kind::Program => "program",
        Kind::Device => "device",
    }
}

fn id(place: Place) -> String {
    place.row.map_or_else(|| format!("b{}", place.of), |row| format!("b{}r{row}", place.of))
}

fn text(row: &Row) -> String {
    let unused = if row.unused.is_empty() { String::new() } else { format!(" (never used: {})", row.unused) };
    format!("{} {}{unused}", row.name, row.detail)
}

/// In quotes, with what would end them as entity codes.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out += "#quot;",
            '#' => out += "#35;",
            '<' => out += "#lt;",
            '>' => out += "#gt;",
            '\n' => out.push(' '),
            letter => out.push(letter),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::{super::tests::sample, *};

    #[test]
    fn every_row_is_a_node_and_every_arrow_joins_two_of_them() {
        let text = mermaid(&sample());
        assert!(text.contains("  subgraph b1[\"fs: priority 9\"]\n"), "{text}");
        assert!(text.contains("    b1r0[\"block send #quot;x#quot; (never used: mint)\"]:::unused\n"), "{text}");
        assert!(text.contains("  b3[\"lone: priority 9\"]:::device\n"), "{text}");
        assert!(text.contains("  b1r1 -->|\"badge 0x3\"| b2r0\n") && text.contains("  b0r1 --> b2r0\n"), "{text}");
        assert!(text.starts_with("---\ntitle: \"a #lt;sample#gt; & more\"\n---\nflowchart LR\n"), "{text}");
    }
}
