//! Disk images: ext4 in a plain file, made and handled by e2fsprogs, without root rights.
//!
//! 1. An image whose journal holds unfinished work is replayed before anything is written to
//!    it, and read and checked on a replayed copy; both are said in [`Disk::notes`].
//! 2. An image that a running machine has open is never touched.
//! 3. A `put` that does not fit is refused before anything is lost.

use anyhow::{Context, Result, anyhow, bail, ensure};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the images are made with. The features are spelled out, so that an image does not depend on the host's
/// `mke2fs.conf`; the filesystem server knows each of them.
pub const MKE2FS_OPTIONS: &[&str] =
    &["-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-L", "tessera", "-O", FEATURES];
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
    large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// The smallest image that has room for a journal.
pub const SMALLEST: u64 = 8 << 20;
/// The directories of a new image, with their modes.
const DIRECTORIES: [(&str, &str); 4] = [("/bin", "0755"), ("/etc", "0755"), ("/home", "0755"), ("/tmp", "0777")];

const BLOCK: u64 = 4096;

/// A disk image. Made by [`Disk::scratch`] it is removed when dropped.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    notes: RefCell<Vec<String>>,
    _temporary: Option<tempfile::TempDir>,
}

/// A name in a directory of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name without its directory.
    pub name: String,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Bytes in the file; 0 for others.
    pub size: u64,
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File(u64),
    Directory,
    Other,
}

impl Disk {
    /// An image that exists.
    pub fn open(path: impl Into<PathBuf>) -> Result<Disk> {
        let disk = Disk::unchecked(path);
        disk.superblock()?;
        Ok(disk)
    }

    /// A file that may be an image or not; for [`Disk::check`].
    pub fn unchecked(path: impl Into<PathBuf>) -> Disk {
        Disk { path: path.into(), notes: RefCell::default(), _temporary: None }
    }

