//! `docs/src/abi.md` is this crate in prose: its tables are made from the doc comments, and this test fails when they
//! are not what the source says. `TESSERA_WRITE_DOCS=1 cargo test -p abi --test docs` brings the page up to date.
//!
//! A table stands between `<!-- table: NAME -->` and `<!-- end -->`; what is around it is written by hand.

use abi::{ImageDefect, Kind, Rights, SysError, Sysno};
use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

/// A documented item: a variant or a constant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    name: String,
    value: String,
    doc: String,
}

/// The items of the block that begins with the line `head` and ends with a `}` as far in as that line.
fn items(source: &str, head: &str) -> Vec<Item> {
    let mut lines = source.lines().skip_while(|line| line.trim() != head);
    let first = lines.next().unwrap_or_else(|| panic!("no line `{head}` in the source"));
    let end = format!("{}}}", &first[..first.len() - first.trim_start().len()]);
    let (mut items, mut doc) = (Vec::new(), String::new());
    for line in lines.take_while(|line| *line != end) {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if let Some((name, value)) = line.trim_end_matches([',', ';']).split_once(" = ") {
            let name = name.trim_start_matches("const ").to_owned();
            let value = value.split(", \"").next().unwrap_or(value).to_owned();
            items.push(Item { name, value, doc: plain(&doc) });
            doc.clear();
        } else if !line.starts_with("#[") {
            doc.clear();
        }
    }
    assert!(!items.is_empty(), "nothing documented after `{head}`");
    items
}

/// Rustdoc's links as plain code.
fn plain(doc: &str) -> String {
    doc.trim().replace("[`crate::", "`").replace("[`", "`").replace("`]", "`")
}

fn table(columns: [&str; 3], items: &[Item]) -> String {
    let mut text = format!("| {} |\n|---|---|---|\n", columns.join(" | "));
    for Item { name, value, doc } in items {
        assert!(!doc.is_empty(), "{name} has no documentation");
        let _ = writeln!(text, "| {value} | `{name}` | {} |", doc.replace('|', "\\|"));
    }
    text
}

/// The same for system calls, whose texts are longer than a row.
fn sections(items: &[Item]) -> String {
    let mut text = String::new();
    for Item { name, value, doc } in items {
        assert!(!doc.is_empty(), "{name} has no documentation");
        let _ = writeln!(text, "**{value} `{name}`** {doc}\n");
    }
    text
}

/// A doc comment's table, as it stands before `item`.
fn quoted_table(source: &str, item: &str) -> String {
    let before = source.split(item).next().unwrap_or_default();
    let comment: Vec<&str> = before.lines().rev().take_while(|line| !line.trim().is_empty()).collect();
    let rows = comment.iter().rev().filter_map(|line| line.trim().trim_start_matches("///").trim().strip_prefix('|'));
    rows.map(|row| plain(&format!("|{row}")) + "\n").collect()
}

fn tables() -> BTreeMap<&'static str, String> {
    let (sysno, error) = (include_str!("../src/sysno.rs"), include_str!("../src/error.rs"));
    let (rights, message) = (include_str!("../src/rights.rs"), include_str!("../src/message.rs"));
    let (report, page) = (include_str!("../src/report.rs"), include_str!("../src/page.rs"));
    let registers: String = include_str!("../src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! |"))
        .map(|row| plain(&format!("|{row}")) + "\n")
        .collect();
    let three = |first| [first, "name", "meaning"];
    BTreeMap::from([
        ("registers", registers),
        ("calls", sections(&items(sysno, "system_calls! {"))),
        ("flags", table(three("bits"), &items(sysno, "pub struct CallFlags: u8 {"))),
        ("errors", table(three("number"), &items(error, "pub enum SysError: u64 {"))),
        ("defects", table(three("number"), &items(error, "pub enum ImageDefect: u64 {"))),
        ("rights", table(three("bit"), &items(rights, "pub struct Rights: u16 {"))),
        ("kinds", table(three("number"), &items(rights, "pub enum Kind: u8 {"))),
        ("tag", quoted_table(message, "pub struct Tag(u64);")),
        ("delivery", table(three("number"), &items(message, "pub enum Delivery {"))),
        ("lease", table(three("bit"), &items(page, "pub struct LeaseAccess: u32 {"))),
        ("faults", table(three("number"), &items(report, "pub enum FaultKind: u64 {"))),
        ("waits", table(three("number"), &items(report, "pub enum ThreadWait: u64 {"))),
        ("states", table(three("number"), &items(report, "pub enum ProcessState {"))),
    ])
}

