//! Leases: a caller's memory, lent until the answer and not a byte or a moment further.

use super::*;
use proptest::prelude::*;

/// Where each program has its memory: four pages.
const AT: u64 = 0x10_0000;
const PAGES: u64 = 4;
const BYTES: u64 = PAGES * PAGE_SIZE;
const RW: LeaseAccess = LeaseAccess::READ.union(LeaseAccess::WRITE);

struct Loan {
    client: Actor,
    server: Actor,
    queue: Handle,
    send: Handle,
    receive: Handle,
}

/// A client and a server, each with memory full of its own pattern.
fn loan(w: &mut World) -> Loan {
    let (queue, client, server) = (w.queue(0), w.actor(80), w.actor(80));
    for (actor, byte) in [(client, 0xc0), (server, 0x50)] {
        furnish(w, actor, byte);
    }
    let send = w.grant(client, queue, Rights::SEND, 0);
    let receive = w.grant(server, queue, Rights::RECEIVE, 0);
    Loan { client, server, queue, send, receive }
}

fn furnish(w: &mut World, actor: Actor, byte: u8) {
    let own = w.grant(actor, actor.account, Rights::CREATE, 0);
    let memory = w.get(actor, sys(Sysno::MemoryCreate).on(own).words(&[PAGES]));
    let me = w.grant(actor, actor.handle, Rights::MAP, 0);
    let words = [AT, 0, PAGES, u64::from((Rights::READ | Rights::WRITE).bits())];
    w.make(actor, sys(Sysno::MemoryMap).on(me).with(memory).words(&words)).unwrap();
    let pattern: Vec<u8> = (0..BYTES).map(|n| byte ^ (n / 7) as u8).collect();
    w.poke(actor.process, AT, &pattern).unwrap();
}

/// The client calls with these leases, the server receives; the token.
fn borrow(w: &mut World, l: &Loan, leases: &[LeaseDescriptor]) -> u64 {
    for (n, lease) in leases.iter().enumerate() {
        w.set_lease(l.client, n, *lease);
    }
    w.begin(l.client, sys(Sysno::Call).on(l.send).tag(Tag::new(0, 0).with_leases(leases.len())));
    w.receive(l.server, l.receive).id
}

fn copy(number: Sysno, id: u64, lease: u64, offset: u64, address: u64, length: u64) -> Call {
    Call { rsi: lease, ..sys(number).token(id).words(&[offset, address, length]) }
}

#[test]
fn a_lent_range_is_read_and_written_across_pages() {
    let mut w = World::new();
    let l = loan(&mut w);
    let id = borrow(&mut w, &l, &[lend(AT + 100, 9000, RW)]);
    let lent = w.peek(l.client.process, AT + 100, 9000).unwrap();
    w.make(l.server, copy(Sysno::LeaseRead, id, 0, 50, AT + 333, 8000)).unwrap();
    assert_eq!(w.peek(l.server.process, AT + 333, 8000).unwrap(), lent[50..8050]);
    w.poke(l.server.process, AT, b"written by the server").unwrap();
    w.make(l.server, copy(Sysno::LeaseWrite, id, 0, 8990, AT, 10)).unwrap();
    assert_eq!(w.peek(l.client.process, AT + 100 + 8990, 10).unwrap(), b"written by");
    assert_eq!(w.peek(l.client.process, AT + 100, 8990).unwrap(), lent[..8990]);
    w.audit();
}

#[test]
fn nothing_beyond_the_lease_and_nothing_without_the_access_is_reached() {
    let mut w = World::new();
    let l = loan(&mut w);
    let leases =
        [lend(AT, 100, LeaseAccess::READ), lend(AT, 100, LeaseAccess::WRITE), lend(AT, 100, LeaseAccess::empty())];
    let id = borrow(&mut w, &l, &leases);
    for (offset, length) in [(0, 101), (100, 1), (101, 0), (u64::MAX, 1), (1, u64::MAX >> 1), (50, 51)] {
        let call = copy(Sysno::LeaseRead, id, 0, offset, AT, length);
        let expected = if length > 65536 { SysError::BadArgument } else { SysError::BadLease };
        assert_eq!(w.make(l.server, call), Err(expected), "{offset} {length}");
    }
    w.make(l.server, copy(Sysno::LeaseRead, id, 0, 99, AT, 1)).unwrap();
    w.make(l.server, copy(Sysno::LeaseRead, id, 0, 100, AT, 0)).unwrap();
    for (number, lease) in [
        (Sysno::LeaseWrite, 0),
        (Sysno::LeaseRead, 1),
        (Sysno::LeaseRead, 2),
        (Sysno::LeaseWrite, 2),
        (Sysno::LeaseRead, 3),
        (Sysno::LeaseRead, 4),
        (Sysno::LeaseRead, u64::MAX),
    ] {
        assert_eq!(w.make(l.server, copy(number, id, lease, 0, AT, 1)), Err(SysError::BadLease));
    }
}

