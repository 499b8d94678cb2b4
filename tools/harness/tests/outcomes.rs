//! What callers are told by each service when it does not answer: whether their call was never delivered, or was and
//! nobody knows what came of it.

use harness::{Disk, Images, Result, System, system::SCRATCH};
use std::{fs, path::PathBuf};

/// The image of a service.
fn own_image(images: &Images, service: &str) -> PathBuf {
    images.kernel.with_file_name("servers").join(service)
}

/// A disk with bad servers in /bin, and the own image of `service` in /home/own.
fn disk(images: &Images, service: &str) -> Result<Disk> {
    let disk = Disk::scratch_with(SCRATCH, &images.hostile()?)?;
    disk.write("/home/own", &fs::read(own_image(images, service))?)?;
    Ok(disk)
}

/// Has the client `outcomes` call `service`, and checks what it is told. It takes the place of `svc`, so that the shell hands
/// it the supervisor.
fn assert_told(service: &str) -> Result<()> {
    let images = Images::get()?;
    let disk = disk(&images, service)?;
    let client = images.hostile()?.into_iter().find(|path| path.ends_with("outcomes")).expect("it is built");
    disk.write("/bin/svc", &fs::read(client)?)?;
    let output = System::builder().images(images).disk(&disk).exec(&format!("true | svc {service} /home/own"))?;
    let mut expected = vec![
        "a server that receives nothing: runs",
        "a call with a deadline: Sys(TimedOut)",
        "a server that does not answer: runs",
        "a call with a deadline: Sys(OutcomeUnknown)",
        "a server that dies of each request: runs",
        "a call without redelivery: Sys(ServerDied)",
    ];
    expected.extend(["a call: Sys(ServerDied)"; 6]);
    expected.extend([
        "a call after whose first deaths the service is held: Sys(ServerDied)",
        "a call to a held service: Sys(Closed)",
        "the same without redelivery: Sys(Closed)",
        "its own image: runs",
        "a call: done",
    ]);
    let text = output.text();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{}\n{}", output.error_text(), output.log);
    output.success()?;
    Ok(())
}

#[test]
fn a_caller_of_the_console_learns_whether_its_call_was_delivered() -> Result<()> {
    assert_told("console")
}

#[test]
fn a_caller_of_the_filesystem_learns_whether_its_call_was_delivered() -> Result<()> {
    assert_told("fs")
}

#[test]
fn a_caller_of_the_maker_of_pipes_learns_whether_its_call_was_delivered() -> Result<()> {
    assert_told("pipe")
}

#[test]
fn what_the_disk_driver_dies_of_is_an_error_of_the_file_and_goes_well_with_a_better_driver() -> Result<()> {
    // The driver's only client is the filesystem. What else is needed meanwhile has been read before, and nothing is left
    // to be written, so that no request comes before the one that is asked for.
    let images = Images::get()?;
    let disk = disk(&images, "block")?;
    disk.write("/home/data", &[b'x'; 1 << 20])?;
    let output = System::builder().images(images).disk(&disk).exec(
        "cat /home/own | wc -c > /tmp/size; echo begin; sync; svc upgrade block /bin/server_dies; cat /home/data; echo status $?; \
         svc upgrade block /home/own; echo status $?; cat /home/data | wc -c",
    )?;
    let (text, errors) = (output.text(), output.error_text());
    assert_eq!(text, "begin\nstatus 1\nstatus 0\n1048576\n", "{errors}\n{}", output.log);
    assert_eq!(errors, "cat: /home/data: input/output error\n", "{}", output.log);
    Ok(())
}
