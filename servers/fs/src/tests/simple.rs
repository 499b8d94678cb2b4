//! Each operation by itself.

use super::*;
use crate::{Error, Kind};

fn fresh() -> SharedDisk {
    SharedDisk::new(images::make(4096, &[]))
}

#[test]
fn what_is_written_can_be_read_by_us_and_by_debugfs_and_passes_e2fsck() {
    let (disk, mut mem) = (fresh(), memory(1024));
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let dir = fs.mkdir(1, root, b"dir").unwrap();
    let file = fs.create(2, dir, b"file", true).unwrap();
    let data = pattern(1, 100_001);
    let mut id = 10;
    write_all(&mut fs, &mut id, file, 0, &data).unwrap();
    assert_eq!(read_all(&mut fs, file).unwrap(), data);
    assert_eq!(fs.lookup(dir, b"file").unwrap().id, file);
    assert_eq!(fs.lookup(root, b"dir").unwrap().kind, Kind::Directory);
    let disk = close(fs).unwrap();
    images::check(&disk.data(), false).unwrap();
    assert_eq!(images::debugfs(&disk.data(), "cat /dir/file"), data);
}

#[test]
fn files_put_in_by_mke2fs_can_be_read_changed_and_removed() {
    let source = images::Scratch::new();
    std::fs::create_dir_all(source.0.join("bin")).unwrap();
    let data = pattern(3, 3_000_000);
    std::fs::write(source.0.join("bin/prog"), &data).unwrap();
    for i in 0..300 {
        std::fs::write(source.0.join(format!("bin/name-{i}")), format!("{i}")).unwrap();
    }
    std::os::unix::fs::symlink("bin/prog", source.0.join("link")).unwrap();
    let disk = SharedDisk::new(images::make(4096, &["-d", source.path()]));
    let mut mem = memory(512);
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let bin = fs.lookup(root, b"bin").unwrap().id;
    let prog = fs.lookup(bin, b"prog").unwrap().id;
    assert_eq!(read_all(&mut fs, prog).unwrap(), data);
    let link = fs.lookup(root, b"link").unwrap();
    assert_eq!((link.kind, read_all(&mut fs, link.id).unwrap()), (Kind::Symlink, b"bin/prog".to_vec()));
    let mut names = Vec::new();
    let end = fs
        .readdir(bin, 0, &mut |e| {
            names.push(e.name.to_vec());
            true
        })
        .unwrap();
    assert_eq!((names.len(), fs.readdir(bin, end, &mut |_| unreachable!())), (301, Ok(end)));
    fs.write(1, prog, 5_000, b"changed").unwrap();
    fs.unlink(2, root, b"link").unwrap();
    for (i, name) in names.iter().enumerate() {
        fs.unlink(100 + i as u64, bin, name).unwrap();
    }
    fs.rmdir(3, root, b"bin").unwrap();
    images::check(&close(fs).unwrap().data(), false).unwrap();
}

#[test]
fn names_and_kinds_are_checked() {
    let (disk, mut mem) = (fresh(), memory(256));
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let file = fs.create(1, root, b"f", true).unwrap();
    let dir = fs.mkdir(2, root, b"d").unwrap();
    assert_eq!(fs.create(3, root, b"f", true), Err(Error::Exists));
    assert_eq!(fs.create(4, root, b"f", false), Ok(file));
    assert_eq!(fs.create(5, root, b"d", false), Err(Error::IsADirectory));
    assert_eq!(fs.create(6, root, &[b'x'; 256], true), Err(Error::NameTooLong));
    assert!(fs.create(7, root, &[b'x'; 255], true).is_ok());
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
        assert_eq!(fs.create(8, root, name, true), Err(Error::Invalid));
        assert_eq!(fs.lookup(root, name), Err(Error::Invalid));
    }
    assert_eq!(fs.lookup(file, b"x"), Err(Error::NotADirectory));
    assert_eq!(fs.lookup(root, b"x"), Err(Error::NotFound));
    assert_eq!(fs.unlink(9, root, b"d"), Err(Error::IsADirectory));
    assert_eq!(fs.rmdir(10, root, b"f"), Err(Error::NotADirectory));
    assert_eq!(fs.read(dir, 0, &mut [0; 8]), Err(Error::IsADirectory));
    fs.create(11, dir, b"inner", true).unwrap();
    assert_eq!(fs.rmdir(12, root, b"d"), Err(Error::NotEmpty));
    assert_eq!(fs.rename(13, (root, b"d"), (dir, b"self")), Err(Error::Invalid));
    let disk = close(fs).unwrap();
    images::check(&disk.data(), false).unwrap();
}

