//! Directories as programs use them, and the two that a program starts from.

use crate::error::Refusal;
use crate::file::File;
use crate::object::Queue;
use crate::owned::OwnedHandle;
use crate::proto::FsError;
use crate::proto::directory::{DirectoryClient, Entries, Entry, OpenFlags};
use crate::proto::info::{FileInfo, FsInfo};
use crate::startup::{Missing, Startup};
use alloc::string::String;
use alloc::vec::Vec;

/// A directory. Paths are relative to it.
#[derive(Clone, Copy, Debug)]
pub struct Dir {
    client: DirectoryClient,
}

/// A path that no message holds is a name too long.
fn named(error: FsError) -> FsError {
    match error {
        FsError::Refused(Refusal::TooLong) => FsError::NameTooLong,
        other => other,
    }
}

impl Dir {
    /// Uses a capability that somebody else keeps.
    pub const fn new(queue: Queue) -> Dir {
        Dir { client: DirectoryClient::new(queue) }
    }
    /// The capability.
    pub fn queue(&self) -> Queue {
        self.client.queue()
    }
    /// Opens a file or directory; what it is comes along.
    pub fn open_any(&self, path: &str, flags: OpenFlags) -> Result<(OwnedHandle, FileInfo), FsError> {
        if flags.changes() {
            self.client.create(path, flags).map_err(named)
        } else {
            self.client.open(path, flags).map_err(named)
        }
    }
    /// Opens with `flags`.
    pub fn open_with(&self, path: &str, flags: OpenFlags) -> Result<File, FsError> {
        self.open_any(path, flags).map(|(handle, _)| File::new(handle))
    }
    /// Opens a file to read it.
    pub fn open(&self, path: &str) -> Result<File, FsError> {
        self.open_with(path, OpenFlags::READ)
    }
    /// Opens a file to write it anew.
    pub fn create(&self, path: &str) -> Result<File, FsError> {
        self.open_with(path, OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE)
    }
    /// Opens a file so that every write goes to its end.
    pub fn append(&self, path: &str) -> Result<File, FsError> {
        self.open_with(path, OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::APPEND)
    }
    /// Opens a directory below.
    pub fn open_dir(&self, path: &str) -> Result<OwnedHandle, FsError> {
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::DIRECTORY;
        self.open_any(path, flags).map(|(handle, _)| handle)
    }
    /// What the path names.
    pub fn stat(&self, path: &str) -> Result<FileInfo, FsError> {
        self.client.stat(path).map_err(named)
    }
    /// All entries of the directory at `path`, in the order of the disk.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, FsError> {
        let mut entries = Vec::new();
        let mut buffer = alloc::vec![0; 4096];
        let mut cookie = 0;
        loop {
            let (next, used) = self.client.list(path, cookie, &mut buffer).map_err(named)?;
            entries.extend(Entries::new(&buffer[..buffer.len().min(used as usize)]));
            if next == 0 || next == cookie {
                return Ok(entries);
            }
            cookie = next;
        }
    }
    /// Makes a directory.
    pub fn mkdir(&self, path: &str) -> Result<(), FsError> {
        self.client.mkdir(path).map_err(named)
    }
    /// Removes a file.
    pub fn unlink(&self, path: &str) -> Result<(), FsError> {
        self.client.unlink(path).map_err(named)
    }
    /// Removes an empty directory.
    pub fn rmdir(&self, path: &str) -> Result<(), FsError> {
        self.client.rmdir(path).map_err(named)
    }
    /// Renames, both paths below this directory.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        self.client.rename(from, to).map_err(named)
    }
    /// How large the file system is and how full.
    pub fn statfs(&self) -> Result<FsInfo, FsError> {
        self.client.statfs()
    }
    /// Sets when a file was last changed, seconds since 1970-01-01.
    pub fn set_mtime(&self, path: &str, seconds: i64) -> Result<(), FsError> {
        self.client.set_mtime(path, seconds).map_err(named)
    }
    /// Returns when all that was done before survives a power cut.
    pub fn sync(&self) -> Result<(), FsError> {
        self.client.sync()
    }
    /// The same, and the disk is marked clean until something is changed again: what comes before a power-off.
    pub fn rest(&self) -> Result<(), FsError> {
        self.client.rest()
    }
    /// The bytes of a file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::new();
        self.open(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The directories that a program was handed: paths that begin with `/` start at `root`, others at `cwd`.
#[derive(Clone, Debug)]
pub struct Namespace {
    root: Dir,
    cwd: Dir,
    pwd: String,
}

impl Namespace {
    /// Of the capabilities `root` and `cwd` and the text `pwd`. A program with one of the two directories only uses that
    /// for both.
    pub fn of(startup: &Startup<'_>) -> Result<Namespace, Missing<'static>> {
        let root = startup.queue("root");
        let cwd = startup.queue("cwd").or(root)?;
        let pwd = startup.env("pwd").unwrap_or("/").into();
        Ok(Namespace { root: Dir::new(root.unwrap_or(cwd)), cwd: Dir::new(cwd), pwd })
    }
    /// Of directories that somebody else keeps.
    pub fn new(root: Dir, cwd: Dir, pwd: &str) -> Namespace {
        Namespace { root, cwd, pwd: pwd.into() }
    }
    /// The directory where `path` starts.
    pub fn start(&self, path: &str) -> Dir {
        if path.starts_with('/') { self.root } else { self.cwd }
    }
    /// The root directory.
    pub fn root(&self) -> Dir {
        self.root
    }
    /// The working directory.
    pub fn cwd(&self) -> Dir {
        self.cwd
    }
    /// Where the working directory is, as a text.
    pub fn pwd(&self) -> &str {
        &self.pwd
    }
    /// `path` from the root, without `.`; `..` is kept, as only the disk knows where it leads.
    pub fn absolute(&self, path: &str) -> String {
        let base = if path.starts_with('/') { "" } else { self.pwd.as_str() };
        let mut whole = String::new();
        for part in base.split('/').chain(path.split('/')).filter(|p| !p.is_empty() && *p != ".") {
            whole.push('/');
            whole.push_str(part);
        }
        if whole.is_empty() { "/".into() } else { whole }
    }
    /// Opens a file to read it.
    pub fn open(&self, path: &str) -> Result<File, FsError> {
        self.start(path).open(path)
    }
    /// Opens with `flags`.
    pub fn open_with(&self, path: &str, flags: OpenFlags) -> Result<File, FsError> {
        self.start(path).open_with(path, flags)
    }
    /// Opens a file to write it anew.
    pub fn create(&self, path: &str) -> Result<File, FsError> {
        self.start(path).create(path)
    }
    /// What the path names.
    pub fn stat(&self, path: &str) -> Result<FileInfo, FsError> {
        self.start(path).stat(path)
    }
    /// All entries of a directory.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, FsError> {
        self.start(path).list(path)
    }
    /// Renames; where one path starts at the root and the other does not, both are taken from the root.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        match (from.starts_with('/'), to.starts_with('/')) {
            (false, false) => self.cwd.rename(from, to),
            _ => self.root.rename(&self.absolute(from), &self.absolute(to)),
        }
    }
}
