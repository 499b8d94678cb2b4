//! The kernel's trace: as text, in crash reports, and as a file for a viewer.

mod perfetto;

use harness::{Disk, Result, System, system::SCRATCH, trace};

#[test]
fn a_copy_over_a_kill_of_the_filesystem_is_one_flow_through_both_incarnations() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    // The kill point strikes in the midst of it: fs dies with a call that it has worked on and not answered.
    let traced = System::builder().disk(&disk).word("trace=131072").word("kill=fs@before-reply:40");
    let mut system = traced.boot()?;
    let sums = system.run("cp /bin/sh /home/copy; sha256sum /bin/sh /home/copy")?.success()?.text();
    let sums: Vec<&str> = sums.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(sums.len() == 2 && sums[0] == sums[1], "the copy is another file: {sums:?}");
    system.run("svc trace --raw > /tmp/trace.raw")?.success()?;
    system.poweroff()?;
    let shown = perfetto::read(&trace::to_perfetto(&trace::decode(&disk.read("/tmp/trace.raw")?)?));
    let again =
        shown.slices.iter().position(|slice| slice.attempt == Some(2)).expect("a slice for the redelivered call");
    let through = |slices: &[usize]| slices.contains(&again);
    let (flow, (_, ended)) = shown.flows.iter().find(|(_, (slices, _))| through(slices)).expect("an arrow leads to it");
    let way = shown.way(*flow);
    let names: Vec<(&str, &str)> =
        way.iter().map(|slice| (slice.process.as_ref().map_or("", |(_, name)| name), slice.name.as_str())).collect();
    let (client, work) = (names[0].0, format!("for {}", names[0].0));
    let times = |wanted: &str| names.iter().filter(|(process, name)| (*process, *name) == ("fs", wanted)).count();
    assert!(times(&work) == 1 && times(&format!("{work}, redelivered")) == 1, "both are in the flow: {names:?}");
    assert!(*ended && names.last() == Some(&(client, "answer")), "who began has the answer: {names:?}");
    assert!(way.windows(2).all(|pair| pair[0].start <= pair[1].start), "arrows go forwards: {way:?}");
    let after = &shown.slices[again];
    let of_fs = |slice: &&perfetto::Slice| slice.process == after.process && slice.name.starts_with("death");
    let death = shown.slices.iter().find(of_fs).expect("the death is shown");
    let before = way.iter().find(|slice| slice.name == work).expect("the first incarnation's work");
    assert!(before.end == Some(death.start) && death.start < after.start, "{before:?} {death:?} {after:?}");
    let named = |name: &str| shown.slices.iter().any(|slice| slice.process.as_ref().is_some_and(|(_, of)| of == name));
    assert!(["fs", "block", "cp", "sh"].into_iter().all(named), "processes have their names");
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
    system.run("ls /")?.success()?;
    let text = system.run("svc trace ls")?.success()?.text();
    assert!(text.contains(" call #"), "{text}");
    system.poweroff()
}
