//! `cargo xtask new-server`: the beginning of a server, with everything that belongs to one.
//!
//! 1. Nothing is written before everything has been checked; a name that is refused changes nothing.
//! 2. `--undo` takes back what was made, and only that: a file that was changed since is an error, not lost.
//! 3. The template is a server named `nameless`, one of the examples: it is built, checked and killed as they are.

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use harness::workspace;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};
use toml_edit::{DocumentMut, Value};

/// Makes a server that passes its tests: crate, protocol, entry in servers/system.toml, client program, a test on the
/// host that kills it at each of its system calls, and a test in QEMU that kills it in mid-call.
#[derive(Args)]
#[command(after_help = "The server is in servers/NAME. Try it: cargo test -p NAME, then ./scripts/test.sh NAME, then \
    ./scripts/run.sh --exec 'NAME-client 1 2 3'.")]
pub struct Options {
    /// Lower-case letters and digits, a letter first
    name: String,
    /// Take back what was made under this name
    #[arg(long)]
    undo: bool,
    /// With --undo: also files that were changed since
    #[arg(long, requires = "undo")]
    force: bool,
}

/// The template's name.
const NAMELESS: &str = "nameless";
/// The number of its protocol.
const NUMBER: u16 = 65000;
/// The first number of a protocol that is free for everybody.
const FIRST_NUMBER: u16 = 1024;
const LONGEST: usize = 16;
/// Where `system.toml` is in the repository.
const SYSTEM: &str = "servers/system.toml";
/// The description of the examples, with the entry that is appended to it.
const EXAMPLES: &str = include_str!("../../../examples/system.toml");
/// What the template's test in QEMU says of the system that it boots, and a new server's test does not.
const OTHER_SYSTEM: &str = ".system(\"examples/system.toml\")";

/// Every other file: where it goes, and its template.
const FILES: [(&str, &str); 6] = [
    ("servers/nameless/Cargo.toml", include_str!("../../../examples/nameless/Cargo.toml")),
    ("servers/nameless/src/lib.rs", include_str!("../../../examples/nameless/src/lib.rs")),
    ("servers/nameless/src/main.rs", include_str!("../../../examples/nameless/src/main.rs")),
    ("servers/nameless/src/tests.rs", include_str!("../../../examples/nameless/src/tests.rs")),
    (
        "servers/nameless/src/bin/nameless-client.rs",
        include_str!("../../../examples/nameless/src/bin/nameless-client.rs"),
    ),
    ("tools/harness/tests/nameless.rs", include_str!("../../harness/tests/nameless.rs")),
];

/// Words of Rust, and crates that every program has.
const RESERVED: [&str; 52] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue", "core", "crate", "do",
    "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "std", "struct",
    "super", "test", "trait", "true", "try", "type", "unsafe", "use", "where", "while", "yield",
];

