//! Capabilities: handles, rights that only shrink, and the tree of who derived what from whom.

use super::*;
use crate::queue::Queue;
use proptest::prelude::*;

#[test]
fn a_handle_that_is_stale_forged_or_out_of_range_names_nothing() {
    let mut w = World::new();
    let queue = w.queue(0);
    let inspect = |handle| sys(Sysno::Inspect).on(handle);
    w.make(w.init, inspect(queue)).unwrap();
    w.make(w.init, sys(Sysno::Close).on(queue)).unwrap();
    let next = w.queue(0);
    assert_eq!(next.index(), queue.index(), "the slot is used again");
    let forged = [
        queue,
        Handle::NONE,
        Handle::new(0, 1),
        Handle::new(128, 0),
        Handle::new(next.index(), next.generation() + 1),
        Handle::new(next.index() + 1, 1),
        Handle::new(127, 1),
        Handle::new(128, 1),
        Handle::new(1 << 17, 1),
        Handle::new(u32::MAX, 1),
        Handle::new(u32::MAX, u32::MAX),
        Handle::from_raw(u64::MAX),
    ];
    for handle in forged {
        for number in OF_ANY_KIND {
            assert_eq!(w.make(w.init, sys(number).on(handle)), Err(SysError::BadHandle), "{number:?} {handle:?}");
        }
    }
    w.audit();
}

/// What can be done with a capability of any kind.
const OF_ANY_KIND: [Sysno; 4] = [Sysno::Inspect, Sysno::Duplicate, Sysno::Close, Sysno::Revoke];

#[test]
fn what_is_done_with_capabilities_of_any_kind_is_refused_to_handles_of_another_generation() {
    both_ways(|w| {
        let queue = w.queue(0);
        // A copy, which a short call could close.
        let copy = w.get(w.init, sys(Sysno::Duplicate).on(queue).words(&[u64::MAX]));
        for generation in [copy.generation() + 1, copy.generation() - 1, u32::MAX] {
            for number in OF_ANY_KIND {
                let other = Handle::new(copy.index(), generation);
                assert_eq!(w.make(w.init, sys(number).on(other)), Err(SysError::BadHandle), "{number:?}");
            }
        }
    });
}

#[test]
fn no_handle_names_a_mapping_invariant_5() {
    both_ways(|w| {
        let (actor, memory) = (w.actor(60), w.memory(2));
        w.map(actor.handle, memory, 0x5000_0000, 2, Rights::READ).unwrap();
        let region = w.k.region_at(actor.process, 0x5000_0000).unwrap();
        let slot = w.k.regions[region].slot.unwrap();
        let handle = Handle::new(slot.position(), w.k.slots[slot].generation);
        for number in OF_ANY_KIND {
            assert_eq!(w.make(actor, sys(number).on(handle)), Err(SysError::BadHandle), "{number:?}");
        }
    });
}

#[test]
fn a_copy_has_the_rights_of_both_masks_and_never_more() {
    let mut w = World::new();
    let queue = w.queue(0);
    let duplicate = |handle, rights: Rights| sys(Sysno::Duplicate).on(handle).words(&[rights.bits().into()]);
    let weak = w.get(w.init, duplicate(queue, Rights::SEND | Rights::RECEIVE));
    let weaker = w.get(w.init, duplicate(weak, Rights::RECEIVE | Rights::MINT | Rights::CONTROL));
    let all = w.get(w.init, duplicate(weaker, Rights::all()));
    for (handle, rights) in [(weak, Rights::SEND | Rights::RECEIVE), (weaker, Rights::RECEIVE), (all, Rights::RECEIVE)]
    {
        let words = w.make(w.init, sys(Sysno::Inspect).on(handle)).unwrap();
        assert_eq!(words[1], u64::from(rights.bits()));
    }
    assert_eq!(w.make(w.init, sys(Sysno::Post).on(weaker)), Err(SysError::MissingRights));
    w.audit();
}

