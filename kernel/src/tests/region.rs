//! Regions against a map of pages, and their limits.

use super::*;
use crate::region::MAX_REGIONS;
use proptest::prelude::*;
use std::collections::BTreeMap;

const AT: u64 = 0x10_0000;
const RW: Rights = Rights::READ.union(Rights::WRITE);

fn unmap(w: &mut World, process: Handle, start: u64, pages: u64) -> Result<(), SysError> {
    w.make(w.init, sys(Sysno::MemoryUnmap).on(process).words(&[start, pages])).map(|_| ())
}

fn map_part(w: &mut World, process: Handle, memory: Handle, words: [u64; 4]) -> Result<(), SysError> {
    w.make(w.init, sys(Sysno::MemoryMap).on(process).with(memory).words(&words)).map(|_| ())
}

#[test]
fn memory_appears_where_it_is_mapped_and_only_there() {
    let mut w = World::new();
    let (actor, other) = (w.actor(60), w.actor(60));
    let memory = w.memory(4);
    w.map(actor.handle, memory, AT, 4, RW).unwrap();
    map_part(&mut w, other.handle, memory, [AT + 0x5000, 2, 1, Rights::READ.bits().into()]).unwrap();
    w.poke(actor.process, AT + 2 * PAGE_SIZE + 5, b"shared").unwrap();
    assert_eq!(w.peek(other.process, AT + 0x5005, 6).unwrap(), b"shared");
    assert_eq!(w.poke(other.process, AT + 0x5005, b"x"), None);
    for beside in [AT - 1, AT + 4 * PAGE_SIZE] {
        assert_eq!(w.peek(actor.process, beside, 1), None);
    }
    w.audit();
    unmap(&mut w, actor.handle, AT, 4).unwrap();
    assert_eq!(w.peek(actor.process, AT, 1), None);
    assert_eq!(w.peek(other.process, AT + 0x5005, 6).unwrap(), b"shared");
    w.audit();
}

#[test]
fn ranges_that_are_empty_misaligned_wrap_or_leave_the_user_half_are_refused() {
    let mut w = World::new();
    let actor = w.actor(60);
    let memory = w.memory(4);
    let bad = [
        (AT, 0),
        (AT + 1, 1),
        (AT + 8, 1),
        (0, 1),
        (layout::USER_END, 1),
        (layout::USER_END - PAGE_SIZE, 2),
        (u64::MAX - PAGE_SIZE + 1, 1),
        (u64::MAX - PAGE_SIZE + 1, 2),
        (0xffff_8000_0000_0000, 1),
        (AT, u64::MAX),
        (AT, 1 << 52),
        (AT, 1 << 40),
        (0x8000_0000_0000, 1),
    ];
    for (start, pages) in bad {
        let outcome = w.map(actor.handle, memory, start, pages, RW);
        assert!(matches!(outcome, Err(SysError::BadAddress)), "{start:#x} {pages}: {outcome:?}");
        assert_eq!(unmap(&mut w, actor.handle, start, pages), Err(SysError::BadAddress));
    }
    for (offset, pages) in [(0, 5), (4, 1), (3, 2), (u64::MAX, 1), (u64::MAX, 2)] {
        let words = [AT, offset, pages, RW.bits().into()];
        assert_eq!(map_part(&mut w, actor.handle, memory, words), Err(SysError::BadArgument));
    }
    w.map(actor.handle, memory, layout::USER_END - 4 * PAGE_SIZE, 4, RW).unwrap();
    w.map(actor.handle, memory, layout::USER_START, 4, RW).unwrap();
    w.audit();
}

#[test]
fn a_mapping_has_no_more_protection_than_the_capability_and_is_never_writable_and_executable() {
    let mut w = World::new();
    let actor = w.actor(60);
    let me = w.grant(actor, actor.handle, Rights::all(), 0);
    let blind = w.grant(actor, actor.handle, Rights::all() - Rights::MAP, 0);
    let memory = w.memory(1);
    let map = |process, memory, how: u64| sys(Sysno::MemoryMap).on(process).with(memory).words(&[AT, 0, 1, how]);
    let bits = |r: Rights| u64::from(r.bits());
    let all = w.grant(actor, memory, Rights::all(), 0);
    let bad = [
        0,
        bits(Rights::WRITE),
        bits(Rights::EXECUTE),
        bits(Rights::READ | Rights::WRITE | Rights::EXECUTE),
        bits(Rights::READ | Rights::MAP),
        bits(Rights::READ) | 1 << 15,
        1 << 16,
        u64::MAX,
    ];
    for how in bad {
        assert_eq!(w.make(actor, map(me, all, how)), Err(SysError::BadArgument), "{how:#x}");
    }
    assert_eq!(w.make(actor, map(blind, all, bits(RW))), Err(SysError::MissingRights));
    for (has, wanted) in [
        (Rights::MAP | Rights::READ, RW),
        (Rights::MAP | Rights::WRITE, RW),
        (RW, Rights::READ),
        (Rights::MAP | RW, Rights::READ | Rights::EXECUTE),
    ] {
        let weak = w.grant(actor, memory, has, 0);
        assert_eq!(w.make(actor, map(me, weak, bits(wanted))), Err(SysError::MissingRights), "{has:?} {wanted:?}");
    }
    w.make(actor, map(me, all, bits(Rights::READ | Rights::EXECUTE))).unwrap();
    w.audit();
}

