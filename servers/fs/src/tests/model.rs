//! A simple model of what a filesystem is, random operations on both, and what must be the same.

use std::collections::BTreeMap;

use super::*;
use crate::Error;

/// What there is at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    File(Vec<u8>),
    Dir,
}

/// Path to item. The root is the empty path.
pub type Tree = BTreeMap<String, Item>;

/// An operation that changes something. Directories and names are small numbers, so that they meet.
#[derive(Clone, Debug)]
pub enum Op {
    Create(String),
    Mkdir(String),
    Unlink(String),
    Rmdir(String),
    Rename(String, String),
    Write(String, u64, usize),
    Append(String, usize),
    Truncate(String, u64),
    Sync,
    Rest,
}

pub fn parent(path: &str) -> (&str, &str) {
    path.rsplit_once('/').expect("a path with a slash")
}

fn some_path(rng: &mut Rng) -> String {
    (0..1 + rng.below(3)).map(|_| format!("/{}", (b'a' + rng.below(4) as u8) as char)).collect()
}

/// The next random operation.
pub fn some_op(rng: &mut Rng, largest: u64) -> Op {
    let path = some_path(rng);
    match rng.below(20) {
        0..4 => Op::Create(path),
        4..6 => Op::Mkdir(path),
        6..8 => Op::Unlink(path),
        8 => Op::Rmdir(path),
        9..11 => Op::Rename(path, some_path(rng)),
        11..15 => Op::Write(path, rng.below(largest), 1 + rng.below(30_000) as usize),
        15..17 => Op::Append(path, 1 + rng.below(9_000) as usize),
        17..19 => Op::Truncate(path, rng.below(largest)),
        _ if rng.below(3) == 0 => Op::Rest,
        _ => Op::Sync,
    }
}

fn dir_ok(tree: &Tree, path: &str) -> Result<(), Error> {
    // As the driver resolves it, from the root on.
    let mut at = 0;
    while let Some(next) = path[at + 1..].find('/').map(|i| i + at + 1) {
        match tree.get(&path[..next]) {
            Some(Item::Dir) => at = next,
            Some(_) => return Err(Error::NotADirectory),
            None => return Err(Error::NotFound),
        }
    }
    Ok(())
}

fn children(tree: &Tree, path: &str) -> bool {
    tree.keys().any(|k| k.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
}

fn file<'t>(tree: &'t mut Tree, path: &str) -> Result<&'t mut Vec<u8>, Error> {
    dir_ok(tree, path)?;
    match tree.get_mut(path) {
        Some(Item::File(data)) => Ok(data),
        Some(Item::Dir) => Err(Error::IsADirectory),
        None => Err(Error::NotFound),
    }
}

/// Bytes for the operation with this id.
pub fn bytes(id: u64, len: usize) -> Vec<u8> {
    pattern(id, len)
}

fn rename(tree: &mut Tree, from: &str, to: &str) -> Result<u64, Error> {
    dir_ok(tree, from)?;
    dir_ok(tree, to)?;
    let item = tree.get(from).cloned();
    let item = item.ok_or(Error::NotFound)?;
    if item == Item::Dir && to.starts_with(&format!("{from}/")) {
        return Err(Error::Invalid);
    }
    if from == to {
        return Ok(0);
    }
    match (&item, tree.get(to)) {
        (Item::Dir, Some(Item::File(_))) => return Err(Error::NotADirectory),
        (Item::File(_), Some(Item::Dir)) => return Err(Error::IsADirectory),
        (Item::Dir, Some(Item::Dir)) if children(tree, to) => return Err(Error::NotEmpty),
        _ => {}
    }
    let moved: Vec<String> =
        tree.keys().filter(|k| *k == from || k.starts_with(&format!("{from}/"))).cloned().collect();
    for key in moved {
        let item = tree.remove(&key).expect("it was there");
        tree.insert(format!("{to}{}", &key[from.len()..]), item);
    }
    Ok(0)
}

