//! Programs that make any system call with any operands: the kernel never panics, and the audit holds at every step.

use super::*;
use abi::{Kind, MAX_CAPS, MAX_LEASES};
use proptest::prelude::*;

/// Numbers without end out of one (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len() as u64) as usize])
    }
}

/// The capabilities in the first page of a process's table.
fn handles(w: &World, process: Ref<Process>) -> Vec<(Handle, Kind)> {
    let all = (1..128).flat_map(|index| (1..6).map(move |generation| Handle::new(index, generation)));
    all.filter_map(|h| w.k.lookup(process, h).ok().map(|cap| (h, cap.kind))).collect()
}

/// The kinds that the operands of a system call are meant to be of.
fn operands(number: Sysno) -> (Option<Kind>, Option<Kind>) {
    use Sysno::*;
    match number {
        Call | Post | Recv | ReplyRecv | Forward => (Some(Kind::Queue), None),
        ForwardRecv => (Some(Kind::Queue), Some(Kind::Queue)),
        AccountCreate | AccountDestroy | AccountStatus | AccountProcess | AccountThread | AccountCapability => {
            (Some(Kind::Account), None)
        }
        ProcessCreate => (Some(Kind::Account), Some(Kind::Event)),
        ProcessLoad | MemoryMap => (Some(Kind::Process), Some(Kind::Memory)),
        ProcessStatus | ProcessKill | ProcessReset | ProcessRead | ThreadCreate | MemoryUnmap => {
            (Some(Kind::Process), None)
        }
        ThreadPriority => (Some(Kind::Thread), None),
        MemoryCreate | QueueCreate | EventCreate => (Some(Kind::Account), None),
        MemoryPhysical | IrqCreate | PortsCreate => (Some(Kind::Machine), Some(Kind::Account)),
        MemoryAddress => (Some(Kind::Memory), None),
        EventSignal | EventWait => (Some(Kind::Event), None),
        EventBind => (Some(Kind::Event), Some(Kind::Queue)),
        IrqBind => (Some(Kind::Irq), Some(Kind::Event)),
        IrqAck => (Some(Kind::Irq), None),
        PortsOpen => (Some(Kind::Process), Some(Kind::IoPorts)),
        MachineInfo | MachineLog => (Some(Kind::Machine), None),
        ProcessGrant => (Some(Kind::Process), None),
        _ => (None, None),
    }
}

fn any_handle(dice: &mut Dice, known: &[(Handle, Kind)], kind: Option<Kind>) -> u64 {
    let fitting: Vec<Handle> =
        known.iter().filter(|(_, k)| kind.is_none_or(|kind| kind == *k)).map(|(h, _)| *h).collect();
    let all: Vec<Handle> = known.iter().map(|(h, _)| *h).collect();
    match dice.below(20) {
        0 => dice.next(),
        1 => 0,
        2 => dice.pick(&all).map_or(1, Handle::raw),
        3 => dice.pick(&all).map_or(1, |h| h.raw() + (1 << 32)),
        _ => dice.pick(&fitting).map_or(5, Handle::raw),
    }
}

fn any_word(dice: &mut Dice) -> u64 {
    match dice.below(16) {
        0 => dice.next(),
        1 => u64::MAX,
        2 => layout::USER_END - dice.below(3) * PAGE_SIZE,
        3 => 1 << dice.below(64),
        4..=7 => 0x10_0000 + dice.below(16) * PAGE_SIZE,
        8 => layout::THREAD_AREAS + dice.below(8) * layout::THREAD_AREA,
        9 => dice.below(70_000),
        _ => dice.below(8),
    }
}

