//! `svc caps`: what each process holds, where that comes from, who pays, and what was never used.

use harness::{Result, System, graph};
use userland::holdings::Holdings;

/// The cells of the row of this holder and name.
fn row<'t>(table: &'t str, holder: &str, name: &str) -> Vec<&'t str> {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut found = rows.filter(|cells| cells.first() == Some(&holder) && cells.get(2) == Some(&name));
    found.next().unwrap_or_else(|| panic!("{holder} holds no {name}:\n{table}"))
}

#[test]
fn what_a_process_holds_is_shown_with_its_origin_and_who_pays() -> Result<()> {
    let mut system = System::builder().boot()?;
    let table = system.run("svc caps")?.success()?.text();
    let block = row(&table, "fs", "block");
    assert_eq!(block[3..6], ["queue", "block", "send"], "{block:?}");
    assert!(block[7].starts_with("init:") && block[8] == "init", "{block:?}");
    assert_eq!(row(&table, "block", "dma")[3..8], ["memory", "64", "pages", "read,write,map,dma", "-"]);
    assert_eq!(row(&table, "console", "ports")[3..6], ["ioports", "0x3f8-0x3ff", "use"]);
    assert_eq!(row(&table, "init", "process:fs")[4..].last(), Some(&"fs"), "the account of fs pays for its process");
    let one = system.run("svc caps fs")?.success()?.text();
    assert!(one.lines().skip(1).all(|line| line.starts_with("fs ")) && one.lines().count() > 4, "{one}");
    let nobody = system.run("svc caps nobody")?;
    assert_eq!((nobody.status, nobody.text().as_str()), (1, "svc: nobody: no such process\n"));
    let wrong = system.run("svc list --unused")?;
    assert!(wrong.text().starts_with("svc: option '--unused' is for 'caps' only\n"), "{}", wrong.text());
    let unknown = system.run("svc caps --unused")?;
    assert!(unknown.status == 1 && unknown.text().contains("what is used is not noted"), "{}", unknown.text());
    system.poweroff()
}

#[test]
fn the_lines_for_tools_say_the_same_and_nobody_is_left_out() -> Result<()> {
    let output = System::builder().exec("svc caps --raw")?.success()?;
    let holdings = Holdings::parse(&output.text()).map_err(str::to_owned).expect("every line is of its form");
    for name in ["init", "console", "block", "fs", "pipe", "session", "sh", "svc"] {
        let holder = holdings.holders.iter().find(|holder| holder.name == name).expect("it runs");
        assert!(holdings.held.iter().filter(|held| held.process == holder.number).count() > 4, "{name}");
    }
    for held in holdings.held.iter().filter(|held| held.parent_process != 0) {
        let parent = holdings.held.iter().find(|p| (p.process, p.handle) == (held.parent_process, held.parent));
        let parent = parent.unwrap_or_else(|| panic!("{held:?} comes from nowhere"));
        assert_eq!((parent.kind, parent.object), (held.kind, held.object));
        assert!(parent.rights().contains(held.rights()), "{held:?} has more than {parent:?}");
    }
    let graph = graph::running(&holdings, false);
    let derived = holdings.held.iter().filter(|held| held.parent_process != 0).count();
    assert_eq!((graph.boxes.len(), graph.arrows.len()), (holdings.holders.len(), derived));
    assert!(graph::svg(&graph).contains(" block: queue block<"));
    Ok(())
}

#[test]
fn rights_that_were_never_used_are_told_on_demand_and_at_the_end() -> Result<()> {
    let output = System::builder().word("coverage=1").exec("echo x > /tmp/x; cat /tmp/x; svc caps --unused")?;
    let output = output.success()?;
    let table = output.text();
    let shows = |holder: &str, name: &str| {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        table
            .lines()
            .map(words)
            .any(|cells| cells.first().is_some_and(|c| c == holder) && cells.get(2).is_some_and(|c| c == name))
    };
    assert!(!shows("fs", "block"), "fs has called block: {table}");
    assert!(shows("fs", "log"), "fs had nothing to say: {table}");
    let end: Vec<&str> = output.log.lines().filter(|line| line.starts_with("coverage: fs ")).collect();
    assert!(end.contains(&"coverage: fs never used send of log"), "{end:?}");
    assert!(!end.iter().any(|line| line.ends_with(" of block")), "{end:?}");
    Ok(())
}
