//! The RAM disk under the block protocol's own client, and under a whole filesystem, while it is killed everywhere.

use crate::{HEAD, run};
use fs::{BLOCK, Disk, DiskError, Fs, server::Server};
use libipc::proto::FsError;
use libipc::proto::block::{BlockClient, BlockError};
use libipc::testing::{World, kill_everywhere};
use libipc::{Dir, Failure, Queue, serve};
use std::process::Command;
use std::sync::OnceLock;

const SIZE: usize = 16 << 20;

#[test]
fn killed_anywhere_what_was_written_is_read() {
    kill_everywhere(|world| {
        let disk = BlockClient::new(world.serve(HEAD + 8 * crate::BLOCK, run));
        assert_eq!(disk.info().map(|info| (info.blocks, info.block_size)), Ok((8, 512)));
        let (data, mut read) = ([7; 1024], [0; 1024]);
        assert_eq!(disk.write(5, 2, &data), Ok(()));
        assert_eq!(disk.flush(), Ok(()));
        assert_eq!(disk.read(5, 2, &mut read), Ok(()));
        assert_eq!(read, data);
        assert_eq!(disk.read(4, 2, &mut read), Ok(()));
        assert_eq!((&read[..512], &read[512..]), (&[0; 512][..], &data[..512]));
    });
}

#[test]
fn what_no_disk_does_it_refuses() {
    kill_everywhere(|world| {
        let disk = BlockClient::new(world.serve(HEAD + 8 * crate::BLOCK, run));
        assert_eq!(disk.read(7, 2, &mut [0; 1024]), Err(BlockError::OutOfRange));
        assert_eq!(disk.write(u64::MAX, 2, &[0; 1024]), Err(BlockError::OutOfRange));
        assert_eq!(disk.read(0, 2, &mut [0; 512]), Err(BlockError::BadLength));
        assert_eq!(disk.read_into(1, 0, 1, 0), Err(BlockError::NotAttached));
        assert_eq!(disk.write_from(1, 0, 1, 7), Err(BlockError::BadLength));
    });
}

/// The filesystem's disk, over any server of the block protocol.
struct Remote(BlockClient);

const RATIO: u64 = (BLOCK / crate::BLOCK) as u64;

impl Disk for Remote {
    fn read_blocks(&mut self, first: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        let count = (buf.len() / crate::BLOCK) as u64;
        self.0.read(first * RATIO, count, buf).map_err(|_| DiskError)
    }
    fn write_blocks(&mut self, first: u64, buf: &[u8]) -> Result<(), DiskError> {
        self.0.write(first * RATIO, (buf.len() / crate::BLOCK) as u64, buf).map_err(|_| DiskError)
    }
    fn flush(&mut self) -> Result<(), DiskError> {
        self.0.flush().map_err(|_| DiskError)
    }
}

/// An empty filesystem.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut mke2fs = Command::new("mke2fs");
        mke2fs
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4"]);
        assert!(mke2fs.arg(file.path()).arg((SIZE / 4096).to_string()).status().unwrap().success());
        std::fs::read(file.path()).unwrap()
    })
}

fn clock() -> u64 {
    1_700_000_000_000_000_000
}

/// A filesystem server over a RAM disk that has an empty filesystem on it at first.
fn mounted(world: &World) -> Dir {
    let disk = world.serve(HEAD + SIZE, |queue: Queue, memory: &mut [u8]| {
        if memory[HEAD..HEAD + 4096].iter().all(|byte| *byte == 0) {
            memory[HEAD..].copy_from_slice(image());
        }
        run(queue, memory)
    });
    Dir::new(world.serve_with(&[disk], 512 << 10, |queue, used, memory| -> Result<(), Failure> {
        let fs = Fs::open(memory, Remote(BlockClient::new(used[0])), clock).map_err(|error| format!("{error:?}"))?;
        Ok(serve(queue, &mut Server::new(queue, fs))?)
    }))
}

#[test]
fn a_filesystem_on_it_loses_nothing_while_either_is_killed_anywhere() {
    let deaths = kill_everywhere(|world| {
        let root = mounted(world);
        assert_eq!(root.mkdir("tessera"), Ok(()), "done twice it finds the directory there");
        root.create("tessera/tile").unwrap().into_stream().write_all(b"small").unwrap();
        root.sync().unwrap();
        assert_eq!(root.read("tessera/tile"), Ok(b"small".to_vec()));
        assert_eq!(root.mkdir("tessera"), Err(FsError::Exists));
    });
    assert!(deaths.deaths >= 100, "{deaths:?}");
}