#[test]
fn a_file_id_is_stale_once_its_file_is_gone_even_if_the_inode_is_used_again() {
    let (disk, mut mem) = (fresh(), memory(256));
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let old = fs.create(1, root, b"f", true).unwrap();
    fs.unlink(2, root, b"f").unwrap();
    assert_eq!(fs.stat(old), Err(Error::Stale));
    let new = fs.create(3, root, b"g", true).unwrap();
    assert_eq!((new.inode, new.generation != old.generation), (old.inode, true));
    assert_eq!(fs.write(4, old, 0, b"x"), Err(Error::Stale));
    assert_eq!(fs.stat(FileId { inode: 8, generation: 0 }), Err(Error::Stale));
    assert_eq!(fs.stat(FileId { inode: u32::MAX, generation: 0 }), Err(Error::Stale));
}

#[test]
fn a_message_is_carried_out_once_and_answered_twice() {
    let (disk, mut mem) = (fresh(), memory(256));
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let file = fs.create(1, root, b"f", true).unwrap();
    assert_eq!(fs.create(1, root, b"f", true), Ok(file));
    assert_eq!(fs.append(2, file, b"abc"), Ok((0, 3)));
    assert_eq!(fs.append(2, file, b"abc"), Ok((0, 3)));
    drop(fs);
    let mut fs = open(&mut mem, &disk);
    assert_eq!(fs.append(2, file, b"abc"), Ok((0, 3)));
    assert_eq!(fs.append(3, file, b"def"), Ok((3, 3)));
    assert_eq!(read_all(&mut fs, file).unwrap(), b"abcdef");
}

#[test]
fn with_records_off_a_message_that_comes_again_is_carried_out_again() {
    let (disk, mut mem) = (fresh(), memory(256));
    let mut fs = open(&mut mem, &disk);
    fs.stop_recording();
    let root = fs.root().unwrap();
    let file = fs.create(1, root, b"f", true).unwrap();
    assert_eq!(fs.append(2, file, b"abc"), Ok((0, 3)));
    assert_eq!((fs.recorded(2), fs.append(2, file, b"abc")), (None, Ok((3, 3))));
    drop(fs);
    let mut fs = open(&mut mem, &disk);
    assert_eq!((fs.recorded(2), read_all(&mut fs, file).unwrap()), (None, b"abcabc".to_vec()), "the effects last");
}

#[test]
fn a_commit_writes_nothing_to_the_disk_and_survives_a_restart() {
    let (disk, mut mem) = (fresh(), memory(512));
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let file = fs.create(1, root, b"f", true).unwrap();
    let before = disk.0.borrow().writes;
    fs.write(2, file, 0, &pattern(9, 20_000)).unwrap();
    assert_eq!(disk.0.borrow().writes, before);
    drop(fs);
    let mut fs = open(&mut mem, &disk);
    assert_eq!(read_all(&mut fs, file).unwrap(), pattern(9, 20_000));
}

#[test]
fn a_disk_at_rest_is_clean_without_its_journal_until_something_changes() {
    let (disk, mut mem) = (fresh(), memory(512));
    let mut fs = open(&mut mem, &disk);
    assert_eq!(disk.0.borrow().writes, 0, "opening a clean disk does not change it");
    let root = fs.root().unwrap();
    for round in 0..3 {
        let file = fs.create(1 + 10 * round, root, format!("f{round}").as_bytes(), true).unwrap();
        assert!(images::check(&disk.data(), false).is_err(), "it says that it is in use");
        fs.write(2 + 10 * round, file, 0, &pattern(round, 20_000)).unwrap();
        fs.rest().unwrap();
        images::check(&disk.data(), false).unwrap();
        assert_eq!(images::debugfs(&disk.data(), &format!("cat /f{round}")), pattern(round, 20_000));
        let before = disk.0.borrow().writes;
        fs.rest().unwrap();
        fs.settle().unwrap();
        drop(fs);
        fs = open(&mut mem, &disk);
        assert_eq!(read_all(&mut fs, file).unwrap(), pattern(round, 20_000));
        assert_eq!(disk.0.borrow().writes, before, "a successor leaves it at rest");
    }
}

#[test]
fn corrupt_memory_is_discarded_and_the_disk_taken_as_it_is() {
    let disk = fresh();
    let mut mem = memory(256);
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let kept = fs.create(1, root, b"kept", true).unwrap();
    fs.sync().unwrap();
    fs.create(2, root, b"lost", true).unwrap();
    drop(fs);
    let (good, image) = (mem.clone(), disk.data());
    for seed in 0..200 {
        let mut rng = Rng(seed);
        let (mut bad, disk) = (good.clone(), SharedDisk::new(image.clone()));
        let at = rng.below(bad.len() as u64) as usize;
        bad[at] ^= 1 << rng.below(8);
        let mut fs = open(&mut bad, &disk);
        assert_eq!(fs.lookup(root, b"kept").unwrap().id, kept);
        assert!(matches!(fs.lookup(root, b"lost"), Ok(_) | Err(Error::NotFound)));
        if seed % 20 == 0 {
            images::check(&close(fs).unwrap().data(), false).unwrap();
        }
    }
}

