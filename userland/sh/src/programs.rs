//! Programs: from a name to an image in memory.
//!
//! Invariants:
//! 1. An image that is kept is used again only for a file with the same inode, size and time of change, and only if it was
//!    read well after that time was first seen: times have whole seconds, so a file may change twice within one.
//! 2. At most [`KEPT`] images of at most [`LARGEST_KEPT`] bytes are kept.

use crate::stream::reason;
use alloc::{format, rc::Rc, string::String, vec::Vec};
use libipc::proto::FsError;
use libipc::proto::directory::OpenFlags;
use libipc::proto::info::{FileInfo, FileKind};
use libipc::spawn::Image;
use libipc::time::Instant;
use libipc::{Account, Dir, File, SysError};
use sh::system::NoStart;

/// Images that are kept.
const KEPT: usize = 8;
/// Bytes of the largest that is kept.
const LARGEST_KEPT: u64 = 256 << 10;
/// Nanoseconds after which a file whose time has not changed meanwhile is taken to be at rest.
const AT_REST: u64 = 2_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    inode: u64,
    size: u64,
    mtime: i64,
}

struct Entry {
    key: Key,
    image: Rc<Image>,
    /// When this key was seen first.
    seen: u64,
    /// When the image was read.
    read: u64,
}

/// Images used lately, the last one last.
#[derive(Default)]
pub struct Programs {
    kept: Vec<Entry>,
}

impl Programs {
    /// The image of the file at `path`, paid for by `account`.
    pub fn image(&mut self, start: Dir, path: &str, account: Account) -> Result<Rc<Image>, NoStart> {
        let (handle, info) = start.open_any(path, OpenFlags::READ).map_err(|error| refusal(path, &error))?;
        if info.kind != FileKind::File {
            return Err(NoStart::NotExecutable(reason(&FsError::IsDirectory).into()));
        }
        let key = Key { inode: info.inode, size: info.size, mtime: info.mtime };
        let known = self.kept.iter().position(|entry| entry.key == key).map(|at| self.kept.remove(at));
        let now = Instant::now().nanoseconds();
        let seen = known.as_ref().map_or(now, |entry| entry.seen);
        if let Some(entry) = known
            && entry.read - entry.seen >= AT_REST
        {
            let image = entry.image.clone();
            self.kept.push(entry);
            return Ok(image);
        }
        let image = Rc::new(self.read(File::new(handle), path, account)?);
        self.keep(Entry { key, image: image.clone(), seen, read: now }, &info);
        Ok(image)
    }

    /// Reads a file; where memory is short the images kept make room.
    fn read(&mut self, mut file: File, path: &str, account: Account) -> Result<Image, NoStart> {
        let read = match Image::read(&mut file, account) {
            Err(error) if is_shortage(&error) && !self.kept.is_empty() => {
                self.forget();
                Image::read(&mut file, account)
            }
            read => read,
        };
        read.map_err(|error| refusal(path, &error))
    }

    fn keep(&mut self, entry: Entry, info: &FileInfo) {
        if info.size > LARGEST_KEPT {
            return;
        }
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        self.kept.push(entry);
    }

    /// Gives up every image.
    pub fn forget(&mut self) {
        self.kept.clear();
    }
}

/// Whether the account cannot pay: for the memory object at once, or for its pages when the file is written there.
fn is_shortage(error: &FsError) -> bool {
    matches!(error, FsError::Sys(SysError::NoMemory | SysError::BadLease))
}

fn refusal(path: &str, error: &FsError) -> NoStart {
    match error {
        FsError::NotFound | FsError::NotDirectory => NoStart::NotFound(reason(error).into()),
        error if is_shortage(error) => NoStart::Failed(SysError::NoMemory.text().into()),
        FsError::Sys(error) => NoStart::Failed(String::from(error.text())),
        error => NoStart::Failed(format!("{path}: {}", reason(error))),
    }
}
