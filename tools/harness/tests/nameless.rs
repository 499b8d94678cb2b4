//! `nameless` on a machine, killed in the middle of its client's calls.

use harness::{Result, System};

#[test]
fn nameless_is_killed_in_mid_call_and_its_client_never_notices() -> Result<()> {
    // Before an answer has gone out, after one has, and with a call just received.
    let kills = "kill=nameless@before-reply:1,nameless@after-reply:+1,nameless@message:+2";
    let mut system = System::builder().system("examples/system.toml").memory(64).word(kills).boot()?;
    assert_eq!(system.run("nameless-client 1 2 3 4 5 6")?.success()?.text(), "21\n");
    let list = system.run("svc list")?.success()?.text();
    let line = list.lines().find(|line| line.starts_with("nameless ")).expect("the service is there");
    assert_eq!(line.split_whitespace().nth(3), Some("3"), "it was not killed three times:\n{list}");
    system.run("svc kill nameless")?.success()?;
    assert_eq!(system.run("nameless-client")?.success()?.text(), "21\n");
    system.poweroff()
}
