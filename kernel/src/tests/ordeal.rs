//! Out of memory at every point: each system call that pays for something is made with 0, 1, 2, … pages left until it
//! succeeds. A refusal changes nothing that a program can name, and in the end every page comes back.

use super::*;
use crate::account::{Account, Purpose};

/// What the ordeal needs to be in place.
struct Place {
    w: World,
    /// Pays for itself and for whatever it makes.
    actor: Actor,
    account: Handle,
    me: Handle,
    /// A process without threads, paid by the same account.
    empty: Handle,
    /// Memory with an image in it, memory with nothing in it, and a queue.
    image: Handle,
    memory: Handle,
    queue: Handle,
    machine: Handle,
}

const AT: u64 = 0x10_0000;
const RW: u64 = Rights::READ.union(Rights::WRITE).bits() as u64;

fn place(table_is_full: bool) -> Place {
    let mut w = World::new();
    let image = w.memory(4);
    w.map(layout::INIT_SELF, image, AT, 4, Rights::READ | Rights::WRITE).unwrap();
    w.poke(w.init.process, AT, &elf::Elf::good().bytes()).unwrap();
    w.make(w.init, sys(Sysno::MemoryUnmap).on(layout::INIT_SELF).words(&[AT, 4])).unwrap();
    let actor = w.actor(300);
    let account = w.grant(actor, actor.account, Rights::all(), 0);
    let me = w.grant(actor, actor.handle, Rights::all(), 0);
    let (image, machine) =
        (w.grant(actor, image, Rights::all(), 0), w.grant(actor, layout::INIT_MACHINE, Rights::all(), 0));
    let queue = w.queue(0);
    let queue = w.grant(actor, queue, Rights::all(), 0);
    let memory = w.get(actor, sys(Sysno::MemoryCreate).on(account).words(&[3000]));
    let empty = w.get(actor, sys(Sysno::ProcessCreate).on(account).words(&[0, 5]));
    if table_is_full {
        let used = |w: &World| {
            (1..128).filter(|n| (1..3).any(|g| w.k.lookup(actor.process, Handle::new(*n, g)).is_ok())).count()
        };
        while used(&w) < 127 {
            w.get(actor, sys(Sysno::Duplicate).on(queue).words(&[0]));
        }
    }
    Place { w, actor, account, me, empty, image, memory, queue, machine }
}