    /// Makes an image of `bytes` with `programs` in `/bin`. A file already at `path` is an error.
    pub fn create(path: impl Into<PathBuf>, bytes: u64, programs: &[PathBuf]) -> Result<Disk> {
        let path = path.into();
        ensure!(bytes >= SMALLEST, "an image needs at least {} MiB, for its journal", SMALLEST >> 20);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make the directory {}", parent.display()))?;
        }
        ensure!(!path.exists(), "{} exists already; --force replaces it", path.display());
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.with_context(|| format!("cannot create the image {}", path.display()))?;
        let made = fill(&path, file, bytes, programs);
        if made.is_err() {
            let _ = fs::remove_file(&path);
        }
        made
    }

    /// A fresh image for one test, with the userland in `/bin`; gone when dropped.
    pub fn scratch(bytes: u64) -> Result<Disk> {
        Disk::scratch_with(bytes, &[])
    }

    /// The same with further programs beside.
    pub fn scratch_with(bytes: u64, further: &[PathBuf]) -> Result<Disk> {
        let mut programs = crate::build::Images::get()?.programs;
        programs.extend_from_slice(further);
        Disk::scratch_of(bytes, &programs)
    }

    /// The same with these programs and no others.
    pub fn scratch_of(bytes: u64, programs: &[PathBuf]) -> Result<Disk> {
        let directory = tempfile::Builder::new().prefix("tessera-disk-").tempdir()?;
        let path = directory.path().join("disk.img");
        let disk = Disk::create(path, bytes, programs)?;
        Ok(Disk { _temporary: Some(directory), ..disk })
    }

    /// The image file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What had to be done to the journal so far, for people to read.
    pub fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    /// Copies a file of the host to `guest`: into it where it is a directory, over it where it is a file.
    pub fn put(&self, host: &Path, guest: &str) -> Result<()> {
        let size = fs::metadata(host).with_context(|| format!("cannot read {}", host.display()))?;
        ensure!(size.is_file(), "{} is not a regular file", host.display());
        File::open(host).with_context(|| format!("cannot read {}", host.display()))?;
        self.ready_for_writing()?;
        let guest = self.destination(host, guest)?;
        let old = match self.kind(&guest)? {
            None => 0,
            Some(Kind::File(old)) => old,
            Some(_) => bail!("{guest}: is not a regular file on {}", self.shown()),
        };
        self.needs_room(&guest, size.len(), old)?;
        let (directory, name) = split(&guest)?;
        let mut commands = Vec::new();
        if self.kind(&guest)?.is_some() {
            commands.push(command(&["rm", &guest])?);
        }
        commands.push(command(&["cd", directory])?);
        commands.push(command_os(&[OsStr::new("write"), host.as_os_str(), OsStr::new(name)])?);
        let written = self.debugfs(true, &commands).and_then(|_| match self.kind(&guest)? {
            Some(Kind::File(now)) if now == size.len() => Ok(()),
            _ => bail!("the file did not arrive whole"),
        });
        if written.is_err() {
            let _ = self.debugfs(true, &[command(&["rm", &guest])?]);
        }
        written.with_context(|| format!("cannot put {guest} on {}", self.shown()))
    }

    /// Copies `guest` to a file of the host, into it where it is a directory.
    pub fn get(&self, guest: &str, host: &Path) -> Result<()> {
        let image = self.readable()?;
        let guest = absolute(guest)?;
        let size = match image.kind(&guest)? {
            None => bail!("{guest}: no such file on {}", self.shown()),
            Some(Kind::Directory) => bail!("{guest}: is a directory"),
            Some(Kind::Other) => bail!("{guest}: is not a regular file"),
            Some(Kind::File(size)) => size,
        };
        let host = if host.is_dir() { host.join(split(&guest)?.1) } else { host.to_owned() };
        File::create(&host).with_context(|| format!("cannot write {}", host.display()))?;
        let dump = command_os(&[OsStr::new("dump"), OsStr::new(&guest), host.as_os_str()])?;
        image.debugfs(false, &[dump])?;
        let copied = fs::metadata(&host)?.len();
        ensure!(copied == size, "{guest}: only {copied} of {size} bytes could be copied to {}", host.display());
        Ok(())
    }

    /// The content of a file.
    pub fn read(&self, guest: &str) -> Result<Vec<u8>> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("content");
        self.get(guest, &file)?;
        Ok(fs::read(file)?)
    }

    /// Makes or replaces a file with this content.
    pub fn write(&self, guest: &str, content: &[u8]) -> Result<()> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("content");
        fs::write(&file, content)?;
        self.put(&file, guest)
    }

    /// The names in a directory, sorted; a file is listed alone.
    pub fn list(&self, guest: &str) -> Result<Vec<Entry>> {
        let image = self.readable()?;
        let guest = absolute(guest)?;
        match image.kind(&guest)? {
            None => bail!("{guest}: no such file or directory on {}", self.shown()),
            Some(Kind::Directory) => image.entries(&guest),
            Some(_) => {
                let (directory, name) = split(&guest)?;
                Ok(image.entries(directory)?.into_iter().filter(|entry| entry.name == name).collect())
            }
        }
    }

    /// Removes a file or an empty directory, or with `recursive` a whole tree.
    pub fn remove(&self, guest: &str, recursive: bool) -> Result<()> {
        self.ready_for_writing()?;
        let guest = absolute(guest)?;
        ensure!(guest != "/", "/: the root directory cannot be removed");
        let kind = self.kind(&guest)?;
        let mut commands = Vec::new();
        match kind {
            None => bail!("{guest}: no such file or directory on {}", self.shown()),
            Some(Kind::Directory) => self.remove_tree(&guest, recursive, &mut commands)?,
            Some(_) => commands.push(command(&["rm", &guest])?),
        }
        self.debugfs(true, &commands)?;
        ensure!(self.kind(&guest)?.is_none(), "{guest}: could not be removed");
        Ok(())
    }

    fn remove_tree(&self, directory: &str, recursive: bool, commands: &mut Vec<Vec<u8>>) -> Result<()> {
        for entry in self.entries(directory)? {
            ensure!(recursive, "{directory}: directory not empty");
            let path = format!("{directory}/{}", entry.name);
            match entry.is_dir() {
                true => self.remove_tree(&path, recursive, commands)?,
                false => commands.push(command(&["rm", &path])?),
            }
        }
        commands.push(command(&["rmdir", directory])?);
        Ok(())
    }

    /// Everything that is wrong with the image, one complaint a line; empty when it is sound.
    pub fn check(&self) -> Result<Vec<String>> {
        if let Err(error) = self.superblock() {
            ensure!(self.path.exists(), "{error:#}");
            return Ok(vec![format!("{error:#}")]);
        }
        let image = self.readable()?;
        let output = tool("e2fsck").args(["-fn"]).arg(&image.path).stdin(Stdio::null()).output()?;
        match output.status.code() {
            Some(0) => Ok(Vec::new()),
            Some(code) if code & !15 == 0 => Ok(complaints(&[output.stdout, output.stderr].concat())),
            _ => bail!("e2fsck could not check {}: {}", self.shown(), text(&output.stderr).trim()),
        }
    }

    /// An error that shows everything wrong with the image, if anything is.
    pub fn assert_sound(&self) -> Result<()> {
        let found = self.check()?;
        ensure!(found.is_empty(), "{} is damaged:\n  {}", self.shown(), found.join("\n  "));
        Ok(())
    }

    /// Brings `/bin` up to date with `programs`; nothing else on the image is touched. `stamp` remembers what is there.
    pub fn refresh(&self, programs: &[PathBuf], stamp: &Path) -> Result<()> {
        let current = fingerprints(programs)?;
        let remembered = fs::read_to_string(stamp).unwrap_or_default();
        let known: Fingerprints = remembered.lines().filter_map(|line| line.split_once(' ')).map(owned).collect();
        if current == known {
            return Ok(());
        }
        self.ready_for_writing()?;
        if self.kind("/bin")?.is_none() {
            self.debugfs(true, &[command(&["mkdir", "/bin"])?])?;
        }
        for gone in known.keys().filter(|name| !current.contains_key(*name)) {
            if self.kind(&format!("/bin/{gone}"))?.is_some() {
                self.remove(&format!("/bin/{gone}"), false)?;
            }
        }
        for program in programs {
            let name = name_of(program);
            if known.get(&name) != current.get(&name) {
                self.put(program, &format!("/bin/{name}"))?;
                self.debugfs(true, &[command(&["sif", &format!("/bin/{name}"), "mode", "0100755"])?])?;
            }
        }
        remember(programs, stamp)
    }

    /// Where a `put` to `guest` lands; its directory exists.
    fn destination(&self, host: &Path, guest: &str) -> Result<String> {
        let into = guest.ends_with('/');
        let mut guest = absolute(guest)?;
        match self.kind(&guest)? {
            Some(Kind::Directory) => guest = format!("{}/{}", guest.trim_end_matches('/'), name_of(host)),
            _ if into => bail!("{guest}: no such directory on {}", self.shown()),
            _ => {}
        }
        let (directory, name) = split(&guest)?;
        ensure!(name.len() <= 255, "{name}: a name has at most 255 bytes");
        match self.kind(directory)? {
            Some(Kind::Directory) => Ok(guest),
            Some(_) => bail!("{directory}: is not a directory on {}", self.shown()),
            None => bail!("{directory}: no such directory on {}", self.shown()),
        }
    }

    fn needs_room(&self, guest: &str, size: u64, old: u64) -> Result<()> {
        let free = self.superblock()?.free_blocks + old.div_ceil(BLOCK);
        // A few blocks for the directory and for extents of a scattered file.
        let needed = size.div_ceil(BLOCK) + 2 + size / (64 << 20);
        let kib = BLOCK / 1024;
        ensure!(needed <= free, "{guest}: needs {} KiB and {} has {} KiB free", needed * kib, self.shown(), free * kib);
        Ok(())
    }

    fn kind(&self, guest: &str) -> Result<Option<Kind>> {
        let output = self.debugfs_raw(false, &[command(&["stat", guest])?])?;
        if output.1.iter().any(|line| line.contains("not found") || line.contains("is not a directory")) {
            return Ok(None);
        }
        fail_on(&output.1)?;
        let stat = text(&output.0);
        let after = |key: &str| Some(stat.split_once(key)?.1.split_whitespace().next()?.to_owned());
        Ok(Some(match after("Type: ").as_deref() {
            Some("regular") => {
                Kind::File(after("Size: ").and_then(|size| size.parse().ok()).context("debugfs gave no size")?)
            }
            Some("directory") => Kind::Directory,
            _ => Kind::Other,
        }))
    }

    fn entries(&self, directory: &str) -> Result<Vec<Entry>> {
        let listing = self.debugfs(false, &[command(&["ls", "-p", directory])?])?;
        let mut entries: Vec<Entry> = text(&listing).lines().filter_map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Runs debugfs commands; whatever it complains of is an error.
    fn debugfs(&self, write: bool, commands: &[Vec<u8>]) -> Result<Vec<u8>> {
        let (stdout, complaints) = self.debugfs_raw(write, commands)?;
        fail_on(&complaints)?;
        Ok(stdout)
    }

    fn debugfs_raw(&self, write: bool, commands: &[Vec<u8>]) -> Result<(Vec<u8>, Vec<String>)> {
        let mut debugfs = tool("debugfs");
        if write {
            debugfs.arg("-w");
        }
        debugfs.args(["-f", "-"]).arg(&self.path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = debugfs.spawn().map_err(missing_tool)?;
        let mut stdin = child.stdin.take().context("a pipe was asked for")?;
        let script = [commands.join(&b'\n'), b"\n".to_vec()].concat();
        let feeder = std::thread::spawn(move || stdin.write_all(&script));
        let output = child.wait_with_output()?;
        let _ = feeder.join();
        let said = text(&output.stderr);
        let complaints = said.lines().filter(|line| !line.starts_with("debugfs 1.")).map(str::to_owned).collect();
        Ok((output.stdout, complaints))
    }

    /// This image, or a copy with its journal replayed.
    pub(crate) fn readable(&self) -> Result<Disk> {
        self.not_in_use()?;
        let same = Disk::unchecked(&self.path);
        if !self.superblock()?.needs_recovery {
            return Ok(same);
        }
        let directory = tempfile::tempdir()?;
        let copy = Disk { path: directory.path().join("copy.img"), _temporary: Some(directory), ..same };
        copy_sparse(&self.path, &copy.path)?;
        copy.replay()?;
        self.note("the journal holds unfinished work; this is the state after its replay, seen on a copy");
        Ok(copy)
    }

    fn ready_for_writing(&self) -> Result<()> {
        self.not_in_use()?;
        if self.superblock()?.needs_recovery {
            self.replay()?;
            self.note("the journal held unfinished work; it has been replayed");
        }
        Ok(())
    }

    fn replay(&self) -> Result<()> {
        let output =
            tool("e2fsck").args(["-y", "-E", "journal_only"]).arg(&self.path).output().map_err(missing_tool)?;
        let said = [output.stdout, output.stderr].concat();
        let replayed = output.status.code().is_some_and(|code| code & !3 == 0) && !self.superblock()?.needs_recovery;
        ensure!(replayed, "the journal of {} cannot be replayed: {}", self.shown(), text(&said).trim());
        Ok(())
    }

    /// QEMU locks the images that it has open.
    fn not_in_use(&self) -> Result<()> {
        use rustix::fs::{FlockOperation, fcntl_lock};
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&self.path) else { return Ok(()) };
        let locked = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
        ensure!(locked.is_ok(), "{} is in use by a running machine; power it off first", self.shown());
        Ok(())
    }

    fn superblock(&self) -> Result<Superblock> {
        let mut file =
            File::open(&self.path).with_context(|| format!("cannot open the image {}", self.path.display()))?;
        let mut bytes = [0; 1024];
        file.seek(SeekFrom::Start(1024))?;
        let read = file.read_exact(&mut bytes);
        ensure!(read.is_ok() && bytes[0x38..0x3a] == [0x53, 0xef], "{} is not an ext4 image", self.path.display());
        Ok(Superblock {
            needs_recovery: bytes[0x60] & 4 != 0,
            free_blocks: u64::from(u32::from_le_bytes([bytes[0xc], bytes[0xd], bytes[0xe], bytes[0xf]])),
        })
    }

    fn note(&self, text: &str) {
        self.notes.borrow_mut().push(format!("{}: {text}", self.shown()));
    }

    fn shown(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }
}

