//! What the documentation says a machine does, a machine does.
//!
//! A block ```` ```console,guest ```` in README.md or docs/ is typed into one session, command by command. What the block
//! shows must come, but that a word with a digit in it (a number, an address, a time, a sum) stands for any other, and
//! that columns may be wider. Of a block ```` ```console,guest-run ```` the commands must end with status 0. Commands in
//! blocks ```` ```sh ```` are run on the host.

use harness::{Disk, Images, Result, System, description, system::SCRATCH, workspace};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

const PROMPT: &str = "tessera:/$ ";

/// README.md and the pages of the book, in the order of its summary: name, folder and text.
fn pages() -> Result<Vec<(String, PathBuf, String)>> {
    let root = workspace::root();
    let mut pages = vec![("README.md".to_owned(), root.clone(), fs::read_to_string(root.join("README.md"))?)];
    for (_, name) in summary()? {
        let text = fs::read_to_string(root.join(BOOK).join(&name))?;
        pages.push((name, root.join(BOOK), text));
    }
    Ok(pages)
}

/// Where the pages of the book are.
const BOOK: &str = "docs/src";

/// The summary of the book: titles and files.
fn summary() -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(workspace::root().join(BOOK).join("SUMMARY.md"))?;
    let entries = text.lines().filter_map(|line| line.split_once('[')?.1.strip_suffix(')')?.split_once("]("));
    Ok(entries.map(|(title, file)| (title.to_owned(), file.to_owned())).collect())
}

/// A page without its blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// Where the links of a page lead, without those to elsewhere.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The anchors of a page: its headings, as mdBook and others make names of them.
fn anchors(text: &str) -> Vec<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let letter = |letter: char| match letter {
        ' ' => Some('-'),
        _ if letter.is_alphanumeric() || "-_".contains(letter) => Some(letter),
        _ => None,
    };
    headings.map(|heading| heading.to_lowercase().chars().filter_map(letter).collect()).collect()
}

/// The blocks of a page with this word after the three backticks.
fn blocks<'t>(text: &'t str, info: &str) -> Vec<&'t str> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).filter(|(word, _)| *word == info).map(|(_, body)| body).collect()
}

/// Commands with what they show.
fn commands(block: &str) -> Vec<(&str, &str)> {
    let mut parts = block.split(PROMPT);
    assert_eq!(parts.next(), Some(""), "a block of commands begins with a prompt:\n{block}");
    parts.map(|part| part.split_once('\n').unwrap_or((part, ""))).collect()
}

/// What of a text must be as it is shown.
fn lasting(text: &str) -> Vec<Vec<&str>> {
    let any = |word| if str::contains(word, |letter: char| letter.is_ascii_digit()) { "#" } else { word };
    text.lines().map(|line| line.split_whitespace().map(any).collect()).collect()
}

#[test]
fn commands_in_the_documentation_do_what_is_shown() -> Result<()> {
    let mut system = System::builder().boot()?;
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (page, _, text) in pages()? {
        for (command, shown) in blocks(&text, "console,guest").into_iter().flat_map(commands) {
            if command == "poweroff" {
                continue; // the last line below
            }
            let got = system.run(command)?.text();
            compared += 1;
            if lasting(&got) != lasting(shown) {
                wrong.push(format!("{page}: {command}\nshows\n{shown}\nand gives\n{got}"));
            }
        }
        for (command, _) in blocks(&text, "console,guest-run").into_iter().flat_map(commands) {
            system.run(command)?.success()?;
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} commands are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= 15, "only {compared} commands were found");
    system.poweroff()
}

/// Why a link of a page leads nowhere, if it does.
fn lost(page: &str, folder: &Path, text: &str, target: &str) -> Option<&'static str> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    if page != "README.md" && file.contains('/') {
        return Some("is outside the book, which is read without the sources too");
    }
    let there = if file.is_empty() { text.to_owned() } else { fs::read_to_string(folder.join(file)).ok()? };
    let known = anchor.is_empty() || anchors(&there).iter().any(|heading| heading == anchor);
    (!known).then_some("is no heading of that page")
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() -> Result<()> {
    let pages = pages()?;
    for (page, folder, text) in &pages {
        for target in links(text) {
            let file = target.split('#').next().unwrap_or_default();
            assert!(folder.join(file).exists(), "{page} links to {target}, which is not there");
            if let Some(why) = lost(page, folder, text, &target) {
                panic!("{page} links to {target}, which {why}");
            }
        }
    }
    for file in fs::read_dir(workspace::root().join(BOOK))? {
        let name = file?.file_name().to_string_lossy().into_owned();
        assert!(name == "SUMMARY.md" || pages.iter().any(|(page, ..)| *page == name), "{name} is in no summary");
    }
    for (title, file) in summary()? {
        let page = fs::read_to_string(workspace::root().join(BOOK).join(&file))?;
        assert_eq!(page.lines().next(), Some(format!("# {title}").as_str()), "{file} has another title in the summary");
    }
    Ok(())
}

