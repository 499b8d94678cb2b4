//! The kernel's trace: as text, in crash reports, and as a file for a viewer.

use harness::{Disk, Result, System, system::SCRATCH, trace};

#[test]
fn a_copy_over_a_kill_of_the_filesystem_is_one_flow_through_both_incarnations() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    // The kill point strikes in the midst of the copy: fs dies with a call that it has worked on and not answered.
    let traced = System::builder().disk(&disk).word("trace=131072,all").word("kill=fs@before-reply:40");
    let mut system = traced.boot()?;
    system.run("cp /bin/sh /home/copy")?.success()?;
    system.run("cmp /bin/sh /home/copy || sha256sum /bin/sh /home/copy")?;
    system.run("svc trace --raw > /tmp/trace.raw")?.success()?;
    system.poweroff()?;
    let document = trace::to_json(&trace::decode(&disk.read("/tmp/trace.raw")?)?);
    let events = document["traceEvents"].as_array().expect("a list of events");
    let again = events.iter().find(|event| event["ph"] == "X" && event["args"]["attempt"] == 2);
    let again = again.expect("a slice for the redelivered call");
    let arrows = |id: &serde_json::Value| -> Vec<&serde_json::Value> {
        events.iter().filter(|event| event["cat"] == "request" && event["id"] == *id).collect()
    };
    let at = events
        .iter()
        .find(|event| event["cat"] == "request" && event["ts"] == again["ts"] && event["tid"] == again["tid"]);
    let flow = arrows(&at.expect("an arrow leads to it")["id"]);
    let in_fs = flow.iter().filter(|point| point["pid"] == again["pid"]).count();
    assert!(in_fs >= 2, "both incarnations are in the flow: {flow:?}");
    assert_eq!((&flow[0]["ph"], &flow[flow.len() - 1]["ph"]), (&"s".into(), &"f".into()), "{flow:?}");
    assert_eq!(flow[0]["pid"], flow[flow.len() - 1]["pid"], "it ends with who began");
    Ok(())
}

#[test]
fn the_trace_is_there_without_being_asked_for_and_is_read_as_text() -> Result<()> {
    let mut system = System::builder().boot()?;
    system.run("svc kill fs; ls /")?.success()?;
    let text = system.run("svc trace fs")?.success()?.text();
    let position = |what: &str| text.lines().position(|line| line.contains(what));
    let (death, start) = (position("death, status 137"), position("start, incarnation 2"));
    assert!(death.is_some() && death < start, "{text}");
    assert!(text.lines().all(|line| line.contains(" fs ")), "{text}");
    system.run("svc trace-calls on; ls /; svc trace-calls off")?.success()?;
    let text = system.run("svc trace ls")?.success()?.text();
    assert!(text.contains(" call #"), "{text}");
    system.poweroff()
}
