//! Power cuts: what was written since the last flush arrives in part, in any order, and torn.

use super::disks::Event;
use super::model::{Op, Tree, apply, apply_model, difference, snapshot, some_op};
use super::*;

/// What a run left: the image before it, everything done to the disk, and the states that a cut may show.
struct History {
    image: Vec<u8>,
    log: Vec<Event>,
    /// After each operation: the length of the log, and the state. The first is the state at the beginning.
    states: Vec<(usize, Tree)>,
    /// Log length at the end of each sync, and the index of the state that it made safe.
    synced: Vec<(usize, usize)>,
}

fn record(image: &[u8], kib: usize, ops: &[Op], restarts: bool) -> History {
    let disk = SharedDisk::new(image.to_vec());
    disk.0.borrow_mut().recording = true;
    let (mut mem, mut tree) = (memory(kib), Tree::new());
    let mut history =
        History { image: image.to_vec(), log: Vec::new(), states: vec![(0, Tree::new())], synced: vec![(0, 0)] };
    let mut fs = open(&mut mem, &disk);
    for (i, op) in ops.iter().enumerate() {
        if restarts && i % 17 == 16 {
            drop(fs);
            fs = open(&mut mem, &disk);
        }
        let id = 1 + i as u64;
        // The state may be on disk as soon as the operation has begun to write.
        let before = disk.0.borrow().log.len();
        let mut got = None;
        // With restarts, a death in the middle of some syncs, after which the successor has to finish them.
        if restarts && matches!(op, Op::Sync | Op::Rest) {
            got = fuse::until(id * 7 % 23, || apply(&mut fs, id, op));
            if got.is_none() {
                drop(fs);
                fs = open(&mut mem, &disk);
            }
        }
        let got = got.unwrap_or_else(|| apply(&mut fs, id, op));
        assert_eq!(got, apply_model(&mut tree, id, op), "{op:?}");
        history.states.push((before, tree.clone()));
        if matches!(op, Op::Sync | Op::Rest) {
            history.synced.push((disk.0.borrow().log.len(), history.states.len() - 1));
        }
        if i % 5 == 0 {
            fs.idle().unwrap();
        }
    }
    drop(fs);
    history.log = disk.0.borrow().log.clone();
    history
}

fn apply_write(data: &mut [u8], event: &Event, torn: Option<u64>) {
    let Event::Write(block, bytes) = event else { return };
    for (sector, part) in bytes.chunks(512).enumerate() {
        if torn.is_none_or(|mask| mask >> sector & 1 != 0) {
            let at = *block as usize * crate::BLOCK + sector * 512;
            data[at..at + 512].copy_from_slice(part);
        }
    }
}

/// Mounts `data` and finds the state that it shows.
fn judge(history: &History, data: Vec<u8>, cut: usize, thorough: bool, what: &str) {
    let first = history.synced.iter().rev().find(|s| s.0 <= cut).expect("the beginning is safe").1;
    let last = history.states.iter().rposition(|s| s.0 <= cut).expect("the beginning");
    if thorough {
        images::check(&data, true).unwrap_or_else(|e| panic!("{what}, cut at {cut}: before our mount: {e}"));
    }
    let disk = SharedDisk::new(data);
    let mut mem = memory(256);
    let mut fs = Fs::open(&mut mem, disk.clone(), clock).unwrap_or_else(|e| panic!("{what}, cut at {cut}: {e:?}"));
    let found = snapshot(&mut fs);
    let matching = (first..=last).any(|i| history.states[i].1 == found);
    assert!(
        matching,
        "{what}, cut at {cut}: none of the states {first} to {last}; to the last synced: {:?}",
        difference(&found, &history.states[first].1)
    );
    if thorough {
        images::check(&close(fs).unwrap().data(), false).unwrap_or_else(|e| panic!("{what}, cut at {cut}: {e}"));
    }
}

/// Tries cuts: every `step`-th prefix, and after each a few subsets and torn writes of its epoch. Returns how many.
fn cut_everywhere(history: &History, step: usize, seed: u64) -> usize {
    let (mut rng, mut tried) = (Rng(seed), 0);
    let (mut safe, mut epoch_start) = (history.image.clone(), 0);
    for cut in 0..=history.log.len() {
        if cut % step == 0 {
            let epoch = &history.log[epoch_start..cut];
            let mut prefix = safe.clone();
            epoch.iter().for_each(|event| apply_write(&mut prefix, event, None));
            tried += 1;
            judge(history, prefix, cut, tried % 10 == 0, "prefix");
            for _ in 0..2 {
                let mut subset = safe.clone();
                for event in epoch {
                    match rng.below(5) {
                        0..2 => {}
                        2 if rng.below(4) == 0 => apply_write(&mut subset, event, Some(rng.below(256))),
                        _ => apply_write(&mut subset, event, None),
                    }
                }
                tried += 1;
                judge(history, subset, cut, false, "subset");
            }
        }
        if let Some(Event::Flush) = history.log.get(cut) {
            history.log[epoch_start..cut].iter().for_each(|event| apply_write(&mut safe, event, None));
            epoch_start = cut + 1;
        }
    }
    tried
}