/// Words that the system call might have been made with by a program that knows what it does.
fn sensible_words(number: Sysno, dice: &mut Dice, token: u64) -> [u64; 8] {
    let window = 0x10_0000 + dice.below(12) * PAGE_SIZE;
    let how = [Rights::READ, Rights::READ | Rights::WRITE, Rights::READ | Rights::EXECUTE][dice.below(3) as usize];
    let area = layout::THREAD_AREAS + dice.below(40) * layout::THREAD_AREA;
    let few = dice.below(5);
    match number {
        Sysno::MemoryMap => [window, few, 1 + dice.below(3), how.bits().into(), 0, 0, 0, 0],
        Sysno::MemoryUnmap => [window, 1 + dice.below(14), 0, 0, 0, 0, 0, 0],
        Sysno::MemoryCreate => [1 + dice.below(20), dice.below(5) / 4, 0, 0, 0, 0, 0, 0],
        Sysno::MemoryPhysical => [(1 << 32) + window, 1 + few, 0, 0, 0, 0, 0, 0],
        Sysno::ThreadCreate => [ENTRY, ENTRY, area, few, dice.below(11), 0, 0, 0],
        Sysno::ProcessLoad => [0, elf::Elf::good().length as u64, 0, 0, 0, 0, 0, 0],
        Sysno::ProcessCreate => [few, dice.below(11), 0x6f68, 0, 0, 0, 0, 0],
        Sysno::ProcessRead => [window, 0x10_0000, dice.below(9000), 0, 0, 0, 0, 0],
        Sysno::LeaseRead | Sysno::LeaseWrite => {
            [few * 8, 0x10_0000 + dice.below(15_000), dice.below(60), 0, 0, 0, 0, 0]
        }
        Sysno::LeaseCopy => [few, few * 8, dice.below(60), token, dice.below(2), 0, 0, 0],
        Sysno::Duplicate | Sysno::ProcessGrant => [dice.next(), if few == 0 { 7 } else { 0 }, 0, 0, 0, 0, 0, 0],
        Sysno::AccountCreate => [1 + dice.below(12), 0, 0, 0, 0, 0, 0, 0],
        Sysno::QueueCreate => [few, few, 0, 0, 0, 0, 0, 0],
        Sysno::IrqCreate => [if few < 2 { u64::MAX } else { dice.below(20) }, few % 2, 0, 0, 0, 0, 0, 0],
        Sysno::PortsCreate => [window & 0xffff, 1 + few, 0, 0, 0, 0, 0, 0],
        _ => [1 << dice.below(4), few, 0, 0, 0, 0, 0, 0],
    }
}

/// Message ids: of calls that the program holds, that somebody has, and some that nobody has.
fn any_token(w: &World, dice: &mut Dice) -> u64 {
    let own = w.k.current.map(|c| w.k.threads[c].process);
    let threads: Vec<Ref<Thread>> = (0..w.k.numbers.count()).filter_map(|n| w.k.numbers.get(n)).collect();
    let call = |t: &Ref<Thread>| w.k.threads[*t].call;
    let all: Vec<u64> = threads.iter().map(call).collect();
    let held: Vec<u64> = threads.iter().filter(|t| own.is_some() && w.k.threads[**t].holder == own).map(call).collect();
    match dice.below(10) {
        0 => dice.next(),
        1 => dice.pick(&all).unwrap_or(0),
        _ => dice.pick(&held).unwrap_or(0),
    }
}

/// Fills the message page of the running thread.
fn any_page(w: &mut World, dice: &mut Dice, me: Actor, known: &[(Handle, Kind)]) {
    for n in 0..MAX_CAPS {
        let handle = Handle::from_raw(any_handle(dice, known, None));
        let badge = if dice.below(10) == 0 { dice.next() } else { 0 };
        let cap = CapDescriptor { handle, rights: dice.next(), badge };
        w.write_words(me, offset_of!(MessagePage, caps) + 24 * n, &[cap.handle.raw(), cap.rights, cap.badge]);
    }
    for n in 0..MAX_LEASES {
        let of = if dice.below(4) == 0 { any_token(w, dice) } else { 0 };
        let (start, length) = match dice.below(4) {
            0 => (any_word(dice), any_word(dice)),
            _ if of == 0 => (0x10_0000 + dice.below(9000), dice.below(300)),
            _ => (dice.below(20), dice.below(100)),
        };
        let lease = LeaseDescriptor {
            start,
            length,
            of,
            access: if dice.below(4) == 0 { dice.below(5) as u32 } else { 3 },
            index: dice.below(5) as u32,
        };
        w.set_lease(me, n, lease);
    }
    let deadline = if dice.below(4) == 0 { dice.next() } else { w.k.machine.now + dice.below(3) * MILLISECOND };
    w.set_deadline(me, deadline);
}

fn any_tag(dice: &mut Dice) -> u64 {
    let tag = Tag::new(dice.below(3) as u16, dice.below(3) as u16);
    match dice.below(8) {
        0 => dice.next(),
        1..=3 => tag.raw(),
        _ => tag
            .with_payload(dice.below(1100) as usize)
            .with_caps(dice.below(3) as usize)
            .with_leases(dice.below(5) as usize)
            .raw(),
    }
}

