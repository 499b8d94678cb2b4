//! `cargo xtask symbolize`: function names for the addresses of a crash report.

use anyhow::{Context, Result};
use std::process::ExitCode;

/// What to look up.
#[derive(clap::Args)]
pub struct Options {
    /// The service or program that crashed
    name: String,
    /// Where its image was, as the report says it; without, the addresses are taken as those of its file
    #[arg(long, value_name = "ADDRESS", default_value = "0", value_parser = parse)]
    image: u64,
    /// Addresses, as `svc report` prints them after "called from"
    #[arg(required = true)]
    addresses: Vec<String>,
}

impl Options {
    /// Prints a line for each address and each function that was inlined there.
    pub fn run(&self) -> Result<ExitCode> {
        let path = harness::gdb::symbols(&self.name)?;
        let loader = addr2line::Loader::new(&path)
            .map_err(|error| anyhow::anyhow!("{}: {error}; build it with 'cargo xtask build'", path.display()))?;
        for (number, text) in self.addresses.iter().enumerate() {
            let address = parse(text)?;
            let in_file = address.checked_sub(self.image);
            let in_file = in_file.with_context(|| format!("{text} lies below the image at {:#x}", self.image))?;
            // A return address is behind its call: the call is what is meant. The first address is no return address.
            let place = if number == 0 { in_file } else { in_file.saturating_sub(1) };
            print!("{}", describe(&loader, address, place));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn parse(text: &str) -> Result<u64> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).with_context(|| format!("'{text}' is no address; they look like 0x401000"))
}

fn describe(loader: &addr2line::Loader, address: u64, place: u64) -> String {
    let mut lines = String::new();
    if let Ok(mut frames) = loader.find_frames(place) {
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.as_ref().and_then(|name| name.demangle().ok());
            let function = function.as_deref().unwrap_or("?");
            let location = frame.location.as_ref();
            let file = location.and_then(|at| at.file).unwrap_or("?");
            let line = location.and_then(|at| at.line).unwrap_or(0);
            lines.push_str(&format!("{address:#x} {function} at {file}:{line}\n"));
        }
    }
    if lines.is_empty() {
        let symbol = loader.find_symbol(place).unwrap_or("?");
        lines = format!("{address:#x} {}\n", addr2line::demangle_auto(symbol.into(), None));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_reports_print_them() {
        assert_eq!(parse("0x4000ac").ok(), Some(0x40_00ac));
        assert_eq!(parse("4000ac").ok(), Some(0x40_00ac));
        assert!(parse("main").is_err() && parse("").is_err());
    }

    #[test]
    fn a_function_of_this_very_program_is_found_by_its_address() {
        let path = std::env::current_exe().expect("a test runs from a file");
        let loader = addr2line::Loader::new(path).expect("it has names");
        let image = object_base();
        let address = a_known_function as fn() -> u64 as usize as u64 - image;
        assert!(describe(&loader, address, address).contains("a_known_function"));
    }

    #[inline(never)]
    fn a_known_function() -> u64 {
        std::hint::black_box(7)
    }

    /// Where this program was loaded: the first mapping of its file (Linux, proc(5)).
    fn object_base() -> u64 {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux tells");
        let exe = std::env::current_exe().expect("a test runs from a file").display().to_string();
        let line = maps.lines().find(|line| line.ends_with(&exe)).expect("it is mapped");
        u64::from_str_radix(line.split('-').next().unwrap_or(""), 16).expect("an address")
    }
}
