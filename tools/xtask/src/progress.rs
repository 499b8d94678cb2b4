//! How far long work has come: one line on standard error that is written over, where that is a terminal; else nothing.

use harness::line::ERASE;
use std::{
    io::{self, IsTerminal, Write},
    time::Instant,
};

/// Letters of a line that fit into any terminal.
const WIDTH: usize = 79;

/// The line.
pub struct Progress<W: Write> {
    out: Option<W>,
    what: &'static str,
    all: usize,
    done: usize,
    failed: usize,
    started: Instant,
}

impl Progress<io::Stderr> {
    /// Of `all` pieces of work, called `what`.
    pub fn new(what: &'static str, all: usize) -> Self {
        let err = io::stderr();
        let shown = err.is_terminal();
        Progress::on(shown.then_some(err), what, all)
    }
}

impl<W: Write> Progress<W> {
    fn on(out: Option<W>, what: &'static str, all: usize) -> Self {
        let mut progress = Progress { out, what, all, done: 0, failed: 0, started: Instant::now() };
        progress.draw("");
        progress
    }

    /// A piece is done; `name` is what is said of it.
    pub fn step(&mut self, name: &str, failed: bool) {
        self.done += 1;
        self.failed += usize::from(failed);
        self.draw(name);
    }

    /// Takes the line away, so that something else can be written. The next step brings it back.
    pub fn hide(&mut self) {
        self.write(ERASE);
    }

    fn draw(&mut self, name: &str) {
        let failed = if self.failed == 0 { String::new() } else { format!(", {} failed", self.failed) };
        let (done, all, what, seconds) = (self.done, self.all, self.what, self.started.elapsed().as_secs());
        let line: String = format!("{done} of {all} {what}{failed} ({seconds} s) {name}").chars().take(WIDTH).collect();
        self.write(&format!("{ERASE}{}", line.trim_end()));
    }

    fn write(&mut self, text: &str) {
        if let Some(out) = &mut self.out {
            // A terminal that takes no more has nobody before it.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.hide();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sees_one_line_that_goes_when_the_work_is_done() {
        let mut seen = Vec::new();
        let mut progress = Progress::on(Some(&mut seen), "tests", 3);
        progress.step("a test with a very long name, of which the end is beyond every terminal's edge", true);
        drop(progress);
        let text = String::from_utf8(seen).expect("text");
        assert!(text.starts_with("\r\x1b[K0 of 3 tests (0 s)\r\x1b[K1 of 3 tests, 1 failed (0 s) a test"), "{text:?}");
        assert!(text.ends_with("\r\x1b[K") && !text.contains('\n'));
        assert!(text.split(ERASE).all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn a_pipe_sees_nothing() {
        let mut progress = Progress::<Vec<u8>>::on(None, "tests", 3);
        progress.step("x", false);
        assert!(progress.out.is_none());
    }
}