/// What may stand behind the three backticks: every kind is looked at by a test, or is nothing that could be wrong.
const KINDS: [&str; 7] = ["console,guest", "console,guest-run", "mermaid", "rust", "sh", "text", "toml"];

#[test]
fn every_block_is_of_a_kind_that_is_known_and_has_an_end() -> Result<()> {
    for (page, _, text) in pages()? {
        let fences: Vec<&str> = text.lines().filter_map(|line| line.trim_start().strip_prefix("```")).collect();
        for pair in fences.chunks(2) {
            assert!(KINDS.contains(&pair[0]), "{page} has a block of the kind `{}`, which no test knows", pair[0]);
            assert_eq!(pair.get(1), Some(&""), "{page} has a block that does not end");
        }
        assert!(
            !text.contains("{{"),
            "{page} has a directive of mdBook, which nobody sees who reads the file as it is"
        );
    }
    Ok(())
}

#[test]
fn the_server_that_is_shown_is_the_one_that_is_compiled() -> Result<()> {
    let root = workspace::root();
    let example = fs::read_to_string(root.join("libipc/examples/counter.rs"))?;
    let readme = fs::read_to_string(root.join("README.md"))?;
    let shown = blocks(&readme, "rust");
    assert!(shown.iter().any(|block| example.contains(block.trim())), "README.md shows another counter");
    Ok(())
}

/// The files of an example as they are called in the server that a page makes of it.
fn renamed(files: &[&str], names: &[(&str, &str)]) -> Result<Vec<(String, String)>> {
    let rename = |text: &str| names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    files.iter().map(|file| Ok((rename(file), rename(&fs::read_to_string(workspace::root().join(file))?)))).collect()
}

/// The page shows the service's entry as it is in the description, but for the remark on its first line.
fn assert_entry(page: &str, service: &str, description: &str) {
    let header = format!("[service.{service}]");
    let (_, rest) = description.split_once(&header).expect("the service is described");
    let keys = rest.split("\n\n").next().and_then(|entry| entry.split_once('\n')).map_or("", |(_, keys)| keys);
    let entry = format!("{header}\n{}\n", keys.trim_end());
    assert!(blocks(page, "text").iter().any(|block| format!("{block}\n").contains(&entry)), "no page shows\n{entry}");
}

#[test]
fn the_first_server_is_shown_as_new_server_makes_it() -> Result<()> {
    let page = fs::read_to_string(workspace::root().join("docs/src/first-server.md"))?;
    let names = [
        (".system(\"examples/system.toml\")", ""),
        ("nameless", "ledger"),
        ("Nameless", "Ledger"),
        ("examples/", "servers/"),
        ("65000", "1027"),
    ];
    let files = ["Cargo.toml", "src/lib.rs", "src/main.rs", "src/tests.rs", "src/bin/nameless-client.rs"];
    let files = files.map(|file| format!("examples/nameless/{file}"));
    let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
    files.extend(["tools/harness/tests/nameless.rs", "examples/system.toml"]);
    let files = renamed(&files, &names)?;
    for (file, _) in &files {
        assert!(page.contains(&format!("\nmade   {file}\n")), "{file} is made, and the page does not say so");
    }
    assert_entry(&page, "ledger", &files.last().expect("the description is the last").1);
    let shown = blocks(&page, "rust");
    assert!(shown.len() >= 6);
    for block in shown {
        let found = files.iter().any(|(_, text)| text.contains(block.trim()));
        assert!(found, "docs/src/first-server.md shows what new-server does not make:\n{block}");
    }
    let page = fs::read_to_string(workspace::root().join("docs/src/testing.md"))?;
    let copy = fs::read_to_string(workspace::root().join("tools/harness/tests/files.rs"))?;
    for block in blocks(&page, "rust") {
        // What stands deeper in its file than in the page is the same.
        let lines: Vec<&str> = block.lines().map(str::trim).collect();
        let lines = lines.strip_prefix(&["use harness::{Disk, Result, System};", ""]).unwrap_or(&lines);
        let mut texts = files.iter().map(|(_, text)| text).chain([&copy]);
        let found = texts
            .any(|text| text.lines().map(str::trim).collect::<Vec<_>>().windows(lines.len()).any(|at| at == lines));
        assert!(found, "docs/src/testing.md shows what no test has:\n{block}");
    }
    Ok(())
}

