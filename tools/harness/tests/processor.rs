//! The processor's own protections: that they are on, that they refuse what they are for, and that what may arrive at any
//! instruction is survived at any instruction.
//!
//! What no program can provoke is provoked from outside: by gdb, which moves a stopped kernel's registers, or by QEMU's
//! monitor, which sends what hardware sends.

use harness::{
    Disk, Failure, Images, Result, gdb,
    machine::{Machine, Streams},
    monitor::{Monitor, register},
    qemu::{Config, Serial, exec_word},
    system::SCRATCH,
};
use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

/// How long a machine may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A machine that gdb has treated before its first instruction, and that runs a command.
struct Treated {
    machine: Machine,
    said: String,
    _disk: Disk,
    directory: tempfile::TempDir,
}

/// Has gdb do this, with the functions of `processor.py`. The machine will say `alive` and end.
fn treat(commands: &[&str]) -> Result<Treated> {
    treat_while("echo alive", commands)
}

/// The same with another command, which must say `alive` last.
fn treat_while(command: &str, commands: &[&str]) -> Result<Treated> {
    let images = Images::get()?;
    let (disk, directory) = (Disk::scratch_with(SCRATCH, &images.hostile()?)?, tempfile::tempdir()?);
    let socket = directory.path().join("gdb");
    let config = Config {
        qemu: None,
        boot: (&images).into(),
        disk: Some(disk.path().to_owned()),
        memory: 128,
        words: vec![exec_word(command)],
        icount: false,
        reboot: false,
        serial: Serial::Pipes,
        disk_speed: None,
        gdb: Some(socket.clone()),
        monitor: Some(directory.path().join("monitor")),
    };
    let machine = Machine::start(&config, Streams { framed: true, ..Streams::default() })?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processor.py");
    let mut all = vec![format!("source {}", script.display())];
    all.extend(commands.iter().map(|command| format!("python {command}")));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let said = gdb::batch(None, &socket, &all, PATIENCE)?;
    Ok(Treated { machine, said, _disk: disk, directory })
}

impl Treated {
    /// It goes on as if nothing had been: the command ends well.
    fn lives(mut self) -> Result<String> {
        let said = self.said;
        let status = self.machine.wait("the command to end", PATIENCE, |state| state.status);
        assert_eq!(status.map_err(|error| format!("{error:#}\n{said}")), Ok(0));
        let state = self.machine.state();
        assert!(state.stdout.ends_with(b"alive\n"), "{said}{}", String::from_utf8_lossy(&state.stdout));
        Ok(said.clone())
    }

    /// The kernel's last words.
    fn dies(mut self) -> Result<String> {
        let ended: Result<()> = self.machine.wait("a panic", PATIENCE, |_| None);
        match ended.expect_err("it waits for nothing").downcast::<Failure>()? {
            Failure::Panic { tail, .. } => Ok(tail),
            other => panic!("{other}\n{}", self.said),
        }
    }
}

/// What the kernel says when gdb has done this to it at the beginning of its first Rust function. `user` is the program's
/// (rip, rsp).
fn ends(commands: &[&str]) -> Result<String> {
    let all = [&["user = into_kernel()"], commands, &["leave()"]].concat();
    treat(&all)?.dies()
}

#[test]
fn the_control_registers_have_every_protection_on_and_nothing_that_programs_shall_not_have() -> Result<()> {
    let said = treat(&["into_kernel(); gdb.execute('monitor info registers'); leave()"])?.lives()?;
    let value = |name| register(&said, name).unwrap_or_else(|| panic!("no {name} in {said}"));
    // Intel SDM vol. 3, section 2.5. PE, MP, ET, NE, WP, PG.
    assert_eq!(value("CR0"), 0x8001_0033);
    // PAE, MCE, PGE, OSFXSR, OSXMMEXCPT, UMIP, SMEP, SMAP; not FSGSBASE, by which programs would write GS, nor PCE.
    let bits = [5, 6, 7, 9, 10, 11, 20, 21];
    assert_eq!(value("CR4"), bits.iter().map(|bit| 1 << bit).sum::<u64>());
    // SCE, LME, LMA, NXE.
    assert_eq!(value("EFER"), 0xd01);
    // No breakpoint.
    assert_eq!(value("DR7") & 0xff, 0);
    Ok(())
}

