//! The programs that read and write text and bytes.

mod userland_support;

use harness::{Disk, Result, System, system::SCRATCH};
use userland_support::check;

#[test]
fn filters_do_what_their_namesakes_do() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/lines", b"one\ntwo words\nthree\nfour\n")?;
    disk.write("/home/long", "0123456789\n".repeat(20_000).as_bytes())?;
    disk.write("/home/bytes", &[0, 1, 0x7f, 0xff, b'A'])?;
    let mut system = System::builder().disk(&disk).boot()?;
    system.run("cd /home")?.success()?;
    check(
        &mut system,
        &[
            ("echo a  b 'c  d'", 0, "a b c  d\n"),
            ("echo -n a; echo; echo; echo -x", 0, "a\n\n-x\n"),
            ("head -n 2 lines", 0, "one\ntwo words\n"),
            ("head -c 5 lines", 0, "one\nt"),
            ("head -n 0 lines", 0, ""),
            ("head -n 1 lines bytes nope | wc -l", 0, "head: nope: no such file\n4\n"),
            ("head long | wc", 0, "     10      10     110\n"),
            ("head -n x lines", 2, "head: 'x' is not a number\nusage: head [-n LINES | -c BYTES] [FILE]...\n"),
            ("wc lines", 0, "      4       5      25 lines\n"),
            ("wc -l lines; wc -w lines; wc -c lines", 0, "4 lines\n5 lines\n25 lines\n"),
            ("wc -l lines long", 0, "4 lines\n20000 long\n20004 total\n"),
            ("cat lines long | wc -c", 0, "220025\n"),
            ("wc -c < long", 0, "220000\n"),
            ("echo abc | cat - lines | head -n 2", 0, "abc\none\n"),
            ("hexdump -C bytes", 0, "00000000  00 01 7f ff 41                                    |....A|\n00000005\n"),
            ("hexdump long | wc -l", 0, "13751\n"),
            ("echo -n abc | sha256sum", 0, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n"),
            ("sha256sum nope", 1, "sha256sum: nope: no such file\n"),
            ("cat long | head -n 1", 0, "0123456789\n"),
            ("true x; echo $?; false", 1, "0\n"),
        ],
    )?;
    system.poweroff()
}

#[test]
fn a_megabyte_passes_a_pipeline_unchanged() -> Result<()> {
    let content: Vec<u8> = (0..1_000_003_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/data", &content)?;
    let mut system = System::builder().disk(&disk).boot()?;
    system.run("cat /home/data | cat | cat > /home/copy")?.success()?;
    let sums = system.run("sha256sum < /home/data; sha256sum < /home/copy")?.success()?.text();
    let sums: Vec<&str> = sums.lines().collect();
    assert_eq!(sums[0], sums[1]);
    system.poweroff()?;
    assert!(disk.read("/home/copy")? == content);
    Ok(())
}

#[test]
fn every_program_has_help_and_refuses_nonsense() -> Result<()> {
    let mut system = System::builder().boot()?;
    let help = system.run("help")?.success()?.text();
    let names = system.run("ls /bin")?.success()?.text();
    for name in names.lines() {
        assert!(help.contains(&format!("  {name} ")), "{name} is missing in help:\n{help}");
        let text = system.run(&format!("{name} --help"))?.success()?.text();
        assert!(text.starts_with("usage: "), "{name}: {text}");
        if !["bench", "echo", "kill", "sh"].contains(&name) {
            let refused = system.run(&format!("{name} --nonsense"))?;
            assert_eq!(refused.status, 2, "{name}: {}", refused.text());
            assert!(
                refused.text().starts_with(&format!("{name}: unknown option '--nonsense'\n")),
                "{}",
                refused.text()
            );
        }
    }
    assert!(system.run("help cat")?.success()?.text().starts_with("usage: cat "));
    assert!(system.run("help cd")?.success()?.text().starts_with("cd (builtin)"));
    assert_eq!(system.run("help nope")?.status, 1);
    system.poweroff()
}