#[test]
fn after_a_power_cut_the_disk_shows_a_state_between_the_last_sync_and_the_last_operation() {
    let image = images::make(2_048, &["-N", "64"]);
    let many = std::env::var("FS_POWER_CUTS").is_ok();
    let mut tried = 0;
    for seed in 0..if many { 60 } else { 10 } {
        let mut rng = Rng(seed);
        let mut ops: Vec<Op> = ["/a", "/b", "/a/b"].iter().map(|p| Op::Mkdir((*p).to_string())).collect();
        ops.extend(["/c", "/d", "/a/a", "/a/b/c"].iter().map(|p| Op::Create((*p).to_string())));
        ops.extend((0..150).map(|_| if rng.below(6) == 0 { Op::Sync } else { some_op(&mut rng, 100_000) }));
        let history = record(&image, [256, 512][seed as usize % 2], &ops, seed % 2 == 1);
        let flushes = history.log.iter().filter(|e| matches!(e, Event::Flush)).count();
        assert!(flushes > 15, "{flushes}");
        tried += cut_everywhere(&history, if many { 1 } else { 3 }, seed);
    }
    assert!(tried > 2000, "{tried}");
    println!("{tried} images");
}

#[test]
fn a_power_cut_while_a_large_file_passes_through_a_small_cache_shows_whole_operations() {
    let image = images::make(3_072, &["-N", "64"]);
    let file = "/f".to_string();
    let mut ops = vec![Op::Create(file.clone()), Op::Sync];
    ops.extend((0..60).map(|i| Op::Write(file.clone(), i * 40_000, 40_000)));
    ops.extend((0..30).map(|i| Op::Write(file.clone(), i * 30_000 + 17, 30_000)));
    ops.push(Op::Truncate(file.clone(), 1_000_000));
    ops.extend((0..30).map(|_| Op::Append(file.clone(), 30_000)));
    ops.push(Op::Unlink(file.clone()));
    ops.push(Op::Create(file.clone()));
    ops.extend((0..30).map(|_| Op::Append(file.clone(), 30_000)));
    let history = record(&image, 288, &ops, false);
    cut_everywhere(&history, 61, 5);
}

#[test]
fn a_journal_written_by_e2fsprogs_is_replayed_as_e2fsck_replays_it() {
    let blocks = [images::Scratch::new(), images::Scratch::new()];
    std::fs::write(&blocks[0].0, pattern(1, 5 * 4096)).unwrap();
    // A block that begins with the journal's magic number.
    let clash = [&[0xC0, 0x3B, 0x39, 0x98][..], &pattern(2, 4092)].concat();
    std::fs::write(&blocks[1].0, clash).unwrap();
    for open in ["jo", "jo -c", "jo -c -v 2"] {
        let image = images::make(2_048, &[]);
        let image = images::debugfs_write(
            &image,
            &format!(
                "{open}\njw -b 1900-1904 {}\njw -b 1910 {}\njw -b 1920 {}\njw -r 1902\njc\n",
                blocks[0].path(),
                blocks[1].path(),
                blocks[1].path(),
            ),
        );
        let disk = SharedDisk::new(image.clone());
        let mut mem = memory(256);
        drop(super::open(&mut mem, &disk));
        let (ours, theirs) = (disk.data(), images::replayed(&image));
        let part = 1_890 * 4096..1_930 * 4096;
        assert!(ours[part.clone()] == theirs[part.clone()], "{open}");
        assert!(ours[part.clone()] != image[part], "{open}");
    }
}

#[test]
fn a_torn_write_of_the_superblock_at_mount_or_at_the_end_does_no_harm() {
    let image = images::make(2_048, &[]);
    let disk = SharedDisk::new(image.clone());
    disk.0.borrow_mut().recording = true;
    let mut mem = memory(256);
    let mut fs = super::open(&mut mem, &disk);
    let root = fs.root().unwrap();
    fs.create(1, root, b"f", true).unwrap();
    close(fs).unwrap();
    let log = disk.0.borrow().log.clone();
    let mut before = image;
    for event in &log {
        for mask in 0..256 {
            let mut torn = before.clone();
            apply_write(&mut torn, event, Some(mask));
            assert!(Fs::open(&mut memory(256), SharedDisk::new(torn), clock).is_ok(), "sectors {mask:#b}");
        }
        apply_write(&mut before, event, None);
    }
}
