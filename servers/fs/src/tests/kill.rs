//! Death at every event: each store to the persistent memory (carried out by half), each write and flush of the disk.

use super::model::{Op, apply, apply_model, difference, snapshot};
use super::*;

fn workload() -> Vec<Op> {
    let p = |s: &str| s.to_string();
    vec![
        Op::Mkdir(p("/d")),
        Op::Create(p("/d/f")),
        Op::Append(p("/d/f"), 10_000),
        Op::Write(p("/d/f"), 3_000, 9_000),
        Op::Sync,
        Op::Create(p("/g")),
        Op::Append(p("/g"), 100),
        Op::Append(p("/g"), 5_000),
        Op::Write(p("/d/f"), 0, 4_096),
        Op::Rename(p("/g"), p("/d/f")),
        Op::Sync,
        Op::Rest,
        Op::Append(p("/d/f"), 40_000),
        Op::Truncate(p("/d/f"), 6_000),
        Op::Write(p("/d/f"), 100_000, 50),
        Op::Mkdir(p("/d/e")),
        Op::Rename(p("/d/e"), p("/e")),
        Op::Unlink(p("/d/f")),
        Op::Rmdir(p("/d")),
        Op::Create(p("/last")),
        Op::Append(p("/last"), 30_000),
        Op::Rest,
        Op::Rest,
        Op::Rmdir(p("/e")),
    ]
}

/// Carries on from operation `done`, again and again with the fuse of `deaths` until there are no more of those.
fn run(disk: &SharedDisk, mem: &mut [u8], ops: &[Op], deaths: &[u64], wants: &[Result<u64, crate::Error>]) -> u64 {
    let done = std::cell::Cell::new(0usize);
    let mut died = 0;
    for &at in deaths.iter().chain([&u64::MAX]) {
        let ended = fuse::until(at, || {
            let mut fs = Fs::open(mem, disk.clone(), clock).expect("it opens after a death");
            while done.get() < ops.len() {
                // The path is resolved before the call, which is what the kernel delivers again.
                let i = done.get();
                let got = apply(&mut fs, 1 + i as u64, &ops[i]);
                assert_eq!(got, wants[i], "{i}: {:?}", ops[i]);
                done.set(i + 1);
            }
            close(fs).expect("it closes");
        });
        match ended {
            Some(()) => break,
            None => died += 1,
        }
        // The answer may have been on its way when the server died: then the call comes again though it took effect.
    }
    died
}

fn sweep(kib: usize, image: &[u8], ops: &[Op], step: u64, second: bool) -> u64 {
    let mut tree = {
        let (disk, mut mem) = (SharedDisk::new(image.to_vec()), memory(kib));
        snapshot(&mut open(&mut mem, &disk))
    };
    let wants: Vec<_> = ops.iter().zip(1..).map(|(op, id)| apply_model(&mut tree, id, op)).collect();
    let (disk, mut mem) = (SharedDisk::new(image.to_vec()), memory(kib));
    let (_, events) = fuse::count(|| run(&disk, &mut mem, ops, &[], &wants));
    let mut total = 0;
    for at in (0..events).step_by(step as usize) {
        let (disk, mut mem) = (SharedDisk::new(image.to_vec()), memory(kib));
        let mut rng = Rng(at);
        let deaths = if second { vec![at, rng.below(60), rng.below(60)] } else { vec![at] };
        assert!(run(&disk, &mut mem, ops, &deaths, &wants) > 0);
        total += 1;
        let mut mem = memory(kib);
        let mut fs = open(&mut mem, &disk);
        assert_eq!(difference(&snapshot(&mut fs), &tree), None, "death at event {at}");
        if at % 16 == 0 {
            images::check(&close(fs).unwrap().data(), false).unwrap_or_else(|e| panic!("death at event {at}: {e}"));
        }
    }
    total
}

#[test]
fn a_death_at_any_store_or_disk_write_leaves_each_call_done_exactly_once() {
    let image = images::make(2_048, &["-N", "64"]);
    assert!(sweep(256, &image, &workload(), 1, false) > 400);
}

#[test]
fn deaths_during_recovery_change_nothing() {
    let image = images::make(2_048, &["-N", "64"]);
    assert!(sweep(256, &image, &workload(), 3, true) > 100);
}

#[test]
fn a_call_answered_just_before_the_death_is_answered_the_same_again() {
    let disk = SharedDisk::new(images::make(2_048, &[]));
    let mut mem = memory(256);
    let (mut root, mut file) = (None, None);
    for round in 0..300u64 {
        let mut fs = open(&mut mem, &disk);
        let root = *root.get_or_insert_with(|| fs.root().unwrap());
        let file = *file.get_or_insert_with(|| fs.create(1, root, b"f", true).unwrap());
        assert_eq!(fs.append(10 + round, file, &[round as u8; 7]), Ok((round * 7, 7)));
        drop(fs);
        let mut fs = open(&mut mem, &disk);
        assert_eq!(fs.append(10 + round, file, &[round as u8; 7]), Ok((round * 7, 7)));
        for earlier in round.saturating_sub(200)..round {
            assert_eq!(fs.append(10 + earlier, file, &[0; 7]), Ok((earlier * 7, 7)));
        }
    }
}

/// An image with two files, each in two thousand pieces.
fn fragmented() -> Vec<u8> {
    let disk = SharedDisk::new(images::make(8_192, &["-N", "64"]));
    let mut mem = memory(2048);
    let mut fs = open(&mut mem, &disk);
    let root = fs.root().unwrap();
    for (n, name) in [b"a", b"b"].into_iter().enumerate() {
        let f = fs.create(1 + n as u64, root, name, true).unwrap();
        for i in 0..2_000u64 {
            fs.write(10_000 * (n as u64 + 1) + i, f, (i * 811 % 2_000) * 8192, &i.to_le_bytes()).unwrap();
        }
    }
    close(fs).unwrap().data()
}

#[test]
fn deaths_while_a_file_too_large_for_one_step_is_cut_or_removed_change_nothing() {
    let p = |s: &str| s.to_string();
    let ops = [
        Op::Truncate(p("/a"), 3_000_000),
        Op::Create(p("/c")),
        Op::Rename(p("/c"), p("/b")),
        Op::Append(p("/b"), 9),
        Op::Unlink(p("/a")),
    ];
    assert!(sweep(256, &fragmented(), &ops, 211, true) > 5);
}