#[test]
fn a_range_that_the_lender_does_not_have_is_a_bad_lease() {
    let bad = [
        (0, 8),
        (8, 8),
        (AT - 1, 8),
        (AT + BYTES, 1),
        (AT + BYTES - 1, 2),
        (layout::USER_END, 8),
        (layout::USER_END - 4, 8),
        (u64::MAX - 3, 8),
        (u64::MAX, 1),
        (0xffff_8000_0000_0000, 8),
        (0x8000_0000_0000, 8),
        (AT, u64::MAX),
    ];
    for (start, length) in bad {
        let mut w = World::new();
        let l = loan(&mut w);
        let id = borrow(&mut w, &l, &[lend(start, length, RW)]);
        for number in [Sysno::LeaseRead, Sysno::LeaseWrite] {
            let outcome = w.make(l.server, copy(number, id, 0, 0, AT, length.min(8)));
            if (start, length) == (AT, u64::MAX) {
                assert_eq!(outcome.map(|_| ()), Ok(()), "its beginning is there");
                let beyond = copy(number, id, 0, u64::MAX - 8, AT, 8);
                assert_eq!(w.make(l.server, beyond), Err(SysError::BadLease));
            } else {
                assert_eq!(outcome, Err(SysError::BadLease), "{start:#x} {length:#x}");
            }
        }
        w.audit();
    }
}

#[test]
fn a_range_that_the_borrower_does_not_have_is_its_own_bad_address() {
    let mut w = World::new();
    let l = loan(&mut w);
    let id = borrow(&mut w, &l, &[lend(AT, BYTES, RW)]);
    for address in [0, AT - 1, AT + BYTES - 7, layout::USER_END, u64::MAX, 0xffff_8000_0000_0000] {
        for number in [Sysno::LeaseRead, Sysno::LeaseWrite] {
            assert_eq!(w.make(l.server, copy(number, id, 0, 0, address, 8)), Err(SysError::BadAddress), "{address:#x}");
        }
    }
    for length in [65_537, u64::MAX] {
        assert_eq!(w.make(l.server, copy(Sysno::LeaseRead, id, 0, 0, AT, length)), Err(SysError::BadArgument));
    }
}

#[test]
fn memory_mapped_for_reading_is_not_written_through_a_lease_or_by_a_borrower() {
    let mut w = World::new();
    let l = loan(&mut w);
    let memory = w.memory(1);
    for actor in [l.client, l.server] {
        w.map(actor.handle, memory, 0x20_0000, 1, Rights::READ).unwrap();
    }
    let id = borrow(&mut w, &l, &[lend(0x20_0000, 100, RW), lend(AT, 100, RW)]);
    w.make(l.server, copy(Sysno::LeaseRead, id, 0, 0, AT, 100)).unwrap();
    assert_eq!(w.make(l.server, copy(Sysno::LeaseWrite, id, 0, 0, AT, 1)), Err(SysError::BadLease));
    assert_eq!(w.make(l.server, copy(Sysno::LeaseRead, id, 1, 0, 0x20_0000, 1)), Err(SysError::BadAddress));
    w.make(l.server, copy(Sysno::LeaseWrite, id, 1, 0, 0x20_0000, 100)).unwrap();
    w.audit();
}

#[test]
fn memory_of_a_device_is_not_lent() {
    for device in [1 << 32, 1 << 44, (1 << 44) + (2 << 20), (1 << 51) + (1 << 20)] {
        let mut w = World::new();
        let l = loan(&mut w);
        let words = [device, 900];
        let memory =
            w.get(w.init, sys(Sysno::MemoryPhysical).on(layout::INIT_MACHINE).with(layout::INIT_ACCOUNT).words(&words));
        w.map(l.client.handle, memory, 0x20_0000, 900, Rights::READ | Rights::WRITE).unwrap();
        let id = borrow(&mut w, &l, &[lend(0x20_0000, 900 * PAGE_SIZE, RW)]);
        for page in 0..900 {
            let call = copy(Sysno::LeaseRead, id, 0, page * PAGE_SIZE, AT, 8);
            assert_eq!(w.make(l.server, call), Err(SysError::BadLease), "{device:#x}");
        }
        w.audit();
    }
}

