//! The inventory and the coverage: what each process holds, where that comes from, and what of it was used.

use super::*;
use crate::coverage::Coverage;
use abi::{CapabilityStatus, Kind};

impl World {
    fn inventory(&mut self, asker: Actor, account: Handle, id: u64) -> Result<Vec<CapabilityStatus>, SysError> {
        let (mut from, mut found) = (0, Vec::new());
        loop {
            let words = self.make(asker, sys(Sysno::AccountCapability).on(account).words(&[id, from]))?;
            found.extend((words[1] != 0).then(|| self.reported(asker)));
            from = words[0];
            if from == 0 {
                return Ok(found);
            }
        }
    }

    fn reported(&self, actor: Actor) -> CapabilityStatus {
        let word = |n| self.payload_word(actor, n);
        CapabilityStatus {
            handle: word(0),
            kind: word(1),
            object: word(2),
            rights: word(3),
            used: word(4),
            badge: word(5),
            first: word(6),
            size: word(7),
            granted: word(8),
            parent_process: word(9),
            parent: word(10),
            payer: word(11),
        }
    }

    /// What init is told of one capability of an actor.
    fn told(&mut self, actor: Actor, handle: Handle) -> CapabilityStatus {
        let id = self.k.processes[actor.process].id;
        let all = self.inventory(self.init, layout::INIT_ACCOUNT, id).unwrap();
        all.into_iter().find(|status| status.handle == handle.raw()).expect("the capability is listed")
    }

    /// From now on uses are noted.
    fn cover(&mut self) {
        self.k.coverage = Coverage::parse("coverage=1").unwrap();
        (self.k.watched, self.k.handoff_allowed) = (true, Allowed::Nothing);
    }
}

fn bits(rights: Rights) -> u64 {
    rights.bits().into()
}

#[test]
fn a_capability_is_told_with_its_rights_its_badge_its_origin_and_who_pays() {
    let mut w = World::new();
    let (actor, queue) = (w.actor(60), w.queue(4));
    let held = w.grant(actor, queue, Rights::SEND | Rights::MINT, 7);
    let own = w.grant(actor, actor.account, Rights::all(), 0);
    let init = w.k.processes[w.init.process].id;
    let found = w.told(actor, held);
    let root: Ref<crate::account::Account> = w.object(w.init, layout::INIT_ACCOUNT);
    let expected = CapabilityStatus {
        handle: held.raw(),
        kind: Kind::Queue as u64,
        object: w.k.queues[w.object(w.init, queue)].id,
        rights: bits(Rights::SEND | Rights::MINT),
        badge: 7,
        granted: 1,
        parent_process: init,
        parent: queue.raw(),
        payer: root.raw().into(),
        ..CapabilityStatus::default()
    };
    assert_eq!(found, expected);
    let mine = w.get(actor, sys(Sysno::MemoryCreate).on(own).words(&[3]));
    let (found, account) = (w.told(actor, mine), w.told(actor, own));
    assert_eq!((found.size, found.granted, found.parent_process), (3, 0, 0), "it made the memory itself");
    assert_eq!((found.payer, account.payer), (account.object, root.raw().into()));
}

#[test]
fn every_process_is_told_whole_and_in_bounded_steps() {
    let mut w = World::new();
    let actor = w.actor(200);
    let (queue, id) = (w.queue(0), w.k.processes[actor.process].id);
    let handles: Vec<Handle> = (1..=600).map(|badge| w.grant(actor, queue, Rights::SEND, badge)).collect();
    let found = w.inventory(w.init, layout::INIT_ACCOUNT, id).unwrap();
    let told: Vec<u64> = found.iter().map(|status| status.handle).collect();
    assert_eq!(told, handles.iter().map(|handle| handle.raw()).collect::<Vec<_>>());
    for (beyond, status) in [(1 << 20, 0), (u64::MAX, 0)] {
        let call = sys(Sysno::AccountCapability).on(layout::INIT_ACCOUNT).words(&[id, beyond]);
        assert_eq!(w.make(w.init, call).unwrap()[..2], [0, status]);
    }
    w.audit();
}

#[test]
fn hardware_is_told_by_its_place() {
    let mut w = World::new();
    let id = w.k.processes[w.init.process].id;
    let make =
        |number: Sysno, words: &[u64]| sys(number).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(words);
    let ports = w.get(w.init, make(Sysno::PortsCreate, &[0x3f8, 8]));
    let line = w.get(w.init, make(Sysno::IrqCreate, &[4, 0]));
    let message = w.get(w.init, make(Sysno::IrqCreate, &[u64::MAX, 0]));
    let device = w.get(w.init, make(Sysno::MemoryPhysical, &[0xfeb0_0000, 2]));
    let all = w.inventory(w.init, layout::INIT_ACCOUNT, id).unwrap();
    let place = |handle: Handle| {
        all.iter().find(|status| status.handle == handle.raw()).map(|status| (status.first, status.size))
    };
    assert_eq!(place(ports), Some((0x3f8, 8)));
    assert_eq!(place(line), Some((4, 0)));
    assert_eq!(place(message), Some((u64::MAX, 0)));
    assert_eq!(place(device), Some((0xfeb0_0000, 2)));
    w.audit();
}

