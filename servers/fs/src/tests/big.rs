//! Large things in little memory.

use super::*;
use crate::Error;

#[test]
fn sixteen_mebibytes_go_through_a_quarter_mebibyte_of_cache() {
    let disk = SharedDisk::new(images::make(16_384, &[]));
    let mut mem = memory(256);
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let f = fs.create(1, root, b"big", true).unwrap();
    let data = pattern(7, 16 << 20);
    let mut id = 10;
    write_all(&mut fs, &mut id, f, 0, &data).unwrap();
    assert!(read_all(&mut fs, f).unwrap() == data);
    let copy = fs.create(2, root, b"copy", true).unwrap();
    let mut buf = vec![0; 20_000];
    let mut at = 0;
    loop {
        let n = fs.read(f, at, &mut buf).unwrap();
        if n == 0 {
            break;
        }
        write_all(&mut fs, &mut id, copy, at, &buf[..n]).unwrap();
        at += n as u64;
    }
    drop(fs);
    let mut fs = open(&mut mem, &disk);
    assert!(read_all(&mut fs, copy).unwrap() == data);
    fs.unlink(3, root, b"big").unwrap();
    let disk = close(fs).unwrap();
    images::check(&disk.data(), false).unwrap();
    assert!(images::debugfs(&disk.data(), "cat /copy") == data);
}

#[test]
fn overwriting_a_large_file_in_a_small_cache_works_too() {
    let disk = SharedDisk::new(images::make(8_192, &[]));
    let mut mem = memory(256);
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let f = fs.create(1, root, b"f", true).unwrap();
    let mut id = 10;
    for round in 0..3 {
        let data = pattern(round, 4 << 20);
        write_all(&mut fs, &mut id, f, 0, &data).unwrap();
        fs.sync().unwrap();
        assert!(read_all(&mut fs, f).unwrap() == data);
    }
    images::check(&close(fs).unwrap().data(), false).unwrap();
}

#[test]
fn a_directory_of_five_thousand_entries_can_be_filled_listed_and_emptied() {
    let disk = SharedDisk::new(images::make(8_192, &["-N", "8192"]));
    let mut mem = memory(1024);
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let dir = fs.mkdir(1, root, b"dir").unwrap();
    let name = |i: u64| format!("entry-number-{i}");
    for i in 0..5_000 {
        fs.create(10 + i, dir, name(i).as_bytes(), true).unwrap();
    }
    let (mut seen, mut cookie) = (0, 0);
    loop {
        // A few at a time, from a new server each hundred calls.
        let mut few = 0;
        let next = fs
            .readdir(dir, cookie, &mut |_| {
                few += 1;
                few <= 37
            })
            .unwrap();
        seen += few.min(37);
        if next == cookie || few == 0 {
            break;
        }
        cookie = next;
    }
    assert_eq!(seen, 5_000);
    for i in (0..5_000).rev() {
        assert!(fs.lookup(dir, name(i).as_bytes()).is_ok());
        fs.unlink(10_000 + i, dir, name(i).as_bytes()).unwrap();
    }
    fs.rmdir(2, root, b"dir").unwrap();
    images::check(&close(fs).unwrap().data(), false).unwrap();
}

#[test]
fn a_directory_indexed_by_e2fsck_can_be_read_and_changed() {
    let source = images::Scratch::new();
    std::fs::create_dir_all(source.0.join("d")).unwrap();
    for i in 0..2_000 {
        std::fs::write(source.0.join(format!("d/some-name-{i}")), "").unwrap();
    }
    let image = images::index_directories(&images::make(8_192, &["-N", "4096", "-d", source.path()]));
    assert!(String::from_utf8_lossy(&images::debugfs(&image, "htree_dump /d")).contains("Root node"));
    let disk = SharedDisk::new(image);
    let mut mem = memory(512);
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let d = fs.lookup(root, b"d").unwrap().id;
    for i in 0..1_000 {
        fs.unlink(10 + i, d, format!("some-name-{i}").as_bytes()).unwrap();
    }
    fs.sync().unwrap();
    images::check(&disk.data(), true).unwrap();
    for i in 0..500 {
        fs.create(2_000 + i, d, format!("other-{i}").as_bytes(), true).unwrap();
    }
    let mut seen = 0;
    fs.readdir(d, 0, &mut |_| {
        seen += 1;
        true
    })
    .unwrap();
    assert_eq!(seen, 1_500);
    images::check(&close(fs).unwrap().data(), false).unwrap();
}

#[test]
fn a_full_disk_gives_an_error_and_loses_nothing() {
    for kib in [256, 4096] {
        let disk = SharedDisk::new(images::make(2_048, &["-N", "64"]));
        let mut mem = memory(kib);
        let mut fs = open(&mut mem, &disk);
        let root = fs.root().unwrap();
        let keep = fs.create(1, root, b"keep", true).unwrap();
        fs.write(2, keep, 0, &pattern(1, 30_000)).unwrap();
        let f = fs.create(3, root, b"f", true).unwrap();
        let (mut id, mut size) = (10, 0u64);
        loop {
            id += 1;
            match fs.append(id, f, &pattern(id, 50_000)) {
                Ok((at, n)) => {
                    assert_eq!(at, size);
                    size += n as u64;
                }
                Err(e) => {
                    assert_eq!(e, Error::NoSpace);
                    break;
                }
            }
        }
        assert!(fs.space().unwrap().free_blocks < 3);
        assert_eq!(fs.stat(f).unwrap().size, size);
        assert_eq!(read_all(&mut fs, keep).unwrap(), pattern(1, 30_000));
        fs.unlink(4, root, b"f").unwrap();
        fs.write(5, keep, 30_000, &pattern(2, 30_000)).unwrap();
        assert_eq!(fs.stat(keep).unwrap().size, 60_000);
        for i in 0..100 {
            match fs.create(100_000 + i, root, format!("n{i}").as_bytes(), true) {
                Ok(_) => {}
                Err(e) => assert_eq!(e, Error::NoSpace),
            }
        }
        images::check(&close(fs).unwrap().data(), false).unwrap();
    }
}

#[test]
fn a_file_in_thousands_of_pieces_is_written_cut_and_removed_in_a_small_cache() {
    let disk = SharedDisk::new(images::make(16_384, &[]));
    let mut mem = memory(256);
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let before = fs.space().unwrap().free_blocks;
    let f = fs.create(1, root, b"f", true).unwrap();
    let g = fs.create(2, root, b"g", true).unwrap();
    for i in 0..3_000u64 {
        fs.write(10 + i, f, (i * 7919 % 3_000) * 8192, &i.to_le_bytes()).unwrap();
    }
    for i in 0..3_000u64 {
        let mut word = [0; 8];
        fs.read(f, (i * 7919 % 3_000) * 8192, &mut word).unwrap();
        assert_eq!(u64::from_le_bytes(word), i);
    }
    fs.sync().unwrap();
    images::check(&disk.data(), true).unwrap();
    fs.truncate(3, f, 1_000 * 8192 + 5).unwrap();
    images::check(
        &{
            fs.settle().unwrap();
            disk.data()
        },
        true,
    )
    .unwrap();
    fs.rename(4, (root, b"g"), (root, b"f")).unwrap();
    assert_eq!(fs.stat(f), Err(Error::Stale));
    assert_eq!(fs.lookup(root, b"f").unwrap().id, g);
    fs.unlink(5, root, b"f").unwrap();
    assert_eq!(fs.space().unwrap().free_blocks, before);
    images::check(&close(fs).unwrap().data(), false).unwrap();
}
