//! Startup pages: what is written is read, and what is malformed is refused.

use libipc::Handle;
use libipc::startup::{MAX_STARTUP, Missing, Startup, StartupBuilder, TooLong};

fn sample() -> Vec<u8> {
    let mut b = StartupBuilder::new();
    b.arg("/bin/prog").arg("").arg("zwölf").env("pwd", "/a b").env("x", "");
    b.handle("self", Handle::new(1, 2)).handle("stdin", Handle::new(3, 4));
    b.finish().unwrap()
}

#[test]
fn what_is_written_is_read() {
    let pages = sample();
    let s = Startup::parse(&pages).unwrap();
    assert_eq!(s.args().collect::<Vec<_>>(), ["/bin/prog", "", "zwölf"]);
    assert_eq!((s.arg_count(), s.arg(2), s.arg(3), s.program()), (3, Some("zwölf"), None, "prog"));
    assert_eq!(s.envs().collect::<Vec<_>>(), [("pwd", "/a b"), ("x", "")]);
    assert_eq!((s.env("pwd"), s.env("x"), s.env("y")), (Some("/a b"), Some(""), None));
    assert_eq!(s.process().unwrap().handle(), Handle::new(1, 2));
    assert_eq!(s.require("stdin"), Ok(Handle::new(3, 4)));
    assert_eq!(s.queue("stdout"), Err(Missing("stdout")));
}

#[test]
fn bytes_after_the_end_do_not_matter_as_pages_are_longer() {
    let mut pages = sample();
    pages.resize(4096, 0);
    assert_eq!(Startup::parse(&pages).unwrap().arg_count(), 3);
}

#[test]
fn pages_cut_off_anywhere_are_refused() {
    let pages = sample();
    for length in 0..pages.len() {
        assert!(Startup::parse(&pages[..length]).is_none(), "{length}");
    }
}

#[test]
fn no_change_of_any_byte_makes_reading_panic() {
    let pages = sample();
    for at in 0..pages.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = pages.clone();
            changed[at] = value;
            if let Some(s) = Startup::parse(&changed) {
                let _ = (s.args().count(), s.envs().count(), s.handles().count(), s.program(), s.handle("stdin"));
            }
        }
    }
}

#[test]
fn what_startup_pages_cannot_hold_is_refused_by_the_writer() {
    assert_eq!(StartupBuilder::new().arg(&"x".repeat(65_536)).finish(), Err(TooLong));
    let mut b = StartupBuilder::new();
    for _ in 0..9 {
        b.arg(&"x".repeat(MAX_STARTUP / 8));
    }
    assert_eq!(b.finish(), Err(TooLong));
}
