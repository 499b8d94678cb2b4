//! The audit: walks every object from the root account and checks what the modules promise of it.

use crate::account::Account;
use crate::cap::MAPPING;
use crate::fake::FakeMachine;
use crate::kernel::Kernel;
use crate::memory::{Backing, Memory};
use crate::mm::{Frame, FrameKind, Pool, Ref, SLOTS_PER_PAGE, SlabList, SlotRef};
use crate::priority::PriorityQueue;
use crate::process::Process;
use crate::queue::Queue;
use crate::thread::{NEVER, Thread, Wait};
use abi::{Kind, PAGE_SIZE, ProcessState, Rights};
use std::collections::{BTreeMap, BTreeSet};

/// What there is, for comparison before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    pub free: u64,
    pub capabilities: usize,
    pub objects: BTreeMap<&'static str, u32>,
}

type K = Kernel<FakeMachine>;

/// Everything alive, by walking the accounts.
#[derive(Default)]
struct Living {
    accounts: Vec<Ref<Account>>,
    processes: Vec<Ref<Process>>,
    threads: Vec<Ref<Thread>>,
    memories: Vec<Ref<Memory>>,
    queues: Vec<Ref<Queue>>,
    events: Vec<Ref<crate::event::Event>>,
    regions: Vec<Ref<crate::region::Region>>,
    /// Kind and number of what may have capabilities.
    named: BTreeSet<(u8, u32)>,
    /// Slab pages by frame kind.
    slabs: BTreeMap<u8, u64>,
    objects: BTreeMap<&'static str, u32>,
}

pub fn audit(k: &mut K) -> Totals {
    let living = walk(k);
    let frames = count_frames(k);
    check_accounts(k, &living, &frames);
    let report = std::iter::repeat_with(|| k.audit_step()).flatten().next().expect("nothing changes meanwhile");
    assert!(report.is_balanced(), "what the system call reports: {report:?}");
    assert_eq!((report.accounts, report.processes), (living.accounts.len() as u64, living.processes.len() as u64));
    let capabilities = check_capabilities(k, &living);
    check_threads(k, &living);
    check_queues(k, &living);
    check_regions(k, &living);
    check_events(k, &living);
    Totals { free: k.mm.free_frames(), capabilities, objects: living.objects }
}

fn list_of<T: crate::mm::Object>(
    pool: &mut Pool<T>,
    list: &SlabList,
    what: &'static str,
    l: &mut Living,
) -> Vec<Ref<T>> {
    let mut out = Vec::new();
    pool.for_each(list, |name, _| out.push(name));
    assert_eq!(out.len(), list.objects as usize, "{what}: the slab list counts its objects");
    assert!(list.pages as usize * Pool::<T>::PER_PAGE >= out.len());
    assert_eq!(list.pages == 0, list.objects == 0, "{what}: empty slab pages are given back");
    *l.slabs.entry(T::FRAME as u8).or_default() += u64::from(list.pages);
    *l.objects.entry(what).or_default() += list.objects;
    out
}

