//! Accounts: who pays, up to where, and that everything comes back.

use super::*;
use crate::account::Account;
use abi::AccountStatus;
use proptest::prelude::*;

/// The account's report: limit, used, lent.
fn status(w: &mut World, account: Handle) -> (u64, u64, u64) {
    w.make(w.init, sys(Sysno::AccountStatus).on(account)).unwrap();
    (w.payload_word(w.init, 0), w.payload_word(w.init, 1), w.payload_word(w.init, 2))
}

/// The ids of all processes under an account, as `ps` finds them.
fn processes(w: &mut World, account: Handle) -> Vec<u64> {
    let mut ids = Vec::new();
    loop {
        let last = ids.last().copied().unwrap_or(0);
        match w.make(w.init, sys(Sysno::AccountProcess).on(account).words(&[last])).unwrap()[0] {
            0 => return ids,
            id => {
                assert_eq!(w.payload_word(w.init, 0), id, "the report is that of the process");
                ids.push(id);
            }
        }
    }
}

#[test]
fn a_child_account_is_lent_its_quota_and_gives_it_back() {
    let mut w = World::new();
    let before = status(&mut w, layout::INIT_ACCOUNT);
    let child = w.account(100);
    assert_eq!(status(&mut w, child), (100, 0, 0));
    let with = status(&mut w, layout::INIT_ACCOUNT);
    assert_eq!((with.1, with.2), (before.1 + 100, before.2 + 100));
    w.make(w.init, sys(Sysno::AccountDestroy).on(child)).unwrap();
    assert_eq!(status(&mut w, layout::INIT_ACCOUNT), before);
    w.audit();
}

#[test]
fn an_account_lends_no_more_than_it_has_and_nothing_at_all_is_no_quota() {
    let mut w = World::new();
    let (limit, used, _) = status(&mut w, layout::INIT_ACCOUNT);
    let create = |pages| sys(Sysno::AccountCreate).on(layout::INIT_ACCOUNT).words(&[pages]);
    for pages in [limit - used + 1, limit, u64::MAX] {
        assert_eq!(w.make(w.init, create(pages)), Err(SysError::NoMemory));
    }
    assert_eq!(w.make(w.init, create(0)), Err(SysError::BadArgument));
    let all = w.account(limit - used);
    assert_eq!(w.make(w.init, create(1)), Err(SysError::NoMemory));
    w.make(w.init, sys(Sysno::AccountDestroy).on(all)).unwrap();
    w.audit();
}

#[test]
fn a_full_account_is_told_and_nobody_else_notices() {
    let mut w = World::new();
    let (poor, rich) = (w.account(1), w.account(50));
    let queue = |account| sys(Sysno::QueueCreate).on(account).words(&[8]);
    assert_eq!(w.make(w.init, queue(poor)), Err(SysError::NoMemory));
    assert_eq!(status(&mut w, poor), (1, 0, 0));
    w.make(w.init, queue(rich)).unwrap();
    w.audit();
}

#[test]
fn nobody_destroys_the_account_that_pays_for_him() {
    let mut w = World::new();
    let outer = w.account(100);
    let inner = w.get(w.init, sys(Sysno::AccountCreate).on(outer).words(&[60]));
    let actor = w.actor_of(inner, None);
    for account in [inner, outer, layout::INIT_ACCOUNT] {
        let handle = w.grant(actor, account, Rights::all(), 0);
        assert_eq!(w.make(actor, sys(Sysno::AccountDestroy).on(handle)), Err(SysError::BadState));
    }
    assert_eq!(w.make(w.init, sys(Sysno::AccountDestroy).on(layout::INIT_ACCOUNT)), Err(SysError::BadState));
    let weak = w.grant(actor, inner, Rights::CREATE | Rights::INSPECT, 0);
    assert_eq!(w.make(actor, sys(Sysno::AccountDestroy).on(weak)), Err(SysError::MissingRights));
    w.audit();
}

