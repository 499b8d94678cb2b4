//! The server as its clients see it, over the host's stand-in kernel: every operation, with the server killed at each
//! of its system calls in turn. The client notices nothing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::server::Server;
use crate::{BLOCK, Disk, DiskError, Fs};
use libipc::dir::Dir;
use libipc::file::File;
use libipc::proto::FsError;
use libipc::proto::directory::OpenFlags;
use libipc::proto::info::FileKind;
use libipc::testing::{Persistent, System, TestProcess};
use libipc::{Handle, Queue, Rights, server};

#[derive(Clone)]
struct SharedDisk(Arc<Mutex<Vec<u8>>>);

impl Disk for SharedDisk {
    fn read_blocks(&mut self, first: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        let data = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = first as usize * BLOCK;
        buf.copy_from_slice(data.get(at..at + buf.len()).ok_or(DiskError)?);
        Ok(())
    }
    fn write_blocks(&mut self, first: u64, buf: &[u8]) -> Result<(), DiskError> {
        let mut data = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = first as usize * BLOCK;
        data.get_mut(at..at + buf.len()).ok_or(DiskError)?.copy_from_slice(buf);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

fn image() -> Vec<u8> {
    super::images::make(2_048, &["-N", "64"])
}

struct Rig {
    server: TestProcess,
    client: TestProcess,
    root: Handle,
}

impl Rig {
    fn new(image: &[u8], dies_at: Option<u64>) -> Rig {
        let system = System::new();
        let (server, client) = (system.process("fs"), system.process("client"));
        let queue = system.queue(0);
        let receive = server.grant(queue, Rights::RECEIVE | Rights::MINT | Rights::SEND, 0);
        let root = client.grant(queue, Rights::SEND, 1);
        let (memory, disk) = (Persistent::new(512 << 10), SharedDisk(Arc::new(Mutex::new(image.to_vec()))));
        if let Some(n) = dies_at {
            server.kill_at_call(n);
        }
        server.supervise(move || {
            memory.with(|bytes| {
                let fs = Fs::open(bytes, disk.clone(), || 1_700_000_000_000_000_000).expect("it opens");
                server::serve(Queue::new(receive), &mut Server::new(Queue::new(receive), fs))
            })
        });
        Rig { server, client, root }
    }
}

/// Everything that a client can ask, each with its answer.
fn use_everything(root: Dir) -> Result<(), FsError> {
    root.mkdir("/a")?;
    root.mkdir("a/b")?;
    assert_eq!(root.mkdir("a/b"), Err(FsError::Exists));
    let mut file = root.create("a/b/f")?;
    file.write_all(b"hello, ")?;
    file.write_all(b"world")?;
    let mut tail = root.append("a/./b/../b/f")?;
    tail.write_all(b"!")?;
    tail.write_all(b"!")?;
    assert_eq!(root.read("a/b/f")?, b"hello, world!!");
    let exclusive = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    assert!(matches!(root.open_with("a/b/f", exclusive), Err(FsError::Exists)));
    root.open_with("a/new", exclusive)?;
    file.truncate(5)?;
    file.set_mtime(1_000_000)?;
    let info = root.stat("a/b/f")?;
    assert_eq!((info.size, info.mtime, info.kind, info.links), (5, 1_000_000, FileKind::File, 1));
    assert_eq!(file.info()?, info);
    root.rename("a/b/f", "a/g")?;
    assert!(matches!(root.open("a/b/f"), Err(FsError::NotFound)));
    assert_eq!(root.rename("a", "a/b/c"), Err(FsError::Loop));
    let mut names: Vec<_> = root.list("a")?.into_iter().map(|e| (e.name, e.kind)).collect();
    names.sort_by(|x, y| x.0.cmp(&y.0));
    let want = [("b", FileKind::Directory), ("g", FileKind::File), ("new", FileKind::File)];
    assert_eq!(names, want.map(|(name, kind)| (name.to_string(), kind)));
    root.sync()?;
    assert_eq!((root.rmdir("a"), root.unlink("a/b")), (Err(FsError::NotEmpty), Err(FsError::IsDirectory)));
    root.rmdir("a/b")?;
    assert_eq!(root.create("a/g")?.info()?.size, 0);
    root.unlink("a/g")?;
    assert_eq!(file.info(), Err(FsError::Stale));
    assert!(root.statfs()?.free_blocks > 0);
    Ok(())
}

#[test]
fn killed_at_any_system_call_the_server_does_each_call_once_and_its_client_sees_nothing() {
    let image = image();
    let rig = Rig::new(&image, None);
    rig.client.enter(|| use_everything(Dir::new(Queue::new(rig.root)))).expect("without deaths");
    let calls = rig.server.calls_made();
    assert!(calls > 30);
    for n in 1..=calls {
        let rig = Rig::new(&image, Some(n));
        let done = rig.client.enter(|| use_everything(Dir::new(Queue::new(rig.root))));
        assert_eq!(done, Ok(()), "killed at call {n}");
    }
}

#[test]
fn a_capability_allows_no_more_than_it_was_opened_with() {
    let rig = Rig::new(&image(), None);
    rig.client.enter(|| {
        let root = Dir::new(Queue::new(rig.root));
        root.create("f").unwrap().write_all(b"text").unwrap();
        let mut reader = root.open("f").unwrap();
        assert_eq!(reader.write(b"x"), Err(FsError::NotPermitted));
        assert_eq!(reader.truncate(0), Err(FsError::NotPermitted));
        let mut writer: File = root.open_with("f", OpenFlags::WRITE).unwrap();
        assert_eq!(writer.read(&mut [0; 4]), Err(FsError::NotPermitted));
        root.mkdir("d").unwrap();
        let (handle, _) = root.open_any("d", OpenFlags::READ | OpenFlags::DIRECTORY).unwrap();
        let dir = Dir::new(Queue::new(handle.leak()));
        assert_eq!(dir.mkdir("x"), Err(FsError::NotPermitted));
        assert!(matches!(dir.create("x"), Err(FsError::NotPermitted)));
        assert!(matches!(dir.open_with(".", OpenFlags::WRITE), Err(FsError::NotPermitted)));
    });
}