#[test]
fn the_store_of_the_tutorial_is_the_one_that_is_built_and_all_of_it_is_shown() -> Result<()> {
    let page = fs::read_to_string(workspace::root().join("docs/src/kv-tutorial.md"))?;
    let names = [
        ("kv::", "store::"),
        ("\"kv\"", "\"store\""),
        ("\"kv ", "\"store "),
        ("`kv`", "`store`"),
        ("queue:kv", "queue:store"),
        ("kv-client", "store-client"),
        ("kv@", "store@"),
        ("kill kv", "kill store"),
        ("fn kv_", "fn store_"),
        ("service.kv]", "service.store]"),
        (".system(\"examples/system.toml\")", ""),
    ];
    let files = ["src/lib.rs", "src/entries.rs", "src/main.rs", "src/bin/kv-client.rs", "src/tests.rs"];
    let files = files.map(|file| format!("examples/kv/{file}"));
    let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
    files.push("tools/harness/tests/kv.rs");
    let files = renamed(&files, &names)?;
    let described = renamed(&["examples/system.toml"], &names)?;
    assert_entry(&page, "store", &described[0].1);
    let shown = blocks(&page, "rust");
    for block in &shown {
        let found = files.iter().any(|(_, text)| text.contains(block.trim()));
        assert!(found, "docs/src/kv-tutorial.md shows what is not in examples/kv:\n{block}");
    }
    let typed: Vec<&str> = shown.iter().flat_map(|block| block.lines()).collect();
    for (file, text) in files.iter().filter(|(file, _)| !file.ends_with("tests.rs")) {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lacking: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !typed.contains(line)).collect();
        assert!(lacking.is_empty(), "docs/src/kv-tutorial.md does not show all of {file}:\n{}", lacking.join("\n"));
    }
    Ok(())
}

/// Commands for the host that another test runs, or that stand for the tests themselves.
const ELSEWHERE: [(&str, &str); 29] = [
    ("./scripts/run.sh", "boots to a prompt for a person, as the tests in boot.rs do"),
    ("./scripts/test.sh", "the tests"),
    ("./scripts/test.sh copy", "some of the tests"),
    ("./scripts/test.sh ledger", "the test in nameless.rs"),
    ("./scripts/test.sh store", "the test in kv.rs"),
    ("./scripts/test.sh every_attack", "the tests in hostile.rs"),
    ("./scripts/test.sh a_driver_that_breaks", "the test in hostile.rs"),
    ("./scripts/test.sh a_million_random", "the test in hostile.rs"),
    ("TESSERA_RESTARTS=10000 ./scripts/test.sh the_audit_is_equal", "the test in authority.rs, many times as long"),
    ("cargo xtask fuzz --calls 100M --jobs 2 --resume target/fuzz", "the test in hostile.rs makes a hundredth of it"),
    ("cargo xtask mutate", "all of its mutations on all tests of the kernel; the line after it, which is run, has one"),
    ("cargo xtask test --host", "some of the tests"),
    ("cargo xtask test --qemu", "some of the tests"),
    ("cargo xtask test --latency", "the same tests"),
    ("cargo xtask check", "the first thing that `cargo xtask test` does"),
    ("cargo xtask new-server ledger", "tests of xtask, in a copy of the repository"),
    ("cargo xtask new-server store", "tests of xtask, in a copy of the repository"),
    ("cargo test -p fs", "the tests of a package"),
    ("cargo test -p pipe", "the tests of a package"),
    ("cargo test -p ledger", "tests of the package nameless"),
    ("cargo test -p store", "tests of the package kv"),
    ("cargo xtask run --iso bios", "boots to a prompt for a person; the tests in iso.rs boot it too"),
    ("cargo xtask run --iso uefi", "boots to a prompt for a person; the tests in iso.rs boot it too"),
    ("cargo xtask gdb fs", "waits for what a person types; the tests in gdb.rs do that"),
    ("cargo xtask bench", "the tests in bench.rs run all rows"),
    ("cargo xtask bench --json", "the tests in bench.rs run all rows"),
    ("cargo xtask bench --check", "the tests in bench.rs do it"),
    ("cargo xtask bench --update", "changes a file of the repository"),
    ("cargo xtask sweep --service fs --kind before-reply --every 50", "a shorter one is in sweep.rs"),
];

