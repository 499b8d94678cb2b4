//! The shell's language, in the guest.

mod userland_support;

use harness::{Disk, Result, System, system::SCRATCH};
use userland_support::check;

#[test]
fn lists_pipelines_redirections_and_variables_work() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/script", b"# a script\necho \"$0 $1 $#\"\nfalse ||\n  echo or\nexit 9\necho no\n")?;
    disk.write("/home/short", b"echo a\n")?;
    let mut system = System::builder().disk(&disk).boot()?;
    check(
        &mut system,
        &[
            ("true && echo a || echo b; false && echo c || echo d", 0, "a\nd\n"),
            ("false; echo $?; ! false; echo $?", 0, "1\n0\n"),
            ("nope", 127, "sh: nope: command not found\n"),
            ("/nope", 127, "sh: /nope: no such file\n"),
            ("/home", 126, "sh: /home: is a directory\n"),
            ("/home/short", 126, "sh: /home/short: cannot execute: too short for an ELF file\n"),
            (
                "nope 2>&1 | cat; nope 2> /tmp/e; cat /tmp/e",
                0,
                "sh: nope: command not found\nsh: nope: command not found\n",
            ),
            ("echo a > /tmp/f; echo b >> /tmp/f; cat < /tmp/f; cat < /nope", 1, "a\nb\nsh: /nope: no such file\n"),
            ("echo x > /bin", 1, "sh: /bin: is a directory\n"),
            ("cat /nope > /tmp/both 2>&1; cat /tmp/both", 0, "cat: /nope: no such file\n"),
            ("echo a | cat | wc -c; echo a | false; echo $?", 0, "2\n1\n"),
            ("a='x  y'; echo $a \"$a\" '$a' \\$a", 0, "x y x  y $a $a\n"),
            ("echo /home/sc* '/home/s*'", 0, "/home/script /home/s*\n"),
            ("sh -c 'exit 5'; echo $?; sh -c 'echo $0 $1' n x", 0, "5\nn x\n"),
            ("sh /home/script arg", 9, "/home/script arg 1\nor\n"),
            ("echo 'echo from stdin; exit 4' | sh", 4, "from stdin\n"),
            ("sh /nope", 127, "sh: /nope: no such file\n"),
            ("sh -c 'echo a; | b'", 2, "sh: syntax error: a command is missing before '|'\n"),
            ("cd /home; pwd; cd ..; pwd; cd /nope", 1, "/home\n/\nsh: cd: /nope: no such file\n"),
            ("cd /home; ls script; /bin/echo abs; ../bin/echo rel; cd /", 0, "script\nabs\nrel\n"),
            ("pwd | cat; history | wc -l > /dev/null", 1, "/\nsh: /dev/null: no such file\n"),
            ("pwd | true; echo $?", 0, "0\n"),
            ("export V=1; sh -c 'echo $V'; W=2 sh -c 'echo $W'; unset V", 0, "1\n2\n"),
        ],
    )?;
    system.poweroff()
}

#[test]
fn many_commands_leave_nothing_behind() -> Result<()> {
    let mut system = System::builder().boot()?;
    let used = |system: &mut System| -> Result<u64> {
        let text = system.run("free")?.success()?.text();
        Ok(text.lines().nth(2).expect("programs").split_whitespace().nth(2).expect("used").parse()?)
    };
    for _ in 0..3 {
        system.run("true; true | cat; echo x > /tmp/x; nope; cat /nope")?;
    }
    let before = used(&mut system)?;
    for _ in 0..40 {
        system.run("true; true | cat; echo x > /tmp/x; nope; cat /nope")?;
    }
    let after = used(&mut system)?;
    assert!(after <= before + 256, "the programs used {before} KiB, and {after} KiB after 160 more of them");
    system.poweroff()
}

#[test]
fn a_pipeline_of_ten_runs_at_once() -> Result<()> {
    let mut system = System::builder().boot()?;
    let pipeline = ["cat"; 9].join(" | ");
    check(&mut system, &[(&format!("echo far | {pipeline}"), 0, "far\n")])?;
    system.poweroff()
}
