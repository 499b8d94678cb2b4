//! Where programs lie: at random, in each boot and in each process, but for a seed on the kernel's command line.

use harness::{Result, System};
use std::{fs, os::unix::fs::PermissionsExt};

/// Where two programs lay, one after the other, and the stacks that they overflowed.
fn places(seed: Option<u64>) -> Result<Vec<u64>> {
    let output = System::builder().layout(seed).exec("crash stack; crash stack; echo end")?;
    let said = output.error_text();
    let numbers = |before: &'static str| {
        said.split(before).skip(1).filter_map(|rest| {
            let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
            u64::from_str_radix(digits, 16).ok()
        })
    };
    let found: Vec<u64> = numbers("image at 0x").chain(numbers("overflow at 0x")).collect();
    assert!(found.len() == 4 && output.text().ends_with("end\n"), "{said}\n{}", output.text());
    Ok(found)
}

#[test]
fn two_boots_and_two_processes_have_their_programs_and_stacks_at_different_addresses() -> Result<()> {
    let mut all = [places(None)?, places(None)?].concat();
    let wanted = all.len();
    assert!(all.iter().all(|place| place % 0x1000 == 0 || *place > 0x7000_0000_0000), "{all:x?}");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), wanted, "{all:x?}");
    Ok(())
}

#[test]
fn a_seed_has_them_at_the_same_addresses_in_each_boot_and_another_seed_at_others() -> Result<()> {
    let (one, again, two) = (places(Some(7))?, places(Some(7))?, places(Some(8))?);
    assert_eq!(one, again);
    assert!(one.iter().zip(&two).all(|(one, two)| one != two), "{one:x?} {two:x?}");
    assert!(one[0] != one[1] && one[2] != one[3], "{one:x?}");
    Ok(())
}

#[test]
fn a_processor_without_random_numbers_is_made_do_with_and_the_log_says_so() -> Result<()> {
    let mut qemu = tempfile::NamedTempFile::new()?;
    let script = "#!/bin/bash\nargs=()\nfor arg; do args+=(\"${arg/#max,/max,rdrand=off,}\"); done\n\
                  exec qemu-system-x86_64 \"${args[@]}\"\n";
    std::io::Write::write_all(&mut qemu, script.as_bytes())?;
    let qemu = qemu.into_temp_path();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755))?;
    let run = |seed| System::builder().layout(seed).qemu(qemu.to_path_buf()).exec("echo it runs")?.success();
    const SAYS: &str = "no random numbers: where programs lie can be guessed";
    let without = run(None)?;
    assert!(without.log.contains(SAYS) && without.text() == "it runs\n", "{}", without.log);
    assert!(!run(Some(1))?.log.contains(SAYS), "a seed asks for no random numbers");
    let with = System::builder().layout(None).exec("echo it runs")?.success()?;
    assert!(!with.log.contains(SAYS), "{}", with.log);
    Ok(())
}