#[test]
fn a_badge_needs_the_right_to_mint_and_is_inherited() {
    let mut w = World::new();
    let (queue, event) = (w.queue(4), w.event());
    let mint = |handle, badge| sys(Sysno::Duplicate).on(handle).words(&[u64::MAX, badge]);
    let badged = w.get(w.init, mint(queue, 77));
    let sender = w.get(w.init, sys(Sysno::Duplicate).on(badged).words(&[u64::from(Rights::SEND.bits())]));
    assert_eq!(w.make(w.init, mint(sender, 78)), Err(SysError::MissingRights));
    assert_eq!(w.make(w.init, mint(event, 1)), Err(SysError::WrongKind));
    w.make(w.init, sys(Sysno::Post).on(sender)).unwrap();
    assert_eq!(w.receive(w.init, queue).badge, 77);
    let again = w.get(w.init, mint(badged, 78));
    assert_eq!(w.make(w.init, sys(Sysno::Inspect).on(again)).unwrap()[2], 78);
    let actor = w.actor(40);
    let mintless = w.grant(actor, queue, Rights::SEND, 5);
    let me = w.grant(actor, actor.handle, Rights::all(), 0);
    let grant = sys(Sysno::ProcessGrant).on(me).with(mintless).words(&[u64::MAX, 6]);
    assert_eq!(w.make(actor, grant), Err(SysError::MissingRights));
    w.audit();
}

#[test]
fn granting_needs_the_right_to_grant_and_a_process_that_has_not_ended() {
    let mut w = World::new();
    let (actor, other) = (w.actor(40), w.actor(40));
    let queue = w.queue(0);
    let own = w.grant(actor, queue, Rights::all(), 0);
    let weak = w.grant(actor, other.handle, Rights::all() - Rights::GRANT, 0);
    let grant = |to, what| sys(Sysno::ProcessGrant).on(to).with(what).words(&[u64::MAX]);
    assert_eq!(w.make(actor, grant(weak, own)), Err(SysError::MissingRights));
    assert_eq!(w.make(actor, grant(own, own)), Err(SysError::WrongKind));
    w.make(w.init, grant(other.handle, queue)).unwrap();
    assert_eq!(w.make(w.init, grant(other.handle, Handle::NONE)), Err(SysError::BadHandle));
    w.make(w.init, sys(Sysno::ProcessKill).on(other.handle)).unwrap();
    assert_eq!(w.make(w.init, grant(other.handle, queue)), Err(SysError::BadState));
    w.audit();
}

#[test]
fn a_closed_capability_leaves_its_children_to_its_parent_and_a_revoke_finds_them_there() {
    let mut w = World::new();
    let queue = w.queue(0);
    let duplicate = |handle| sys(Sysno::Duplicate).on(handle).words(&[u64::MAX]);
    let middle = w.get(w.init, duplicate(queue));
    let beside = w.get(w.init, duplicate(queue));
    let leaves: Vec<Handle> = (0..200).map(|_| w.get(w.init, duplicate(middle))).collect();
    w.make(w.init, sys(Sysno::Close).on(middle)).unwrap();
    w.audit();
    for leaf in &leaves {
        w.make(w.init, sys(Sysno::Inspect).on(*leaf)).unwrap();
    }
    w.make(w.init, sys(Sysno::Revoke).on(beside)).unwrap();
    w.make(w.init, sys(Sysno::Inspect).on(leaves[0])).unwrap();
    w.make(w.init, sys(Sysno::Revoke).on(queue)).unwrap();
    for gone in leaves.iter().chain([&beside]) {
        assert_eq!(w.make(w.init, sys(Sysno::Inspect).on(*gone)), Err(SysError::BadHandle));
    }
    w.make(w.init, sys(Sysno::Inspect).on(queue)).unwrap();
    w.audit();
}

#[test]
fn an_object_goes_with_its_last_capability() {
    let mut w = World::new();
    let before = w.audit();
    let (queue, event, memory) = (w.queue(9), w.event(), w.memory(30));
    let machine = layout::INIT_MACHINE;
    let irq = w.get(w.init, sys(Sysno::IrqCreate).on(machine).with(layout::INIT_ACCOUNT).words(&[4, 0]));
    let ports = w.get(w.init, sys(Sysno::PortsCreate).on(machine).with(layout::INIT_ACCOUNT).words(&[0x3f8, 8]));
    let all = [queue, event, memory, irq, ports];
    let copies = all.map(|handle| w.get(w.init, sys(Sysno::Duplicate).on(handle).words(&[0])));
    w.make(w.init, sys(Sysno::MemoryAddress).on(memory).words(&[29])).unwrap();
    for handle in all {
        w.make(w.init, sys(Sysno::Close).on(handle)).unwrap();
    }
    let kept = w.audit();
    assert_eq!(kept.capabilities, before.capabilities + 5, "a copy without rights keeps it, too");
    for handle in copies {
        w.make(w.init, sys(Sysno::Close).on(handle)).unwrap();
    }
    assert_eq!(w.audit(), before);
}

