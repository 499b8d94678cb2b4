//! `cargo xtask test`.
//!
//! 1. Without a filter, `cargo xtask check` comes first, as a test. Then cargo builds every test binary, then the images; a
//!    failure to build ends the run.
//! 2. Binaries of `tools/harness/tests/` boot machines: each of their tests is a process of its own, at most as many at
//!    a time as there are processors, each with a deadline. All other binaries run as they are.
//! 3. A test that fails is shown with its output and the command that repeats it. The last line is the summary.

use crate::{pool, progress::Progress};
use anyhow::{Result, ensure};
use clap::Args;
use harness::{Images, build::run_cargo, qemu::bound_to_this_process, workspace};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

/// Runs all tests: what `cargo xtask check` checks, the tests of the crates on this machine, then those in QEMU.
#[derive(Args)]
pub struct Options {
    /// Only tests whose names contain this (in QEMU: or the names of their files)
    filter: Option<String>,
    /// Only the tests that need no QEMU
    #[arg(long, conflicts_with = "qemu")]
    host: bool,
    /// Only the tests in QEMU
    #[arg(long)]
    qemu: bool,
    /// The tests in QEMU with all machines counting instructions and measuring how long the kernel keeps interrupts
    /// off, which is told at the end. Tests that time or compare what this changes may fail
    #[arg(long, conflicts_with = "host")]
    latency: bool,
    /// Tests at a time [default: the number of processors]
    #[arg(short, long)]
    jobs: Option<usize>,
    /// How long one test in QEMU may take
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    deadline: u64,
}

/// One process to run.
#[derive(Debug, Clone)]
struct Job {
    /// As it is shown: crate, file and test.
    name: String,
    binary: PathBuf,
    args: Vec<String>,
    repeat: String,
}

/// How tests that boot machines are run.
struct Machines {
    images: PathBuf,
    /// For each test.
    deadline: Duration,
    /// Where what their kernels have measured goes, a file for each test.
    latency: Option<tempfile::TempDir>,
}

struct Outcome {
    passed: usize,
    failed: Vec<String>,
}

impl Options {
    /// Runs them.
    pub fn run(&self) -> Result<ExitCode> {
        let started = Instant::now();
        let mut total = Outcome { passed: 0, failed: Vec::new() };
        let mut measured = false;
        let only_qemu = self.qemu || self.latency;
        if self.filter.is_none() && !only_qemu {
            total.add(check());
        }
        let (host, qemu) = self.binaries()?;
        if !only_qemu {
            let mut jobs: Vec<Job> = host.iter().map(|binary| self.host_job(binary)).collect();
            // Examples in documentation have no names to choose them by.
            jobs.extend(self.filter.is_none().then(documentation_job));
            total.add(run_jobs(jobs, pool::jobs(self.jobs), None));
        }
        if !self.host {
            let images = if qemu.is_empty() { None } else { Some(harness::build::build()?) };
            let mut jobs = Vec::new();
            for binary in &qemu {
                jobs.extend(self.qemu_jobs(binary)?);
            }
            let directory = images.and_then(|images: Images| images.kernel.parent().map(Path::to_owned));
            let deadline = Duration::from_secs(self.deadline);
            let latency = if self.latency { Some(tempfile::tempdir()?) } else { None };
            let machines = directory.map(|images| Machines { images, deadline, latency });
            total.add(run_jobs(jobs, pool::jobs(self.jobs), machines.as_ref()));
            if let Some(latency) = machines.and_then(|machines| machines.latency) {
                measured = crate::latency::tell(latency.path())?;
            }
        }
        ensure!(
            total.passed + total.failed.len() > 0,
            "no test has a name that contains `{}`",
            self.filter.as_deref().unwrap_or("")
        );
        total.failed.iter().for_each(|name| println!("failed: {name}"));
        println!("{} passed, {} failed ({} s)", total.passed, total.failed.len(), started.elapsed().as_secs());
        // With the measurement some fail for its own sake.
        let good = if self.latency { measured } else { total.failed.is_empty() };
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Builds all test binaries: those for the host, and those that boot machines.
    fn binaries(&self) -> Result<(Vec<Binary>, Vec<Binary>)> {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(workspace::root()).arg("test").arg("--no-run");
        match (self.host, self.qemu || self.latency) {
            (_, true) => cargo.args(["--package", "harness", "--tests"]),
            _ => cargo.args(["--workspace", "--lib", "--tests"]),
        };
        let messages = run_cargo(&mut cargo)?;
        let tests = messages.iter().filter_map(Binary::from_message);
        Ok(tests.partition(|binary| !binary.boots_machines()))
    }

    fn host_job(&self, binary: &Binary) -> Job {
        Job {
            name: binary.shown(),
            binary: binary.file.clone(),
            args: self.filter.iter().cloned().collect(),
            repeat: format!("cargo test --package {}", binary.package),
        }
    }

    fn qemu_jobs(&self, binary: &Binary) -> Result<Vec<Job>> {
        let listed = Command::new(&binary.file).args(["--list", "--format", "terse"]).output()?;
        ensure!(listed.status.success(), "{} cannot list its tests", binary.shown());
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
        let filter = self.filter.as_deref().unwrap_or("");
        let wanted = |name: &&str| format!("{} {name}", binary.target).contains(filter);
        let job = |name: &str| Job {
            name: format!("{} {name}", binary.target),
            binary: binary.file.clone(),
            args: ["--exact", "--nocapture", name].map(str::to_owned).to_vec(),
            repeat: format!("cargo xtask test --qemu {name}"),
        };
        Ok(names.filter(wanted).map(job).collect())
    }
}

/// `cargo xtask check`, which passes or fails.
fn check() -> Outcome {
    let started = Instant::now();
    let result = crate::lint::run();
    let seconds = started.elapsed().as_secs();
    match result {
        Ok(_) => {
            println!("ok     check ({seconds} s)");
            Outcome { passed: 1, failed: Vec::new() }
        }
        Err(error) => {
            println!("FAILED check ({seconds} s)\n{error:#}\nrepeat it with: cargo xtask check");
            Outcome { passed: 0, failed: vec!["check".to_owned()] }
        }
    }
}

/// The examples in the documentation of `libipc`, with those that must not compile; cargo builds and runs them itself.
fn documentation_job() -> Job {
    let args = ["test", "--doc", "--package", "libipc"].map(str::to_owned).to_vec();
    Job {
        name: "libipc (documentation)".into(),
        repeat: format!("cargo {}", args.join(" ")),
        binary: "cargo".into(),
        args,
    }
}

/// A test binary that cargo built.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Binary {
    package: String,
    target: String,
    is_integration_test: bool,
    file: PathBuf,
}