#[test]
fn holes_read_as_zero_and_cutting_a_file_leaves_no_old_bytes_behind() {
    let (disk, mut mem) = (fresh(), memory(512));
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let f = fs.create(1, root, b"f", true).unwrap();
    fs.write(2, f, 50_000, b"end").unwrap();
    let all = read_all(&mut fs, f).unwrap();
    assert!(all[..50_000].iter().all(|&b| b == 0) && &all[50_000..] == b"end");
    fs.write(3, f, 0, &pattern(2, 10_000)).unwrap();
    fs.truncate(4, f, 5_000).unwrap();
    fs.truncate(5, f, 9_000).unwrap();
    let all = read_all(&mut fs, f).unwrap();
    assert!(all[..5_000] == pattern(2, 10_000)[..5_000] && all[5_000..].iter().all(|&b| b == 0));
    assert_eq!(fs.read(f, 9_000, &mut [0; 4]), Ok(0));
    assert_eq!(fs.read(f, u64::MAX, &mut [0; 4]), Ok(0));
    assert_eq!(fs.write(6, f, u64::MAX - 1, b"xyz"), Err(Error::TooLarge));
    images::check(&close(fs).unwrap().data(), false).unwrap();
}

#[test]
fn rename_replaces_moves_directories_and_keeps_link_counts() {
    let (disk, mut mem) = (fresh(), memory(512));
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let (a, b) = (fs.mkdir(1, root, b"a").unwrap(), fs.mkdir(2, root, b"b").unwrap());
    let sub = fs.mkdir(3, a, b"sub").unwrap();
    let f = fs.create(4, sub, b"f", true).unwrap();
    let g = fs.create(5, b, b"g", true).unwrap();
    fs.rename(6, (sub, b"f"), (b, b"g")).unwrap();
    assert_eq!((fs.lookup(b, b"g").unwrap().id, fs.stat(g)), (f, Err(Error::Stale)));
    fs.mkdir(7, b, b"empty").unwrap();
    fs.rename(8, (a, b"sub"), (b, b"empty")).unwrap();
    assert_eq!(fs.lookup(b, b"empty").unwrap().id, sub);
    assert_eq!((fs.stat(a).unwrap().links, fs.stat(b).unwrap().links, fs.stat(root).unwrap().links), (2, 3, 5));
    assert_eq!(fs.rename(9, (root, b"b"), (sub, b"x")), Err(Error::Invalid));
    assert_eq!(fs.rename(10, (b, b"g"), (b, b"empty")), Err(Error::IsADirectory));
    assert_eq!(fs.rename(11, (b, b"empty"), (b, b"g")), Err(Error::NotADirectory));
    fs.rename(12, (b, b"g"), (b, b"g")).unwrap();
    images::check(&close(fs).unwrap().data(), false).unwrap();
}

#[test]
fn a_disk_that_fails_gives_an_error_and_loses_nothing() {
    let (disk, mut mem) = (fresh(), memory(512));
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let f = fs.create(1, root, b"f", true).unwrap();
    disk.0.borrow_mut().broken = true;
    assert_eq!(fs.sync(), Err(Error::Io));
    assert_eq!(fs.write(2, f, 0, b"x"), Err(Error::Io));
    assert_eq!(fs.stat(f).unwrap().size, 0);
    disk.0.borrow_mut().broken = false;
    assert_eq!(fs.write(2, f, 0, b"x"), Ok(1));
    fs.sync().unwrap();
    images::check(&disk.data(), true).unwrap();
}

#[test]
fn other_feature_sets_mount_too() {
    for options in [
        &["-O", "^metadata_csum"][..],
        &["-O", "^metadata_csum,uninit_bg"],
        &["-O", "^64bit"],
        &["-I", "128"],
        &["-O", "metadata_csum_seed"],
        &["-O", "^flex_bg,^dir_index", "-g", "2048"],
        &["-O", "^resize_inode"],
    ] {
        let (disk, mut mem) = (SharedDisk::new(images::make(6144, options)), memory(256));
        let mut fs = open(&mut mem, &disk);
        let root = fs.root().unwrap();
        let dir = fs.mkdir(1, root, b"dir").unwrap();
        let f = fs.create(2, dir, b"f", true).unwrap();
        let mut id = 10;
        write_all(&mut fs, &mut id, f, 3, &pattern(5, 2_000_000)).unwrap();
        fs.truncate(3, f, 1_000_000).unwrap();
        images::check(&close(fs).unwrap().data(), false).unwrap_or_else(|e| panic!("{options:?}: {e}"));
    }
}
