//! Directory entries on the wire, and where paths start.

use libipc::dir::{Dir, Namespace};
use libipc::proto::directory::{Entries, Entry, OpenFlags};
use libipc::proto::info::{FileInfo, FileKind};
use libipc::{Handle, Queue, Words};

fn encoded(names: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut used = 0;
    for (n, name) in names.iter().enumerate() {
        used += Entry::encode(n as u64, FileKind::Directory, name, &mut bytes[used..]).unwrap();
    }
    bytes.truncate(used);
    bytes
}

#[test]
fn entries_survive_their_encoding() {
    let long = "x".repeat(255);
    let names = ["a", "ü ö", "", &long];
    let read: Vec<Entry> = Entries::new(&encoded(&names)).collect();
    assert_eq!(read.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), names);
    assert!(read.iter().enumerate().all(|(n, e)| e.inode == n as u64 && e.kind == FileKind::Directory));
}

#[test]
fn an_entry_without_room_or_with_too_long_a_name_is_not_encoded() {
    assert_eq!(Entry::encode(1, FileKind::File, "abc", &mut [0; 12]), None);
    assert_eq!(Entry::encode(1, FileKind::File, "abc", &mut [0; 13]), Some(13));
    assert_eq!(Entry::encode(1, FileKind::File, &"x".repeat(256), &mut [0; 400]), None);
}

#[test]
fn entries_cut_off_or_of_no_kind_end_the_list() {
    let bytes = encoded(&["one", "two"]);
    for length in 0..bytes.len() {
        assert_eq!(Entries::new(&bytes[..length]).count(), length / 13);
    }
    let mut bad = bytes.clone();
    bad[13 + 8] = 99;
    assert_eq!(Entries::new(&bad).count(), 1);
}

#[test]
fn what_a_file_is_survives_the_words_and_nonsense_is_no_file() {
    let info =
        FileInfo { inode: 7, size: u64::MAX, mtime: -1, allocated: 3, mode: 0o644, links: 2, kind: FileKind::Link };
    let mut words = [0; 8];
    info.put(&mut words, 0);
    assert_eq!(FileInfo::take(&words, 0), Some(info));
    words[6] = 0;
    assert_eq!(FileInfo::take(&words, 0), None);
    assert_eq!(OpenFlags::take(&[1 << 20, 0, 0, 0, 0, 0, 0, 0], 0), None);
}

#[test]
fn absolute_paths_start_at_the_root_and_relative_ones_at_the_working_directory() {
    let dir = |index| Dir::new(Queue::new(Handle::new(index, 1)));
    let names = Namespace::new(dir(1), dir(2), "/home/me");
    assert_eq!(names.start("/etc").queue(), dir(1).queue());
    assert_eq!(names.start("etc").queue(), dir(2).queue());
    assert_eq!(names.absolute("x/./y//z"), "/home/me/x/y/z");
    assert_eq!(names.absolute("../x"), "/home/me/../x");
    assert_eq!(names.absolute("/x/"), "/x");
    assert_eq!(names.absolute("/"), "/");
}