#[test]
fn the_kernel_cannot_execute_the_code_of_a_program() -> Result<()> {
    let words = ends(&["put(rip=user[0]); print('%#x' % user[0])"])?;
    // A fetch from a page that is there: nothing but SMEP forbids it.
    assert!(words.contains("kernel panic: page fault in the kernel") && words.contains("code 0x11 "), "{words}");
    Ok(())
}

#[test]
fn the_kernel_cannot_read_the_memory_of_a_program() -> Result<()> {
    let words = ends(&["put(rip=number('&memcpy'), rdi=number('$rsp') - 64, rsi=user[1] & ~15, rdx=8, rcx=8)"])?;
    // A page that is there, and is the program's: nothing but SMAP forbids it.
    assert!(words.contains("kernel panic: page fault in the kernel") && words.contains("code 0x1 "), "{words}");
    Ok(())
}

#[test]
fn the_kernel_cannot_write_the_memory_of_a_program() -> Result<()> {
    let words = ends(&["put(rip=number('&memset'), rdi=user[1] & ~15, rsi=0, rdx=8, rcx=8)"])?;
    assert!(words.contains("kernel panic: page fault in the kernel") && words.contains("code 0x3 "), "{words}");
    Ok(())
}

#[test]
fn the_kernel_cannot_write_its_own_code() -> Result<()> {
    let words = ends(&["put(rip=number('&memset'), rdi=number('&leave') & ~15, rsi=0, rdx=8, rcx=8)"])?;
    assert!(words.contains("kernel panic: page fault in the kernel") && words.contains("code 0x3 "), "{words}");
    Ok(())
}

#[test]
fn the_kernel_cannot_execute_its_own_stack() -> Result<()> {
    let words = ends(&["put(rip=number('$rsp') & ~15)"])?;
    assert!(words.contains("kernel panic: page fault in the kernel") && words.contains("code 0x11 "), "{words}");
    Ok(())
}

#[test]
fn a_kernel_stack_that_is_full_ends_in_a_double_fault_on_a_stack_of_its_own_that_says_so() -> Result<()> {
    // The call before the function's first instruction has left the stack one word below its beginning.
    let words = ends(&["put(rsp=number('$rsp') + 8 - 64 * 1024)"])?;
    assert!(words.contains("kernel panic: kernel stack overflow") && words.contains("vector 8 "), "{words}");
    Ok(())
}

#[test]
fn a_double_fault_anywhere_is_told_on_a_stack_of_its_own() -> Result<()> {
    let words = ends(&["put(rsp=0x1000)"])?;
    assert!(words.contains("kernel panic: double fault") && words.contains(" rsp 0x1000 "), "{words}");
    Ok(())
}

/// An uncorrected machine check: valid, uncorrected, enabled, context corrupt; in progress.
const MACHINE_CHECK: &str = "gdb.execute('monitor mce 0 1 0xb200000000000000 0x5 0 0')";

#[test]
fn a_machine_check_in_the_kernel_ends_it_with_the_reason() -> Result<()> {
    let words = ends(&[MACHINE_CHECK])?;
    assert!(words.contains("kernel panic: machine check") && words.contains(" cs 0x8 "), "{words}");
    Ok(())
}

#[test]
fn a_machine_check_before_the_kernels_first_instruction_has_a_stack_of_its_own() -> Result<()> {
    let words = treat(&["door()", MACHINE_CHECK, "leave()"])?.dies()?;
    assert!(words.contains("kernel panic: machine check") && words.contains(" cs 0x8 "), "{words}");
    Ok(())
}

#[test]
fn a_machine_check_in_a_program_ends_the_kernel_with_the_reason() -> Result<()> {
    let words = treat(&["door(); go(number('$rcx'))", MACHINE_CHECK, "leave()"])?.dies()?;
    assert!(words.contains("kernel panic: machine check") && words.contains(" cs 0x23 "), "{words}");
    Ok(())
}

