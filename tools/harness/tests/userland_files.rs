//! The programs that handle files.

mod userland_support;

use harness::{Disk, Result, System, system::SCRATCH};
use userland_support::check;

#[test]
fn programs_make_show_move_and_remove_files() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    let mut system = System::builder().disk(&disk).boot()?;
    check(
        &mut system,
        &[
            ("cd /tmp; pwd", 0, "/tmp\n"),
            ("mkdir d; rmdir d; mkdir d; ls", 0, "d\n"),
            ("mkdir d", 1, "mkdir: d: file exists\n"),
            ("mkdir a/b", 1, "mkdir: a/b: no such file\n"),
            ("mkdir -p a/b/c a/b; ls a; ls a/b", 0, "b\nc\n"),
            ("rmdir a", 1, "rmdir: a: directory not empty\n"),
            ("rmdir nope", 1, "rmdir: nope: no such file\n"),
            ("echo hello > f; cat f", 0, "hello\n"),
            ("cat /nope", 1, "cat: /nope: no such file\n"),
            ("cat d", 1, "cat: d: is a directory\n"),
            ("cat f nope f", 1, "hello\ncat: nope: no such file\nhello\n"),
            ("cat f/x", 1, "cat: f/x: not a directory\n"),
            ("cp f g; cat g; cp f d; cat d/f; cp f g d; ls d", 0, "hello\nhello\nf\ng\n"),
            ("cp f f", 1, "cp: f and f are the same file\n"),
            ("cat f", 0, "hello\n"),
            ("cp nope x", 1, "cp: nope: no such file\n"),
            ("cp a x", 1, "cp: a: is a directory (-r copies it)\n"),
            ("cp -r a x; ls x/b", 0, "c\n"),
            ("cp -r a a/b", 1, "cp: a: cannot copy a directory into itself\n"),
            ("cp f g nope", 1, "cp: nope: not a directory\n"),
            ("mv g h; cat h; cat g", 1, "hello\ncat: g: no such file\n"),
            ("mv h d; ls d; mv nope d", 1, "f\ng\nh\nmv: nope: no such file\n"),
            ("mv d/h /tmp/d/../i; cat i", 0, "hello\n"),
            ("mv x y; ls y", 0, "b\n"),
            ("touch new; wc -c new; touch new f; cat f", 0, "0 new\nhello\n"),
            ("touch nope/x", 1, "touch: nope/x: no such file\n"),
            ("rm i; rm i", 1, "rm: i: no such file\n"),
            ("rm -f i", 0, ""),
            ("rm d", 1, "rm: d: is a directory\n"),
            ("rm -r d y a; ls", 0, "f\nnew\n"),
            ("rm -r .", 1, "rm: .: refusing to remove '.', '..' or '/'\n"),
            ("ls nope", 1, "ls: nope: no such file\n"),
            ("ls f new", 0, "f\nnew\n"),
            ("touch .h; ls; ls -a | head -n 3", 0, "f\nnew\n.\n..\n.h\n"),
            ("rm .h f new; cd /; rmdir /tmp/nope", 1, "rmdir: /tmp/nope: no such file\n"),
        ],
    )?;
    system.poweroff()?;
    disk.assert_sound()?;
    assert!(disk.list("/tmp")?.iter().all(|entry| entry.name == "." || entry.name == ".."));
    Ok(())
}

#[test]
fn long_listings_and_stat_tell_kind_mode_and_size() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/five", b"12345")?;
    let mut system = System::builder().disk(&disk).boot()?;
    let listing = system.run("ls -l /home")?.success()?.text();
    let words: Vec<&str> = listing.split_whitespace().collect();
    assert!(words[0].starts_with("-rw") && words[2] == "5" && words[5] == "five", "{listing}");
    assert!(words[3].len() == 10 && words[3].starts_with("20"), "{listing}");
    let directory = system.run("ls -l /")?.success()?.text();
    assert!(directory.lines().any(|line| line.starts_with("drwx") && line.ends_with(" home")), "{directory}");
    let stat = system.run("stat /home/five")?.success()?.text();
    assert!(stat.contains("Kind: regular file") && stat.contains("Size: 5 bytes"), "{stat}");
    check(
        &mut system,
        &[
            ("stat /nope", 1, "stat: /nope: no such file\n"),
            ("stat", 2, "stat: missing operand\nusage: stat PATH...\n"),
        ],
    )?;
    system.poweroff()
}

#[test]
fn a_full_disk_is_an_error_of_whoever_writes() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    let mut system = System::builder().disk(&disk).boot()?;
    system.run("cd /home; echo precious > keep; cp /bin/sh a; sync")?.success()?;
    // Doubles what is there until nothing more fits.
    let mut said = String::new();
    for _ in 0..12 {
        let output = system.run("cat a a > b && mv b a")?;
        if output.status != 0 {
            said = output.text();
            break;
        }
    }
    assert!(said.contains("no space left on device"), "{said}");
    let copy = system.run("cp a c")?;
    assert_eq!(copy.status, 1, "{}", copy.text());
    assert!(copy.text().contains("c: no space left on device"), "{}", copy.text());
    check(
        &mut system,
        &[("cat keep", 0, "precious\n"), ("rm b c", 0, ""), ("echo more > other; cat other", 0, "more\n")],
    )?;
    system.poweroff()?;
    disk.assert_sound()?;
    assert_eq!(disk.read("/home/keep")?, b"precious\n");
    Ok(())
}

#[test]
fn df_counts_what_is_written() -> Result<()> {
    let mut system = System::builder().boot()?;
    let used = |system: &mut System| -> Result<u64> {
        let text = system.run("df")?.success()?.text();
        let line = text.lines().nth(1).expect("a line for the disk").to_owned();
        Ok(line.split_whitespace().nth(2).expect("the third column").parse()?)
    };
    let before = used(&mut system)?;
    system.run("cp /bin/sh /home/copy; cp /bin/sh /home/copy2")?.success()?;
    let after = used(&mut system)?;
    assert!(after > before + 100, "{before} KiB, then {after} KiB");
    assert!(system.run("df -h")?.success()?.text().contains('M'));
    system.poweroff()
}
