//! SVG: a drawing that any browser shows. Colours follow the reader's light or dark mode.

use super::{
    Arrow, Box, Graph, Kind, Place, Row,
    layout::{self, Area, Layout, NOTE, ROW, TITLE},
};
use std::fmt::Write;

/// Pixels that a letter takes: of rows, which are monospaced, and at most of titles and notes.
const ROW_LETTER: f64 = 6.7;
const TITLE_LETTER: f64 = 8.4;
const NOTE_LETTER: f64 = 6.3;
/// Pixels beside the text.
const PADDING: f64 = 10.0;
/// Letters between what stands left and right in a row.
const APART: f64 = 2.0;
/// Narrowest box, and narrowest sheet.
const NARROWEST: f64 = 110.0;
const SHEET: f64 = 420.0;

/// Draws the graph.
pub fn svg(graph: &Graph) -> String {
    let widths: Vec<f64> = graph.boxes.iter().map(width).collect();
    let Layout { boxes, ways, width, height } = layout::place(graph, &widths);
    let width = width.max(SHEET);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>{STYLE}</style>\n{HEAD}\
         <rect class=\"sheet\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"heading\" x=\"24\" y=\"32\">{}</text>\n",
        escaped(&graph.title)
    );
    for (arrow, way) in graph.arrows.iter().zip(&ways) {
        draw_arrow(&mut out, graph, &boxes, arrow, way);
    }
    for (found, area) in graph.boxes.iter().zip(&boxes) {
        draw_box(&mut out, found, area);
    }
    out + "</svg>\n"
}

const STYLE: &str = "\
    text{font:11px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#26323d}\
    .heading{font:600 15px system-ui,'DejaVu Sans',sans-serif}\
    .title{font:600 13px system-ui,'DejaVu Sans',sans-serif}\
    .note{font:11px system-ui,'DejaVu Sans',sans-serif;fill:#5b6975}\
    .detail{fill:#5b6975;text-anchor:end}.unused{fill:#c0392b;text-decoration:line-through}\
    .sheet{fill:#fff}.arrow{fill:none;stroke:#8796a5;stroke-width:1.2}.head{fill:#8796a5}\
    .label{fill:#5b6975;text-anchor:middle;paint-order:stroke;stroke:#fff;stroke-width:3px}\
    .box{stroke-width:1.2}.line{stroke:#0002}\
    .supervisor{fill:#ede4f7;stroke:#7a4fb0}.service{fill:#e3eefb;stroke:#2f6fb2}\
    .program{fill:#e6f4e6;stroke:#3f8f4a}.device{fill:#f6efdf;stroke:#a07a24}\
    @media(prefers-color-scheme:dark){text{fill:#d7dee5}.note,.detail,.label{fill:#a3b0bd}.unused{fill:#ff8a7a}\
    .sheet{fill:#12171c}.label{stroke:#12171c}.line{stroke:#fff3}\
    .supervisor{fill:#2c2140}.service{fill:#1a2b40}.program{fill:#1b3320}.device{fill:#332a16}}";

const HEAD: &str = "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
    markerHeight=\"7\" orient=\"auto\"><path class=\"head\" d=\"M0 0.5 L8 4 L0 7.5 z\"/></marker></defs>\n";

fn letters(text: &str) -> f64 {
    text.chars().count() as f64
}

fn row_letters(row: &Row) -> f64 {
    let unused = if row.unused.is_empty() { 0.0 } else { letters(&row.unused) + APART };
    letters(&row.name) + letters(&row.detail) + unused + APART
}

fn width(found: &Box) -> f64 {
    let rows = found.rows.iter().map(row_letters).fold(0.0, f64::max) * ROW_LETTER;
    let head = (letters(&found.title) * TITLE_LETTER).max(letters(&found.note) * NOTE_LETTER);
    (rows.max(head) + 2.0 * PADDING).max(NARROWEST).ceil()
}

