//! Building: the kernel, the servers and programs, and the boot archive made of them.
//!
//! Cargo says what it built, so a new server or program is found without a list here: binaries of packages under
//! `servers/` go into the boot archive when `system.toml` names them, those under `userland/` go to the disk's `/bin`,
//! but for the hostile ones, which only tests put on their disks or into their systems. A server's package may also hold its client, a program
//! for `/bin`, whose name ends in `-client`. Packages under `examples/` are like those under `servers/`, for systems with
//! a description of their own ([`Images::of_system`]).
//! Files in the images directory are replaced whole, so that two builds at once do not see half of one another.

use crate::{
    archive,
    description::{self, Description},
    elf,
    toolchain::Toolchain,
    workspace::{self, shown},
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    io::{BufRead, BufReader, IsTerminal, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

/// The target of the kernel.
pub const KERNEL_TARGET: &str = "x86_64-unknown-none";
/// The target of servers and programs.
pub const USER_TARGET: &str = ".cargo/x86_64-unknown-tessera-user.json";
/// What builds `core` and `alloc` along.
pub const BUILD_STD: [&str; 3] =
    ["-Zjson-target-spec", "-Zbuild-std=core,alloc,compiler_builtins", "-Zbuild-std-features=compiler-builtins-mem"];
/// The supervisor's binary: always in the boot archive, and its first program.
pub const INIT: &str = "init";

/// How the names of programs end that a server's package holds.
const CLIENT: &str = "-client";
/// The package of programs that attack the system, for tests.
const HOSTILE: &str = "userland/hostile";
/// The packages of servers and programs that the usual system does without.
const EXAMPLES: &str = "examples";

/// What a machine boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The kernel, stripped.
    pub kernel: PathBuf,
    /// The boot archive.
    pub archive: PathBuf,
    /// The programs for a disk's `/bin`, stripped.
    pub programs: Vec<PathBuf>,
}

impl Images {
    /// The images: those in `TESSERA_IMAGES` where that is set, else built now (once in a process).
    pub fn get() -> Result<Images> {
        static BUILT: Mutex<Option<Images>> = Mutex::new(None);
        let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(images) = &*built {
            return Ok(images.clone());
        }
        let images = if std::env::var_os("TESSERA_IMAGES").is_some() {
            Images::find(&workspace::images_dir())?
        } else {
            build()?
        };
        Ok(built.insert(images).clone())
    }

    /// The images of the system that the description in this file is of: another boot archive, and the clients of the
    /// examples beside the other programs. Its services may be hostile.
    pub fn of_system(description: &Path) -> Result<Images> {
        let images = Images::get()?;
        let folder = images.kernel.parent().context("a file has a directory")?.to_owned();
        let (clients, examples) =
            files(&folder.join(EXAMPLES))?.into_iter().partition::<Vec<_>, _>(|file| is_client(&name_of(file)));
        let servers = [files(&folder.join("servers"))?, examples, images.hostile()?].concat();
        let names: Vec<String> = servers.iter().map(|server| name_of(server)).collect();
        let system = usable(description, &names)?;
        let name = workspace::shown(description).replace('/', "-");
        let archive = folder.join("systems").join(name).with_extension("tar");
        replace(&archive, &boot_archive(&system, &servers)?)?;
        let programs = [images.programs, clients].concat();
        Ok(Images { archive, programs, ..images })
    }

    /// The hostile programs, for tests.
    pub fn hostile(&self) -> Result<Vec<PathBuf>> {
        files(&self.kernel.with_file_name("test"))
    }

    /// The images that an earlier build left in `directory`.
    pub fn find(directory: &Path) -> Result<Images> {
        let programs = files(&directory.join("bin"))?;
        let images = Images { kernel: directory.join("kernel"), archive: directory.join("boot.tar"), programs };
        ensure!(images.kernel.exists() && images.archive.exists(), "no images in {}", directory.display());
        Ok(images)
    }
}

/// The files of a folder of images, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no images in {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// A binary that cargo built.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Binary {
    /// The folder of its package, relative to the repository.
    folder: PathBuf,
    name: String,
    file: PathBuf,
}