fn walk(k: &mut K) -> Living {
    let mut l = Living::default();
    let mut todo = vec![k.root];
    while let Some(account) = todo.pop() {
        l.accounts.push(account);
        l.named.insert((Kind::Account as u8, account.raw()));
        let s = k.accounts[account].slabs;
        let children = list_of(&mut k.accounts, &s.accounts, "accounts", &mut l);
        let mut lent = 0;
        for child in children.into_iter().filter(|c| *c != account) {
            assert_eq!(k.accounts[child].parent, Some(account));
            lent += k.accounts[child].limit;
            todo.push(child);
        }
        assert_eq!(k.accounts[account].lent, lent, "account invariant 2: lent is what the children may use");
        macro_rules! take {
            ($list:ident, $kind:expr, $owner:ident) => {
                let found = list_of(&mut k.$list, &s.$list, stringify!($list), &mut l);
                for name in &found {
                    assert_eq!(k.$list[*name].$owner, Some(account), "account invariant 3");
                    l.named.insert(($kind as u8, name.raw()));
                }
                l.$list.extend(found);
            };
        }
        take!(processes, Kind::Process, account);
        take!(threads, Kind::Thread, account);
        take!(memories, Kind::Memory, account);
        take!(queues, Kind::Queue, account);
        take!(events, Kind::Event, account);
        for irq in list_of(&mut k.irqs, &s.irqs, "irqs", &mut l) {
            assert_eq!(k.irq_table[k.irqs[irq].slot as usize], Some(irq), "irq invariant 1");
            let crate::irq::Irq { event, bound_by, .. } = k.irqs[irq];
            assert_eq!(event.is_some(), bound_by.is_some(), "irq invariant 3");
            let binder = bound_by.map(|slot| (k.slots[slot].kind, k.slots[slot].object));
            assert!(binder.is_none_or(|named| named == (Kind::Irq as u8, irq.raw())), "irq invariant 3: {binder:?}");
            l.named.insert((Kind::Irq as u8, irq.raw()));
        }
        for ports in list_of(&mut k.ports, &s.ports, "ports", &mut l) {
            l.named.insert((Kind::IoPorts as u8, ports.raw()));
        }
        let regions = list_of(&mut k.regions, &s.regions, "regions", &mut l);
        l.regions.extend(regions);
    }
    l.named.insert((Kind::Machine as u8, crate::cap::THE_MACHINE));
    l
}

/// Frames of each kind. Reserved ones aside these are all that the kernel manages, and the archive's.
fn count_frames(k: &K) -> BTreeMap<u8, u64> {
    let kinds = [
        FrameKind::Free,
        FrameKind::Content,
        FrameKind::PageTable,
        FrameKind::CapTable,
        FrameKind::Words,
        FrameKind::Numbers,
        FrameKind::Account,
        FrameKind::Process,
        FrameKind::Thread,
        FrameKind::Memory,
        FrameKind::Queue,
        FrameKind::Event,
        FrameKind::Irq,
        FrameKind::IoPorts,
        FrameKind::Region,
    ];
    let mut out = BTreeMap::new();
    for n in 0..k.mm.frames() {
        if let Some(kind) = kinds.iter().find(|kind| k.mm.is(Frame(n), **kind)) {
            *out.entry(*kind as u8).or_default() += 1;
        }
    }
    assert_eq!(out.values().sum::<u64>(), k.mm.total_frames(), "every managed frame is of a kind");
    assert_eq!(out.get(&(FrameKind::Free as u8)).copied().unwrap_or(0), k.mm.free_frames());
    out
}

/// Contents and index pages of a memory object.
fn pages_of(k: &K, memory: Ref<Memory>) -> (u64, u64) {
    let object = &k.memories[memory];
    match object.backing {
        Backing::Device(_) | Backing::Archive(_) => (0, 0),
        Backing::Contiguous(_) => (object.pages, 0),
        Backing::Anonymous { frames, deep } => {
            let indexed = object.pages > frames.len() as u64 && frames[0] != 0;
            let mut index = u64::from(indexed);
            let mut committed = 0;
            if deep && indexed {
                let halves = |n: usize| k.mm.word(Frame(frames[0]), n);
                index +=
                    (0..512).map(|n| u64::from(halves(n) as u32 != 0) + u64::from(halves(n) >> 32 != 0)).sum::<u64>();
            }
            if !deep || indexed {
                committed = (0..object.pages).filter(|n| k.page_of(memory, *n).is_some()).count() as u64;
            }
            (committed, index)
        }
    }
}