/// The page with the tables as they are to be.
fn rendered(page: &str) -> String {
    let mut tables = tables();
    let (mut out, mut rest) = (String::new(), page);
    while let Some((before, after)) = rest.split_once("<!-- table: ") {
        let (name, after) = after.split_once(" -->\n").expect("the mark of a table ends with its line");
        let (_, after) = after.split_once("<!-- end -->").expect("every table has an end");
        let table =
            tables.remove(name).unwrap_or_else(|| panic!("no table `{name}` is known, or it stands there twice"));
        let _ = write!(out, "{before}<!-- table: {name} -->\n\n{}\n\n<!-- end -->", table.trim_end());
        rest = after;
    }
    assert!(tables.is_empty(), "docs/src/abi.md lacks the tables {:?}", tables.keys());
    out + rest
}

#[test]
fn the_page_says_what_the_source_says() {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/abi.md"));
    let page = fs::read_to_string(&file).expect("docs/src/abi.md is there");
    let wanted = rendered(&page);
    if std::env::var_os("TESSERA_WRITE_DOCS").is_some() {
        fs::write(&file, &wanted).expect("docs/src/abi.md can be written");
    } else if let Some((is, must_be)) = page.lines().zip(wanted.lines()).find(|(is, must_be)| is != must_be) {
        panic!(
            "docs/src/abi.md is not up to date; TESSERA_WRITE_DOCS=1 cargo test -p abi --test docs\n  is      {is}\n  \
             must be {must_be}"
        );
    }
    assert!(page.lines().count() == wanted.lines().count() || std::env::var_os("TESSERA_WRITE_DOCS").is_some());
}

/// The tables come from text; the compiler has the last word on names and numbers.
#[test]
fn names_and_numbers_are_those_that_are_compiled() {
    let numbers = |items: Vec<Item>| -> Vec<(String, u64)> {
        items.into_iter().map(|item| (item.name, item.value.parse().expect("a number"))).collect()
    };
    let calls = numbers(items(include_str!("../src/sysno.rs"), "system_calls! {"));
    assert_eq!(calls, Sysno::ALL.iter().map(|call| (call.name().to_owned(), *call as u64)).collect::<Vec<_>>());
    for (name, number) in numbers(items(include_str!("../src/error.rs"), "pub enum SysError: u64 {")) {
        assert_eq!(format!("{:?}", SysError::from_raw(number)), name);
    }
    for (name, number) in numbers(items(include_str!("../src/error.rs"), "pub enum ImageDefect: u64 {")) {
        assert_eq!(format!("{:?}", ImageDefect::find(number).expect("a defect")), name);
    }
    let kinds = numbers(items(include_str!("../src/rights.rs"), "pub enum Kind: u8 {"));
    assert_eq!(kinds, Kind::ALL.map(|kind| (format!("{kind:?}"), kind as u64)));
    let rights = items(include_str!("../src/rights.rs"), "pub struct Rights: u16 {");
    let bits = |item: &Item| item.value.strip_prefix("1 << ").expect("a bit").parse::<u32>().expect("a number");
    let written: Vec<(&str, u16)> = rights.iter().map(|item| (item.name.as_str(), 1 << bits(item))).collect();
    assert_eq!(written, Rights::all().iter_names().map(|(name, right)| (name, right.bits())).collect::<Vec<_>>());
}