struct Superblock {
    needs_recovery: bool,
    free_blocks: u64,
}

/// Turns an empty file into an image.
fn fill(path: &Path, file: File, bytes: u64, programs: &[PathBuf]) -> Result<Disk> {
    file.set_len(bytes / BLOCK * BLOCK).context("cannot give the image its size")?;
    drop(file);
    let owner = "root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0";
    let output =
        tool("mke2fs").args(MKE2FS_OPTIONS).args(["-q", "-F", "-E", owner]).arg(path).output().map_err(missing_tool)?;
    ensure!(output.status.success(), "mke2fs failed: {}", text(&output.stderr).trim());
    let disk = Disk::open(path)?;
    let total: u64 = programs.iter().map(|program| fs::metadata(program).map_or(0, |data| data.len())).sum();
    disk.needs_room("/bin", total, 0)?;
    let mut commands = Vec::new();
    for (directory, mode) in DIRECTORIES {
        commands.push(command(&["mkdir", directory])?);
        commands.push(command(&["sif", directory, "mode", &format!("04{mode}")])?);
    }
    commands.push(command(&["cd", "/bin"])?);
    for program in programs {
        let name = name_of(program);
        commands.push(command_os(&[OsStr::new("write"), program.as_os_str(), OsStr::new(&name)])?);
        commands.push(command(&["sif", &name, "mode", "0100755"])?);
    }
    disk.debugfs(true, &commands)?;
    Ok(disk)
}