fn check_accounts(k: &mut K, l: &Living, frames: &BTreeMap<u8, u64>) {
    let (mut contents, mut tables, mut caps, mut words, mut message_pages) = (0, 0, 0, 0, 0);
    let mut own_use = 0;
    for account in &l.accounts {
        let mine = |owner: Option<Ref<Account>>| owner == Some(*account);
        let (mut own_contents, mut own_tables, mut own_caps, mut own_words, mut own_pages) =
            (0u64, 0u64, 0u64, 0u64, 0u64);
        if *account == k.root {
            own_contents += k.trace.pages();
        }
        for m in l.memories.iter().filter(|m| mine(k.memories[**m].account)) {
            let (committed, index) = pages_of(k, *m);
            own_contents += committed;
            own_words += index;
        }
        for p in l.processes.iter().filter(|p| mine(k.processes[**p].account)) {
            let p = &k.processes[*p];
            own_tables += p.space.map_or(0, |_| 1) + u64::from(p.tables);
            own_caps += p.caps_table.frames();
        }
        for q in l.queues.iter().filter(|q| mine(k.queues[**q].account)) {
            own_words += k.queues[*q].ring_frames();
        }
        own_pages +=
            l.threads.iter().filter(|t| mine(k.threads[**t].account) && k.threads[**t].message.is_some()).count()
                as u64;
        let a = &k.accounts[*account];
        let status = a.status();
        assert!(a.used <= a.limit, "account invariant 1");
        assert_eq!(status.memory, own_contents, "contents that {account:?} pays for");
        assert_eq!(status.page_tables, own_tables, "page tables that {account:?} pays for");
        assert_eq!(status.cap_tables, own_caps, "capability tables that {account:?} pays for");
        let s = &a.slabs;
        let slab = [s.accounts, s.processes, s.threads, s.memories, s.queues, s.events, s.irqs, s.ports, s.regions]
            .iter()
            .map(|list| u64::from(list.pages))
            .sum::<u64>();
        let kernel = if *account == k.root { k.numbers.pages_paid() } else { 0 };
        let own = own_contents + own_tables + own_caps + own_words + own_pages + slab + kernel;
        assert_eq!(a.used, own + a.lent, "account invariant 1: {account:?} pays for what there is");
        own_use += own;
        contents += own_contents;
        tables += own_tables;
        caps += own_caps;
        words += own_words;
        message_pages += own_pages;
    }
    let kind = |kind: FrameKind| frames.get(&(kind as u8)).copied().unwrap_or(0);
    assert_eq!(kind(FrameKind::Content), contents + message_pages);
    assert_eq!(kind(FrameKind::PageTable), tables);
    assert_eq!(
        kind(FrameKind::Words) + kind(FrameKind::CapTable) + kind(FrameKind::Numbers),
        words + caps + k.numbers.pages_used()
    );
    for (slab, pages) in &l.slabs {
        assert_eq!(frames.get(slab).copied().unwrap_or(0), *pages, "slab pages of kind {slab}");
    }
    let unused = k.numbers.pages_paid() - k.numbers.pages_used();
    assert_eq!(own_use + k.mm.free_frames(), k.mm.total_frames() + unused, "what is not paid for is free");
}

fn check_capabilities(k: &mut K, l: &Living) -> usize {
    let mut occupied = BTreeSet::new();
    let mut counts: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for page in k.slots.pages() {
        let owner = k.slots[page].object;
        assert!(l.named.contains(&(Kind::Process as u8, owner)), "a page of slots belongs to a process");
        for slot in (1..SLOTS_PER_PAGE).map(|s| page.sibling(s)) {
            let entry = k.slots[slot];
            if entry.kind != 0 {
                let kind = entry.kind & !MAPPING;
                assert!(l.named.contains(&(kind, entry.object)), "cap invariant 1: {entry:?} names the living");
                occupied.insert(slot.raw());
                let count = counts.entry(owner).or_insert((0, 0));
                if entry.is_granted() { count.1 += 1 } else { count.0 += 1 }
            }
        }
    }
    for process in &l.processes {
        let counted = counts.get(&process.raw()).copied().unwrap_or_default();
        assert_eq!(k.processes[*process].caps_table.counts(), counted, "a table counts its slots");
    }
    let mut seen = BTreeSet::new();
    for (kind, object) in &l.named {
        let head = *k.roots(Kind::find((*kind).into()).unwrap(), *object);
        walk_siblings(k, head, 0, (*kind, *object), Rights::all().bits(), &mut seen);
    }
    assert_eq!(seen, occupied, "cap invariant 3: every occupied slot is in one list");
    let slots = occupied.iter().filter_map(|slot| SlotRef::from_raw(*slot));
    slots.filter(|slot| k.slots[*slot].kind & MAPPING == 0).count()
}

