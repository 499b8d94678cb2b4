//! `kv` on a machine, killed around its answers.

use harness::{Result, System};

#[test]
fn kv_keeps_what_it_acknowledged_and_deletes_once_while_it_is_killed() -> Result<()> {
    let points = ["message:1", "before-reply:+1", "after-reply:+1", "before-reply:+1", "message:+1"];
    let kills = points.map(|point| format!("kv@{point}")).join(",");
    let mut system = System::builder().system("examples/system.toml").word(format!("kill={kills}")).boot()?;
    for change in ["put tile small", "put token round", "put tile large", "delete token"] {
        system.run(&format!("kv-client {change}"))?.success()?;
    }
    assert_eq!(system.run("kv-client get tile")?.success()?.text(), "large\n");
    assert_eq!(system.run("kv-client delete token")?.expect_status(1)?.text(), "kv-client: no such key\n");
    assert_eq!(system.run("svc kill kv; kv-client list")?.success()?.text(), "tile\n");
    let list = system.run("svc list")?.success()?.text();
    let line = list.lines().find(|line| line.starts_with("kv ")).expect("the service is there");
    assert_eq!(
        line.split_whitespace().nth(3),
        Some("6"),
        "five deaths that were planned, and one that was ordered:\n{list}"
    );
    system.poweroff()
}