#[test]
fn a_lease_dies_with_the_answer_the_caller_and_the_borrower() {
    let mut w = World::new();
    let l = loan(&mut w);
    let read = |id| copy(Sysno::LeaseRead, id, 0, 0, AT, 8);
    let id = borrow(&mut w, &l, &[lend(AT, 100, RW)]);
    w.make(l.server, sys(Sysno::Reply).token(id)).unwrap();
    assert_eq!(w.make(l.server, read(id)), Err(SysError::BadToken), "answered");
    let id = borrow(&mut w, &l, &[lend(AT, 100, RW)]);
    w.make(w.init, sys(Sysno::ProcessKill).on(l.client.handle)).unwrap();
    assert_eq!(w.make(l.server, read(id)), Err(SysError::BadToken), "the lender is dead");
    let client = w.actor(80);
    furnish(&mut w, client, 1);
    let send = w.grant(client, l.queue, Rights::SEND, 0);
    let l = Loan { client, send, ..l };
    let id = borrow(&mut w, &l, &[lend(AT, 100, RW)]);
    w.make(w.init, sys(Sysno::ProcessReset).on(l.server.handle)).unwrap();
    let server = w.thread_in(l.server.handle, l.server.account, PRIORITY);
    assert_eq!(w.make(server, read(id)), Err(SysError::BadToken), "not yet received again");
    assert_eq!(w.receive(server, l.receive).id, id);
    assert_eq!(w.make(server, read(id)), Err(SysError::BadAddress), "the borrower's memory is gone");
    furnish(&mut w, server, 2);
    w.make(server, read(id)).unwrap();
    w.audit();
}

#[test]
fn a_lender_that_changes_its_message_page_meanwhile_harms_itself_alone() {
    let mut w = World::new();
    let l = loan(&mut w);
    let second = w.thread_in(l.client.handle, l.client.account, PRIORITY);
    let id = borrow(&mut w, &l, &[lend(AT, 100, RW)]);
    assert!(!w.waits(second));
    w.set_lease(l.client, 0, lend(u64::MAX - 10, u64::MAX, RW));
    assert_eq!(w.make(l.server, copy(Sysno::LeaseRead, id, 0, 0, AT, 8)), Err(SysError::BadLease));
    w.set_lease(l.client, 0, LeaseDescriptor { start: 0, length: 100, of: id, access: 3, index: 0 });
    let own = copy(Sysno::LeaseRead, id, 0, 0, AT, 8);
    assert_eq!(w.make(l.server, own), Err(SysError::BadToken), "a lease of itself");
}

/// A server below the server, to which leases are passed on.
fn deeper(w: &mut World, l: &Loan) -> (Actor, Handle, Handle) {
    let (queue, deep) = (w.queue(0), w.actor(80));
    furnish(w, deep, 0x0d);
    (deep, w.grant(l.server, queue, Rights::SEND, 0), w.grant(deep, queue, Rights::RECEIVE, 0))
}

#[test]
fn a_lease_is_passed_on_in_part_and_with_less_access_and_dies_with_the_first_token() {
    let mut w = World::new();
    let l = loan(&mut w);
    let (deep, send, receive) = deeper(&mut w, &l);
    let id = borrow(&mut w, &l, &[lend(AT + 10, 5000, LeaseAccess::READ)]);
    let part = |start, length, access: LeaseAccess, index| LeaseDescriptor {
        start,
        length,
        of: id,
        access: access.bits(),
        index,
    };
    w.set_lease(l.server, 0, part(1000, 2000, RW, 0));
    w.set_lease(l.server, 1, part(4000, 2000, LeaseAccess::READ, 0));
    w.set_lease(l.server, 2, part(0, 10, LeaseAccess::READ, 1));
    w.begin(l.server, sys(Sysno::Call).on(send).tag(Tag::new(0, 0).with_leases(3)));
    let inner = w.receive(deep, receive).id;
    w.make(deep, copy(Sysno::LeaseRead, inner, 0, 5, AT, 1995)).unwrap();
    let expected = w.peek(l.client.process, AT + 10 + 1005, 1995).unwrap();
    assert_eq!(w.peek(deep.process, AT, 1995).unwrap(), expected);
    for (number, lease, offset, length) in [
        (Sysno::LeaseWrite, 0, 0, 1),
        (Sysno::LeaseRead, 0, 1999, 2),
        (Sysno::LeaseRead, 1, 900, 200),
        (Sysno::LeaseRead, 2, 0, 1),
    ] {
        assert_eq!(w.make(deep, copy(number, inner, lease, offset, AT, length)), Err(SysError::BadLease));
    }
    assert_eq!(w.make(deep, copy(Sysno::LeaseRead, id, 0, 0, AT, 1)), Err(SysError::BadToken));
    w.make(w.init, sys(Sysno::ProcessKill).on(l.client.handle)).unwrap();
    let late = w.make(deep, copy(Sysno::LeaseRead, inner, 0, 0, AT, 1));
    assert!(matches!(late, Err(SysError::BadToken | SysError::BadLease)), "{late:?}");
    w.audit();
}