#[test]
fn of_what_an_account_does_not_pay_for_nothing_is_told() {
    let mut w = World::new();
    let (actor, other, queue) = (w.actor(60), w.actor(60), w.queue(0));
    let held = w.grant(actor, queue, Rights::SEND, 0);
    let own = w.grant(actor, actor.account, Rights::INSPECT, 0);
    let id = w.k.processes[actor.process].id;
    let all = w.inventory(actor, own, id).unwrap();
    let told = all.iter().find(|status| status.handle == held.raw()).unwrap();
    assert_eq!((told.parent_process, told.parent, told.payer), (0, 0, 0), "init and its account are outside");
    for stranger in [w.k.processes[other.process].id, w.k.processes[w.init.process].id, 0, 99, u64::MAX] {
        assert_eq!(w.inventory(actor, own, stranger), Err(SysError::BadArgument), "{stranger}");
    }
    let weak = w.grant(actor, actor.account, Rights::CREATE, 0);
    assert_eq!(w.inventory(actor, weak, id), Err(SysError::MissingRights));
    assert_eq!(w.inventory(actor, held, id), Err(SysError::WrongKind));
    assert_eq!(w.inventory(actor, Handle::NONE, id), Err(SysError::BadHandle));
}

#[test]
fn a_capability_with_very_many_siblings_is_told_without_its_origin() {
    let mut w = World::of(4 * FRAMES);
    let (actor, queue) = (w.actor(200), w.queue(0));
    let oldest = w.grant(actor, queue, Rights::SEND, 0);
    let newer: Vec<Handle> = (0..1024).map(|_| w.grant(actor, queue, Rights::SEND, 0)).collect();
    assert_eq!(w.told(actor, oldest).parent, 0);
    assert_eq!(w.told(actor, newer[0]).parent, queue.raw());
}

#[test]
fn rights_that_a_call_needs_are_marked_and_others_are_not() {
    let mut w = World::new();
    let (server, client, queue) = (w.actor(60), w.actor(60), w.queue(4));
    let receive = w.grant(server, queue, Rights::RECEIVE | Rights::MINT, 0);
    let send = w.grant(client, queue, Rights::SEND | Rights::MINT, 5);
    w.cover();
    assert_eq!(w.told(server, receive).used, 0);
    w.begin(server, sys(Sysno::Recv).on(receive));
    w.begin(client, sys(Sysno::Call).on(send));
    let id = w.received(server).id;
    w.begin(server, sys(Sysno::ReplyRecv).on(receive).token(id));
    assert_eq!(w.told(client, send).used, bits(Rights::SEND));
    assert_eq!(w.told(server, receive).used, bits(Rights::RECEIVE));
    let refused = sys(Sysno::Recv).on(send);
    assert_eq!(w.make(client, refused), Err(SysError::MissingRights));
    assert_eq!(w.told(client, send).used, bits(Rights::SEND), "what is refused is no use");
    w.audit();
}

#[test]
fn what_is_handed_on_is_used_by_its_giver_and_not_by_its_new_holder() {
    let mut w = World::new();
    let (actor, queue) = (w.actor(60), w.queue(4));
    let held = w.grant(actor, queue, Rights::SEND | Rights::RECEIVE | Rights::MINT, 0);
    w.cover();
    let words = [bits(Rights::SEND), 9];
    let minted = w.get(actor, sys(Sysno::Duplicate).on(held).words(&words));
    assert_eq!(w.told(actor, held).used, bits(Rights::SEND | Rights::MINT));
    assert_eq!(w.told(actor, minted).used, 0);
    w.make(actor, sys(Sysno::Post).on(minted)).unwrap();
    assert_eq!(w.told(actor, minted).used, bits(Rights::SEND));
    let memory = w.memory(1);
    let all = w.grant(actor, memory, Rights::READ | Rights::WRITE | Rights::MAP | Rights::DMA, 0);
    let me = w.grant(actor, actor.handle, Rights::MAP, 0);
    let words = [0x50_0000, 0, 1, bits(Rights::READ)];
    w.make(actor, sys(Sysno::MemoryMap).on(me).with(all).words(&words)).unwrap();
    assert_eq!(w.told(actor, all).used, bits(Rights::READ | Rights::MAP));
}

#[test]
fn uses_survive_a_reset_in_what_stays_and_go_with_what_goes() {
    let mut w = World::new();
    let (actor, queue) = (w.actor(60), w.queue(4));
    let held = w.grant(actor, queue, Rights::SEND, 0);
    w.cover();
    let copy = w.get(actor, sys(Sysno::Duplicate).on(held).words(&[bits(Rights::SEND)]));
    w.make(actor, sys(Sysno::Close).on(copy)).unwrap();
    let again = w.get(actor, sys(Sysno::Duplicate).on(held).words(&[bits(Rights::SEND)]));
    assert_eq!((again.index(), w.told(actor, again).used), (copy.index(), 0), "the slot has a new occupant");
    w.make(w.init, sys(Sysno::ProcessReset).on(actor.handle)).unwrap();
    assert_eq!(w.told(actor, held).used, bits(Rights::SEND));
    w.audit();
}

#[test]
fn without_the_word_nothing_is_marked() {
    let mut w = World::new();
    let queue = w.queue(4);
    w.make(w.init, sys(Sysno::Post).on(queue)).unwrap();
    assert_eq!(w.told(w.init, queue).used, 0);
}