impl Options {
    /// Makes or takes back.
    pub fn run(&self) -> Result<ExitCode> {
        let tree = Tree { root: workspace::root() };
        let touched = if self.undo { tree.undo(&self.name, self.force)? } else { tree.make(&self.name)? };
        for path in touched {
            println!("{} {}", if self.undo { "undone" } else { "made  " }, path.display());
        }
        if !self.undo {
            let name = &self.name;
            println!("\nNow: cargo test -p {name}\n     ./scripts/test.sh {name}");
            println!("     ./scripts/run.sh --exec '{name}-client 1 2 3; svc kill {name}; {name}-client 4'");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A copy of the repository.
struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Makes the server; what was made or changed.
    fn make(&self, name: &str) -> Result<Vec<PathBuf>> {
        well_formed(name)?;
        self.vacant(name)?;
        let number = self.free_number()?;
        let system = self.read(SYSTEM)?;
        let described = with_service(&system, name, number)?;
        let mut made = Vec::new();
        for (path, content) in files(name, number) {
            let file = self.root.join(&path);
            fs::create_dir_all(file.parent().context("a file has a folder")?)?;
            fs::write(&file, content).with_context(|| format!("cannot write {}", path.display()))?;
            made.push(path);
        }
        self.write(SYSTEM, &described)?;
        made.push(SYSTEM.into());
        Ok(made)
    }

    /// Takes it back; what was removed or changed.
    fn undo(&self, name: &str, force: bool) -> Result<Vec<PathBuf>> {
        well_formed(name)?;
        let folder = self.root.join("servers").join(name);
        ensure!(folder.is_dir(), "there is no server named `{name}`: there is no folder servers/{name}");
        ensure!(
            !self.is_committed(&folder),
            "servers/{name} is under version control already: take it back with git, and its entry out of {SYSTEM}"
        );
        let library = fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
        let number = protocol_numbers(&library).next().unwrap_or(NUMBER);
        let changed = self.changed(name, number)?;
        ensure!(
            force || changed.is_empty(),
            "changed since they were made: {}\n--force removes them all the same",
            changed.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        );
        let described = without_service(&self.read(SYSTEM)?, name, number)?;
        let test = PathBuf::from(format!("tools/harness/tests/{name}.rs"));
        self.write(SYSTEM, &described)?;
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove servers/{name}"))?;
        match fs::remove_file(self.root.join(&test)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", test.display()));
            }
            _ => {}
        }
        self.tidy_lock(name)?;
        Ok(vec![PathBuf::from(format!("servers/{name}")), test, SYSTEM.into()])
    }

    /// Whether git knows a file in this folder. Where there is no git, nobody has committed anything.
    fn is_committed(&self, folder: &Path) -> bool {
        let mut git = Command::new("git");
        git.current_dir(&self.root).args(["ls-files", "--"]).arg(folder).stderr(Stdio::null());
        git.output().is_ok_and(|output| !output.stdout.is_empty())
    }

    /// The files in the server's folder, and its test, that are not as they were made.
    fn changed(&self, name: &str, number: u16) -> Result<Vec<PathBuf>> {
        let made = files(name, number);
        let mut found = Vec::new();
        let mut folders = vec![self.root.join("servers").join(name)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
            }
        }
        found.push(self.root.join(format!("tools/harness/tests/{name}.rs")));
        let is_changed = |file: &PathBuf| {
            let path = file.strip_prefix(&self.root).unwrap_or(file);
            let original = made.iter().find(|(made, _)| made == path);
            file.exists() && original.is_none_or(|(_, content)| fs::read_to_string(file).ok().as_ref() != Some(content))
        };
        let mut changed: Vec<PathBuf> = found.into_iter().filter(is_changed).collect();
        changed.iter_mut().for_each(|file| *file = file.strip_prefix(&self.root).unwrap_or(file).to_owned());
        changed.sort();
        Ok(changed)
    }

    /// An error where something has this name already.
    fn vacant(&self, name: &str) -> Result<()> {
        let places = [
            (format!("servers/{name}"), "a server"),
            (format!("examples/{name}"), "an example"),
            (format!("userland/src/bin/{name}.rs"), "a program"),
            (format!("userland/{name}"), "a program"),
            (format!("tools/harness/tests/{name}.rs"), "a test"),
        ];
        if let Some((path, what)) = places.iter().find(|(path, _)| self.root.join(path).exists()) {
            bail!("there is {what} named `{name}` already: {path}");
        }
        let system: DocumentMut = self.read(SYSTEM)?.parse().with_context(|| format!("cannot read {SYSTEM}"))?;
        let taken = system.get("service").and_then(|services| services.get(name)).is_some();
        ensure!(!taken, "{SYSTEM} describes a service named `{name}` already");
        // Also the packages that ours depend on: cargo would not know which one `-p NAME` means.
        let locked = self.read("Cargo.lock")?;
        let taken = locked.lines().any(|line| line == format!("name = \"{name}\""));
        ensure!(!taken, "there is a package named `{name}` already, see Cargo.lock; choose another name");
        Ok(())
    }

    /// A protocol's number that nobody has.
    fn free_number(&self) -> Result<u16> {
        let mut taken = Vec::new();
        for folder in ["libipc", "servers", "examples"] {
            sources(&self.root.join(folder), &mut |text| taken.extend(protocol_numbers(text)))?;
        }
        (FIRST_NUMBER..NUMBER).find(|number| !taken.contains(number)).context("every protocol number is taken")
    }