/// Does `op` to the model.
pub fn apply_model(tree: &mut Tree, id: u64, op: &Op) -> Result<u64, Error> {
    match op {
        Op::Create(p) | Op::Mkdir(p) => {
            dir_ok(tree, p)?;
            if tree.contains_key(p) {
                return Err(Error::Exists);
            }
            tree.insert(p.clone(), if matches!(op, Op::Mkdir(_)) { Item::Dir } else { Item::File(Vec::new()) });
        }
        Op::Unlink(p) => {
            file(tree, p)?;
            tree.remove(p);
        }
        Op::Rmdir(p) => {
            dir_ok(tree, p)?;
            match tree.get(p) {
                None => return Err(Error::NotFound),
                Some(Item::File(_)) => return Err(Error::NotADirectory),
                Some(Item::Dir) if children(tree, p) => return Err(Error::NotEmpty),
                Some(Item::Dir) => tree.remove(p),
            };
        }
        Op::Rename(from, to) => return rename(tree, from, to),
        Op::Write(p, offset, len) => {
            let data = file(tree, p)?;
            let end = *offset as usize + len;
            data.resize(data.len().max(end), 0);
            data[*offset as usize..end].copy_from_slice(&bytes(id, *len));
            return Ok(*len as u64);
        }
        Op::Append(p, len) => {
            let data = file(tree, p)?;
            let at = data.len() as u64;
            data.extend(bytes(id, *len));
            return Ok(at);
        }
        Op::Truncate(p, size) => file(tree, p)?.resize(*size as usize, 0),
        Op::Sync | Op::Rest => {}
    }
    Ok(0)
}

fn dir_of<'p>(fs: &mut Fs<'_, SharedDisk>, path: &'p str) -> Result<(FileId, &'p [u8]), Error> {
    let (dir, name) = parent(path);
    let mut at = fs.root()?;
    for part in dir.split('/').skip(1) {
        let found = fs.lookup(at, part.as_bytes())?;
        if found.kind != crate::Kind::Directory {
            return Err(Error::NotADirectory);
        }
        at = found.id;
    }
    Ok((at, name.as_bytes()))
}

pub fn file_id(fs: &mut Fs<'_, SharedDisk>, path: &str) -> Result<FileId, Error> {
    let (dir, name) = dir_of(fs, path)?;
    Ok(fs.lookup(dir, name)?.id)
}

/// Does `op` to the filesystem.
pub fn apply(fs: &mut Fs<'_, SharedDisk>, id: u64, op: &Op) -> Result<u64, Error> {
    match op {
        Op::Create(p) => {
            let (d, n) = dir_of(fs, p)?;
            fs.create(id, d, n, true).map(|_| 0)
        }
        Op::Mkdir(p) => {
            let (d, n) = dir_of(fs, p)?;
            fs.mkdir(id, d, n).map(|_| 0)
        }
        Op::Unlink(p) => {
            let (d, n) = dir_of(fs, p)?;
            fs.unlink(id, d, n).map(|()| 0)
        }
        Op::Rmdir(p) => {
            let (d, n) = dir_of(fs, p)?;
            fs.rmdir(id, d, n).map(|()| 0)
        }
        Op::Rename(from, to) => {
            let (from, to) = (dir_of(fs, from)?, dir_of(fs, to)?);
            fs.rename(id, from, to).map(|()| 0)
        }
        Op::Write(p, offset, len) => {
            let f = file_id(fs, p)?;
            fs.write(id, f, *offset, &bytes(id, *len)).map(|n| n as u64)
        }
        Op::Append(p, len) => {
            let f = file_id(fs, p)?;
            fs.append(id, f, &bytes(id, *len)).map(|(at, _)| at)
        }
        Op::Truncate(p, size) => {
            let f = file_id(fs, p)?;
            fs.truncate(id, f, *size).map(|()| 0)
        }
        Op::Sync => fs.sync().map(|()| 0),
        Op::Rest => fs.rest().map(|()| 0),
    }
}