fn draw_box(out: &mut String, found: &Box, area: &Area) {
    let Area { x, y, width, height } = area;
    let (class, radius) = match found.kind {
        Kind::Supervisor => ("supervisor", 8),
        Kind::Service => ("service", 8),
        Kind::Program => ("program", 8),
        Kind::Device => ("device", 2),
    };
    let _ = writeln!(
        out,
        "<rect class=\"box {class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\"/>"
    );
    write_text(out, "title", x + PADDING, y + TITLE - 8.0, &found.title);
    if !found.note.is_empty() {
        write_text(out, "note", x + PADDING, y + TITLE + NOTE - 10.0, &found.note);
    }
    let top = y + layout::top(found);
    if !found.rows.is_empty() {
        let _ = writeln!(out, "<path class=\"line\" d=\"M{x:.1} {top:.1} h{width:.1}\"/>");
    }
    for (n, row) in found.rows.iter().enumerate() {
        let base = top + n as f64 * ROW + ROW - 5.0;
        write_text(out, "name", x + PADDING, base, &row.name);
        let right = x + width - PADDING;
        write_text(out, "detail", right, base, &row.detail);
        if !row.unused.is_empty() {
            let left = right - (letters(&row.detail) + APART) * ROW_LETTER;
            write_text(out, "detail unused", left, base, &row.unused);
        }
    }
}

fn write_text(out: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text));
}

/// A smooth line from the right side of one row, through the way points, to the left side of the other.
fn draw_arrow(out: &mut String, graph: &Graph, boxes: &[Area], arrow: &Arrow, way: &[(f64, f64)]) {
    let height = |place: Place| boxes[place.of].y + layout::offset(graph, place);
    let (from, to) = (boxes[arrow.from.of], boxes[arrow.to.of]);
    let start = (from.x + from.width, height(arrow.from));
    if to.x < start.0 {
        return draw_loop(out, start, (to.x + to.width, height(arrow.to)));
    }
    let end = (to.x - 1.0, height(arrow.to));
    let mut path = format!("M{:.1} {:.1}", start.0, start.1);
    let mut at = start;
    for point in way.iter().chain([&end]) {
        let bend = (point.0 - at.0).abs() / 2.0;
        let _ = write!(
            path,
            " C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
            at.0 + bend,
            at.1,
            point.0 - bend,
            point.1,
            point.0,
            point.1
        );
        at = *point;
    }
    let _ = writeln!(out, "<path class=\"arrow\" marker-end=\"url(#head)\" d=\"{path}\"/>");
    if !arrow.label.is_empty() {
        write_text(out, "label", (start.0 + end.0) / 2.0, (start.1 + end.1) / 2.0 - 4.0, &arrow.label);
    }
}

/// Within a box, or back: around its right side.
fn draw_loop(out: &mut String, start: (f64, f64), end: (f64, f64)) {
    let out_to = start.0.max(end.0) + 14.0 + (start.1 - end.1).abs().min(160.0) / 8.0;
    let _ = writeln!(
        out,
        "<path class=\"arrow\" marker-end=\"url(#head)\" d=\"M{:.1} {:.1} C{out_to:.1} {:.1} {out_to:.1} {:.1} {:.1} {:.1}\"/>",
        start.0,
        start.1,
        start.1,
        end.1,
        end.0 + 1.0,
        end.1
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::sample, *};

    #[test]
    fn every_text_is_there_and_safe_from_markup() {
        let drawing = svg(&sample());
        for text in ["a &lt;sample&gt; &amp; more", "send &quot;x&quot;", ">badge 0x3<", ">queue:block<", ">lone<"] {
            assert!(drawing.contains(text), "{text}: {drawing}");
        }
        assert!(drawing.contains("<text class=\"detail unused\""), "what was never used stands out");
        assert_eq!(drawing.matches("<path class=\"arrow\"").count(), 4);
    }

    #[test]
    fn tags_are_closed_and_numbers_are_finite() {
        for drawing in [svg(&sample()), svg(&Graph::default())] {
            let opened = drawing.matches('<').count() - drawing.matches("</").count() - drawing.matches("/>").count();
            assert_eq!(opened, drawing.matches("</").count());
            assert!(!drawing.contains("NaN") && !drawing.contains("inf"));
        }
    }
}
