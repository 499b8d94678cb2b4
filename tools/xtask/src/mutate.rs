//! `cargo xtask mutate`: are the tests able to fail? Breaks one check of the kernel at a time, in a copy of the sources,
//! and names the first test of the object logic that notices.
//!
//! 1. The sources themselves are never touched: a copy under `target/mutate` is, with a build folder of its own. In the same
//!    folder cargo would take what it has built of the one for the other.
//! 2. A mutation that no longer fits the source is an error, not a mutation that was caught.

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use harness::workspace;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

/// How long the tests may take.
const LONGEST: Duration = Duration::from_secs(900);

/// Breaks checks of the kernel on purpose, one at a time in a copy, and shows which test catches each.
#[derive(Args)]
pub struct Options {
    /// Only those whose names contain this
    filter: Option<String>,
    /// Only tests whose names contain this may notice
    #[arg(long, value_name = "NAME")]
    tests: Option<String>,
}

/// A check that is broken.
struct Mutation {
    name: &'static str,
    file: &'static str,
    /// Stands once in the file.
    check: &'static str,
    broken: &'static str,
}

const fn mutation(name: &'static str, file: &'static str, check: &'static str, broken: &'static str) -> Mutation {
    Mutation { name, file, check, broken }
}

const MUTATIONS: &[Mutation] = &[
    mutation(
        "rights of a capability are not looked at",
        "cap.rs",
        "self.rights.contains(needed).then_some(self)",
        "true.then_some(self)",
    ),
    mutation(
        "the generation of a handle is not looked at",
        "cap.rs",
        "if entry.generation != handle.generation() {",
        "if false {",
    ),
    mutation(
        "the handoff takes stale handles",
        "cap.rs",
        "let fine = self.generation == handle.generation()",
        "let fine = handle.generation() != 0",
    ),
    mutation("the short calls take stale handles", "short.rs", "entry.generation == handle.generation() && ", ""),
    mutation(
        "the short calls take a mapping for a capability",
        "short.rs",
        "(1..MAPPING).contains(&entry.kind)",
        "entry.kind != 0",
    ),
    mutation("page tables that are freed are remembered", "mm/space.rs", "*walks = Walks::default();", ""),
    mutation("a region that was touched does not say so", "region.rs", "self.regions[region].touched = true;", ""),
    mutation(
        "handoffs and short calls do not look at rights",
        "cap.rs",
        "&& self.rights & needed.bits() == needed.bits();",
        "&& needed.bits() == needed.bits();",
    ),
    mutation(
        "a derived capability has all rights that were asked for",
        "cap.rs",
        "rights: rights & mask.bits(),",
        "rights: mask.bits(),",
    ),
    mutation(
        "anybody mints badges",
        "cap.rs",
        "badge => cap.require(Kind::Queue, Rights::MINT).map(|_| badge)?,",
        "badge => badge,",
    ),
    mutation(
        "a revocation stops at the first descendant",
        "cap.rs",
        "            self.delete(child, budget);\n        }\n",
        "            self.delete(child, budget);\n            break;\n        }\n",
    ),
    mutation("a token is good for every process", "ipc.rs", "            && caller.holder == Some(process)\n", ""),
    mutation(
        "the end of a lease is not looked at",
        "lease.rs",
        "let inside = offset.checked_add(length).is_some_and(|end| end <= size);",
        "let inside = offset.checked_add(length).is_some_and(|end| end <= size || size > 0);",
    ),
    mutation("memory may be writable and executable", "syscall.rs", " || wanted.contains(both)", ""),
    mutation(
        "RAM is given out as device memory",
        "syscall.rs",
        " || pages > MAX_PAGES || in_ram {",
        " || pages > MAX_PAGES {",
    ),
    mutation(
        "a process may have any highest priority",
        "syscall.rs",
        " || ceiling as u8 > self.processes[creator].ceiling",
        "",
    ),
    mutation(
        "an account pays beyond its limit",
        "account.rs",
        "if self.dying || pages > self.limit - self.used {\n            return Err(SysError::NoMemory);\n        }\n        self.used += pages;\n        *self",
        "if self.dying {\n            return Err(SysError::NoMemory);\n        }\n        self.used += pages;\n        *self",
    ),
    mutation("a mapping may end in the kernel", "region.rs", " && end <= layout::USER_END", ""),
    mutation(
        "a binding outlives the interrupt's capability",
        "irq.rs",
        "if self.irqs[irq].bound_by == Some(slot) {",
        "if false {",
    ),
    mutation(
        "a process that ends keeps its calls",
        "reaper.rs",
        "if self.threads[thread].holder == Some(process) {",
        "if false {",
    ),
];