/// Everything that is in the filesystem.
pub fn snapshot(fs: &mut Fs<'_, SharedDisk>) -> Tree {
    let mut tree = Tree::new();
    let root = fs.root().unwrap();
    let mut todo = vec![(String::new(), root)];
    while let Some((path, dir)) = todo.pop() {
        let mut names = Vec::new();
        fs.readdir(dir, 0, &mut |e| {
            names.push(e.name.to_vec());
            true
        })
        .unwrap();
        for name in names {
            let path = format!("{path}/{}", String::from_utf8_lossy(&name));
            if path == "/lost+found" {
                continue;
            }
            let stat = fs.lookup(dir, &name).unwrap();
            if stat.kind == crate::Kind::Directory {
                todo.push((path.clone(), stat.id));
                tree.insert(path, Item::Dir);
            } else {
                tree.insert(path, Item::File(read_all(fs, stat.id).unwrap()));
            }
        }
    }
    tree
}

/// What differs, in short.
pub fn difference(a: &Tree, b: &Tree) -> Option<String> {
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    keys.into_iter().find_map(|k| match (a.get(k), b.get(k)) {
        (x, y) if x == y => None,
        (Some(Item::File(x)), Some(Item::File(y))) => {
            let at = x.iter().zip(y).position(|(x, y)| x != y);
            Some(format!("{k}: lengths {} and {}, first difference at {at:?}", x.len(), y.len()))
        }
        (x, y) => Some(format!("{k}: {} and {}", short(x), short(y))),
    })
}

fn short(item: Option<&Item>) -> &'static str {
    match item {
        None => "nothing",
        Some(Item::Dir) => "a directory",
        Some(Item::File(_)) => "a file",
    }
}

/// Runs `ops` on both. `restart` says after which of them the server is replaced.
fn run(image: &[u8], kib: usize, ops: &[(u64, Op)], restart: u64, judge: bool) -> Result<(), String> {
    let disk = SharedDisk::new(image.to_vec());
    let (mut mem, mut tree) = (memory(kib), Tree::new());
    let mut rest = ops;
    loop {
        let mut fs = open(&mut mem, &disk);
        let (part, after) = rest.split_at(rest.len().min(restart as usize));
        for (id, op) in part {
            let (got, want) = (apply(&mut fs, *id, op), apply_model(&mut tree, *id, op));
            if got != want {
                return Err(format!("{op:?}: {got:?}, not {want:?}"));
            }
        }
        if let Some(text) = difference(&snapshot(&mut fs), &tree) {
            return Err(text);
        }
        rest = after;
        if rest.is_empty() {
            let disk = close(fs).map_err(|e| format!("{e:?}"))?;
            return if judge { images::check(&disk.data(), false) } else { Ok(()) };
        }
    }
}

/// The shortest part of `ops` that still fails.
fn shrink(image: &[u8], kib: usize, mut ops: Vec<(u64, Op)>, restart: u64, judge: bool) -> Vec<(u64, Op)> {
    let fails =
        |ops: &[(u64, Op)]| std::panic::catch_unwind(|| run(image, kib, ops, restart, judge)).is_ok_and(|r| r.is_err());
    let mut step = ops.len() / 2;
    while step > 0 {
        let mut at = 0;
        while at < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + step).min(fewer.len()));
            if fails(&fewer) { ops = fewer } else { at += step }
        }
        step /= 2;
    }
    ops
}

#[test]
fn random_operations_give_what_the_model_gives_and_a_clean_image() {
    let image = images::make(2560, &["-N", "128"]);
    for seed in 0..18 {
        let mut rng = Rng(seed * 1000);
        let kib = [256, 384, 1024][seed as usize % 3];
        let largest = if seed % 2 == 0 { 60_000 } else { 400_000 };
        let ops: Vec<(u64, Op)> = (1..400).map(|id| (id, some_op(&mut rng, largest))).collect();
        let restart = 20 + rng.below(200);
        if let Err(e) = run(&image, kib, &ops, restart, true) {
            let ops = shrink(&image, kib, ops, restart, !e.starts_with('/') && e.contains("e2fsck"));
            panic!("seed {seed}, {kib} KiB, restart {restart}: {e}\n{ops:#?}");
        }
    }
}