impl Binary {
    fn from_message(message: &serde_json::Value) -> Option<Binary> {
        let is_test = message.get("profile")?.get("test")?.as_bool()?;
        let target = message.get("target")?;
        let folder = Path::new(message.get("manifest_path")?.as_str()?).parent()?;
        let root = workspace::root();
        is_test.then_some(())?;
        Some(Binary {
            package: package_of(message.get("package_id")?.as_str()?),
            target: target.get("name")?.as_str()?.to_owned(),
            is_integration_test: target.get("kind")?.as_array()?.iter().any(|kind| kind == "test"),
            file: PathBuf::from(message.get("executable")?.as_str()?),
        })
        .filter(|_| folder.starts_with(root))
    }

    fn boots_machines(&self) -> bool {
        self.package == "harness" && self.is_integration_test
    }

    fn shown(&self) -> String {
        if self.is_integration_test { format!("{} ({})", self.package, self.target) } else { self.package.clone() }
    }
}

/// The package's name in an id such as `path+file:///repo/kernel#0.1.0` or `...#name@0.1.0`.
fn package_of(id: &str) -> String {
    let (place, version) = id.rsplit_once('#').unwrap_or((id, ""));
    match version.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => place.rsplit('/').next().unwrap_or(place).to_owned(),
    }
}

impl Outcome {
    fn add(&mut self, more: Outcome) {
        self.passed += more.passed;
        self.failed.extend(more.failed);
    }
}

/// Runs jobs, `workers` at a time. `machines`: for tests that boot.
fn run_jobs(jobs: Vec<Job>, workers: usize, machines: Option<&Machines>) -> Outcome {
    let mut progress = Progress::new(if machines.is_some() { "tests in QEMU" } else { "crates" }, jobs.len());
    let mut total = Outcome { passed: 0, failed: Vec::new() };
    let run = |job: &Job| {
        run_job(job, machines).unwrap_or_else(|error| {
            let failed = Outcome { passed: 0, failed: vec![job.name.clone()] };
            (failed, format!("FAILED {}: {error:#}\n", job.name))
        })
    };
    pool::run(jobs, workers, run, |job, (outcome, said)| {
        progress.hide();
        print!("{said}");
        progress.step(&job.name, !outcome.failed.is_empty());
        total.add(outcome);
    });
    total
}

