//! A server is made in a scratch copy of the repository, built, tested, and taken back.

use super::*;

/// A copy of what is in the repository, under version control of its own.
fn copy() -> (tempfile::TempDir, Tree) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().canonicalize().expect("it is there");
    let script = r#"
        cd "$1"
        { git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
            find . \( -name target -o -name .tessera \) -prune -o -type f -print0; } |
            tar --null --ignore-failed-read -T - -c 2>/dev/null | tar -x -C "$2"
        cd "$2" && git init -q && git add -A &&
            git -c user.name=t -c user.email=t@localhost commit -q -m copy"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).args([&workspace::root(), &root]);
    assert!(shell.status().expect("there is a shell").success());
    (folder, Tree { root })
}

fn git_status(tree: &Tree) -> String {
    let output = Command::new("git").current_dir(&tree.root).args(["status", "--porcelain"]).output();
    String::from_utf8(output.expect("there is git").stdout).expect("text")
}

fn complaint(result: Result<Vec<PathBuf>>) -> String {
    format!("{:#}", result.expect_err("it is refused"))
}

#[test]
fn a_new_server_builds_passes_its_host_tests_and_is_taken_back_without_a_trace() {
    let (_folder, tree) = copy();
    let made = tree.make("ledger").expect("it is made");
    assert_eq!(made.len(), 7);
    // Beside the folder of this build, whose packages from the registry it shares.
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&tree.root).args(["test", "--offline", "-p", "ledger", "--lib"]);
    let output = cargo.env("CARGO_TARGET_DIR", workspace::target_dir()).output().expect("there is cargo");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("2 passed"), "{text}\n{errors}");
    assert!(!errors.contains("warning"), "{errors}");
    tree.undo("ledger", false).expect("it is undone");
    assert_eq!(git_status(&tree), "");
}

#[test]
fn whatever_its_name_its_sources_are_formatted() {
    let (_folder, tree) = copy();
    for name in ["a", "zeppelin", &"m".repeat(LONGEST)] {
        let made = tree.make(name).expect("it is made");
        let sources = made.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        let mut rustfmt = Command::new("rustfmt");
        rustfmt.current_dir(&tree.root).args(["--check", "--edition", "2024"]).args(sources);
        assert!(rustfmt.status().expect("there is rustfmt").success(), "{name} is not formatted");
        tree.undo(name, false).expect("it is undone");
    }
    assert_eq!(git_status(&tree), "");
}

#[test]
fn the_description_with_a_new_server_is_sound() {
    let (_folder, tree) = copy();
    tree.make("ledger").expect("it is made");
    let text = tree.read(SYSTEM).expect("it is there");
    let binaries = ["block", "console", "fs", "ledger", "pipe", "session"].map(str::to_owned);
    let system = harness::description::parse(SYSTEM, &text, &binaries).unwrap_or_else(|error| panic!("{error}")).system;
    assert!(system.programs.uses.iter().any(|used| used.queue == "ledger"));
    let service = system.services.iter().find(|service| service.name == "ledger").expect("it is described");
    assert_eq!((service.provides.len(), service.persistent.len()), (1, 1));
}

#[test]
fn two_new_servers_have_different_protocol_numbers_and_are_taken_back_in_any_order() {
    let (_folder, tree) = copy();
    tree.make("ledger").expect("it is made");
    tree.make("clock2").expect("it is made");
    let number = |name: &str| {
        let text = tree.read(&format!("servers/{name}/src/lib.rs")).expect("it is there");
        assert!(text.contains(&format!("pub protocol {}", if name == "ledger" { "Ledger" } else { "Clock2" })));
        protocol_numbers(&text).next().expect("a protocol has a number")
    };
    assert_ne!(number("ledger"), number("clock2"));
    assert!(number("ledger") >= FIRST_NUMBER);
    tree.undo("ledger", false).expect("it is undone");
    tree.undo("clock2", false).expect("it is undone");
    assert_eq!(git_status(&tree), "");
}

#[test]
fn names_that_no_server_may_have_are_refused_with_the_rule_and_change_nothing() {
    let (_folder, tree) = copy();
    for name in ["", "Ledger", "my-server", "my_server", "2nd", "../x", "größe", "a b", &"x".repeat(17)] {
        let said = complaint(tree.make(name));
        assert!(said.contains("1 to 16 lower-case letters and digits"), "{name}: {said}");
    }
    for (name, said) in [
        ("match", "it means something to Rust"),
        ("core", "it means something to Rust"),
        ("nameless", "there is an example named `nameless` already"),
        ("fs", "there is a server named `fs` already: servers/fs"),
        ("kv", "there is an example named `kv` already: examples/kv"),
        ("cat", "there is a program named `cat` already: userland/src/bin/cat.rs"),
        ("boot", "there is a test named `boot` already: tools/harness/tests/boot.rs"),
        ("serde", "there is a package named `serde` already"),
        ("kernel", "there is a package named `kernel` already"),
    ] {
        assert!(complaint(tree.make(name)).contains(said), "{name}: {}", complaint(tree.make(name)));
    }
    assert_eq!(git_status(&tree), "");
}

#[test]
fn what_was_changed_since_is_not_taken_back_unless_it_must_be() {
    let (_folder, tree) = copy();
    assert!(complaint(tree.undo("ledger", false)).contains("there is no server named `ledger`"));
    assert!(complaint(tree.undo("fs", true)).contains("servers/fs is under version control"));
    tree.make("ledger").expect("it is made");
    let library = tree.root.join("servers/ledger/src/lib.rs");
    let text = fs::read_to_string(&library).expect("it is there");
    fs::write(&library, text.replace("Adds up", "Sums")).expect("it is changed");
    fs::write(tree.root.join("servers/ledger/notes"), "mine").expect("it is written");
    let said = complaint(tree.undo("ledger", false));
    assert!(said.contains("servers/ledger/notes, servers/ledger/src/lib.rs"), "{said}");
    assert!(said.contains("--force"), "{said}");
    tree.undo("ledger", true).expect("it is undone");
    assert_eq!(git_status(&tree), "");
}
