//! The kernel's command line, as far as it speaks to user space.

use alloc::{string::String, vec::Vec};

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `exec=HEX`: run this command instead of an interactive shell, then switch off.
    pub exec: Option<String>,
    /// `coverage=1`: tell at the end which rights the services never used, as the kernel has noted it.
    pub coverage: bool,
    /// `records=off`: services are told not to record what has taken effect.
    pub records_off: bool,
}

/// Why a command line was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadOption {
    /// The value of `exec=` is not UTF-8 text in hexadecimal.
    Exec,
}

impl core::fmt::Display for BadOption {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            BadOption::Exec => f.write_str("the value of exec= on the command line is not UTF-8 text in hexadecimal"),
        }
    }
}

/// Reads a command line. Words that are not for user space are passed over.
pub fn parse(line: &str) -> Result<Options, BadOption> {
    let mut options = Options::default();
    for word in line.split_ascii_whitespace() {
        if let Some(value) = word.strip_prefix("exec=") {
            options.exec = Some(from_hex(value).ok_or(BadOption::Exec)?);
        }
        options.coverage |= word == "coverage=1";
        options.records_off |= word == "records=off";
    }
    Ok(options)
}

fn from_hex(text: &str) -> Option<String> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_command_comes_out_as_it_was_written() {
        let options = parse("console=x exec=6563686f20c3a4 quiet").expect("it is well formed");
        assert_eq!(options.exec, Some("echo ä".to_string()));
        assert_eq!(parse("exec="), Ok(Options { exec: Some(String::new()), ..Options::default() }));
        assert_eq!(parse("coverage=1"), Ok(Options { coverage: true, ..Options::default() }));
        assert_eq!(parse("records=off"), Ok(Options { records_off: true, ..Options::default() }));
        assert_eq!(parse(""), Ok(Options::default()));
    }

    #[test]
    fn what_is_not_hexadecimal_text_is_refused() {
        for line in ["exec=6", "exec=zz", "exec=ff", "exec=6g"] {
            assert_eq!(parse(line), Err(BadOption::Exec), "{line}");
        }
    }
}