fn walk_siblings(k: &K, head: u32, before: u32, what: (u8, u32), rights: u16, seen: &mut BTreeSet<u32>) {
    let (mut at, mut prev) = (head, before);
    while let Some(slot) = SlotRef::from_raw(at) {
        let entry = k.slots[slot];
        assert!(seen.insert(at), "cap invariant 3: a slot is in one list only");
        assert_eq!((entry.kind & !MAPPING, entry.object), what, "a tree is about one object");
        if entry.kind & MAPPING != 0 {
            let region = Ref::<crate::region::Region>::from_raw(entry.badge as u32).unwrap();
            assert_eq!(
                k.regions[region].slot,
                Some(slot),
                "cap invariant 5: a mapping's slot and its region go together"
            );
            assert_eq!(entry.child, 0, "nothing is derived from a mapping");
        }
        assert_eq!(entry.prev, prev, "cap invariant 3: links agree");
        assert_eq!(entry.rights & !rights, 0, "cap invariant 2: rights only shrink");
        assert!(entry.generation > 0);
        walk_siblings(k, entry.child, at | crate::cap::PARENT, what, entry.rights, seen);
        (prev, at) = (at, entry.next);
    }
}

/// The threads of a list, with the priority of the ring that each is in.
fn members(k: &K, list: &PriorityQueue) -> Vec<(u8, Ref<Thread>)> {
    let mut out = Vec::new();
    for (priority, head) in list.heads.iter().enumerate() {
        assert_eq!(head.is_some(), list.has(priority as u8), "priority invariant 1");
        let Some(head) = head else { continue };
        let mut at = *head;
        loop {
            assert_eq!(k.threads[at].priority, priority as u8, "priority invariant 3");
            out.push((priority as u8, at));
            let next = k.threads[at].next.expect("rings are circular");
            assert_eq!(k.threads[next].prev, Some(at), "priority invariant 2");
            at = next;
            if at == *head {
                break;
            }
        }
    }
    out
}