#[test]
fn an_nmi_at_any_instruction_of_the_doors_goes_back_to_it() -> Result<()> {
    let all = "interrupt_everywhere('syscall_entry', 'fault_in_kernel', 'monitor nmi', 'nmi_entry')";
    // While it sleeps the processor waits too.
    let said = treat_while("sleep 1 && echo alive", &["let_nmis_in()", all])?.lives()?;
    let mut places = BTreeMap::new();
    for line in said.lines().filter_map(|line| line.strip_prefix("at ")) {
        let (at, rest) = line.split_once(", ").unwrap_or((line, ""));
        assert!(rest.ends_with(&format!(": door True, back to {at}")), "{line}");
        places.insert(at.to_owned(), rest.split(':').next().unwrap_or("").to_owned());
    }
    let of = |asm: &str| places.values().filter(|found| found.split_whitespace().next() == Some(asm)).count();
    println!("{} instructions", places.len());
    // Both ways in, both ways out, and the wait between; on each, before and after `swapgs` and with both stacks.
    assert!(places.len() > 120, "{said}");
    for (asm, least) in [("swapgs", 5), ("sysretq", 3), ("iretq", 1), ("hlt", 1), ("sti", 2)] {
        assert!(of(asm) >= least, "{} x {asm}\n{said}", of(asm));
    }
    Ok(())
}

#[test]
fn an_interrupt_that_is_due_after_an_nmi_between_sti_and_hlt_comes_where_the_kernel_waits_for_it() -> Result<()> {
    let said = treat_while(
        "sleep 1 && echo alive",
        &[
            "let_nmis_in(); go([at for at, asm in instructions('idle', 'wake') if asm.startswith('hlt')][0])",
            // The timer fires while the NMI is being served.
            "write_register(INITIAL_COUNT, 1); gdb.execute('monitor nmi'); go('nmi_entry'); dwell(100 * 1000 * 1000)",
            "print('dwelt'); leave()",
        ],
    )?
    .lives()?;
    assert!(said.contains("dwelt"), "{said}");
    Ok(())
}

#[test]
fn a_debug_exception_that_mov_ss_delays_into_the_kernels_first_instruction_is_nobodys() -> Result<()> {
    // As after `mov ss` on a breakpoint, and then `syscall`: ring 0, with the program's stack and GS.
    let step = "at = door(); put(eflags=flags() | 0x100); go('debug_entry')";
    let told = "print('from', '%#x' % word(number('$rsp') + 8), word(number('$rsp')) - at)";
    let said = treat(&[step, told, "leave()"])?.lives()?;
    // Ring 0, at the second instruction.
    assert!(said.contains("from 0x8 ") && !said.contains("from 0x8 0\n"), "{said}");
    Ok(())
}

#[test]
fn a_thread_never_leaves_the_kernel_to_an_address_that_is_not_canonical() -> Result<()> {
    // Whatever stands where the address is kept, `sysretq` gets one of the user half.
    let said = treat(&[
        "go('leave')",
        "way = [at for at, asm in instructions('leave', 'leave_all') if asm.startswith('shl')][0]",
        "out = [at for at, asm in instructions('leave', 'leave_all') if asm.startswith('sysret')][0]",
        "go(way); put(rcx=number('$rcx') | 0x8000 << 32); go(out); print('leaves to %#x' % number('$rcx')); leave()",
    ])?
    .lives()?;
    let to = said.split_once("leaves to 0x").and_then(|(_, rest)| u64::from_str_radix(rest.lines().next()?, 16).ok());
    assert!(to.is_some_and(|to| to < 1 << 47), "{said}");
    Ok(())
}

#[test]
fn hundreds_of_nmis_during_a_million_system_calls_are_noticed_by_nobody() -> Result<()> {
    let mut treated = treat_while("fuzz 3 1000000 && svc audit && echo alive", &["let_nmis_in(); leave()"])?;
    let mut monitor = Monitor::connect(&treated.directory.path().join("monitor"), PATIENCE)?;
    treated.machine.wait("the fuzzer to begin", PATIENCE, |state| (!state.stdout.is_empty()).then_some(()))?;
    let (mut hits, started) = ([0; 2], Instant::now());
    while hits.iter().any(|count| *count < 200) {
        assert!(started.elapsed() < PATIENCE, "{hits:?} in programs and in the kernel");
        monitor.run("stop")?;
        let kernel = register(&monitor.say("info registers")?, "CPL") == Some(0);
        monitor.run("inject-nmi")?;
        monitor.run("cont")?;
        hits[usize::from(kernel)] += 1;
    }
    println!("{hits:?} in programs and in the kernel");
    // The pin was open all the time, edge-triggered, for NMIs.
    let vectors = monitor.say("info lapic")?;
    let pin = vectors.lines().find(|line| line.starts_with("LVT1")).unwrap_or_default();
    assert!(pin.contains("NMI") && !pin.contains("masked"), "{vectors}");
    treated.lives().map(drop)
}