/// A system call that pays, by name.
type Ordeal = (&'static str, fn(&Place) -> Call);

const ORDEALS: &[Ordeal] = &[
    ("a capability", |p| sys(Sysno::Duplicate).on(p.queue).words(&[7])),
    ("a grant", |p| sys(Sysno::ProcessGrant).on(p.empty).with(p.queue).words(&[7])),
    ("a process", |p| sys(Sysno::ProcessCreate).on(p.account).words(&[0, 3])),
    ("an image", |p| sys(Sysno::ProcessLoad).on(p.empty).with(p.image).words(&[0, 0x2040 + 3000])),
    ("a thread", |p| sys(Sysno::ThreadCreate).on(p.empty).words(&[ENTRY, ENTRY, layout::STARTUP, 0, 1])),
    ("memory", |p| sys(Sysno::MemoryCreate).on(p.account).words(&[9])),
    ("contiguous memory", |p| sys(Sysno::MemoryCreate).on(p.account).words(&[9, 1])),
    ("device memory", |p| sys(Sysno::MemoryPhysical).on(p.machine).with(p.account).words(&[1 << 33, 9])),
    ("a mapping", |p| sys(Sysno::MemoryMap).on(p.empty).with(p.memory).words(&[AT, 0, 9, RW])),
    ("a page", |p| sys(Sysno::MemoryAddress).on(p.memory).words(&[2000])),
    ("a queue", |p| sys(Sysno::QueueCreate).on(p.account).words(&[1024])),
    ("a queue without a ring", |p| sys(Sysno::QueueCreate).on(p.account)),
    ("an event", |p| sys(Sysno::EventCreate).on(p.account)),
    ("an interrupt", |p| sys(Sysno::IrqCreate).on(p.machine).with(p.account).words(&[u64::MAX])),
    ("a line", |p| sys(Sysno::IrqCreate).on(p.machine).with(p.account).words(&[5, 1])),
    ("ports", |p| sys(Sysno::PortsCreate).on(p.machine).with(p.account).words(&[0x60, 5])),
];

/// Makes the call with `pages` left to the account, and gives the rest back to it afterwards.
fn with_pages_left(p: &mut Place, pages: u64, call: Call) -> Result<[u64; 8], SysError> {
    let account: Ref<Account> = p.w.object(p.actor, p.account);
    let a = &mut p.w.k.accounts[account];
    let rest = a.limit - a.used - pages;
    a.charge(Purpose::Other, rest).unwrap();
    let outcome = p.w.make(p.actor, call);
    p.w.k.accounts[account].refund(Purpose::Other, rest);
    outcome
}

#[test]
fn every_allocation_may_fail_and_a_refusal_changes_nothing_that_can_be_named() {
    for (what, call) in ORDEALS {
        for table_is_full in [false, true] {
            let mut refusals = 0;
            for pages in 0..60 {
                let mut p = place(table_is_full);
                let call = call(&p);
                let before = p.w.audit();
                let outcome = with_pages_left(&mut p, pages, call);
                let after = p.w.audit();
                let done = outcome.is_ok();
                if !done {
                    assert_eq!(outcome, Err(SysError::NoMemory), "{what}, {pages} pages left");
                    refusals += 1;
                    // The part of an image that is mapped stays until the process is reset.
                    if *what != "an image" {
                        assert_eq!(
                            (after.capabilities, after.objects),
                            (before.capabilities, before.objects),
                            "{what}"
                        );
                    }
                    // The same call is good once there is room; an image then lies elsewhere.
                    p.w.make(p.actor, call).unwrap_or_else(|e| panic!("{what} after a refusal at {pages}: {e}"));
                    p.w.audit();
                }
                p.w.make(p.w.init, sys(Sysno::AccountDestroy).on(p.actor.account)).unwrap();
                let gone = p.w.audit();
                assert_eq!(gone.objects["processes"], 1, "{what}");
                let account: Ref<Account> = p.w.object(p.w.init, layout::INIT_ACCOUNT);
                assert_eq!(p.w.k.accounts[account].lent, 0);
                if done {
                    break;
                }
                assert!(pages < 59, "{what} never succeeds");
            }
            assert!(refusals > 0 || !table_is_full, "{what} pays for something");
        }
    }
}

#[test]
fn an_account_s_own_slot_is_paid_too() {
    for pages in 0..10 {
        let mut p = place(true);
        let before = p.w.audit();
        let call = sys(Sysno::AccountCreate).on(p.account).words(&[4]);
        match with_pages_left(&mut p, pages, call) {
            Ok(_) => return assert!(pages >= 4 + 1 + 2),
            Err(error) => {
                assert_eq!(error, SysError::NoMemory);
                let after = p.w.audit();
                assert_eq!((after.capabilities, after.objects), (before.capabilities, before.objects));
            }
        }
    }
    panic!("ten pages are enough");
}

#[test]
fn a_lease_that_cannot_be_paid_for_is_out_of_memory_for_the_borrower_s_call_alone() {
    let mut p = place(false);
    let (server, init) = (p.w.actor(60), p.w.init);
    let queue = p.w.queue(0);
    let receive = p.w.grant(server, queue, Rights::RECEIVE, 0);
    let send = p.w.grant(p.actor, queue, Rights::SEND, 0);
    let words = [AT, 0, 9, RW];
    p.w.make(p.actor, sys(Sysno::MemoryMap).on(p.me).with(p.memory).words(&words)).unwrap();
    p.w.set_lease(p.actor, 0, lend(AT, 4096, LeaseAccess::READ | LeaseAccess::WRITE));
    p.w.begin(p.actor, sys(Sysno::Call).on(send).tag(Tag::new(0, 0).with_leases(1)));
    let id = p.w.receive(server, receive).id;
    let own = p.w.memory(1);
    p.w.map(server.handle, own, AT, 1, Rights::READ | Rights::WRITE).unwrap();
    let account: Ref<Account> = p.w.object(init, p.actor.account);
    let rest = p.w.k.accounts[account].limit - p.w.k.accounts[account].used;
    p.w.k.accounts[account].charge(Purpose::Other, rest).unwrap();
    let read = sys(Sysno::LeaseRead).token(id).words(&[0, AT, 8]);
    assert_eq!(p.w.make(server, read), Err(SysError::NoMemory));
    p.w.k.accounts[account].refund(Purpose::Other, rest);
    p.w.make(server, read).unwrap();
    p.w.audit();
}
