//! Memory objects: pages that come when they are touched, runs for devices, and ranges that are not RAM.

use super::*;
use abi::{Kind, MAX_CONTIGUOUS};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn create(pages: u64, contiguous: u64) -> Call {
    sys(Sysno::MemoryCreate).on(layout::INIT_ACCOUNT).words(&[pages, contiguous])
}

fn physical(start: u64, pages: u64) -> Call {
    sys(Sysno::MemoryPhysical).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(&[start, pages])
}

fn address(memory: Handle, page: u64) -> Call {
    sys(Sysno::MemoryAddress).on(memory).words(&[page])
}

#[test]
fn pages_are_committed_one_by_one_each_zero_and_each_in_one_place() {
    for pages in [1, 8, 9, 1024, 1025, 3000, 1 << 20] {
        let mut w = World::new();
        let before = w.audit();
        let memory = w.memory(pages);
        let mut seen = BTreeMap::new();
        for page in [0, 1, 7, 8, 511, 1023, 1024, 2047, 2999, pages - 1].into_iter().filter(|p| *p < pages) {
            let [at, run, ..] = w.make(w.init, address(memory, page)).unwrap();
            assert_eq!((at % PAGE_SIZE, run), (0, 1));
            if !seen.contains_key(&page) {
                assert!(w.k.mm.bytes(Frame::containing(at)).iter().all(|b| *b == 0));
            }
            w.k.mm.bytes_mut(Frame::containing(at)).fill(0xaa);
            let again = w.make(w.init, address(memory, page)).unwrap()[0];
            assert_eq!(again, *seen.entry(page).or_insert(at));
        }
        let places: std::collections::BTreeSet<u64> = seen.values().copied().collect();
        assert_eq!(places.len(), seen.len());
        assert_eq!(w.make(w.init, address(memory, pages)), Err(SysError::BadArgument));
        w.audit();
        w.make(w.init, sys(Sysno::Close).on(memory)).unwrap();
        assert_eq!(w.audit(), before);
    }
}

#[test]
fn an_address_comes_with_the_number_of_committed_pages_that_follow_in_a_row() {
    let mut w = World::new();
    let memory = w.memory(2000);
    let hole = 150;
    let mut places: Vec<Option<u64>> = vec![None; 2000];
    for page in (0..300).filter(|page| *page != hole) {
        places[page as usize] = Some(w.make(w.init, address(memory, page)).unwrap()[0]);
    }
    let mut longest = 0;
    for page in (0..300).filter(|page| *page != hole) {
        let [at, run, ..] = w.make(w.init, address(memory, page)).unwrap();
        let follows = |n: &u64| places[(page + n) as usize] == Some(at + n * PAGE_SIZE);
        let row = (0..).take_while(follows).count() as u64;
        assert_eq!(run, row.min(64), "page {page}");
        longest = longest.max(run);
    }
    assert_eq!(longest, 64, "the pool gives frames in a row to who takes them one by one");
    w.audit();
}

#[test]
fn no_pages_too_many_pages_and_unknown_ways_are_refused() {
    let mut w = World::new();
    for (pages, contiguous) in
        [(0, 0), ((1 << 20) + 1, 0), (MAX_CONTIGUOUS + 1, 1), (u64::MAX, 0), (1, 2), (0, 1), (1, u64::MAX)]
    {
        assert_eq!(w.make(w.init, create(pages, contiguous)), Err(SysError::BadArgument));
    }
    // What does not fit is refused for that.
    while w.make(w.init, create(MAX_CONTIGUOUS, 1)).is_ok() {}
    assert_eq!(w.make(w.init, create(MAX_CONTIGUOUS, 1)), Err(SysError::NoMemory));
    w.audit();
}

#[test]
fn a_search_for_frames_in_a_row_goes_in_steps_and_goes_on_where_it_was() {
    let mut w = World::new();
    let (kept, closed) = (w.memory(300), w.memory(300));
    for page in 0..300 {
        w.make(w.init, address(kept, page)).unwrap();
        w.make(w.init, address(closed, page)).unwrap();
    }
    // Every second frame of ten groups is free.
    w.make(w.init, sys(Sysno::Close).on(closed)).unwrap();
    w.switch_to(w.init.thread);
    let registers = &mut w.k.threads[w.init.thread].context.registers;
    (registers.rax, registers.rdi) = (Sysno::MemoryCreate as u64, layout::INIT_ACCOUNT.raw());
    (registers.rdx, registers.r8, registers.rip) = (100, 1, SITE + 2);
    let resume = w.k.syscall();
    let thread = &w.k.threads[w.init.thread];
    assert!(thread.searched > 0 && thread.context.registers.rip == SITE, "one step is not enough");
    w.settle(resume);
    let thread = &w.k.threads[w.init.thread];
    assert_eq!((thread.searched, thread.context.registers.rax), (0, 0));
    let memory = Handle::from_raw(thread.context.registers.rdx);
    assert_eq!(w.make(w.init, address(memory, 0)).unwrap()[1], 100);
    w.audit();
}

