//! Servers get another image while clients work, and the old one back where the new one is no good.

use harness::{Disk, Output, Result, System, build::Images, system::SCRATCH};

fn content(size: usize) -> Vec<u8> {
    (0..size as u32).map(|n| (n ^ (n >> 7) ^ (n >> 16)) as u8).collect()
}

/// The program of a server, out of the boot archive (POSIX.1-2017, pax, "ustar Interchange Format").
fn server(name: &str) -> Result<Vec<u8>> {
    let archive = std::fs::read(Images::get()?.archive)?;
    let mut at = 0;
    while archive.get(at + 257..at + 262) == Some(b"ustar") {
        let size = usize::from_str_radix(std::str::from_utf8(&archive[at + 124..at + 135])?, 8)?;
        let content = at + 512..at + 512 + size;
        if archive[at..at + 100].split(|byte| *byte == 0).next() == Some(name.as_bytes()) {
            return Ok(archive[content].to_vec());
        }
        at = content.end.next_multiple_of(512);
    }
    panic!("the boot archive has no {name}")
}

/// A static ELF file (System V ABI, chapter 4) of one segment, whose code is `code`.
fn program(code: &[u8]) -> Vec<u8> {
    let length = 120 + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    file.extend([120u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(b"\0\0\0\0\x40\0\x38\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x05\0\0\0");
    file.extend([0, 0, 0, length, length, 4096].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(code);
    file
}

/// Upgrades pipe with `image` while a pipeline runs; the pipeline must end well.
fn upgrade_pipe(image: &[u8]) -> Result<(Output, Disk)> {
    let (disk, content) = (Disk::scratch(SCRATCH)?, content(1 << 20));
    disk.write("/home/data", &content)?;
    disk.write("/home/image", image)?;
    let script = "cat /home/data | cat > /home/copy & svc upgrade pipe /home/image; echo upgrade $?; wait $!; \
                  echo pipeline $?; echo again | cat; svc list; svc log init";
    let output = System::builder().disk(&disk).exec(script)?.success()?;
    assert!(disk.read("/home/copy")? == content, "{}\n{}", output.text(), output.error_text());
    Ok((output, disk))
}

fn refused(image: &[u8], why: &str) -> Result<()> {
    let (output, _disk) = upgrade_pipe(image)?;
    let (text, errors) = (output.text(), output.error_text());
    assert!(text.starts_with("upgrade 1\npipeline 0\nagain\n"), "{text}\n{errors}");
    assert!(errors.contains("pipe: the old image is back: ") && errors.contains(why), "{errors}");
    assert!(text.contains("pipe got its old image back: "), "the log tells it: {text}");
    Ok(())
}

#[test]
fn a_filesystem_gets_a_new_image_under_a_running_copy() -> Result<()> {
    const SIZE: usize = 40 << 20;
    let (disk, content) = (Disk::scratch(128 << 20)?, content(SIZE));
    disk.write("/home/data", &content)?;
    disk.write("/home/image", &server("fs")?)?;
    let script = "cp /home/data /home/copy & svc upgrade fs /home/image; echo upgrade $?; ls -l /home; wait $!; \
                  echo copy $?; svc kill fs; svc list; svc log init";
    let output = System::builder().disk(&disk).exec(script)?.success()?;
    let text = output.text();
    assert!(text.starts_with("upgrade 0\n") && text.contains("\ncopy 0\n"), "{text}\n{}", output.error_text());
    let during = text.lines().find(|line| line.ends_with("copy")).unwrap_or("0 not there yet");
    assert!(!during.contains(&SIZE.to_string()), "the copy was over before the upgrade: {text}");
    assert!(text.contains("fs runs a new image"), "{text}");
    assert!(disk.read("/home/copy")? == content, "the copy is not what was copied");
    disk.assert_sound()
}

#[test]
fn a_pipeline_goes_on_through_an_upgrade_of_the_pipe_server() -> Result<()> {
    let (output, _disk) = upgrade_pipe(&server("pipe")?)?;
    let text = output.text();
    assert!(text.starts_with("upgrade 0\npipeline 0\nagain\n"), "{text}\n{}", output.error_text());
    Ok(())
}

#[test]
fn a_file_that_is_no_program_is_rolled_back() -> Result<()> {
    refused(b"#!/bin/sh\necho I am a script, and long enough for the header of a program\n", "cannot execute")
}

#[test]
fn an_image_that_ends_at_once_is_rolled_back() -> Result<()> {
    refused(&program(b"\x0f\x0b"), "the new image died: invalid instruction") // ud2
}

#[test]
fn an_image_that_never_answers_is_rolled_back_at_its_deadline() -> Result<()> {
    refused(&program(b"\xeb\xfe"), "the new image did not answer within 3 s") // jmp to itself
}

#[test]
fn a_trial_goes_on_when_the_supervisor_dies_in_it() -> Result<()> {
    let disk = Disk::scratch(SCRATCH)?;
    disk.write("/home/image", &program(b"\xeb\xfe"))?;
    let script = "svc upgrade pipe /home/image & sleep 0.5; svc kill init; svc kill init; wait $!; echo upgrade $?; \
                  echo again | cat";
    let output = System::builder().disk(&disk).exec(script)?.success()?;
    assert_eq!(output.text(), "upgrade 1\nagain\n", "{}", output.error_text());
    assert!(output.error_text().contains("did not answer within 3 s"), "{}", output.error_text());
    Ok(())
}