    /// Takes the package out of Cargo.lock, where cargo has put it when it built the server.
    fn tidy_lock(&self, name: &str) -> Result<()> {
        let locked = self.read("Cargo.lock")?;
        let own = format!("[[package]]\nname = \"{name}\"\n");
        let others: Vec<&str> = locked.split("\n\n").filter(|package| !package.starts_with(&own)).collect();
        self.write("Cargo.lock", &others.join("\n\n"))
    }

    fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.root.join(path)).with_context(|| format!("cannot read {path}"))
    }

    fn write(&self, path: &str, content: &str) -> Result<()> {
        fs::write(self.root.join(path), content).with_context(|| format!("cannot write {path}"))
    }
}

/// An error where no server may have this name.
fn well_formed(name: &str) -> Result<()> {
    let rule = format!(
        "a server's name has 1 to {LONGEST} lower-case letters and digits, a letter first, such as `ledger` or `clock2`"
    );
    let is_formed = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        && name.len() <= LONGEST;
    ensure!(is_formed, "`{name}` cannot name a server: {rule}");
    ensure!(!RESERVED.contains(&name), "`{name}` cannot name a server: it means something to Rust");
    Ok(())
}

/// A template for another name and number.
fn fill(template: &str, name: &str, number: u16) -> String {
    let (first, rest) = name.split_at(1);
    let capital = first.to_uppercase() + rest;
    let text = template.replace(OTHER_SYSTEM, "").replace(NAMELESS, name).replace("Nameless", &capital);
    text.replace(&NUMBER.to_string(), &number.to_string())
}

fn files(name: &str, number: u16) -> Vec<(PathBuf, String)> {
    FILES.iter().map(|(path, text)| (fill(path, name, number).into(), fill(text, name, number))).collect()
}

/// The service's entry in the description.
fn entry(name: &str, number: u16) -> String {
    let header = format!("[service.{NAMELESS}]");
    let from = EXAMPLES.find(&header).unwrap_or(EXAMPLES.len());
    let entry = EXAMPLES[from..].split("\n\n").next().unwrap_or_default().trim_end();
    // What follows the header on its line says what the template is for.
    let keys = entry.split_once('\n').map_or("", |(_, keys)| keys);
    fill(&format!("\n{header}\n{keys}\n"), name, number)
}

/// The description with the service, which programs may use.
fn with_service(system: &str, name: &str, number: u16) -> Result<String> {
    let mut document: DocumentMut = system.parse().with_context(|| format!("cannot read {SYSTEM}"))?;
    uses(&mut document)?.push(name);
    Ok(document.to_string() + &entry(name, number))
}

/// The description without it.
fn without_service(system: &str, name: &str, number: u16) -> Result<String> {
    let mut document: DocumentMut =
        system.replace(&entry(name, number), "").parse().with_context(|| format!("cannot read {SYSTEM}"))?;
    uses(&mut document)?.retain(|used| used.as_str() != Some(name));
    // Where the entry was changed, it is no longer the text that was appended.
    if let Some(services) = document.get_mut("service").and_then(|services| services.as_table_like_mut()) {
        services.remove(name);
    }
    Ok(document.to_string())
}

/// What programs may use.
fn uses(document: &mut DocumentMut) -> Result<&mut toml_edit::Array> {
    let programs = document.get_mut("programs").and_then(|programs| programs.as_table_like_mut());
    let programs = programs.with_context(|| format!("{SYSTEM} has no table [programs]"))?;
    let uses = programs.entry("uses").or_insert(Value::Array(toml_edit::Array::new()).into());
    uses.as_array_mut().with_context(|| format!("`uses` of [programs] in {SYSTEM} is no list"))
}

/// The numbers in the protocol definitions of a source.
fn protocol_numbers(text: &str) -> impl Iterator<Item = u16> {
    let definitions =
        text.split("protocol ").skip(1).filter_map(|rest| rest.split_once(" version ").map(|(head, _)| head));
    definitions.filter_map(|head| head.split_once('=')?.1.trim().parse().ok())
}

/// Hands every Rust source below a folder to `each`.
fn sources(folder: &Path, each: &mut impl FnMut(&str)) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, each)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "new_server_tests.rs"]
mod tests;