#[test]
fn destroying_an_account_takes_everything_below_it_and_every_page_comes_back() {
    let mut w = World::new();
    let before = w.audit();
    let outer = w.account(400);
    let mut last = outer;
    for level in 0..5 {
        let actor = w.actor_of(last, None);
        let own = w.grant(actor, last, Rights::all(), 0);
        let queue = w.get(actor, sys(Sysno::QueueCreate).on(own).words(&[100]));
        let event = w.get(actor, sys(Sysno::EventCreate).on(own));
        w.make(actor, sys(Sysno::EventBind).on(event).with(queue).words(&[7])).unwrap();
        w.make(actor, sys(Sysno::EventSignal).on(event).words(&[1])).unwrap();
        w.make(actor, sys(Sysno::Post).on(queue)).unwrap();
        let memory = w.get(actor, sys(Sysno::MemoryCreate).on(own).words(&[20]));
        w.make(actor, sys(Sysno::MemoryAddress).on(memory).words(&[0])).unwrap();
        let me = w.grant(actor, actor.handle, Rights::all(), 0);
        let words = [0x10_0000, 0, 20, u64::from((Rights::READ | Rights::WRITE).bits())];
        w.make(actor, sys(Sysno::MemoryMap).on(me).with(memory).words(&words)).unwrap();
        w.poke(actor.process, 0x10_3000, b"dirt").unwrap();
        w.begin(actor, sys(Sysno::Recv).on(queue));
        last = w.get(w.init, sys(Sysno::AccountCreate).on(last).words(&[300 - level * 50]));
        w.audit();
    }
    w.make(w.init, sys(Sysno::AccountDestroy).on(outer)).unwrap();
    assert_eq!(w.make(w.init, sys(Sysno::AccountStatus).on(last)), Err(SysError::BadHandle));
    assert_eq!(w.audit(), before);
}

#[test]
fn a_listing_of_processes_goes_through_the_whole_tree_in_order_of_their_ids() {
    let mut w = World::of(2048);
    let mut account = w.account(1200);
    let mut expected = vec![1];
    for depth in 0..30 {
        for side in 0..(if depth % 10 == 3 { 15 } else { 1 }) {
            let beside = w.get(w.init, sys(Sysno::AccountCreate).on(account).words(&[2]));
            if side == 0 {
                let (_, process) = w.process(beside, None);
                expected.push(w.k.processes[process].id);
            }
        }
        if depth % 7 == 0 {
            let (_, process) = w.process(account, None);
            expected.push(w.k.processes[process].id);
        }
        let room = {
            let a: Ref<Account> = w.object(w.init, account);
            w.k.accounts[a].limit - w.k.accounts[a].used
        };
        account = w.get(w.init, sys(Sysno::AccountCreate).on(account).words(&[room - 2]));
    }
    assert_eq!(processes(&mut w, layout::INIT_ACCOUNT), expected);
    assert_eq!(processes(&mut w, account), []);
}

#[test]
fn accounts_nest_to_a_fixed_depth_and_a_chain_of_them_is_destroyed_from_its_top() {
    let mut w = World::new();
    let before = w.audit();
    let top = w.account(300);
    let mut account = top;
    let create = |account, pages| sys(Sysno::AccountCreate).on(account).words(&[pages]);
    for depth in 1..u64::from(crate::account::MAX_DEPTH) {
        account = w.get(w.init, create(account, 300 - depth * 2));
    }
    assert_eq!(w.make(w.init, create(account, 10)), Err(SysError::LimitReached));
    let (_, process) = w.process(account, None);
    let id = w.k.processes[process].id;
    assert_eq!(processes(&mut w, top), [id]);
    w.make(w.init, sys(Sysno::AccountDestroy).on(top)).unwrap();
    assert_eq!(w.audit(), before);
}

#[test]
fn the_report_of_an_account_counts_each_kind_of_page() {
    let mut w = World::new();
    let account = w.account(200);
    let actor = w.actor_of(account, None);
    let own = w.grant(actor, account, Rights::all(), 0);
    let memory = w.get(actor, sys(Sysno::MemoryCreate).on(own).words(&[3]));
    for page in 0..3 {
        w.make(actor, sys(Sysno::MemoryAddress).on(memory).words(&[page])).unwrap();
    }
    w.make(actor, sys(Sysno::QueueCreate).on(own).words(&[52])).unwrap();
    w.make(w.init, sys(Sysno::AccountStatus).on(account)).unwrap();
    let word = |at: usize| w.payload_word(w.init, at / 8);
    assert_eq!(word(offset_of!(AccountStatus, memory)), 3);
    assert_eq!(word(offset_of!(AccountStatus, page_tables)), 4, "a root and three levels for the message page");
    assert_eq!(word(offset_of!(AccountStatus, cap_tables)), 1);
    assert_eq!(word(offset_of!(AccountStatus, other)), 1 + 3, "a message page, a ring of two pages and its directory");
    assert_eq!(word(offset_of!(AccountStatus, free)), w.k.mm.free_frames());
    let objects = offset_of!(AccountStatus, objects);
    let usage = |kind: usize| (word(objects + (kind - 1) * 16), word(objects + (kind - 1) * 16 + 8));
    assert_eq!([usage(2), usage(3), usage(4), usage(5)], [(1, 1); 4]);
    assert_eq!(word(offset_of!(AccountStatus, used)), 3 + 4 + 1 + 4 + 4);
}