/// One line of debugfs' `ls -p`: `/inode/mode/uid/gid/name/size/`.
fn entry(line: &str) -> Option<Entry> {
    let mut fields = line.strip_prefix('/')?.split('/');
    let inode = fields.next()?;
    let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
    let name = fields.nth(2)?;
    let size = fields.next()?.parse().unwrap_or(0);
    (inode != "0" && name != "." && name != "..").then(|| Entry { name: name.to_owned(), mode, size })
}

/// What e2fsck found, without its progress lines and its unanswered questions.
fn complaints(stdout: &[u8]) -> Vec<String> {
    const CHATTER: [&str; 4] = ["Pass ", "e2fsck 1.", "e2fsck: Cannot proceed", "*** "];
    let chatter = |line: &&str| {
        !(line.trim().is_empty() || line.contains(" files (") || CHATTER.iter().any(|known| line.starts_with(known)))
    };
    let mut found: Vec<String> = Vec::new();
    for line in text(stdout).lines().filter(chatter) {
        let line = line
            .strip_suffix("? no")
            .map_or(line.trim_start_matches("/usr/sbin/"), |rest| rest.rsplit_once("  ").map_or("", |(said, _)| said))
            .trim();
        if !line.is_empty() && !line.contains("WARNING: Filesystem still has errors") {
            found.push(line.to_owned());
        }
    }
    found
}

