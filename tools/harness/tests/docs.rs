//! What the documentation says a machine does, a machine does.
//!
//! A block ```` ```console,guest ```` in README.md or docs/ is typed into one session, command by command. What the block
//! shows must come, but that a word with a digit in it (a number, an address, a time, a sum) stands for any other, and
//! that columns may be wider. Of a block ```` ```console,guest-run ```` the commands must end with status 0.

use harness::{Result, System, description, workspace};
use std::{fs, path::PathBuf};

const PROMPT: &str = "tessera:/$ ";

/// README.md and the pages of the book, in the order of its summary: name, folder and text.
fn pages() -> Result<Vec<(String, PathBuf, String)>> {
    let (root, book) = (workspace::root(), workspace::root().join("docs/src"));
    let summary = fs::read_to_string(book.join("SUMMARY.md"))?;
    let mut pages = vec![("README.md".to_owned(), root.clone(), fs::read_to_string(root.join("README.md"))?)];
    for name in links(&summary) {
        pages.push((name.clone(), book.clone(), fs::read_to_string(book.join(&name))?));
    }
    Ok(pages)
}

/// Where the links of a page lead, without those to elsewhere.
fn links(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2);
    let targets = prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).map(str::to_owned).collect()
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

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() -> Result<()> {
    let pages = pages()?;
    for (page, folder, text) in &pages {
        let lost: Vec<String> = links(text).into_iter().filter(|target| !folder.join(target).exists()).collect();
        assert!(lost.is_empty(), "{page} links to what is not there: {lost:?}");
    }
    for file in fs::read_dir(workspace::root().join("docs/src"))? {
        let name = file?.file_name().to_string_lossy().into_owned();
        assert!(name == "SUMMARY.md" || pages.iter().any(|(page, ..)| *page == name), "{name} is in no summary");
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
    let page = fs::read_to_string(root.join("docs/src/first-server.md"))?;
    let start = example.find("struct Counter").expect("the example has a state");
    let end = example.find("#[cfg(target_os").filter(|end| *end > start).expect("the example has an entry");
    assert!(page.contains(example[start..end].trim()), "docs/src/first-server.md shows another counter");
    let main = example.rfind("fn start").expect("the example starts somewhere");
    let body = example[main..].split("\n}\n").next().expect("a function has a body");
    assert!(page.contains(body), "docs/src/first-server.md starts its counter in another way");
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
    assert_eq!(links("[a](b.md) [c](https://d) ```[x](y)``` [e](f.md#g)"), ["b.md", "f.md"]);
}
