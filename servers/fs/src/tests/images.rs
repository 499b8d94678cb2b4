//! Making and judging images with e2fsprogs.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file that goes away.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("fs-test-{}-{n}", std::process::id())))
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(program: &str, args: &[&str]) -> (bool, String) {
    let out = Command::new(program)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(args)
        .output()
        .expect("e2fsprogs is installed");
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), text)
}

/// An image of `blocks` blocks.
pub fn make(blocks: u64, options: &[&str]) -> Vec<u8> {
    let file = Scratch::new();
    let count = blocks.to_string();
    let mut args = vec!["-q", "-F", "-t", "ext4", "-b", "4096"];
    args.extend(options);
    args.extend([file.path(), &count]);
    let (ok, text) = run("mke2fs", &args);
    assert!(ok, "mke2fs: {text}");
    std::fs::read(&file.0).expect("the image")
}

/// What is wrong with the image, if anything. With `replay` its journal may be in use; without, it must say that it is
/// clean.
pub fn check(image: &[u8], replay: bool) -> Result<(), String> {
    let file = Scratch::new();
    std::fs::write(&file.0, image).expect("a scratch file");
    if replay {
        let (_, text) = run("e2fsck", &["-fy", "-E", "journal_only", file.path()]);
        if text.contains("corrupt") || text.contains("Invalid") {
            return Err(text);
        }
    }
    let (ok, text) = run("e2fsck", &["-fn", file.path()]);
    let clean = !["could be", "skipping journal recovery"].iter().any(|complaint| text.contains(complaint));
    if ok && clean { Ok(()) } else { Err(text) }
}

/// Runs a `debugfs` command; its output.
pub fn debugfs(image: &[u8], command: &str) -> Vec<u8> {
    let file = Scratch::new();
    std::fs::write(&file.0, image).expect("a scratch file");
    let out = Command::new("/usr/sbin/debugfs").args(["-R", command, file.path()]).output().expect("debugfs");
    out.stdout
}

/// Runs `debugfs` commands that change the image.
pub fn debugfs_write(image: &[u8], commands: &str) -> Vec<u8> {
    let (file, script) = (Scratch::new(), Scratch::new());
    std::fs::write(&file.0, image).expect("a scratch file");
    std::fs::write(&script.0, commands).expect("a scratch file");
    let (ok, text) = run("debugfs", &["-w", "-f", script.path(), file.path()]);
    assert!(ok && !text.contains("rror"), "{text}");
    std::fs::read(&file.0).expect("the image")
}

/// Runs e2fsck -fyD, which gives large directories a hash index.
pub fn index_directories(image: &[u8]) -> Vec<u8> {
    let file = Scratch::new();
    std::fs::write(&file.0, image).expect("a scratch file");
    run("e2fsck", &["-fyD", file.path()]);
    std::fs::read(&file.0).expect("the image")
}

/// The image after e2fsck has replayed its journal.
pub fn replayed(image: &[u8]) -> Vec<u8> {
    let file = Scratch::new();
    std::fs::write(&file.0, image).expect("a scratch file");
    run("e2fsck", &["-fy", "-E", "journal_only", file.path()]);
    std::fs::read(&file.0).expect("the image")
}