/// The commands for the host in a page, without the remarks behind them.
fn host_commands(text: &str) -> impl Iterator<Item = &str> {
    let lines = blocks(text, "sh").into_iter().flat_map(str::lines);
    lines.map(|line| line.split(" # ").next().unwrap_or(line).trim()).filter(|line| !line.is_empty())
}

/// A command as a test runs it: on files that go away, and with the examples in the place of what the book makes of them.
fn tried(command: &str, scratch: &Path) -> String {
    let disk = format!(" --disk {}/disk.img", scratch.display());
    let command = ["my.img", "my.iso", "copy.md", "trace.pftrace"]
        .iter()
        .fold(command.to_owned(), |command, file| command.replace(file, &format!("{}/{file}", scratch.display())));
    match ["ledger", "store"].iter().any(|made| command.contains(made)) {
        _ if command.contains("--disk") => command,
        false => ["./scripts/run.sh", "cargo xtask run"]
            .iter()
            .fold(command, |command, run| command.replace(run, &format!("{run}{disk}"))),
        true => command
            .replace("./scripts/run.sh", "./scripts/run.sh --system examples/system.toml")
            .replace("ledger", "nameless")
            .replace("store-client", "kv-client")
            .replace("kill store", "kill kv"),
    }
}

#[test]
fn commands_for_the_host_in_the_documentation_work() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    Disk::create(scratch.path().join("disk.img"), SCRATCH, &Images::get()?.programs)?;
    let (mut wrong, mut ran) = (Vec::new(), 0);
    for (page, _, text) in pages()? {
        for command in host_commands(&text).filter(|command| ELSEWHERE.iter().all(|(other, _)| other != command)) {
            let mut shell = Command::new("sh");
            shell.current_dir(workspace::root()).args(["-c", &tried(command, scratch.path())]).stdin(Stdio::null());
            let started = Instant::now();
            let output = shell.output()?;
            println!("{} s: {command}", started.elapsed().as_secs());
            ran += 1;
            let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            if !output.status.success() {
                wrong.push(format!("{page}: {command}\nended with {}\n{}", output.status, told.concat()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {ran} commands do not work:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ran >= 10, "only {ran} commands were found");
    Ok(())
}

#[test]
fn every_command_that_is_said_to_be_run_elsewhere_is_in_the_documentation() -> Result<()> {
    let pages = pages()?;
    for (command, _) in ELSEWHERE {
        let known = pages.iter().any(|(_, _, text)| host_commands(text).any(|shown| shown == command));
        assert!(known, "`{command}` is in no page");
    }
    Ok(())
}

#[test]
fn descriptions_of_systems_in_the_book_are_good_ones() -> Result<()> {
    let binaries = ["console", "block", "fs", "counter", "teller"].map(str::to_owned);
    let page = fs::read_to_string(workspace::root().join("docs/src/system-toml.md"))?;
    let examples = blocks(&page, "toml");
    assert!(!examples.is_empty(), "the page shows no description");
    for example in examples {
        description::parse("docs/src/system-toml.md", example, &binaries)?;
    }
    Ok(())
}

#[test]
fn differences_that_matter_are_seen() {
    assert_eq!(lasting("fs  running 4 1.8 s\n"), lasting("fs running  17  0.21 s"));
    assert_ne!(lasting("fs running 4"), lasting("fs failed 4"));
    assert_ne!(lasting("a\nb"), lasting("a b"));
    assert_eq!(blocks("x\n```console,guest\ntessera:/$ a\nb\n```\ny\n```text\nz\n```\n", "console,guest").len(), 1);
    assert_eq!(commands("tessera:/$ a\nb\ntessera:/$ c\n"), [("a", "b\n"), ("c", "")]);
    assert_eq!(links("[a](b.md) [c](https://d) ```[x](y)``` [e](f.md#g) [h](#i)"), ["b.md", "f.md#g", "#i"]);
    let page = "# A b\n```sh\n# no heading\n```\n## The way of `cat /x`: its_end\n";
    assert_eq!(anchors(page), ["a-b", "the-way-of-cat-x-its_end"]);
    let of = |target| lost("a.md", Path::new("/nowhere"), page, target);
    assert!(of("#a-b").is_none() && of("#no-heading").is_some() && of("../README.md").is_some());
}
