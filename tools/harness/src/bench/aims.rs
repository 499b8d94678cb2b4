//! What each row is to come to, and what other systems need for the same on the same emulator with the same count.

/// Figures to compare a row with, guest instructions.
#[derive(Debug, Clone, Copy)]
pub struct Aim {
    /// The row's name.
    pub row: &'static str,
    /// The row is to stay below this.
    pub below: u64,
    /// seL4 with its fast path.
    pub sel4: &'static str,
    /// Redox.
    pub redox: &'static str,
    /// Linux 6.1.
    pub linux: &'static str,
    /// Bare metal: what no system can do without.
    pub floor: &'static str,
}

/// Rows that the host measures, not the guest's `bench`.
pub const HOST: &[&str] = &["boot"];

const fn aim(row: &'static str, below: u64, others: [&'static str; 4]) -> Aim {
    let [sel4, redox, linux, floor] = others;
    Aim { row, below, sel4, redox, linux, floor }
}

/// Every aim, in the order of the table.
pub const AIMS: &[Aim] = &[
    aim("null", 40, ["260", "215", "326", "15"]),
    aim("call-0", 280, ["418", "", "", ""]),
    aim("call-8", 300, ["1,618", "7,204 (pipe)", "12,652 (futex)", "92 to 124"]),
    aim("call-512", 700, ["", "", "", ""]),
    aim("forward", 500, ["", "", "", ""]),
    aim("post", 350, ["", "", "", ""]),
    aim("signal", 250, ["548", "", "", ""]),
    aim("yield", 250, ["526", "3,411", "3,720", "39 (switch)"]),
    aim("lease", 800, ["", "", "", "512"]),
    aim("map", 700, ["1,354", "", "2,780 (fault)", ""]),
    aim("touch", 1500, ["", "", "", "512"]),
    aim("derive", 250, ["", "", "", ""]),
    aim("transfer", 200, ["", "", "", ""]),
    aim("read", 1900, ["", "", "1,945", "512"]),
    aim("open", 5000, ["", "", "6,060", ""]),
    aim("stat", 3000, ["", "", "3,567", ""]),
    aim("write", 2600, ["", "", "", "512"]),
    aim("fsync", 200_000, ["", "", "", ""]),
    aim("uncached", 10_000, ["", "", "10,730", ""]),
    aim("sequential", 6_000_000, ["", "", "", ""]),
    aim("death-console", 500_000, ["", "", "", ""]),
    aim("death-block", 2_000_000, ["", "", "", ""]),
    aim("death-fs", 5_000_000, ["", "", "", ""]),
    aim("pipe", 6000, ["", "", "", ""]),
    aim("spawn", 130_000, ["", "", "139,369 (vfork)", ""]),
    aim("boot", 100_000_000, ["201 M", "", "1,496 M (init)", ""]),
];

/// The aim of a row, where it has one.
pub fn of(row: &str) -> Option<&'static Aim> {
    AIMS.iter().find(|aim| aim.row == row)
}