/// Builds whatever has changed and packs the images.
pub fn build() -> Result<Images> {
    let toolchain = Toolchain::choose()?;
    let kernel = compile(&toolchain, &["--target", KERNEL_TARGET, "--profile", "kernel"], &["kernel".to_owned()])?;
    let user = compile(&toolchain, &["--target", USER_TARGET, "--release"], &user_packages()?)?;
    let directory = workspace::images_dir();
    let Some(kernel) = kernel.iter().find(|binary| binary.name == "kernel") else {
        bail!("the package `kernel` builds no binary named `kernel`: kernel/src/main.rs is missing");
    };
    install(&kernel.file, &directory.join("kernel"))?;
    let under = |folder: &str| user.iter().filter(|binary| binary.folder.starts_with(folder)).collect::<Vec<_>>();
    let (hostile, mut programs): (Vec<&Binary>, Vec<&Binary>) =
        under("userland").into_iter().partition(|binary| binary.folder.starts_with(HOSTILE));
    let (clients, servers): (Vec<&Binary>, Vec<&Binary>) =
        under("servers").into_iter().partition(|binary| is_client(&binary.name));
    programs.extend(clients);
    install_programs(&servers, &directory.join("servers"))?;
    install_programs(&under(EXAMPLES), &directory.join(EXAMPLES))?;
    install_programs(&programs, &directory.join("bin"))?;
    install_programs(&hostile, &directory.join("test"))?;
    let servers = files(&directory.join("servers"))?;
    let names: Vec<String> = servers.iter().map(|server| name_of(server)).collect();
    let system = usable(&workspace::system_toml(), &names)?;
    replace(&directory.join("boot.tar"), &boot_archive(&system, &servers)?)?;
    Images::find(&directory)
}

/// Every package that is built for the user target.
pub fn user_packages() -> Result<Vec<String>> {
    let mut manifests = vec![workspace::root().join("userland/Cargo.toml")];
    for folder in ["servers", "userland", EXAMPLES] {
        manifests.extend(manifests_in(folder)?);
    }
    manifests.iter().map(|manifest| package_name(manifest)).collect()
}

/// The manifests of the packages in a folder of the repository.
fn manifests_in(folder: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(workspace::root().join(folder));
    let entries = entries.with_context(|| format!("cannot read the folder {folder}"))?;
    let mut manifests = entries.map(|entry| Ok(entry?.path().join("Cargo.toml"))).collect::<Result<Vec<_>>>()?;
    manifests.retain(|manifest| manifest.exists());
    manifests.sort();
    Ok(manifests)
}

fn package_name(manifest: &Path) -> Result<String> {
    let text = fs::read_to_string(manifest)?;
    let table: toml::Table = text.parse().with_context(|| format!("cannot read {}", workspace::shown(manifest)))?;
    let name = table.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str());
    Ok(name.with_context(|| format!("{} has no package.name", workspace::shown(manifest)))?.to_owned())
}

/// Checks `system.toml` against what the servers build, without building anything.
pub fn check_description() -> Result<manifest::System> {
    flawless(&workspace::system_toml(), &package_names(&["servers"])?)
}

/// The same for the description of another system.
pub fn check_description_of(description: &Path) -> Result<manifest::System> {
    flawless(description, &package_names(&["servers", EXAMPLES])?)
}

fn package_names(folders: &[&str]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in folders {
        for manifest in manifests_in(folder)? {
            names.push(package_name(&manifest)?);
        }
    }
    names.sort();
    Ok(names)
}

fn describe(path: &Path, binaries: &[String]) -> Result<Description> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", shown(path)))?;
    Ok(description::parse(&shown(path), &text, binaries)?)
}

/// A description to build from. What in it is of no use is said.
fn usable(path: &Path, binaries: &[String]) -> Result<manifest::System> {
    let Description { system, warnings } = describe(path, binaries)?;
    if !warnings.problems.is_empty() {
        eprintln!("{warnings}");
    }
    Ok(system)
}

/// A description in which nothing is of no use.
fn flawless(path: &Path, binaries: &[String]) -> Result<manifest::System> {
    let Description { system, warnings } = describe(path, binaries)?;
    ensure!(warnings.problems.is_empty(), "{} is sound, but for\n{warnings}", shown(path));
    Ok(system)
}

/// The archive: the packed description, init, and every binary that a service runs.
fn boot_archive(system: &manifest::System, servers: &[PathBuf]) -> Result<Vec<u8>> {
    let mut wanted = vec![INIT];
    wanted.extend(system.services.iter().map(|service| service.binary.as_str()));
    let mut members = vec![(manifest::MEMBER.to_owned(), system.pack())];
    for name in wanted {
        if members.iter().any(|(packed, _)| packed == name) {
            continue;
        }
        let server = servers.iter().find(|server| name_of(server) == name);
        let server = server.with_context(|| format!("no package under servers/ builds a binary named `{name}`"))?;
        members.push((name.to_owned(), fs::read(server)?));
    }
    archive::pack(&members)
}

