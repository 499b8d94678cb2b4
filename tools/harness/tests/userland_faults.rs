//! Programs that fault in every way, and files that are no programs: each ends alone, with a message that names the place.
//!
//! The faulting programs are ELF files made here, of a few instructions each, so that the place is known exactly.

use harness::{Disk, Result, System, system::SCRATCH};

const TEXT: u64 = 0x1000;
const DATA: u64 = 0x2000;
const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// An ELF file with one segment of code, from file offset 1000h, and one of data, from 2000h.
fn program(code: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 0x3000];
    file[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file[16..20].copy_from_slice(&[3, 0, 62, 0]);
    put(&mut file, 20, &1u32.to_le_bytes());
    put(&mut file, 24, &TEXT.to_le_bytes());
    put(&mut file, 32, &64u64.to_le_bytes());
    put(&mut file, 52, &[64, 0, 56, 0, 2, 0, 64, 0]);
    segment(&mut file, 0, READ | EXECUTE, TEXT);
    segment(&mut file, 1, READ | WRITE, DATA);
    put(&mut file, 0x1000, code);
    file
}

fn segment(file: &mut [u8], index: usize, flags: u32, address: u64) {
    let at = 64 + 56 * index;
    put(file, at, &1u32.to_le_bytes());
    put(file, at + 4, &flags.to_le_bytes());
    for (field, value) in [(8, address), (16, address), (24, address), (32, 0x1000), (40, 0x1000), (48, 0x1000)] {
        put(file, at + field, &value.to_le_bytes());
    }
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A disk with these files in /bin, booted.
fn system_with(files: &[(&str, Vec<u8>)]) -> Result<System> {
    let disk = Disk::scratch(SCRATCH)?;
    for (name, content) in files {
        disk.write(&format!("/bin/{name}"), content)?;
    }
    let system = System::builder().disk(&disk).boot()?;
    // The machine has the image open: it lives on without its name until the machine ends.
    drop(disk);
    Ok(system)
}

/// The message with the addresses of the image as they are in its file, and without the place of the image.
fn in_file(message: &str) -> String {
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let Some((before, image)) = message.trim_end().split_once(", image at 0x") else { return message.to_owned() };
    let Some(base) = image.strip_suffix(')').and_then(number).filter(|base| *base != 0) else {
        return message.to_owned();
    };
    let pieces = before.split("0x").enumerate().map(|(n, piece)| {
        let end = piece.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(piece.len());
        match number(&piece[..end]).filter(|address| n > 0 && (base..base + 0x3000).contains(address)) {
            Some(address) => format!("{:x}{}", address - base, &piece[end..]),
            None => piece.to_owned(),
        }
    });
    format!("{})\n", pieces.collect::<Vec<_>>().join("0x"))
}

#[test]
fn each_fault_ends_its_program_and_names_the_place() -> Result<()> {
    let far = |high: u8| [&[0x48, 0xb8, 0, 0, 0, 0, 0, high, 0xff, 0xff][..], &[0x48, 0x8b, 0]].concat();
    let cases: &[(&str, Vec<u8>, i32, &str)] = &[
        ("null", vec![0x31, 0xc0, 0x48, 0x8b, 0], 139, "page fault at 0x0 (rip 0x1002)"),
        ("jump-null", vec![0x31, 0xc0, 0xff, 0xe0], 139, "page fault at 0x0 (rip 0x0)"),
        (
            "write-text",
            vec![0x48, 0x8d, 5, 0xf9, 0xff, 0xff, 0xff, 0xc6, 0, 0],
            139,
            "page fault at 0x1000 (rip 0x1007)",
        ),
        ("run-data", vec![0x48, 0x8d, 5, 0xf9, 0x0f, 0, 0, 0xff, 0xe0], 139, "page fault at 0x2000 (rip 0x2000)"),
        ("kernel", far(0x80), 139, "page fault at 0xffff800000000000 (rip 0x100a)"),
        ("no-address", far(0x70), 139, "general protection fault (rip 0x100a)"),
        ("hlt", vec![0xf4], 139, "general protection fault (rip 0x1000)"),
        ("cli", vec![0xfa], 139, "general protection fault (rip 0x1000)"),
        ("port", vec![0xec], 139, "general protection fault (rip 0x1000)"),
        ("ud2", vec![0x0f, 0x0b], 132, "invalid instruction (rip 0x1000)"),
        ("divide", vec![0x31, 0xc9, 0xf7, 0xf1], 136, "divide error (rip 0x1002)"),
        ("int3", vec![0xcc], 133, "breakpoint (rip 0x1001)"),
    ];
    let files: Vec<(&str, Vec<u8>)> = cases.iter().map(|(name, code, ..)| (*name, program(code))).collect();
    let mut system = system_with(&files)?;
    let mut wrong = Vec::new();
    for (name, _, status, what) in cases {
        let output = system.run(name)?;
        if (output.status, in_file(&output.text())) != (*status, format!("sh: {name}: {what}\n")) {
            wrong.push(format!("{name}: {} {:?}", output.status, output.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(system.run("echo alive")?.success()?.text(), "alive\n");
    system.poweroff()
}

#[test]
fn a_stack_overflow_ends_in_the_guard_page() -> Result<()> {
    let mut system = system_with(&[("push", program(&[0x50, 0xeb, 0xfd]))])?;
    for (command, name) in [("push", "push"), ("crash stack", "crash")] {
        let output = system.run(command)?.expect_status(139)?;
        assert!(output.text().starts_with(&format!("sh: {name}: stack overflow at 0x7")), "{}", output.text());
    }
    system.poweroff()
}

#[test]
fn running_out_of_memory_is_one_programs_trouble() -> Result<()> {
    let mut system = System::builder().memory(64).boot()?;
    let refused = system.run("crash oom")?;
    assert_eq!(refused.status, 1, "{}", refused.text());
    let text = refused.text();
    let amount = text.strip_prefix("crash: out of memory after ").and_then(|rest| rest.strip_suffix(" KiB\n"));
    assert!(amount.and_then(|kib| kib.parse::<u64>().ok()).is_some_and(|kib| kib >= 512), "{text}");
    let careless = system.run("crash touch")?;
    assert!([101, 137].contains(&careless.status), "{} {}", careless.status, careless.text());
    assert!(
        careless.text().contains("out of memory") || careless.text().contains("memory allocation"),
        "{}",
        careless.text()
    );
    assert_eq!(system.run("echo plenty | cat")?.success()?.text(), "plenty\n");
    system.poweroff()
}

#[test]
fn a_panic_is_told_with_its_place() -> Result<()> {
    let mut system = System::builder().boot()?;
    let output = system.run("crash panic")?.expect_status(101)?;
    assert!(output.text().contains("as was asked for") && output.text().contains("crash.rs:"), "{}", output.text());
    assert_eq!(system.run("crash exit 7")?.status, 7);
    system.poweroff()
}

#[test]
fn floating_point_gives_the_same_digits_as_everywhere() -> Result<()> {
    let mut system = System::builder().boot()?;
    let expected = "pi 3.141592654\n\
        0.0 sqrt 0.000000 sin 0.000000 log(x+1) 0.000000\n\
        1.0 sqrt 1.000000 sin 0.841471 log(x+1) 0.693147\n\
        2.0 sqrt 1.414214 sin 0.909297 log(x+1) 1.098612\n\
        3.0 sqrt 1.732051 sin 0.141120 log(x+1) 1.386294\n\
        4.0 sqrt 2.000000 sin -0.756802 log(x+1) 1.609438\n";
    assert_eq!(system.run("float")?.success()?.text(), expected);
    // Several at once take the processor, and its registers, from each other.
    let together =
        system.run("sh -c 'float > /tmp/1 & float > /tmp/2 & float > /tmp/3; wait; cat /tmp/1 /tmp/2 /tmp/3'")?;
    assert_eq!(together.success()?.text(), expected.repeat(3));
    system.poweroff()
}

#[test]
fn what_is_no_program_is_refused_with_its_defect() -> Result<()> {
    let code = [0x0f, 0x0b];
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = program(&code);
        change(&mut file);
        file
    };
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("empty", vec![], "too short for an ELF file"),
        ("short", program(&code)[..40].to_vec(), "too short for an ELF file"),
        (
            "text",
            b"echo this is a script without a shell, and long enough to be read as one\n".to_vec(),
            "not an ELF file",
        ),
        ("arm", changed(&|file| file[18] = 183), "not a 64-bit x86-64 image"),
        ("fixed", changed(&|file| file[16] = 2), "not a position-independent executable"),
        ("wx", changed(&|file| file[68] = 7), "a segment is writable and executable"),
        ("cut", program(&code)[..0x1800].to_vec(), "a segment lies outside the file"),
        ("high", changed(&|file| file[64 + 16 + 7] = 0x80), "a segment lies outside the program's addresses"),
        ("same", changed(&|file| file[64 + 56 + 16 + 1] = 0x10), "two segments share a page"),
        ("entry", changed(&|file| file[25] = 0x20), "the entry point is not executable"),
    ];
    let files: Vec<(&str, Vec<u8>)> = cases.iter().map(|(name, file, _)| (*name, file.clone())).collect();
    let mut system = system_with(&files)?;
    let mut wrong = Vec::new();
    for (name, _, defect) in cases {
        let output = system.run(name)?;
        if (output.status, output.text()) != (126, format!("sh: {name}: cannot execute: {defect}\n")) {
            wrong.push(format!("{name}: {} {:?}, not {defect}", output.status, output.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(system.run("echo alive")?.success()?.text(), "alive\n");
    system.poweroff()
}