/// A debugfs command line: quoted, with quotes doubled.
fn command(words: &[&str]) -> Result<Vec<u8>> {
    command_os(&words.iter().map(OsStr::new).collect::<Vec<_>>())
}

fn command_os(words: &[&OsStr]) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    for word in words {
        ensure!(!word.as_bytes().contains(&b'\n'), "a name with a line break cannot be handled: {word:?}");
        line.push(b'"');
        line.extend(word.as_bytes().iter().flat_map(|byte| if *byte == b'"' { vec![b'"', b'"'] } else { vec![*byte] }));
        line.extend(b"\" ");
    }
    ensure!(line.len() < 8000, "the path is too long");
    Ok(line)
}

fn fail_on(complaints: &[String]) -> Result<()> {
    if complaints.is_empty() { Ok(()) } else { Err(anyhow!("debugfs: {}", complaints.join("; "))) }
}

/// A path on the image, with a single slash between names and none at the end.
fn absolute(guest: &str) -> Result<String> {
    ensure!(guest.starts_with('/'), "{guest}: a path on the image begins with /");
    let names: Vec<&str> = guest.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    Ok(format!("/{}", names.join("/")))
}

/// Directory and last name of an absolute path.
fn split(guest: &str) -> Result<(&str, &str)> {
    let (directory, name) = guest.rsplit_once('/').context("a path on the image begins with /")?;
    ensure!(!name.is_empty() && name != "..", "{guest}: is not the path of a file");
    Ok((if directory.is_empty() { "/" } else { directory }, name))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Writes down that `/bin` holds these programs.
pub fn remember(programs: &[PathBuf], stamp: &Path) -> Result<()> {
    let lines: Vec<String> = fingerprints(programs)?.iter().map(|(name, print)| format!("{name} {print}\n")).collect();
    fs::write(stamp, lines.concat()).with_context(|| format!("cannot write {}", stamp.display()))
}

type Fingerprints = BTreeMap<String, String>;

fn owned((name, print): (&str, &str)) -> (String, String) {
    (name.to_owned(), print.to_owned())
}

/// Name and content hash of every program. Another hash in another build costs one more copy, nothing else.
fn fingerprints(programs: &[PathBuf]) -> Result<Fingerprints> {
    use std::hash::{DefaultHasher, Hasher};
    let print = |program: &PathBuf| {
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(program).with_context(|| format!("cannot read {}", program.display()))?);
        Ok((name_of(program), format!("{:016x}", hasher.finish())))
    };
    programs.iter().map(print).collect()
}

