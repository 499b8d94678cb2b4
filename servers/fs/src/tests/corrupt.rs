//! Damaged images: errors, but neither a panic nor an endless loop, and no harm to the memory.

use super::model::{apply, some_op};
use super::*;

/// An image with something of everything in it.
fn sample(options: &[&str]) -> Vec<u8> {
    let disk = SharedDisk::new(images::make(2_048, options));
    let mut mem = memory(512);
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    let (a, b) = (fs.mkdir(1, root, b"a").unwrap(), fs.mkdir(2, root, b"b").unwrap());
    fs.mkdir(3, a, b"b").unwrap();
    let f = fs.create(4, root, b"c", true).unwrap();
    for i in 0..400 {
        fs.write(1_000 + i, f, i * 8_192, b"piece").unwrap();
    }
    for i in 0..300u64 {
        fs.create(2_000 + i, b, format!("a-rather-long-name-{i}").as_bytes(), true).unwrap();
    }
    close(fs).unwrap().data()
}

/// The blocks that are not zero and not in the journal's area: where damage matters.
fn metadata(image: &[u8]) -> Vec<usize> {
    let interesting = |block: &usize| {
        let data = &image[block * crate::BLOCK..(block + 1) * crate::BLOCK];
        data.iter().any(|&b| b != 0)
    };
    (0..image.len() / crate::BLOCK).filter(interesting).collect()
}

/// Uses the filesystem in every way. Errors are fine.
fn use_it(mem: &mut [u8], disk: &SharedDisk, seed: u64) {
    let Ok(mut fs) = Fs::open(mem, disk.clone(), clock) else { return };
    let mut rng = Rng(seed);
    for id in 1..60 {
        let _ = apply(&mut fs, id, &some_op(&mut rng, 200_000));
    }
    let Ok(root) = fs.root() else { return };
    let mut todo = vec![root];
    for _ in 0..50 {
        let Some(dir) = todo.pop() else { break };
        let mut names = Vec::new();
        let _ = fs.readdir(dir, 0, &mut |e| {
            names.push(e.name.to_vec());
            names.len() < 100
        });
        for name in names {
            if let Ok(stat) = fs.lookup(dir, &name) {
                let mut buf = [0; 10_000];
                let _ = fs.read(stat.id, stat.size.saturating_sub(5_000), &mut buf);
                let _ = fs.read(stat.id, 0, &mut buf);
                if stat.kind == crate::Kind::Directory {
                    todo.push(stat.id);
                }
            }
            let _ = fs.unlink(rng.below(1 << 40), dir, &name);
        }
    }
    let _ = fs.sync();
    let _ = close(fs);
}

fn damage(image: &[u8], rounds: u64, flips: u64) {
    let places = metadata(image);
    let mut mem = memory(256);
    for seed in 0..rounds {
        let mut rng = Rng(seed);
        let mut bad = image.to_vec();
        for _ in 0..1 + rng.below(flips) {
            // Half of the damage goes where the geometry is.
            let block = if rng.below(2) == 0 {
                places[rng.below(12.min(places.len() as u64)) as usize]
            } else {
                places[rng.below(places.len() as u64) as usize]
            };
            let within = if block == 0 { 1024 + rng.below(400) } else { rng.below(4096) };
            bad[block * crate::BLOCK + within as usize] = match rng.below(3) {
                0 => 0xFF,
                1 => 0,
                _ => rng.below(256) as u8,
            };
        }
        mem.fill(0);
        use_it(&mut mem, &SharedDisk::new(bad), seed);
    }
}

#[test]
fn random_damage_to_an_image_with_checksums_never_panics() {
    damage(&sample(&["-N", "1024"]), 150, 3);
}

#[test]
fn random_damage_to_an_image_without_checksums_never_panics() {
    damage(&sample(&["-N", "1024", "-O", "^metadata_csum"]), 250, 12);
}

#[test]
fn random_damage_to_a_journal_in_use_never_panics() {
    let disk = SharedDisk::new(images::make(2_048, &[]));
    let mut mem = memory(512);
    let mut fs = open(&mut mem, &disk);
    for (i, name) in ["a", "b", "c"].iter().enumerate() {
        let root = fs.root().unwrap();
        fs.mkdir(1 + i as u64, root, name.as_bytes()).unwrap();
        fs.sync().unwrap();
    }
    drop(fs);
    let image = disk.data();
    let logged: Vec<usize> =
        (0..image.len() / 4096).filter(|b| image[b * 4096..][..4] == [0xC0, 0x3B, 0x39, 0x98]).collect();
    assert!(logged.len() > 5);
    for seed in 0..200 {
        let mut rng = Rng(seed);
        let mut bad = image.clone();
        let block = logged[rng.below(logged.len() as u64) as usize];
        bad[block * 4096 + rng.below(80) as usize] = rng.below(256) as u8;
        mem.fill(0);
        use_it(&mut mem, &SharedDisk::new(bad), seed);
    }
}

#[test]
fn what_is_no_ext4_or_has_unknown_features_is_refused() {
    let mut mem = memory(256);
    for (options, want) in [
        (&["-O", "^has_journal"][..], crate::Error::Unsupported),
        (&["-O", "inline_data"], crate::Error::Unsupported),
        (&["-O", "bigalloc"], crate::Error::Unsupported),
        (&["-b", "1024"], crate::Error::Unsupported),
        (&["-O", "^extent,^64bit"], crate::Error::Unsupported),
    ] {
        let disk = SharedDisk::new(images::make(8_192, options));
        assert_eq!(Fs::open(&mut mem, disk, clock).err(), Some(want), "{options:?}");
    }
    assert_eq!(Fs::open(&mut mem, SharedDisk::new(vec![0; 1 << 20]), clock).err(), Some(crate::Error::Corrupt));
    assert_eq!(Fs::open(&mut mem, SharedDisk::new(vec![0xFF; 1 << 20]), clock).err(), Some(crate::Error::Corrupt));
    assert_eq!(
        Fs::open(&mut mem[..50_000], SharedDisk::new(images::make(2_048, &[])), clock).err(),
        Some(crate::Error::CacheFull)
    );
}