#[test]
fn a_message_page_is_in_use_for_mappings_and_a_mapping_for_message_pages() {
    let mut w = World::new();
    let actor = w.actor(60);
    let page = w.k.threads[actor.thread].message_at;
    let memory = w.memory(3);
    for start in [page - 2 * PAGE_SIZE, page - PAGE_SIZE, page] {
        assert_eq!(w.map(actor.handle, memory, start, 3, RW), Err(SysError::AddressInUse));
    }
    w.map(actor.handle, memory, AT, 3, RW).unwrap();
    for message_at in [AT, AT + 2 * PAGE_SIZE, page] {
        let words = [ENTRY, AT, message_at, 0, 1];
        assert_eq!(
            w.make(w.init, sys(Sysno::ThreadCreate).on(actor.handle).words(&words)),
            Err(SysError::AddressInUse)
        );
    }
    unmap(&mut w, actor.handle, layout::USER_START, (layout::USER_END - layout::USER_START) / PAGE_SIZE).unwrap();
    assert!(w.peek(actor.process, page, 1).is_some(), "it is the thread's, and stays");
    w.audit();
}

#[test]
fn a_process_has_regions_up_to_a_limit_and_loses_them_all_in_bounded_steps() {
    let mut w = World::new();
    let account = w.account(300);
    let (process, name) = w.process(account, None);
    let memory = w.memory(1);
    for n in 0..u64::from(MAX_REGIONS) {
        w.map(process, memory, AT + 2 * n * PAGE_SIZE, 1, RW).unwrap();
    }
    assert_eq!(w.map(process, memory, AT - PAGE_SIZE, 1, RW), Err(SysError::LimitReached));
    w.audit();
    w.switch_to(w.init.thread);
    let range = crate::region::PageRange::claim(AT, 2 * u64::from(MAX_REGIONS)).unwrap();
    let mut budget = 64;
    assert_eq!(w.k.unmap(name, range, &mut budget), Ok(false));
    assert_eq!(w.k.processes[name].region_count, MAX_REGIONS - 64, "no more than the budget in one step");
    unmap(&mut w, process, AT, 2 * u64::from(MAX_REGIONS)).unwrap();
    assert_eq!(w.k.processes[name].region_count, 0);
    w.audit();
}

#[test]
fn mappings_of_another_process_in_use_are_forgotten_by_the_processor() {
    let mut w = World::new();
    let actor = w.actor(60);
    let me = w.grant(actor, actor.handle, Rights::all(), 0);
    let memory = w.memory(2);
    w.map(actor.handle, memory, AT, 2, RW).unwrap();
    w.poke(actor.process, AT, b"both pages").unwrap();
    w.poke(actor.process, AT + PAGE_SIZE, b"are there").unwrap();
    w.switch_to(actor.thread);
    w.k.machine.invalidated.clear();
    w.make(actor, sys(Sysno::MemoryUnmap).on(me).words(&[AT, 2])).unwrap();
    assert_eq!(w.k.machine.invalidated, [AT, AT + PAGE_SIZE]);
    w.map(actor.handle, memory, AT, 2, RW).unwrap();
    w.poke(actor.process, AT, b"again").unwrap();
    w.switch_to(w.init.thread);
    w.k.machine.invalidated.clear();
    unmap(&mut w, actor.handle, AT, 2).unwrap();
    assert_eq!(w.k.machine.invalidated, [], "its address space is not the one in use");
}