/// Copies an image; holes stay holes.
pub(crate) fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    let output = Command::new("cp").arg("--sparse=always").arg(from).arg(to).output()?;
    ensure!(output.status.success(), "cannot copy {}: {}", from.display(), text(&output.stderr).trim());
    Ok(())
}

/// A program of e2fsprogs; on some systems they are in directories that only root has on its path.
fn tool(name: &str) -> Command {
    let mut path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    path.push(":/usr/sbin:/sbin");
    let found = std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.exists());
    let mut command = Command::new(found.unwrap_or_else(|| name.into()));
    command.env("LC_ALL", "C").env("DEBUGFS_PAGER", "cat").env("PAGER", "cat");
    command
}

fn missing_tool(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => anyhow!("e2fsprogs is not installed; on Debian: apt-get install e2fsprogs"),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        disk: Disk,
        dir: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let program = dir.path().join("hello");
        fs::write(&program, "\x7fELF").expect("it is written");
        let disk = Disk::create(dir.path().join("disk.img"), 16 << 20, &[program]).expect("an image is made");
        Fixture { disk, dir }
    }

    fn names(disk: &Disk, path: &str) -> Vec<String> {
        disk.list(path).expect("it can be listed").into_iter().map(|entry| entry.name).collect()
    }

    fn said<T: std::fmt::Debug>(result: Result<T>) -> String {
        format!("{:#}", result.expect_err("it must fail"))
    }

    #[test]
    fn a_new_image_is_sound_and_holds_the_programs() {
        let f = fixture();
        assert_eq!(f.disk.check().expect("it can be checked"), Vec::<String>::new());
        assert_eq!(names(&f.disk, "/"), ["bin", "etc", "home", "lost+found", "tmp"]);
        assert_eq!(f.disk.list("/bin").expect("listed"), [Entry { name: "hello".into(), mode: 0o100_755, size: 4 }]);
        assert_eq!(f.disk.list("/bin/hello").expect("listed").len(), 1);
        assert!(f.disk.notes().is_empty());
    }

    #[test]
    fn what_was_put_comes_back_whatever_its_name() {
        let f = fixture();
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 / 5) as u8).collect();
        for name in ["/plain", "/tmp/with space", "/tmp/qu\"ote \"\"", "/tmp/é'$`\\x", "/tmp/-p", "/tmp/<12>"] {
            f.disk.write(name, &content).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert!(f.disk.read(name).expect("it can be read") == content, "{name}");
            f.disk.remove(name, false).expect("it can be removed");
        }
        assert_eq!(f.disk.check().expect("it can be checked"), Vec::<String>::new());
    }

    #[test]
    fn putting_again_replaces_and_into_a_directory_keeps_the_name() {
        let f = fixture();
        let host = f.dir.path().join("my file");
        fs::write(&host, "one").expect("written");
        f.disk.put(&host, "/home").expect("put into a directory");
        fs::write(&host, "second").expect("written");
        f.disk.put(&host, "/home/").expect("put over it");
        assert_eq!(f.disk.read("/home/my file").expect("read"), b"second");
        assert_eq!(f.disk.check().expect("it can be checked"), Vec::<String>::new());
    }

    #[test]
    fn errors_name_what_is_missing() {
        let f = fixture();
        let host = f.dir.path().join("hello");
        assert!(said(f.disk.put(&host, "/nope/x")).contains("/nope: no such directory"));
        assert!(said(f.disk.put(&host, "/bin/hello/x")).contains("/bin/hello: is not a directory"));
        assert!(said(f.disk.put(&host, "/nope/")).contains("/nope: no such directory"));
        assert!(said(f.disk.put(&host, "x")).contains("begins with /"));
        assert!(said(f.disk.put(Path::new("/no/such"), "/x")).contains("cannot read /no/such"));
        assert!(said(f.disk.get("/nope", &host)).contains("/nope: no such file"));
        assert!(said(f.disk.get("/bin", &host)).contains("/bin: is a directory"));
        assert!(said(f.disk.get("/bin/hello", Path::new("/no/such/place"))).contains("cannot write /no/such/place"));
        assert!(said(f.disk.list("/nope")).contains("/nope: no such file or directory"));
        assert!(said(f.disk.remove("/nope", false)).contains("/nope: no such file or directory"));
        assert!(said(f.disk.remove("/bin", false)).contains("/bin: directory not empty"));
        assert!(said(f.disk.remove("/", true)).contains("cannot be removed"));
        assert!(said(Disk::create(f.disk.path(), 16 << 20, &[])).contains("exists already"));
        assert!(said(Disk::open(&host)).contains("is not an ext4 image"));
        assert!(said(Disk::create(f.dir.path().join("small"), 1 << 20, &[])).contains("at least 8 MiB"));
    }

    #[test]
    fn a_tree_is_removed_only_when_asked_for() {
        let f = fixture();
        f.disk.debugfs(true, &[b"mkdir /home/a".to_vec(), b"mkdir /home/a/b".to_vec()]).expect("made");
        f.disk.write("/home/a/b/c", b"x").expect("put");
        assert!(f.disk.remove("/home/a", false).is_err());
        f.disk.remove("/home/a", true).expect("removed");
        assert_eq!(names(&f.disk, "/home"), Vec::<String>::new());
        assert_eq!(f.disk.check().expect("it can be checked"), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_does_not_fit_is_refused_and_the_old_one_stays() {
        let f = fixture();
        f.disk.write("/home/x", b"old").expect("put");
        let big = f.dir.path().join("big");
        File::create(&big).and_then(|file| file.set_len(17 << 20)).expect("made");
        assert!(said(f.disk.put(&big, "/home/x")).contains("needs"));
        assert_eq!(f.disk.read("/home/x").expect("read"), b"old");
        assert_eq!(f.disk.check().expect("it can be checked"), Vec::<String>::new());
    }

    #[test]
    fn damage_is_reported_in_words() {
        let f = fixture();
        f.disk.debugfs(true, &[b"sif /bin/hello links_count 7".to_vec()]).expect("damaged");
        let found = f.disk.check().expect("it can be checked").join("\n");
        assert!(found.contains("ref count is 7, should be 1"), "{found}");
        assert!(!found.contains("? no") && !found.contains("Pass 1"), "{found}");
    }

    #[test]
    fn an_unplayed_journal_is_replayed_before_anything_else() {
        let f = fixture();
        let block = f.dir.path().join("block");
        fs::write(&block, [7; 4096]).expect("written");
        f.disk.write("/home/x", &[1; 4096]).expect("put");
        let blocks = f.disk.debugfs(false, &[b"blocks /home/x".to_vec()]).expect("asked");
        let number = text(&blocks).lines().last().expect("a number").trim().to_owned();
        let open = format!("journal_open\njournal_write -b {number} {}\njournal_close", block.display());
        f.disk.debugfs(true, &[open.into_bytes()]).expect("a transaction is left in the journal");
        assert!(f.disk.superblock().expect("it is an image").needs_recovery);
        assert_eq!(f.disk.check().expect("it can be checked"), Vec::<String>::new());
        assert_eq!(f.disk.read("/home/x").expect("read"), [7; 4096], "the state after the replay is seen");
        assert!(f.disk.notes()[0].contains("seen on a copy"));
        assert!(f.disk.superblock().expect("it is an image").needs_recovery, "looking changes nothing");
        f.disk.write("/home/y", b"new").expect("put");
        assert!(f.disk.notes()[2].contains("has been replayed"));
        assert_eq!(f.disk.read("/home/x").expect("read"), [7; 4096]);
        assert_eq!(f.disk.check().expect("it can be checked"), Vec::<String>::new());
        assert!(!f.disk.superblock().expect("it is an image").needs_recovery);
    }

    #[test]
    fn refreshing_replaces_programs_and_leaves_the_rest() {
        let f = fixture();
        let (stamp, hello, more) = (f.dir.path().join("stamp"), f.dir.path().join("hello"), f.dir.path().join("more"));
        f.disk.write("/bin/mine", b"user's own").expect("put");
        fs::write(&hello, "new").expect("written");
        fs::write(&more, "more").expect("written");
        f.disk.refresh(&[hello.clone(), more], &stamp).expect("refreshed");
        assert_eq!(names(&f.disk, "/bin"), ["hello", "mine", "more"]);
        assert_eq!(f.disk.read("/bin/hello").expect("read"), b"new");
        f.disk.refresh(&[hello], &stamp).expect("refreshed");
        assert_eq!(names(&f.disk, "/bin"), ["hello", "mine"]);
        assert_eq!(f.disk.list("/bin").expect("listed")[0].mode, 0o100_755);
    }
}