#[test]
fn bytes_go_from_lease_to_lease_without_the_server_s_memory() {
    let mut w = World::new();
    let l = loan(&mut w);
    let id = borrow(&mut w, &l, &[lend(AT, 6000, LeaseAccess::READ), lend(AT + 6000, 6000, LeaseAccess::WRITE)]);
    let words = |from, to, length, other, index| Call {
        rsi: 0,
        ..sys(Sysno::LeaseCopy).token(id).words(&[from, to, length, other, index])
    };
    w.make(l.server, words(7, 11, 5000, id, 1)).unwrap();
    let expected = w.peek(l.client.process, AT + 7, 5000).unwrap();
    assert_eq!(w.peek(l.client.process, AT + 6011, 5000).unwrap(), expected);
    for (call, error) in [
        (words(7, 1001, 5000, id, 1), SysError::BadLease),
        (words(1001, 0, 5000, id, 1), SysError::BadLease),
        (words(0, 0, 8, id, 0), SysError::BadLease),
        (words(0, 0, 8, id + 1, 1), SysError::BadToken),
        (words(0, 0, 65_537, id, 1), SysError::BadArgument),
    ] {
        assert_eq!(w.make(l.server, call), Err(error));
    }
}

#[test]
fn a_chain_of_leases_has_an_end() {
    let mut w = World::of(2048);
    let l = loan(&mut w);
    let mut holder = l.server;
    let mut id = borrow(&mut w, &l, &[lend(AT, 100, RW)]);
    let mut outcomes = Vec::new();
    for _ in 0..12 {
        outcomes.push(w.make(holder, copy(Sysno::LeaseRead, id, 0, 0, AT, 8)).is_ok());
        let (queue, next) = (w.queue(0), w.actor(60));
        furnish(&mut w, next, 3);
        let send = w.grant(holder, queue, Rights::SEND, 0);
        let receive = w.grant(next, queue, Rights::RECEIVE, 0);
        w.set_lease(holder, 0, LeaseDescriptor { start: 0, length: 100, of: id, access: 3, index: 0 });
        w.begin(holder, sys(Sysno::Call).on(send).tag(Tag::new(0, 0).with_leases(1)));
        id = w.receive(next, receive).id;
        holder = next;
    }
    assert!(outcomes[..4].iter().all(|ok| *ok), "{outcomes:?}");
    assert!(!outcomes[11], "a chain without end is not followed");
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn copies_by_lease_match_copies_of_slices(
        steps in proptest::collection::vec((0..3u8, 0..2u64, 0..9000u64, 0..9000u64, 0..9000u64), 1..12),
        way in a_way(),
    ) {
        let mut w = World::new();
        w.way = way;
        let l = loan(&mut w);
        let starts = [33, 5000];
        let id = borrow(&mut w, &l, &[lend(AT + starts[0], 4500, RW), lend(AT + starts[1], 7000, RW)]);
        let lengths = [4500, 7000];
        let mut client = w.peek(l.client.process, AT, BYTES as usize).unwrap();
        let mut server = w.peek(l.server.process, AT, BYTES as usize).unwrap();
        for (what, lease, offset, address, length) in steps {
            let fits = offset + length <= lengths[lease as usize];
            let lent = (starts[lease as usize] + offset) as usize;
            let (own, length) = (address as usize, length as usize);
            let outcome = match what {
                0 => w.make(l.server, copy(Sysno::LeaseRead, id, lease, offset, AT + address, length as u64)),
                1 => w.make(l.server, copy(Sysno::LeaseWrite, id, lease, offset, AT + address, length as u64)),
                _ => {
                    let words = [offset, address % 3000, length as u64, id, 1 - lease];
                    w.make(l.server, Call { rsi: lease, ..sys(Sysno::LeaseCopy).token(id).words(&words) })
                }
            };
            let to = (starts[1 - lease as usize] + address % 3000) as usize;
            let fits = fits && (what < 2 || address % 3000 + length as u64 <= lengths[1 - lease as usize]);
            let fits_server = what == 2 || address + length as u64 <= BYTES;
            prop_assert_eq!(outcome.is_ok(), fits && fits_server);
            if outcome.is_ok() {
                match what {
                    0 => server[own..own + length].copy_from_slice(&client[lent..lent + length]),
                    1 => client[lent..lent + length].copy_from_slice(&server[own..own + length]),
                    // Ranges of one caller may overlap: pages are copied one after another, as the kernel does.
                    _ if lent < to + length && to < lent + length => client = w.peek(l.client.process, AT, BYTES as usize).unwrap(),
                    _ => client.copy_within(lent..lent + length, to),
                }
            } else {
                server = w.peek(l.server.process, AT, BYTES as usize).unwrap();
                client = w.peek(l.client.process, AT, BYTES as usize).unwrap();
            }
        }
        prop_assert_eq!(w.peek(l.client.process, AT, BYTES as usize).unwrap(), client);
        prop_assert_eq!(w.peek(l.server.process, AT, BYTES as usize).unwrap(), server);
        w.audit();
    }
}