#[test]
fn a_revocation_unmaps_what_was_mapped_through_the_revoked_and_closing_does_not() {
    let mut w = World::new();
    let (actor, other) = (w.actor(60), w.actor(60));
    let me = w.grant(actor, actor.handle, Rights::all(), 0);
    let memory = w.memory(200);
    w.map(other.handle, memory, AT, 200, RW).unwrap();
    let lent = w.grant(actor, memory, Rights::all(), 0);
    let words = [AT, 0, 200, RW.bits().into()];
    w.make(actor, sys(Sysno::MemoryMap).on(me).with(lent).words(&words)).unwrap();
    for page in 0..200 {
        w.poke(actor.process, AT + page * PAGE_SIZE, b"lent").unwrap();
    }
    w.audit();
    w.make(actor, sys(Sysno::Close).on(lent)).unwrap();
    assert_eq!(w.peek(actor.process, AT, 4).unwrap(), b"lent", "a mapping outlives the capability that made it");
    w.audit();
    w.make(w.init, sys(Sysno::Revoke).on(memory)).unwrap();
    assert_eq!(w.peek(actor.process, AT, 1), None);
    assert_eq!(w.peek(other.process, AT, 1), None, "what the owner itself had mapped elsewhere is derived from it too");
    assert_eq!(w.k.processes[actor.process].region_count, 0);
    w.make(w.init, sys(Sysno::Inspect).on(memory)).unwrap();
    w.audit();
    w.make(actor, sys(Sysno::MemoryMap).on(me).with(lent).words(&words)).unwrap_err();
}

#[test]
fn a_memory_object_lives_while_it_is_mapped() {
    let mut w = World::new();
    let actor = w.actor(60);
    let memory = w.memory(12);
    let before = w.k.mm.free_frames();
    w.map(actor.handle, memory, AT, 12, RW).unwrap();
    w.make(w.init, sys(Sysno::Close).on(memory)).unwrap();
    w.poke(actor.process, AT + 11 * PAGE_SIZE, b"still here").unwrap();
    w.audit();
    assert!(w.k.mm.free_frames() < before);
    unmap(&mut w, actor.handle, AT, 12).unwrap();
    assert_eq!(w.audit().objects["memories"], 3, "the archive, init's record and its stack");
}

/// A mapping as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    pages: u64,
    memory: usize,
    offset: u64,
    writable: bool,
}

/// What a byte of page `page` of memory object `memory` was set to.
fn mark(memory: usize, page: u64) -> u8 {
    (memory as u64 * 40 + page + 1) as u8
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn regions_match_a_model_of_ranges(
        steps in proptest::collection::vec((0..5u8, 0..40u64, 0..7u64, 0..3usize, 0..8u64, any::<bool>()), 1..70),
        way in a_way(),
    ) {
        let mut w = World::new();
        w.way = way;
        let account = w.account(200);
        let (process, name) = w.process(account, None);
        let sizes = [3u64, 8, 11];
        let memories = sizes.map(|pages| w.memory(pages));
        for (n, memory) in memories.iter().enumerate() {
            w.map(layout::INIT_SELF, *memory, AT, sizes[n], RW).unwrap();
            for page in 0..sizes[n] {
                w.poke(w.init.process, AT + page * PAGE_SIZE, &[mark(n, page)]).unwrap();
            }
            unmap(&mut w, layout::INIT_SELF, AT, sizes[n]).unwrap();
        }
        let mut model: BTreeMap<u64, Mapping> = BTreeMap::new();
        for (what, page, pages, memory, offset, writable) in steps {
            let start = AT + page * PAGE_SIZE;
            let overlapping: Vec<u64> = model.iter()
                .filter(|(s, m)| **s < start + pages * PAGE_SIZE && start < **s + m.pages * PAGE_SIZE).map(|(s, _)| *s).collect();
            match what {
                0..=2 => {
                    let how = if writable { RW } else { Rights::READ };
                    let got = map_part(&mut w, process, memories[memory], [start, offset, pages, how.bits().into()]);
                    let expected = if pages == 0 {
                        Err(SysError::BadAddress)
                    } else if offset + pages > sizes[memory] {
                        Err(SysError::BadArgument)
                    } else if !overlapping.is_empty() {
                        Err(SysError::AddressInUse)
                    } else {
                        model.insert(start, Mapping { pages, memory, offset, writable });
                        Ok(())
                    };
                    prop_assert_eq!(got, expected);
                }
                3 => {
                    let got = unmap(&mut w, process, start, pages);
                    let end = start + pages * PAGE_SIZE;
                    let cut = overlapping.iter().any(|s| *s < start || s + model[s].pages * PAGE_SIZE > end);
                    if pages == 0 || cut {
                        prop_assert_eq!(got, Err(SysError::BadAddress));
                    } else {
                        prop_assert_eq!(got, Ok(()));
                        model.retain(|s, _| !overlapping.contains(s));
                    }
                }
                _ => {
                    let found = model.range(..=start).next_back().filter(|(s, m)| start < **s + m.pages * PAGE_SIZE);
                    let expected = found.map(|(s, m)| mark(m.memory, m.offset + (start - s) / PAGE_SIZE));
                    prop_assert_eq!(w.peek(name, start, 1).map(|b| b[0]), expected);
                    let writes = found.is_some_and(|(_, m)| m.writable);
                    prop_assert_eq!(w.poke(name, start + 1, &[7]).is_some(), writes);
                }
            }
            prop_assert_eq!(w.k.processes[name].region_count as usize, model.len());
            w.audit();
        }
    }
}
