//! Numbers for people, and from people.

use alloc::{format, string::String};
use libipc::abi::ProcessState;

/// Reads a count: decimal digits, nothing else.
pub fn parse_count(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Reads seconds with a fraction (`1`, `0.25`, `.5`, `2s`, `1.5m`, `1h`, `1d`) as nanoseconds, rounded down.
pub fn parse_seconds(text: &str) -> Option<u64> {
    let (number, unit) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1),
        b'm' => (&text[..text.len() - 1], 60),
        b'h' => (&text[..text.len() - 1], 3600),
        b'd' => (&text[..text.len() - 1], 86400),
        _ => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let padded = format!("{:0<18.18}", fraction);
    let attos = padded.parse::<u64>().ok()?;
    let fraction = (u128::from(attos) * unit / 1_000_000_000) as u64;
    whole.checked_mul(unit as u64)?.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// Bytes as `612`, `1.5K`, `64M`: at most four characters and a unit.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    let mut unit = 0;
    let mut scaled = u128::from(bytes) * 10;
    while scaled >= 10240 && unit + 1 < UNITS.len() {
        scaled = scaled.div_ceil(1024);
        unit += 1;
    }
    if unit == 0 || scaled >= 100 {
        return format!("{}{}", scaled.div_ceil(10), UNITS[unit]);
    }
    format!("{}.{}{}", scaled / 10, scaled % 10, UNITS[unit])
}

/// A duration as `4 s`, `3 min 20 s`, `2 h 3 min`, `5 d 7 h`.
pub fn duration(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}.{:02} s", nanoseconds % 1_000_000_000 / 10_000_000),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Processor time as `1:02.34`.
pub fn cpu_time(nanoseconds: u64) -> String {
    let hundredths = nanoseconds / 10_000_000;
    format!("{}:{:02}.{:02}", hundredths / 6000, hundredths / 100 % 60, hundredths % 100)
}

/// What a process is doing, in a word, by the numbers of its report (`abi::ProcessStatus`).
pub fn process_state(state: u64, waiting: u64) -> &'static str {
    match (ProcessState::from_raw(state), waiting) {
        (ProcessState::Empty, _) => "new",
        (ProcessState::Faulted, _) => "faulted",
        (ProcessState::Exited, _) => "exited",
        (ProcessState::Running, 0) => "ready",
        (ProcessState::Running, 1) => "reply",
        (ProcessState::Running, 2) => "message",
        (ProcessState::Running, 3) => "event",
        (ProcessState::Running, _) => "stopped",
    }
}

/// Seconds since 1970 as `1970-01-01 00:00:00`.
pub fn date(seconds: u64) -> String {
    let days = seconds / 86400;
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from March, so
/// that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let from_year_0 = days + 719_468;
    let era = from_year_0 / 146_097;
    let day_of_era = from_year_0 % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let calendar_month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u64::from(calendar_month <= 2), calendar_month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_plain_digits() {
        assert_eq!(parse_count("0"), Some(0));
        assert_eq!(parse_count("18446744073709551615"), Some(u64::MAX));
        for text in ["", "-1", "+1", "1x", "18446744073709551616", " 1"] {
            assert_eq!(parse_count(text), None, "{text:?}");
        }
    }

    #[test]
    fn seconds_take_fractions_and_units() {
        for (text, expected) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("0.25", 250_000_000),
            (".5", 500_000_000),
            ("2.", 2_000_000_000),
            ("0.0000000019", 1),
            ("1.5m", 90_000_000_000),
            ("0.1h", 360_000_000_000),
            ("1d", 86_400_000_000_000),
            ("0.123456789123456789123", 123_456_789),
        ] {
            assert_eq!(parse_seconds(text), Some(expected), "{text}");
        }
        for text in ["", ".", "-1", "1x", "1.2.3", "s", "99999999999999999999", "20000000000", "1e3"] {
            assert_eq!(parse_seconds(text), None, "{text:?}");
        }
    }

    #[test]
    fn human_sizes_round_up_like_df() {
        for (bytes, expected) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1025, "1.1K"),
            (10 * 1024, "10K"),
            (1 << 20, "1.0M"),
            (64 << 20, "64M"),
            ((1 << 20) - 1, "1.0M"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(human(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        assert_eq!(duration(4_250_000_000), "4.25 s");
        assert_eq!(duration(200_000_000_000), "3 min 20 s");
        assert_eq!(duration(7_380_000_000_000), "2 h 3 min");
        assert_eq!(duration(457_200_000_000_000), "5 d 7 h");
        assert_eq!(cpu_time(62_345_000_000), "1:02.34");
    }

    #[test]
    fn dates_know_leap_years() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(date(951_868_800), "2000-03-01 00:00:00");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59:59");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00:00");
    }
}
