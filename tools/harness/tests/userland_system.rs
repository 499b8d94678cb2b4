//! The programs that show and steer the system.

mod userland_support;

use harness::{Result, System};
use std::time::{Duration, Instant};
use userland_support::check;

#[test]
fn the_system_can_be_looked_at() -> Result<()> {
    let mut system = System::builder().boot()?;
    let processes = system.run("ps")?.success()?.text();
    for name in ["console", "block", "fs", "pipe", "sh", "ps"] {
        assert!(processes.lines().any(|line| line.split_whitespace().nth(1) == Some(name)), "{name}: {processes}");
    }
    let services = system.run("svc list")?.success()?.text();
    for name in ["console", "block", "fs", "pipe"] {
        let found = services.lines().any(|line| line.starts_with(&format!("{name} ")) && line.contains(" running "));
        assert!(found, "{name}: {services}");
    }
    let memory = system.run("free")?.success()?.text();
    let numbers: Vec<u64> =
        memory.lines().nth(1).unwrap_or("").split_whitespace().skip(1).flat_map(str::parse).collect();
    assert!(matches!(numbers[..], [total, used, free] if total == used + free && free > 0 && used > 0), "{memory}");
    assert!(system.run("free -h")?.success()?.text().contains('M'));
    assert!(system.run("uptime")?.success()?.text().starts_with("up "));
    system.run("svc log")?.success()?;
    check(
        &mut system,
        &[
            ("svc kill nope", 1, "svc: nope: no such service\n"),
            ("svc log nope", 1, "svc: nope: no such service\n"),
            (
                "svc",
                2,
                "svc: missing operand\nusage: svc list | kill NAME | restart NAME [TIMES] | upgrade NAME FILE | log [NAME] | report NAME | trace [--raw] [NAME] | audit | caps [--unused] [NAME]\n",
            ),
        ],
    )?;
    system.poweroff()
}

#[test]
fn top_shows_who_uses_the_processor() -> Result<()> {
    let mut system = System::builder().boot()?;
    let once = system.run("top -n 1")?.success()?.text();
    assert!(once.starts_with("up ") && once.contains(" processes; processor ") && !once.contains('\x1b'), "{once}");
    let row = |name: &str| once.lines().find(|line| line.split_whitespace().nth(1) == Some(name)).map(str::to_owned);
    for name in ["init", "fs", "sh", "top"] {
        assert!(row(name).is_some(), "{name}: {once}");
    }
    let shares: Vec<f64> = once.lines().skip(2).flat_map(|line| line.split_whitespace().nth(5)?.parse().ok()).collect();
    assert!(shares.len() > 6 && shares.is_sorted_by(|a, b| a >= b), "the busiest is first: {once}");
    let twice = system.run("top -t -n 2 -d 0.1")?.success()?.text();
    assert_eq!(twice.matches(" threads; processor ").count(), 2, "{twice}");
    check(
        &mut system,
        &[
            ("top -n 0", 2, "top: '0' is not a count\nusage: top [-t] [-n COUNT] [-d SECONDS]\n"),
            ("top -d x", 2, "top: 'x' is not a time\nusage: top [-t] [-n COUNT] [-d SECONDS]\n"),
            ("top | wc -l >/tmp/lines; top -n 1 | head -n 1 >/tmp/head", 0, ""),
        ],
    )?;
    for key in [b"q", b"\x03"] {
        system.type_line("top -d 0.2")?;
        for _ in 0..3 {
            system.expect("\x1b[Hup ")?;
        }
        system.type_bytes(key)?;
        system.expect("$ ")?;
        assert_eq!(system.run("echo $?")?.text(), "0\n");
    }
    let readers = system.run("svc restart console; echo still here")?.text();
    assert!(readers.ends_with("still here\n"), "{readers}");
    system.poweroff()
}

#[test]
fn a_killed_service_comes_back_and_its_restart_is_counted() -> Result<()> {
    let mut system = System::builder().boot()?;
    let restarts = |system: &mut System, name: &str| -> Result<u64> {
        let text = system.run("svc list")?.success()?.text();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect("it is listed").to_owned();
        Ok(line.split_whitespace().nth(3).expect("the fourth column").parse()?)
    };
    for name in ["console", "block", "fs", "pipe"] {
        let before = restarts(&mut system, name)?;
        system.run(&format!("svc kill {name}"))?.success()?;
        system.run("echo x > /tmp/x; cat /tmp/x | cat")?.success()?;
        assert_eq!(restarts(&mut system, name)?, before + 1, "{name} after a kill");
        system.run(&format!("svc restart {name}"))?.success()?;
        assert_eq!(restarts(&mut system, name)?, before + 2, "{name} after a restart");
    }
    system.poweroff()
}

#[test]
fn sleep_takes_fractions_and_no_less_than_it_was_told() -> Result<()> {
    let mut system = System::builder().boot()?;
    let started = Instant::now();
    system.run("sleep 1.5 0.25")?.success()?;
    assert!(started.elapsed() >= Duration::from_millis(1700), "{:?}", started.elapsed());
    check(
        &mut system,
        &[
            ("sleep 0", 0, ""),
            ("sleep 0.01", 0, ""),
            ("sleep x", 2, "sleep: 'x' is not a time\nusage: sleep SECONDS...\n"),
            ("sleep", 2, "sleep: missing operand\nusage: sleep SECONDS...\n"),
        ],
    )?;
    system.poweroff()
}

#[test]
fn kill_ends_jobs_and_nothing_else() -> Result<()> {
    let mut system = System::builder().boot()?;
    system.type_line("sleep 1000 &")?;
    system.expect("[1] ")?;
    system.expect("\n")?;
    system.expect("$ ")?;
    check(
        &mut system,
        &[
            ("kill 1", 1, "kill: 1: no such process among the jobs of this shell\n"),
            ("kill x", 1, "kill: x: not a process number\n"),
            ("kill -nope 1", 2, "kill: unknown option '-nope'\nusage: kill [-SIGNAL] PID...\n"),
            ("kill $!; wait $!", 143, ""),
        ],
    )?;
    system.poweroff()
}
