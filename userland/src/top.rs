//! Who uses the processor: two looks at the system, and the table of what has changed between them.

use crate::table::{Align, Table};
use crate::units;
use alloc::{format, string::String, vec::Vec};

/// A process or a thread at some moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// What it is doing, in a word or two.
    pub state: String,
    /// Its threads; 0 for a thread.
    pub threads: u64,
    /// Its priority.
    pub priority: u64,
    /// Pages that its account has paid for; 0 for a thread.
    pub pages: u64,
    /// Time that it has run, nanoseconds.
    pub ran: u64,
}

/// Everything at some moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Nanoseconds since power-on.
    pub at: u64,
    /// Who is there.
    pub entries: Vec<Entry>,
    /// Pages of the machine, and those of them that are free.
    pub memory: (u64, u64),
}

/// Tenths of a percent of the time between two looks that somebody ran.
fn share(before: &Look, now: &Look, entry: &Entry) -> u64 {
    let earlier = before.entries.iter().find(|earlier| earlier.number == entry.number).map_or(0, |earlier| earlier.ran);
    let ran = u128::from(entry.ran.saturating_sub(earlier));
    let time = u128::from(now.at.saturating_sub(before.at)).max(1);
    (ran * 1000 / time).min(1000) as u64
}

fn percent(tenths: u64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The lines to show: a summary, and who ran between the looks, the busiest first.
pub fn lines(before: &Look, now: &Look, threads: bool) -> Vec<String> {
    let mut shares: Vec<(u64, &Entry)> = now.entries.iter().map(|entry| (share(before, now, entry), entry)).collect();
    shares.sort_by_key(|(share, entry)| (core::cmp::Reverse(*share), entry.number));
    let busy: u64 = shares.iter().map(|(share, _)| share).sum();
    let (total, free) = now.memory;
    let bytes = |pages: u64| units::human(pages.saturating_mul(libipc::PAGE_SIZE));
    let summary = format!(
        "up {}; {} {}; processor {} % busy; memory {} of {} used",
        units::duration(now.at),
        shares.len(),
        if threads { "threads" } else { "processes" },
        percent(busy.min(1000)),
        bytes(total.saturating_sub(free)),
        bytes(total)
    );
    let table = if threads { thread_table(&shares) } else { process_table(&shares) };
    core::iter::once(summary).chain(table.lines().map(String::from)).collect()
}

fn process_table(shares: &[(u64, &Entry)]) -> String {
    use Align::{Left, Right};
    let mut table = Table::new(&[Right, Left, Left, Right, Right, Right, Right, Right]);
    table.row(["PID", "NAME", "STATE", "THREADS", "PRIO", "CPU%", "TIME", "KIB"]);
    for (share, entry) in shares {
        table.row([
            &format!("{}", entry.number),
            &entry.name,
            &entry.state,
            &format!("{}", entry.threads),
            &format!("{}", entry.priority),
            &percent(*share),
            &units::cpu_time(entry.ran),
            &format!("{}", entry.pages * libipc::PAGE_SIZE / 1024),
        ]);
    }
    table.show()
}

fn thread_table(shares: &[(u64, &Entry)]) -> String {
    use Align::{Left, Right};
    let mut table = Table::new(&[Right, Left, Left, Right, Right, Right]);
    table.row(["THREAD", "NAME", "STATE", "PRIO", "CPU%", "TIME"]);
    for (share, entry) in shares {
        table.row([
            &format!("{}", entry.number),
            &entry.name,
            &entry.state,
            &format!("{}", entry.priority),
            &percent(*share),
            &units::cpu_time(entry.ran),
        ]);
    }
    table.show()
}

/// What a terminal of `height` rows is sent to show these lines in the place of the last ones.
pub fn screen(lines: &[String], height: usize) -> String {
    let mut out = String::from("\x1b[H");
    for line in lines.iter().take(height) {
        out += line;
        out += "\x1b[K\r\n";
    }
    out + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: u64, ran: &[(u64, u64)]) -> Look {
        let entry = |(number, ran): &(u64, u64)| Entry {
            number: *number,
            name: "x".into(),
            state: "ready".into(),
            threads: 1,
            ran: *ran,
            ..Entry::default()
        };
        Look { at, entries: ran.iter().map(entry).collect(), memory: (1024, 512) }
    }

    #[test]
    fn the_busiest_comes_first_with_its_share_of_the_time_between() {
        let before = look(1_000_000_000, &[(1, 500), (2, 0)]);
        let now = look(2_000_000_000, &[(1, 500), (2, 250_000_000), (3, 10_000_000)]);
        let shown = lines(&before, &now, false);
        assert_eq!(shown[0], "up 2.00 s; 3 processes; processor 26.0 % busy; memory 2.0M of 4.0M used");
        let cells: Vec<Vec<&str>> = shown[2..].iter().map(|line| line.split_whitespace().collect()).collect();
        let order: Vec<(&str, &str)> = cells.iter().map(|cells| (cells[0], cells[5])).collect();
        assert_eq!(order, [("2", "25.0"), ("3", "1.0"), ("1", "0.0")]);
    }

    #[test]
    fn no_numbers_make_more_than_all_of_the_time() {
        let (before, now) = (look(5, &[(1, u64::MAX)]), look(5, &[(1, 0), (2, u64::MAX)]));
        assert!(lines(&before, &now, true)[0].contains("2 threads; processor 100.0 % busy"));
    }

    #[test]
    fn the_screen_shows_what_fits_and_clears_the_rest() {
        let lines = ["a", "b", "c"].map(String::from);
        assert_eq!(screen(&lines, 2), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[J");
    }
}