/// One thing happens: most often the running thread makes a system call.
fn step(w: &mut World, seed: u64) {
    let mut dice = Dice(seed);
    let Some(thread) = w.k.current else { return w.pass([MILLISECOND, SECOND, 30 * SECOND][dice.below(3) as usize]) };
    let process = w.k.threads[thread].process;
    let me = Actor { process, thread, ..w.init };
    match dice.below(24) {
        0 => return w.pass(dice.below(20) * MILLISECOND),
        1 => return w.interrupt(dice.below(4) as u8),
        2 if dice.below(4) == 0 => {
            let (vector, address) = (dice.below(20) as u8, any_word(&mut dice));
            return w.fault(me, vector, dice.below(32), address);
        }
        _ => {}
    }
    let known = handles(w, process);
    any_page(w, &mut dice, me, &known);
    let holds = w.k.processes[process].held > 0;
    let mut number = match dice.below(8) {
        0..=3 if holds => dice.pick(&[Sysno::Reply, Sysno::ReplyRecv, Sysno::Forward, Sysno::ForwardRecv]).unwrap(),
        4..=6 if holds => dice.pick(&[Sysno::LeaseRead, Sysno::LeaseWrite, Sysno::LeaseCopy]).unwrap(),
        0..=2 => dice.pick(&[Sysno::Call, Sysno::Recv, Sysno::Recv]).unwrap(),
        _ => dice.pick(Sysno::ALL).unwrap(),
    };
    // Ends are rarer than in an even choice, or there would be nobody left.
    if matches!(number, Sysno::Exit | Sysno::ThreadExit | Sysno::ProcessKill | Sysno::AccountDestroy)
        && dice.below(4) != 0
    {
        number = Sysno::Yield;
    }
    let (first, second) = operands(number);
    let takes_tag = matches!(number, Sysno::Call | Sysno::Post | Sysno::Reply | Sysno::ReplyRecv);
    let token = any_token(w, &mut dice);
    let handle = any_handle(&mut dice, &known, second);
    let leases = matches!(number, Sysno::LeaseRead | Sysno::LeaseWrite | Sysno::LeaseCopy);
    let call = Call {
        number: if dice.below(60) == 0 { dice.next() } else { number as u64 },
        flags: CallFlags::from_bits_retain(if dice.below(20) == 0 { dice.next() as u8 } else { dice.below(4) as u8 }),
        rdi: any_handle(&mut dice, &known, first),
        rsi: if takes_tag {
            any_tag(&mut dice)
        } else if leases {
            dice.below(3)
        } else {
            handle
        },
        r15: token,
        words: match dice.below(3) {
            0 => std::array::from_fn(|_| any_word(&mut dice)),
            _ => sensible_words(number, &mut dice, token),
        },
    };
    w.make_current(call);
}

/// Several programs that know each other, and some hardware.
fn company(w: &mut World) {
    let (queue, event, memory) = (w.queue(3), w.event(), w.memory(6));
    w.map(layout::INIT_SELF, memory, 0x10_0000, 4, Rights::READ | Rights::WRITE).unwrap();
    w.poke(w.init.process, 0x10_0000, &elf::Elf::good().bytes()).unwrap();
    let end = w.event();
    let nursery = w.account(60);
    let (empty, _) = w.process(nursery, Some((end, 64)));
    let machine = layout::INIT_MACHINE;
    let irq = w.get(w.init, sys(Sysno::IrqCreate).on(machine).with(layout::INIT_ACCOUNT).words(&[3, 1]));
    let ports = w.get(w.init, sys(Sysno::PortsCreate).on(machine).with(layout::INIT_ACCOUNT).words(&[0x60, 4]));
    let mut actors = Vec::new();
    for n in 0..4u64 {
        let account = w.account(30);
        let actor = w.actor_of(account, (n % 2 == 0).then_some((end, 1 << n)));
        w.map(actor.handle, memory, 0x10_0000, 4, Rights::READ | Rights::WRITE).unwrap();
        actors.push(actor);
    }
    for (n, actor) in actors.iter().enumerate() {
        for handle in [
            queue,
            event,
            memory,
            empty,
            actor.handle,
            actor.account,
            actors[(n + 1) % 4].handle,
            actor.control,
            irq,
            ports,
        ] {
            w.grant(*actor, handle, Rights::all(), 0);
        }
    }
    w.grant(actors[0], machine, Rights::all(), 0);
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn no_sequence_of_system_calls_panics_the_kernel_or_breaks_an_invariant(
        seeds in proptest::collection::vec(any::<u64>(), 150),
    ) {
        let mut w = World::of(300);
        company(&mut w);
        for seed in seeds {
            step(&mut w, seed);
            w.audit();
        }
    }
}