/// Runs a job; what came of it, and what is to be said of it.
fn run_job(job: &Job, machines: Option<&Machines>) -> Result<(Outcome, String)> {
    let started = Instant::now();
    let output = tempfile::NamedTempFile::new()?;
    let mut command = bound_to_this_process(&job.binary);
    command.args(&job.args).current_dir(workspace::root()).stdin(Stdio::null());
    let file = output.reopen()?;
    command.stdout(file.try_clone()?).stderr(file);
    match machines {
        Some(machines) => command.env("TESSERA_IMAGES", &machines.images),
        None => command.env("LD_LIBRARY_PATH", rust_libraries()),
    };
    if let Some(folder) = machines.and_then(|machines| machines.latency.as_ref()) {
        command.env(harness::latency::FILE, folder.path().join(&job.name));
    }
    let ended = run_within(&mut command, machines.map(|machines| machines.deadline))?;
    let text = String::from_utf8_lossy(&fs::read(output.path())?).into_owned();
    let (passed, mut failed) = results(&text);
    let seconds = started.elapsed().as_secs_f32();
    if ended == Some(true) && failed.is_empty() {
        let count = if machines.is_some() { String::new() } else { format!(", {passed} tests") };
        let said = format!("ok     {} ({seconds:.1} s{count})\n", job.name);
        return Ok((Outcome { passed, failed }, if passed > 0 { said } else { String::new() }));
    }
    if failed.is_empty() || machines.is_some() {
        failed = vec![job.name.clone()];
    } else {
        failed.iter_mut().for_each(|name| *name = format!("{} {name}", job.name));
    }
    let why = if ended.is_some() { "" } else { "timed out; " };
    let said =
        format!("FAILED {} ({why}{seconds:.1} s)\n{}\nrepeat it with: {}\n", job.name, text.trim_end(), job.repeat);
    Ok((Outcome { passed, failed }, said))
}

/// Where the tests of a procedural macro find the compiler's own libraries; cargo sets the same when it runs them.
fn rust_libraries() -> PathBuf {
    let output = Command::new("rustc").current_dir(workspace::root()).args(["--print", "target-libdir"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().into()).unwrap_or_default()
}

/// Waits for a process to end: `Some(success)`, or `None` when the deadline passed and it was killed. Its machines die
/// with it.
fn run_within(command: &mut Command, deadline: Option<Duration>) -> Result<Option<bool>> {
    let mut child = command.spawn()?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if deadline.is_some_and(|deadline| started.elapsed() > deadline) {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The number of passed tests and the names of failed ones in what Rust's test runner printed, in one part or several.
fn results(text: &str) -> (usize, Vec<String>) {
    let failed = text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    let summaries = text.lines().filter_map(|line| line.strip_prefix("test result: "));
    let passed =
        summaries.filter_map(|line| line.split(". ").nth(1)?.split_once(" passed")?.0.trim().parse::<usize>().ok());
    (passed.sum(), failed.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::workspace;

    fn script(dir: &tempfile::TempDir, name: &str, body: &str) -> Job {
        let binary = dir.path().join(name);
        fs::write(&binary, format!("#!/bin/sh\n{body}\n")).expect("it is written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&binary, mode).expect("it is made executable");
        Job { name: name.into(), binary, args: vec![], repeat: "it".into() }
    }

    #[test]
    fn the_runners_words_are_understood() {
        let text = "running 3 tests\ntest a::b ... ok\ntest c ... FAILED\n\n\
            test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(results(text), (2, vec!["c".to_owned()]));
        assert_eq!(results(&text.repeat(2)).0, 4);
        assert_eq!(results("Segmentation fault"), (0, vec![]));
    }

    #[test]
    fn passes_failures_crashes_and_hangs_are_told_apart() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ok = "echo 'test result: ok. 4 passed; 0 failed; 0 ignored'";
        let jobs = vec![
            script(&dir, "good", ok),
            script(&dir, "bad", "echo 'test x ... FAILED'; echo 'test result: FAILED. 2 passed; 1 failed;'; exit 101"),
            script(&dir, "crash", "kill -9 $$"),
            script(&dir, "hang", "exec sleep 1000"),
        ];
        let machines = Machines { images: dir.path().to_owned(), deadline: Duration::from_secs(2), latency: None };
        let outcome = run_jobs(jobs, 2, Some(&machines));
        let mut failed = outcome.failed;
        failed.sort();
        assert_eq!((outcome.passed, failed), (6, vec!["bad".to_owned(), "crash".to_owned(), "hang".to_owned()]));
    }

    #[test]
    fn both_forms_of_a_package_id_are_understood() {
        assert_eq!(package_of("path+file:///r/libipc/abi#0.1.0"), "abi");
        assert_eq!(package_of("path+file:///r/userland#sh@0.1.0"), "sh");
    }

    #[test]
    fn only_the_harness_integration_tests_boot_machines() {
        let message = |folder: &str, kind: &str| {
            serde_json::json!({"package_id": format!("path+file://{}/{folder}#0.1.0", workspace::root().display()),
                "manifest_path": workspace::root().join(folder).join("Cargo.toml"),
                "target": {"name": "boot", "kind": [kind]}, "profile": {"test": true}, "executable": "/t/boot"})
        };
        let boots = |folder, kind| Binary::from_message(&message(folder, kind)).expect("it is a test").boots_machines();
        assert!(boots("tools/harness", "test"));
        assert!(!boots("tools/harness", "lib"));
        assert!(!boots("kernel", "test"));
    }
}
