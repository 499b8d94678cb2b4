//! What `ls` prints.

use crate::table::{Align, Table};
use crate::units;
use alloc::{format, string::String};
use libipc::proto::info::{FileInfo, FileKind};

/// A name and what it stands for.
#[derive(Debug, Clone)]
pub struct Row {
    /// The name.
    pub name: String,
    /// What it stands for.
    pub info: FileInfo,
}

/// One name a line.
pub fn short(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{}\n", row.name)).collect()
}

/// With everything known about each.
pub fn long(rows: &[Row]) -> String {
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Right, Align::Left, Align::Left]);
    for Row { name, info } in rows {
        let (links, size, date) = (format!("{}", info.links), format!("{}", info.size), date(info.mtime));
        table.row([mode(info).as_str(), &links, &size, &date, name]);
    }
    table.show()
}

/// Kind and permissions as `drwxr-xr-x`.
pub fn mode(info: &FileInfo) -> String {
    let kind = match info.kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Link => 'l',
        FileKind::Other => '?',
    };
    let bit = |(at, letter): (usize, char)| if info.mode >> (8 - at) & 1 == 1 { letter } else { '-' };
    core::iter::once(kind).chain("rwxrwxrwx".char_indices().map(bit)).collect()
}

/// The kind in words.
pub fn kind(info: &FileInfo) -> &'static str {
    match info.kind {
        FileKind::File => "regular file",
        FileKind::Directory => "directory",
        FileKind::Link => "symbolic link",
        FileKind::Other => "other",
    }
}

/// A time of change; times before 1970 count as 1970.
pub fn date(seconds: i64) -> String {
    units::date(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, kind: FileKind, mode: u32, size: u64) -> Row {
        let info = FileInfo { inode: 12, size, mtime: 951_782_400, allocated: 4096, mode, links: 1, kind };
        Row { name: name.into(), info }
    }

    #[test]
    fn a_long_listing_is_aligned() {
        let rows = [row("bin", FileKind::Directory, 0o755, 4096), row("a b", FileKind::File, 0o640, 7)];
        let expected = "drwxr-xr-x 1 4096 2000-02-29 00:00:00 bin\n-rw-r----- 1    7 2000-02-29 00:00:00 a b\n";
        assert_eq!(long(&rows), expected);
        assert_eq!(short(&rows), "bin\na b\n");
    }

    #[test]
    fn bits_above_the_permissions_do_not_show() {
        assert_eq!(mode(&row("x", FileKind::File, 0o104_777, 0).info), "-rwxrwxrwx");
    }

    #[test]
    fn a_time_before_1970_is_shown_as_1970() {
        assert_eq!(date(-5), "1970-01-01 00:00:00");
    }
}