impl Options {
    /// Runs it.
    pub fn run(&self) -> Result<ExitCode> {
        let wanted = |mutation: &&Mutation| self.filter.as_ref().is_none_or(|text| mutation.name.contains(text));
        let mutations: Vec<&Mutation> = MUTATIONS.iter().filter(wanted).collect();
        ensure!(!mutations.is_empty(), "no mutation has this in its name");
        let copy = workspace::target_dir().join("mutate");
        copy_sources(&copy.join("src"))?;
        let tests = self.tests.as_deref();
        let failure = first_failure(&copy, tests)?;
        ensure!(failure.is_none(), "without any mutation this fails: {}", failure.unwrap_or_default());
        let mut missed = 0;
        for (n, mutation) in mutations.iter().enumerate() {
            let file = copy.join("src/kernel/src").join(mutation.file);
            let sound = fs::read_to_string(&file).with_context(|| format!("cannot read {}", mutation.file))?;
            fs::write(&file, mutation.of(&sound)?)?;
            let caught = first_failure(&copy, tests);
            fs::write(&file, &sound)?;
            let caught = caught.with_context(|| mutation.name)?;
            missed += usize::from(caught.is_none());
            let verdict = caught.as_deref().unwrap_or("NOT CAUGHT");
            println!("[{}/{}] {} ({}): {verdict}", n + 1, mutations.len(), mutation.name, mutation.file);
        }
        println!("{} mutations, {missed} not caught", mutations.len());
        Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Mutation {
    /// The source with its check broken.
    fn of(&self, source: &str) -> Result<String> {
        let found = source.matches(self.check).count();
        ensure!(found == 1, "{}: the check of '{}' stands {found} times in the file, not once", self.file, self.name);
        Ok(source.replace(self.check, self.broken))
    }
}

/// Copies what git knows of, or would take up, to `to`.
fn copy_sources(to: &Path) -> Result<()> {
    let root = workspace::root();
    let list = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .context("git is needed to tell which files are sources")?;
    ensure!(list.status.success(), "git does not know this folder");
    for name in String::from_utf8(list.stdout)?.lines() {
        let (from, to) = (root.join(name), to.join(name));
        let Ok(content) = fs::read(&from) else { continue }; // deleted, and not yet committed so
        // An unchanged file keeps its time, so that little is built anew.
        if fs::read(&to).is_ok_and(|old| old == content) {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        fs::write(&to, content).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// The first of the kernel's tests, or of those with this in their names, that fails in the copy.
fn first_failure(copy: &Path, tests: Option<&str>) -> Result<Option<String>> {
    let mut command = Command::new(build(copy)?);
    command.args(tests);
    command.env("RUST_BACKTRACE", "0");
    command.current_dir(copy.join("src/kernel")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().context("cannot run the tests")?;
    let lines = lines_of(child.stdout.take().context("the tests have no output")?);
    let deadline = Instant::now() + LONGEST;
    let verdict = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
                    break Some(name.strip_prefix("tests::").unwrap_or(name).to_owned());
                }
            }
            Err(RecvTimeoutError::Timeout) => break Some(format!("a test that does not end within {LONGEST:?}")),
            Err(RecvTimeoutError::Disconnected) if child.wait()?.success() => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => break Some(String::from("a test that takes the suite down")),
        }
    };
    // It may have ended by now.
    let _ = child.kill();
    child.wait()?;
    Ok(verdict)
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more once a test has failed.
        let _ = BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
    });
    lines
}

/// Builds the tests of the copy's kernel: their program.
fn build(copy: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "-p", "kernel", "--lib", "--no-run", "--message-format=json-render-diagnostics"]);
    command.env("CARGO_TARGET_DIR", copy.join("build")).current_dir(copy.join("src"));
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("it does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut tests = messages.filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)));
    tests.next().context("cargo names no program of tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_fits_the_source() {
        for mutation in MUTATIONS {
            let file = workspace::root().join("kernel/src").join(mutation.file);
            let source = fs::read_to_string(file).unwrap();
            assert_ne!(mutation.of(&source).unwrap_or_else(|error| panic!("{error}")), source);
        }
    }
}