fn is_client(name: &str) -> bool {
    name.ends_with(CLIENT)
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn install_programs(programs: &[&Binary], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    for program in programs {
        install(&program.file, &directory.join(&program.name))?;
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !programs.iter().any(|program| entry.file_name() == program.name.as_str()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn stripped(file: &Path) -> Result<Vec<u8>> {
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    elf::strip(&content).with_context(|| format!("cannot strip {}", file.display()))
}

fn install(from: &Path, to: &Path) -> Result<()> {
    replace(to, &stripped(from)?)
}

/// Writes a file whole, unless it is already so.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let directory = path.parent().context("a file has a directory")?;
    fs::create_dir_all(directory)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(workspace::target_dir())?;
    file.write_all(content)?;
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// One cargo call for one bare target.
fn compile(toolchain: &Toolchain, target: &[&str], packages: &[String]) -> Result<Vec<Binary>> {
    let mut cargo = toolchain.cargo();
    cargo.current_dir(workspace::root()).arg("build").args(BUILD_STD).args(target);
    cargo.args(packages.iter().flat_map(|package| ["--package", package]));
    Ok(run_cargo(&mut cargo)?.iter().filter_map(binary).collect())
}

/// Runs cargo and returns its messages. Its diagnostics and progress are passed on, its last word when there was
/// nothing to do is not.
pub fn run_cargo(cargo: &mut Command) -> Result<Vec<serde_json::Value>> {
    let color = if std::io::stderr().is_terminal() { "always" } else { "never" };
    cargo.args(["--message-format", "json-render-diagnostics"]).env("CARGO_TERM_COLOR", color);
    cargo.stdin(Stdio::null()).stdout(Stdio::piped());
    // At a terminal cargo shows how far it is.
    let terminal = std::io::stderr().is_terminal();
    cargo.stderr(if terminal { Stdio::inherit() } else { Stdio::piped() });
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let passer = child.stderr.take().map(|stderr| std::thread::spawn(move || pass_on(stderr)));
    let stdout = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
    let messages =
        stdout.lines().map_while(|line| line.ok()).filter_map(|line| serde_json::from_str(&line).ok()).collect();
    let status = child.wait()?;
    passer.map(|passer| passer.join());
    ensure!(status.success(), "cargo could not build this; what is wrong is said above");
    Ok(messages)
}

fn pass_on(stderr: impl std::io::Read) {
    let mut worked = false;
    for line in BufReader::new(stderr).split(b'\n').map_while(|line| line.ok()) {
        let text = String::from_utf8_lossy(&line);
        let last_word = text.contains("Finished") && text.contains("profile");
        worked |= text.contains("Compiling ");
        if worked || !last_word {
            eprintln!("{text}");
        }
    }
}

fn binary(message: &serde_json::Value) -> Option<Binary> {
    let target = message.get("target")?;
    let is_binary = target.get("kind")?.as_array()?.iter().any(|kind| kind == "bin");
    let file = PathBuf::from(message.get("executable")?.as_str()?);
    let folder = Path::new(message.get("manifest_path")?.as_str()?).parent()?;
    let folder = folder.strip_prefix(workspace::root()).ok()?.to_owned();
    is_binary.then(|| Binary {
        folder,
        name: target.get("name").and_then(|name| name.as_str()).unwrap_or_default().to_owned(),
        file,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_message_about_a_binary_is_understood() {
        let manifest = workspace::root().join("servers/init/Cargo.toml");
        let message = serde_json::json!({"reason": "compiler-artifact", "manifest_path": manifest,
            "target": {"kind": ["bin"], "name": "init"}, "executable": "/t/init"});
        let expected = Binary { folder: "servers/init".into(), name: "init".into(), file: "/t/init".into() };
        assert_eq!(binary(&message), Some(expected));
        assert_eq!(binary(&serde_json::json!({"reason": "build-finished"})), None);
    }

    #[test]
    fn every_server_and_program_is_found_without_a_list() {
        let packages = user_packages().expect("the folders can be read");
        assert!(
            ["init", "console", "sh", "userland"].iter().all(|name| packages.iter().any(|package| package == name))
        );
    }

    #[test]
    fn the_description_of_the_examples_is_sound() {
        let system = check_description_of(&workspace::examples_toml()).unwrap_or_else(|error| panic!("{error}"));
        let names: Vec<&str> = system.services.iter().map(|service| service.name.as_str()).collect();
        assert!(["console", "kv", "ramdisk", "flaky"].iter().all(|name| names.contains(name)), "{names:?}");
    }

    #[test]
    fn the_systems_own_description_is_sound() {
        let system = check_description().unwrap_or_else(|error| panic!("{error}"));
        let names: Vec<&str> = system.services.iter().map(|service| service.name.as_str()).collect();
        assert!(["console", "block", "fs", "pipe"].iter().all(|name| names.contains(name)), "{names:?}");
    }
}