#[test]
fn an_empty_slot_of_the_first_page_is_taken_before_one_beyond() {
    let mut w = World::new();
    let queue = w.queue(0);
    let derive = sys(Sysno::Duplicate).on(queue).words(&[Rights::SEND.bits().into()]);
    let derived: Vec<Handle> = (0..300).map(|_| w.get(w.init, derive)).collect();
    let (near, far) = (derived[0], derived[299]);
    assert!(near.index() < 128 && far.index() >= 128);
    for handle in [near, far] {
        w.make(w.init, sys(Sysno::Close).on(handle)).unwrap();
    }
    assert_eq!(w.get(w.init, derive).index(), near.index(), "though the other was given up last");
    assert_eq!(w.get(w.init, derive).index(), far.index());
    w.audit();
}

#[test]
fn a_table_grows_to_its_limit_and_every_handle_in_it_is_good() {
    let mut w = World::of(2048);
    let before = w.audit().capabilities;
    let queue = w.queue(0);
    let duplicate = sys(Sysno::Duplicate).on(queue).words(&[u64::MAX]);
    let mut handles = Vec::new();
    w.switch_to(w.init.thread);
    let refused = loop {
        w.make_current(duplicate);
        match w.result(w.init) {
            Ok(words) => handles.push(Handle::from_raw(words[0])),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SysError::LimitReached);
    assert!(handles.len() > 1024 * 127 - 16, "all 1,024 pages are full");
    let distinct: std::collections::BTreeSet<u64> = handles.iter().map(|h| h.raw()).collect();
    assert_eq!(distinct.len(), handles.len());
    for handle in handles.iter().step_by(61) {
        assert_eq!(
            w.k.lookup(w.init.process, *handle).map(|cap| w.k.object::<Queue>(cap)),
            Ok(w.object(w.init, queue))
        );
    }
    let totals = w.audit();
    assert_eq!(totals.capabilities, before + 1 + handles.len());
    // A few are closed here and there, and their slots are found again.
    for handle in handles.iter().step_by(10_007) {
        w.make(w.init, sys(Sysno::Close).on(*handle)).unwrap();
    }
    let closed: std::collections::BTreeSet<(u32, u32)> =
        handles.iter().step_by(10_007).map(|handle| (handle.index(), handle.generation() + 1)).collect();
    let again = closed.iter().map(|_| w.get(w.init, duplicate));
    assert_eq!(
        again.map(|handle| (handle.index(), handle.generation())).collect::<std::collections::BTreeSet<_>>(),
        closed
    );
    w.make(w.init, sys(Sysno::Revoke).on(queue)).unwrap();
    assert_eq!(w.audit().capabilities, before + 1);
    assert!(handles.iter().all(|h| w.k.lookup(w.init.process, *h) == Err(SysError::BadHandle)));
}

/// A node of the model's tree.
#[derive(Clone, Debug)]
struct Node {
    owner: usize,
    handle: Handle,
    parent: Option<usize>,
    rights: u16,
    badge: u64,
    alive: bool,
}

#[derive(Default)]
struct Tree(Vec<Node>);

impl Tree {
    fn derive(&mut self, from: usize, owner: usize, handle: Handle, mask: u16, badge: u64) {
        let Node { rights, badge: old, .. } = self.0[from];
        let badge = if badge == 0 { old } else { badge };
        self.0.push(Node { owner, handle, parent: Some(from), rights: rights & mask, badge, alive: true });
    }
    fn close(&mut self, node: usize) {
        let parent = self.0[node].parent;
        for other in &mut self.0 {
            if other.parent == Some(node) {
                other.parent = parent;
            }
        }
        self.0[node].alive = false;
    }
    fn is_below(&self, mut node: usize, ancestor: usize) -> bool {
        while let Some(parent) = self.0[node].parent {
            if parent == ancestor {
                return true;
            }
            node = parent;
        }
        false
    }
    fn revoke(&mut self, node: usize) {
        let below: Vec<usize> = (0..self.0.len()).filter(|n| self.is_below(*n, node)).collect();
        below.into_iter().for_each(|n| self.0[n].alive = false);
    }
    fn living(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|n| self.0[*n].alive).collect()
    }
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn derivation_matches_a_model_of_a_tree(
        steps in proptest::collection::vec((0..7u8, any::<usize>(), 0..3usize, any::<u16>(), 0..3u64), 1..70),
        way in a_way(),
    ) {
        let mut w = World::new();
        let mut actors = vec![w.init];
        for _ in 0..2 {
            let account = w.account(60);
            actors.push(w.actor_of(account, None));
        }
        // Everybody can grant to everybody, and send to everybody.
        let mut processes = Vec::new();
        let mut mailboxes = Vec::new();
        for from in &actors {
            processes.push(actors.iter().map(|to| w.grant(*from, to.handle, Rights::all(), 0)).collect::<Vec<_>>());
        }
        for _ in 0..3 {
            let mailbox = w.queue(0);
            mailboxes.push(actors.iter().map(|a| w.grant(*a, mailbox, Rights::all(), 0)).collect::<Vec<_>>());
        }
        let base = w.audit().capabilities;
        let queue = w.queue(0);
        let object: Ref<Queue> = w.object(w.init, queue);
        w.way = way;
        let mut tree = Tree(vec![Node { owner: 0, handle: queue, parent: None, rights: 7, badge: 0, alive: true }]);
        for (what, which, to, mask, badge) in steps {
            let living = tree.living();
            if living.is_empty() {
                break;
            }
            let node = living[which % living.len()];
            let Node { owner, handle, rights, .. } = tree.0[node].clone();
            let actor = actors[owner];
            let may = badge == 0 || rights & Rights::MINT.bits() != 0;
            let words = [mask.into(), badge];
            match what {
                0 | 1 => {
                    let got = w.make(actor, sys(Sysno::Duplicate).on(handle).words(&words));
                    prop_assert_eq!(got.is_ok(), may);
                    if let Ok(words) = got {
                        tree.derive(node, owner, Handle::from_raw(words[0]), mask, badge);
                    }
                }
                2 => {
                    let got = w.make(actor, sys(Sysno::ProcessGrant).on(processes[owner][to]).with(handle).words(&words));
                    prop_assert_eq!(got.is_ok(), may);
                    if let Ok(words) = got {
                        tree.derive(node, to, Handle::from_raw(words[0]), mask, badge);
                    }
                }
                3 if to != owner => {
                    // In a call and, the same one, back in its reply.
                    w.set_caps(actor, &[CapDescriptor { handle, rights: mask.into(), badge }]);
                    let tag = Tag::new(0, 0).with_caps(1);
                    w.begin(actor, sys(Sysno::Call).on(mailboxes[to][owner]).tag(tag));
                    if !may {
                        prop_assert_eq!(w.result(actor), Err(SysError::MissingRights));
                        continue;
                    }
                    let id = w.receive(actors[to], mailboxes[to][to]).id;
                    let there = w.received_cap(actors[to], 0);
                    tree.derive(node, to, there, mask, badge);
                    let derived = tree.0.len() - 1;
                    w.set_caps(actors[to], &[CapDescriptor::copy(there, Rights::all())]);
                    w.make(actors[to], sys(Sysno::Reply).token(id).tag(tag)).unwrap();
                    tree.derive(derived, owner, w.received_cap(actor, 0), u16::MAX, 0);
                }
                4 | 5 => {
                    w.make(actor, sys(Sysno::Close).on(handle)).unwrap();
                    tree.close(node);
                }
                6 => {
                    w.make(actor, sys(Sysno::Revoke).on(handle)).unwrap();
                    tree.revoke(node);
                }
                _ => {}
            }
            let totals = w.audit();
            prop_assert_eq!(totals.capabilities, base + tree.living().len());
            for node in &tree.0 {
                let found = w.k.lookup(actors[node.owner].process, node.handle);
                prop_assert_eq!(found.is_ok(), node.alive, "{:?}", node);
                if let Ok(cap) = found {
                    prop_assert_eq!((w.k.object(cap), cap.rights().bits(), w.k.slots[cap.slot].badge), (object, node.rights & 7, node.badge));
                }
            }
            let orphans = tree.living().iter().filter(|n| tree.0[**n].parent.is_none()).count();
            let mut roots = 0;
            let mut at = if orphans == 0 { 0 } else { w.k.queues[object].caps };
            while let Some(slot) = crate::mm::SlotRef::from_raw(at) {
                roots += 1;
                at = w.k.slots[slot].next;
            }
            prop_assert_eq!(roots, orphans);
        }
    }
}