#[test]
fn a_contiguous_object_is_a_run_of_zeroes_and_says_how_long() {
    let mut w = World::new();
    let before = w.audit();
    // Holes in free memory, so that the first fit is not the first frame.
    let small: Vec<Handle> = (0..40)
        .map(|_| {
            let m = w.memory(1);
            w.make(w.init, address(m, 0)).unwrap();
            m
        })
        .collect();
    for memory in small.iter().step_by(2) {
        w.make(w.init, sys(Sysno::Close).on(*memory)).unwrap();
    }
    let memory = w.get(w.init, create(30, 1));
    let first = w.make(w.init, address(memory, 0)).unwrap()[0];
    for page in 0..30 {
        let [at, run, ..] = w.make(w.init, address(memory, page)).unwrap();
        assert_eq!((at, run), (first + page * PAGE_SIZE, 30 - page));
        assert!(w.k.mm.bytes(Frame::containing(at)).iter().all(|b| *b == 0));
    }
    w.audit();
    for memory in small.iter().skip(1).step_by(2).chain([&memory]) {
        w.make(w.init, sys(Sysno::Close).on(*memory)).unwrap();
    }
    assert_eq!(w.audit(), before);
}

#[test]
fn physical_memory_is_what_is_no_ram_and_aligned() {
    let mut w = World::new();
    let top = FRAMES * PAGE_SIZE;
    for (start, pages) in [
        (0, 1),
        (top - PAGE_SIZE, 1),
        (top - PAGE_SIZE, 5),
        (top + 1, 1),
        (top, 0),
        (top, (1 << 20) + 1),
        (1 << 52, 1),
        ((1 << 52) - PAGE_SIZE, 2),
        (u64::MAX - 4095, 1),
        (u64::MAX - 4095, 2),
        (top, u64::MAX),
    ] {
        assert_eq!(w.make(w.init, physical(start, pages)), Err(SysError::BadArgument), "{start:#x} {pages}");
    }
    let memory = w.get(w.init, physical(top, 4));
    let words = w.make(w.init, sys(Sysno::Inspect).on(memory)).unwrap();
    assert_eq!((words[0], words[3]), (Kind::Memory as u64, 4));
    assert_eq!(w.make(w.init, address(memory, 3)).unwrap()[..2], [top + 3 * PAGE_SIZE, 1]);
    w.get(w.init, physical((1 << 52) - PAGE_SIZE, 1));
    w.audit();
}

#[test]
fn physical_memory_needs_the_machine_and_addresses_need_the_right_to_them() {
    let mut w = World::new();
    let actor = w.actor(60);
    let weak_machine = w.grant(actor, layout::INIT_MACHINE, Rights::INSPECT, 0);
    let account = w.grant(actor, actor.account, Rights::all(), 0);
    let call = physical(1 << 40, 1);
    assert_eq!(w.make(actor, call.on(weak_machine).with(account)), Err(SysError::MissingRights));
    assert_eq!(w.make(actor, call.on(account).with(account)), Err(SysError::WrongKind));
    let memory = w.memory(1);
    let weak = w.grant(actor, memory, Rights::all() - Rights::DMA, 0);
    assert_eq!(w.make(actor, address(weak, 0)), Err(SysError::MissingRights));
    // The archive can be read and run, and its physical addresses are asked for in vain by whoever lacks the right.
    let archive = w.grant(actor, layout::INIT_ARCHIVE, Rights::READ | Rights::MAP, 0);
    assert_eq!(w.make(actor, address(archive, 0)), Err(SysError::MissingRights));
}

proptest! {
    #![proptest_config(cases(12))]
    #[test]
    fn contents_match_a_map_of_pages(
        pages in prop_oneof![1u64..20, 1000u64..1100, 2000u64..5000],
        touched in proptest::collection::vec(any::<u64>(), 1..60),
    ) {
        let mut w = World::new();
        let before = w.audit();
        let account = w.account(400);
        let (process, name) = w.process(account, None);
        let memory = w.memory(pages);
        let rw = Rights::READ | Rights::WRITE;
        w.map(process, memory, layout::MAP_START, pages, rw).unwrap();
        let mut model = BTreeMap::new();
        for (n, page) in touched.into_iter().enumerate() {
            let page = page % pages;
            let at = layout::MAP_START + page * PAGE_SIZE + 17;
            prop_assert_eq!(w.peek(name, at, 1).unwrap()[0], model.get(&page).copied().unwrap_or(0));
            w.poke(name, at, &[n as u8 + 1]).unwrap();
            model.insert(page, n as u8 + 1);
        }
        w.audit();
        w.make(w.init, sys(Sysno::Close).on(memory)).unwrap();
        w.make(w.init, sys(Sysno::AccountDestroy).on(account)).unwrap();
        prop_assert_eq!(w.audit(), before);
    }
}
