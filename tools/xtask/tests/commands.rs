//! The commands as people call them: help, exit codes, and what a pipe gets.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn xtask(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args).current_dir(harness::workspace::root()).env_remove("TESSERA_IMAGES");
    command
}

fn output(args: &[&str]) -> Output {
    xtask(args).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The commands in the help of `of`, which is the tool itself or a command with commands of its own.
fn commands(of: &[&str]) -> Vec<String> {
    let help = text(&output(&[of, &["--help"]].concat()).stdout);
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default().lines().take_while(|line| !line.is_empty());
    let first = |line: &str| {
        line.strip_prefix("  ").filter(|l| !l.starts_with(' '))?.split_whitespace().next().map(str::to_owned)
    };
    listed.filter_map(first).collect()
}

#[test]
fn every_command_has_help_and_refuses_nonsense() {
    let mut all: Vec<Vec<String>> = commands(&[]).into_iter().map(|name| vec![name]).collect();
    assert!(all.len() >= 10, "{all:?}");
    let inner = commands(&["disk"]).into_iter().map(|name| vec!["disk".to_owned(), name]);
    all.extend(inner);
    for command in &all {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = output(&[&words[..], &["--help"]].concat());
        let shown = text(&help.stdout);
        assert_eq!(help.status.code(), Some(0), "{words:?}");
        assert!(
            shown.contains(&format!("Usage: cargo xtask {}", words.join(" ")))
                && shown.lines().next().is_some_and(|l| l.len() > 15),
            "{words:?}: {shown}"
        );
        let wrong = output(&[&words[..], &["--no-such-option"]].concat());
        assert_eq!(wrong.status.code(), Some(2), "{words:?}");
        assert!(text(&wrong.stderr).contains("--no-such-option"), "{words:?}");
    }
    assert_eq!(output(&["no-such-command"]).status.code(), Some(2));
}

#[test]
fn the_book_names_every_command_and_every_exit_code() {
    let page = fs::read_to_string(harness::workspace::root().join("docs/src/tools.md")).expect("the page is there");
    for name in commands(&[]) {
        assert!(page.contains(&format!("| `{name}` |")), "docs/src/tools.md does not name `{name}`");
    }
    for code in [0, 1, 2, 124, 125] {
        assert!(page.contains(&format!("\n| {code} | ")), "docs/src/tools.md does not explain {code}");
    }
}

/// Images that nothing boots from, and a script in the place of QEMU.
struct Fake(tempfile::TempDir);

impl Fake {
    fn new(script: &str) -> Fake {
        let fake = Fake(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir(fake.path("bin")).expect("a folder");
        for name in ["kernel", "boot.tar", "disk"] {
            fs::write(fake.path(name), b"").expect("a file");
        }
        fs::write(fake.path("qemu"), format!("#!/bin/bash\n{script}\n")).expect("a file");
        fs::set_permissions(fake.path("qemu"), fs::Permissions::from_mode(0o755)).expect("it may run");
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let disk = self.path("disk");
        let mut command = xtask(&["run", "--disk"]);
        command.arg(disk).args(args).env("TESSERA_IMAGES", self.0.path()).env("TESSERA_QEMU", self.path("qemu"));
        command.output().expect("it runs")
    }
}

#[test]
fn exit_codes_are_those_of_the_book() {
    // The frame with which the guest tells a command's status (harness::frames).
    let exit = |status: u8| format!("printf '\\035X\\004\\000\\{status:03o}\\000\\000\\000'");
    let code = |output: Output| (output.status.code(), text(&output.stderr));
    for status in [0, 1, 7, 127] {
        assert_eq!(code(Fake::new(&exit(status)).run(&["--exec", "x"])).0, Some(status.into()));
    }
    let (timed_out, said) = code(Fake::new("exec sleep 100").run(&["--exec", "x", "--timeout", "1"]));
    assert_eq!(timed_out, Some(124), "{said}");
    assert!(said.contains("timed out after 1 s waiting for `x` to end"), "{said}");
    let (panicked, said) = code(Fake::new("echo 'kernel panic: no frames'; exec sleep 100").run(&["--exec", "x"]));
    assert!(panicked == Some(125) && said.contains("the kernel panicked: no frames"), "{said}");
    let (stopped, said) = code(Fake::new("exit 3").run(&["--exec", "x"]));
    assert!(stopped == Some(125) && said.contains("the machine stopped"), "{said}");
    for args in [&["symbolize", "no/such", "0x1"][..], &["disk", "ls", "/no/such/image"]] {
        let (failed, said) = code(output(args));
        assert!(failed == Some(1) && said.starts_with("error: "), "{args:?}: {said}");
    }
    assert_eq!(output(&["disk", "check", "/dev/null"]).status.code(), Some(1));
    assert_eq!(output(&["graph", "--exec", "x"]).status.code(), Some(2), "--exec needs --live");
}

#[test]
fn a_pipe_gets_the_graph_and_nothing_else() {
    let mermaid = output(&["graph"]);
    assert_eq!((mermaid.status.code(), text(&mermaid.stderr).as_str()), (Some(0), ""));
    assert!(text(&mermaid.stdout).contains("flowchart LR") && !text(&mermaid.stdout).contains('\x1b'));
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("x.svg");
    let quiet = output(&["graph", "-o", file.to_str().expect("a plain name")]);
    assert_eq!((quiet.status.code(), quiet.stdout.len(), quiet.stderr.len()), (Some(0), 0, 0));
    assert!(read(&file).starts_with("<svg ") && read(&file).contains(">fs<"));
    let drawing = output(&["graph", "--format", "svg"]);
    assert_eq!(text(&drawing.stdout), read(&file));
    let examples = output(&["graph", "--system", "examples/system.toml"]);
    assert_eq!((examples.status.code(), text(&examples.stderr).as_str()), (Some(0), ""));
    assert!(text(&examples.stdout).contains("ramdisk") && !text(&mermaid.stdout).contains("ramdisk"));
    let none = output(&["graph", "--system", "no.toml"]);
    assert!(none.status.code() == Some(1) && text(&none.stderr).contains("no.toml: no such description"));
    let (lost, said) = (output(&["graph", "-o", "/no/such/folder/x.svg"]), "cannot write /no/such/folder/x.svg");
    assert!(lost.status.code() == Some(1) && text(&lost.stderr).contains(said));
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("the file is there")
}