fn check_threads(k: &mut K, l: &Living) {
    let mut listed: BTreeMap<u32, &'static str> = BTreeMap::new();
    let mut list =
        |thread: Ref<Thread>, name| assert!(listed.insert(thread.raw(), name).is_none(), "thread invariant 1");
    for (_, thread) in members(k, &k.ready) {
        assert_eq!(k.threads[thread].wait, Wait::Nothing);
        assert_ne!(k.current, Some(thread), "schedule invariant 2");
        list(thread, "ready");
    }
    for (_, thread) in members(k, &k.reaper.waiting) {
        assert_eq!(k.threads[thread].wait, Wait::Teardown);
        list(thread, "teardown");
    }
    for queue in &l.queues {
        for (_, thread) in members(k, &k.queues[*queue].callers) {
            assert_eq!(k.threads[thread].wait, Wait::Delivery(*queue), "queue invariant 2");
            list(thread, "callers");
        }
        let (mut at, mut prev) = (k.queues[*queue].receiver, None);
        while let Some(thread) = at {
            assert_eq!(k.threads[thread].wait, Wait::Message(*queue));
            assert_eq!(k.threads[thread].prev, prev);
            list(thread, "receivers");
            (prev, at) = (at, k.threads[thread].next);
        }
        assert_eq!(k.queues[*queue].last_receiver, prev);
    }
    let mut held: BTreeMap<u32, u32> = BTreeMap::new();
    for thread in &l.threads {
        check_thread(k, *thread, listed.get(&thread.raw()).copied());
        if let Some(holder) = k.threads[*thread].holder {
            *held.entry(holder.raw()).or_default() += 1;
        }
    }
    for process in &l.processes {
        let p = &k.processes[*process];
        assert_eq!(p.held, held.remove(&process.raw()).unwrap_or(0), "process invariant 2");
        let (mut at, mut count) = (p.threads, 0);
        while let Some(thread) = at {
            assert_eq!(k.threads[thread].process, *process);
            count += 1;
            at = k.threads[thread].sibling_next;
        }
        assert_eq!(count, p.thread_count);
        if p.state == ProcessState::Running && p.dying.is_none() {
            assert!(p.thread_count > 0 && p.space.is_some(), "process invariant 1");
        }
        if p.state == ProcessState::Exited && p.dying.is_none() {
            assert!(p.thread_count == 0 && p.space.is_none() && p.region_count == 0 && p.held == 0);
        }
    }
    assert!(held.is_empty(), "only the living hold calls");
    if let Some(current) = k.current {
        assert!(k.runs(current));
        assert!(k.ready.top() <= k.threads[current].priority + 1, "schedule invariant 2");
        let loaded = k.threads[current].process;
        let root = k.processes[loaded].space.map(|space| space.0.address());
        assert_eq!(k.machine.spaces.last().copied(), root, "the running thread's address space is loaded");
        assert_eq!(k.machine.ports[..], k.processes[loaded].ports[..], "ports invariant 1");
    }
}

fn check_thread(k: &K, thread: Ref<Thread>, list: Option<&'static str>) {
    let t = &k.threads[thread];
    assert_eq!(k.numbers.get(t.number), Some(thread), "a thread's number names it");
    assert!(t.priority >= t.base, "thread invariant 2");
    let expected = match t.wait {
        Wait::Nothing if k.current == Some(thread) => None,
        Wait::Nothing => Some("ready"),
        Wait::Delivery(_) => Some("callers"),
        Wait::Message(_) => Some("receivers"),
        Wait::Teardown => Some("teardown"),
        Wait::Signal(event, _) => {
            assert_eq!(k.events[event].waiter, Some(thread));
            None
        }
        Wait::Answer(_) => {
            assert!(t.holder.is_some(), "ipc invariant 1: a call that was taken has a holder");
            None
        }
        Wait::Clock | Wait::Stopped => None,
    };
    assert_eq!(list, expected, "thread invariant 1: {thread:?} waits for {:?}", t.wait);
    assert!(t.holder.is_none() || matches!(t.wait, Wait::Answer(_)));
    let timed = t.deadline != NEVER && !matches!(t.wait, Wait::Nothing | Wait::Stopped);
    assert!(!timed || t.timer_slot.is_some() || t.deadline > 1 << 60, "a wait with a deadline is in the wheel");
    assert!(!timed || t.timer_slot.is_none() || t.timer_due <= (t.deadline >> 14) + 1, "wheel invariant 4");
    if let Some(queue) = t.serves {
        assert_eq!(k.queues[queue].server, Some(thread));
    }
}

fn check_queues(k: &mut K, l: &Living) {
    for queue in &l.queues {
        let q = &k.queues[*queue];
        if q.receiver.is_some_and(|r| k.runs(r)) {
            assert!(q.callers.is_empty() && q.count == 0 && q.pending.is_none(), "queue invariant 1");
        }
        if let Some(server) = q.server {
            assert_eq!(k.threads[server].serves, Some(*queue));
        }
    }
}