/// An account as the model knows it.
#[derive(Clone, Debug)]
struct Purse {
    handle: Handle,
    parent: Option<usize>,
    limit: u64,
    /// Contiguous memory that it pays for.
    memories: Vec<(Handle, u64)>,
    alive: bool,
}

/// Pages that making one object may take besides its contents: a slab page.
const SLAB: u64 = 1;

/// What an account has lent and what it pays for contents, by the model.
fn sums(purses: &[Purse], at: usize) -> (u64, u64) {
    let lent = purses.iter().filter(|p| p.alive && p.parent == Some(at)).map(|p| p.limit).sum();
    (lent, purses[at].memories.iter().map(|(_, pages)| pages).sum())
}

fn end(purses: &mut [Purse], at: usize) {
    purses[at].alive = false;
    (0..purses.len())
        .filter(|n| purses[*n].parent == Some(at))
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|n| end(purses, n));
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn accounts_match_a_model_of_purses(steps in proptest::collection::vec((0..6u8, any::<usize>(), 1..60u64), 1..60)) {
        let mut w = World::new();
        let before = w.audit();
        let top = w.account(200);
        let mut purses = vec![Purse { handle: top, parent: None, limit: 200, memories: Vec::new(), alive: true }];
        for (what, which, pages) in steps {
            let alive: Vec<usize> = (0..purses.len()).filter(|n| purses[*n].alive).collect();
            let at = alive[which % alive.len()];
            let handle = purses[at].handle;
            let (_, used, _) = status(&mut w, handle);
            let room = purses[at].limit - used;
            match what {
                0 | 1 => {
                    let made = w.make(w.init, sys(Sysno::AccountCreate).on(handle).words(&[pages]));
                    prop_assert!(if made.is_ok() { pages <= room } else { pages + SLAB > room }, "{made:?} {pages} {room}");
                    if let Ok(words) = made {
                        let handle = Handle::from_raw(words[0]);
                        purses.push(Purse { handle, parent: Some(at), limit: pages, memories: Vec::new(), alive: true });
                    }
                }
                2 | 3 => {
                    let made = w.make(w.init, sys(Sysno::MemoryCreate).on(handle).words(&[pages, 1]));
                    prop_assert!(if made.is_ok() { pages <= room } else { pages + SLAB > room }, "{made:?} {pages} {room}");
                    if let Ok(words) = made {
                        purses[at].memories.push((Handle::from_raw(words[0]), pages));
                    }
                }
                4 => {
                    if let Some((memory, _)) = purses[at].memories.pop() {
                        w.make(w.init, sys(Sysno::Close).on(memory)).unwrap();
                    }
                }
                _ if at != 0 => {
                    w.make(w.init, sys(Sysno::AccountDestroy).on(handle)).unwrap();
                    end(&mut purses, at);
                }
                _ => {}
            }
            for at in (0..purses.len()).filter(|n| purses[*n].alive) {
                let (limit, used, lent) = status(&mut w, purses[at].handle);
                let account: Ref<Account> = w.object(w.init, purses[at].handle);
                let (model_lent, contents) = sums(&purses, at);
                prop_assert_eq!((limit, lent), (purses[at].limit, model_lent));
                prop_assert_eq!(w.k.accounts[account].status().memory, contents);
                prop_assert!(lent + contents <= used && used <= limit);
            }
        }
        w.audit();
        w.make(w.init, sys(Sysno::AccountDestroy).on(top)).unwrap();
        prop_assert_eq!(w.audit().objects, before.objects);
    }
}