fn check_events(k: &mut K, l: &Living) {
    let mut pending = BTreeSet::new();
    for queue in &l.queues {
        let mut at = k.queues[*queue].pending;
        while let Some(event) = at {
            assert_eq!(k.events[event].queue, Some(*queue));
            assert!(pending.insert(event.raw()));
            at = k.events[event].pending_next;
        }
    }
    for event in &l.events {
        let e = &k.events[*event];
        assert!(e.waiter.is_none() || e.queue.is_none(), "event invariant 1");
        assert_eq!(e.queue.is_some() && e.bits != 0, pending.contains(&event.raw()), "event invariant 2");
        let mut at = e.watched;
        while let Some(process) = at {
            assert_eq!(k.processes[process].event, Some(*event));
            at = k.processes[process].watch_next;
        }
        if let Some(waiter) = e.waiter {
            assert!(matches!(k.threads[waiter].wait, Wait::Signal(of, _) if of == *event));
        }
    }
}

fn check_regions(k: &mut K, l: &Living) {
    let mut mapped: BTreeMap<u32, u32> = BTreeMap::new();
    let mut count = 0;
    for process in &l.processes {
        let (mut at, mut prev, mut end, mut own) = (k.processes[*process].regions, None, abi::layout::USER_START, 0);
        let mut present = BTreeMap::new();
        while let Some(region) = at {
            let r = &k.regions[region];
            if let Some(slot) = r.slot {
                let entry = &k.slots[slot];
                assert!(entry.kind & MAPPING != 0 && entry.badge == u64::from(region.raw()), "cap invariant 5");
            }
            assert!(r.start >= end && r.end() <= abi::layout::USER_END, "region invariants 1 and 2");
            assert_eq!((r.prev, r.process), (prev, Some(*process)));
            let memory = r.memory.unwrap();
            assert!(r.offset + r.pages <= k.memories[memory].pages, "region invariant 2");
            *mapped.entry(memory.raw()).or_default() += 1;
            // What was never touched has no page: it is not searched for any when it goes.
            for page in (0..r.pages.min(8192)).filter(|_| r.touched) {
                if let Some(target) = k.page_of(memory, r.offset + page) {
                    present.insert(r.start + page * PAGE_SIZE, target);
                }
            }
            (own, end) = (own + 1, r.end());
            (prev, at) = (at, r.next);
        }
        assert_eq!(own, k.processes[*process].region_count);
        count += own;
        check_entries(k, *process, present);
    }
    assert_eq!(count as usize, l.regions.len());
    for memory in &l.memories {
        let (mut at, mut prev, mut own) = (k.memories[*memory].regions, None, 0);
        while let Some(region) = at {
            assert_eq!((k.regions[region].memory, k.regions[region].memory_prev), (Some(*memory), prev));
            own += 1;
            (prev, at) = (at, k.regions[region].memory_next);
        }
        assert_eq!(own, mapped.get(&memory.raw()).copied().unwrap_or(0), "memory invariant 2");
        let m = &k.memories[*memory];
        assert!(m.caps != 0 || m.regions.is_some() || m.doomed, "memory invariant 2: it lives while it is known");
    }
}

/// Region invariant 3: what the page tables say, regions and message pages say.
fn check_entries(k: &K, process: Ref<Process>, mut present: BTreeMap<u64, u64>) {
    let Some(space) = k.processes[process].space else { return };
    let mut at = k.processes[process].threads;
    while let Some(thread) = at {
        let t = &k.threads[thread];
        let page = t.message.expect("a thread has a message page").address();
        assert!(present.insert(t.message_at, page).is_none(), "a message page is in no other region");
        assert_eq!(k.mm.translate(space, t.message_at).map(|t| t.0), Some(page));
        at = t.sibling_next;
    }
    assert!(k.mm.remembers_well(&k.processes[process].walks, space), "walks invariant 1: {process:?}");
    let mut from = 0;
    while let Some(page) = k.mm.next_mapped(space, from, abi::layout::USER_END) {
        let (target, _) = k.mm.translate(space, page).unwrap();
        assert_eq!(present.get(&page).copied(), Some(target), "region invariant 3: {page:#x} of {process:?}");
        from = page + PAGE_SIZE;
    }
}
