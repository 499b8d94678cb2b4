//! The schedule against a disk whose requests finish in any order, and only when the test says so.

use super::*;
use std::collections::BTreeMap;

/// A disk: its blocks' contents (the call that wrote them last), and what is under way.
#[derive(Default)]
struct Disk {
    room: usize,
    /// Most blocks that it takes at once.
    part: u64,
    under_way: Vec<(u16, Request, u64)>,
    done: VecDeque<(u16, Result<(), Fault>)>,
    next: u16,
    blocks: BTreeMap<u64, u64>,
    /// What each read found.
    found: BTreeMap<u64, Vec<u64>>,
    /// Blocks written and not flushed.
    cached: Vec<u64>,
    adopted: Vec<(u32, u64)>,
    bad_block: Option<u64>,
    most: usize,
}

impl Disk {
    fn new() -> Disk {
        Disk { room: 8, part: u64::MAX, ..Disk::default() }
    }

    /// Does the part that began as number `at` of those under way.
    fn complete(&mut self, at: usize) {
        let (token, request, blocks) = self.under_way.remove(at);
        let range = request.block + request.done..request.block + request.done + blocks;
        let bad = self.bad_block.is_some_and(|b| range.contains(&b));
        for block in range {
            match request.work {
                Work::Write => {
                    self.blocks.insert(block, request.call);
                    self.cached.push(block);
                }
                _ => self.found.entry(request.call).or_default().push(*self.blocks.get(&block).unwrap_or(&0)),
            }
        }
        if request.work == Work::Flush {
            self.cached.clear();
        }
        self.done.push_back((token, if bad { Err(Fault::Io) } else { Ok(()) }));
    }
}

impl Device for Disk {
    type Memory = u32;
    fn begin(&mut self, request: &Request) -> Start {
        if self.under_way.len() >= self.room {
            return Start::Full;
        }
        if request.block == 666 {
            return Start::Failed(Fault::BadLease);
        }
        let blocks = (request.count - request.done).min(self.part);
        self.next += 1;
        self.under_way.push((self.next, *request, blocks));
        self.most = self.most.max(self.under_way.len());
        Start::Begun { token: self.next, blocks }
    }
    fn finished(&mut self) -> Option<(u16, Result<(), Fault>)> {
        self.done.pop_front()
    }
    fn adopt(&mut self, memory: u32, epoch: u64) -> Result<(), Fault> {
        self.adopted.push((memory, epoch));
        if memory == 0 { Err(Fault::NotAttached) } else { Ok(()) }
    }
}

fn request(call: u64, work: Work, block: u64, count: u64) -> Request {
    Request { call, work, block, count, buffer: Buffer::Lent, done: 0 }
}

fn of_epoch(epoch: u64, request: Request) -> Request {
    Request { buffer: Buffer::Attached { epoch, offset: 0 }, ..request }
}

struct Rig {
    disk: Disk,
    schedule: Schedule<u32>,
    answers: Vec<(u64, Result<(), Fault>)>,
}

impl Rig {
    fn new() -> Rig {
        Rig { disk: Disk::new(), schedule: Schedule::new(1000, false, None), answers: Vec::new() }
    }
    fn submit(&mut self, request: Request) {
        self.schedule.submit(request).unwrap();
        self.advance();
    }
    fn attach(&mut self, call: u64, memory: u32, epoch: u64) {
        self.schedule.attach(call, memory, epoch).unwrap();
        self.advance();
    }
    fn advance(&mut self) {
        let answers = self.schedule.advance(&mut self.disk);
        self.answers.extend(answers);
    }
    fn complete(&mut self, at: usize) {
        self.disk.complete(at);
        self.advance();
    }
    fn complete_all(&mut self) {
        while !self.disk.under_way.is_empty() {
            self.complete(0);
        }
    }
    fn answered(&self) -> Vec<u64> {
        self.answers.iter().map(|a| a.0).collect()
    }
    fn answer(&self, call: u64) -> Option<Result<(), Fault>> {
        let mut all = self.answers.iter().filter(|a| a.0 == call);
        let first = all.next().map(|a| a.1);
        assert!(all.next().is_none(), "call {call} was answered twice");
        first
    }
    fn under_way(&self) -> Vec<u64> {
        self.disk.under_way.iter().map(|u| u.1.call).collect()
    }
}

#[test]
fn several_requests_fly_at_once_and_are_answered_as_they_finish() {
    let mut rig = Rig::new();
    for call in 1..=4 {
        rig.submit(request(call, Work::Read, call * 10, 5));
    }
    assert_eq!(rig.under_way(), [1, 2, 3, 4]);
    rig.complete(2);
    rig.complete(0);
    assert_eq!(rig.answered(), [3, 1]);
}

#[test]
fn a_request_waits_for_an_earlier_one_that_it_conflicts_with_and_others_pass() {
    let mut rig = Rig::new();
    rig.submit(request(1, Work::Write, 10, 4));
    rig.submit(request(2, Work::Read, 13, 1));
    rig.submit(request(3, Work::Write, 12, 3));
    rig.submit(request(4, Work::Read, 14, 1));
    rig.submit(request(5, Work::Read, 20, 1));
    assert_eq!(rig.under_way(), [1, 5]);
    rig.complete(0);
    assert_eq!(rig.under_way(), [5, 2]);
    rig.complete_all();
    assert_eq!((rig.disk.found[&2].clone(), rig.disk.found[&4].clone()), (vec![1], vec![3]));
}

#[test]
fn reads_of_the_same_block_fly_together() {
    let mut rig = Rig::new();
    rig.submit(request(1, Work::Read, 10, 4));
    rig.submit(request(2, Work::Read, 10, 4));
    assert_eq!(rig.under_way(), [1, 2]);
}

#[test]
fn a_flush_waits_for_every_earlier_write_and_for_no_later_request() {
    let mut rig = Rig::new();
    rig.submit(request(1, Work::Write, 10, 1));
    rig.submit(request(2, Work::Flush, 0, 0));
    rig.submit(request(3, Work::Write, 30, 1));
    assert_eq!(rig.under_way(), [1, 3]);
    rig.complete(0);
    assert_eq!((rig.under_way(), rig.answer(1)), (vec![3, 2], Some(Ok(()))));
    rig.complete(1);
    assert_eq!((rig.answer(2), rig.disk.cached.len()), (Some(Ok(())), 0));
}

#[test]
fn requests_out_of_range_and_writes_to_a_read_only_disk_are_refused() {
    let mut rig = Rig::new();
    for (block, count) in [(1000, 1), (999, 2), (u64::MAX, 1), (1, u64::MAX), (1001, 0)] {
        assert_eq!(rig.schedule.submit(request(1, Work::Read, block, count)), Err(Fault::OutOfRange));
    }
    assert_eq!(rig.schedule.submit(request(1, Work::Read, 999, 1)), Ok(()));
    let mut read_only = Schedule::<u32>::new(1000, true, None);
    assert_eq!(read_only.submit(request(1, Work::Write, 0, 1)), Err(Fault::ReadOnly));
    assert_eq!(read_only.submit(request(1, Work::Flush, 0, 0)), Ok(()));
}

#[test]
fn a_request_of_no_blocks_is_answered_at_once() {
    let mut rig = Rig::new();
    rig.submit(request(1, Work::Read, 1000, 0));
    assert_eq!((rig.answer(1), rig.disk.most), (Some(Ok(())), 0));
}

#[test]
fn a_failure_of_the_device_and_of_the_callers_memory_are_passed_up() {
    let mut rig = Rig::new();
    rig.disk.bad_block = Some(12);
    rig.disk.part = 2;
    rig.submit(request(1, Work::Read, 10, 10));
    rig.complete(0);
    rig.complete(0);
    assert_eq!((rig.answer(1), rig.under_way()), (Some(Err(Fault::Io)), vec![]));
    rig.submit(request(2, Work::Write, 666, 1));
    assert_eq!(rig.answer(2), Some(Err(Fault::BadLease)));
}

#[test]
fn a_long_request_is_done_in_parts_and_answered_once() {
    let mut rig = Rig::new();
    rig.disk.part = 3;
    rig.submit(request(1, Work::Write, 100, 10));
    rig.submit(request(2, Work::Read, 109, 1));
    rig.complete_all();
    assert_eq!(rig.answered(), [1, 2]);
    assert_eq!((rig.disk.blocks.len(), rig.disk.found[&2].clone()), (10, vec![1]));
}

#[test]
fn a_full_device_keeps_requests_waiting() {
    let mut rig = Rig::new();
    rig.disk.room = 2;
    for call in 1..=5 {
        rig.submit(request(call, Work::Read, call, 1));
    }
    assert_eq!(rig.under_way(), [1, 2]);
    rig.complete_all();
    assert_eq!((rig.answered(), rig.disk.most), (vec![1, 2, 3, 4, 5], 2));
}

#[test]
fn requests_need_an_attachment_of_their_own_epoch() {
    let mut rig = Rig::new();
    let wanted = |epoch| of_epoch(epoch, request(9, Work::Read, 0, 1));
    assert_eq!(rig.schedule.submit(wanted(1)), Err(Fault::NotAttached));
    rig.attach(1, 7, 4);
    assert_eq!(rig.disk.adopted, [(7, 4)]);
    assert_eq!(rig.schedule.submit(wanted(3)), Err(Fault::Superseded));
    assert_eq!(rig.schedule.submit(wanted(5)), Err(Fault::NotAttached));
    assert_eq!(rig.schedule.submit(wanted(4)), Ok(()));
    assert_eq!(rig.schedule.attach(2, 8, 3), Err(Fault::Superseded));
}

#[test]
fn an_attach_completes_only_after_every_earlier_request() {
    let mut rig = Rig::new();
    rig.disk.room = 2;
    rig.attach(1, 7, 1);
    rig.submit(of_epoch(1, request(2, Work::Write, 10, 1)));
    rig.submit(request(3, Work::Read, 20, 1));
    rig.submit(request(4, Work::Write, 30, 1));
    rig.attach(5, 8, 2);
    assert_eq!(rig.answer(5), None);
    rig.complete(0);
    rig.complete(0);
    assert_eq!((rig.answer(2), rig.answer(5)), (Some(Ok(())), None), "the write of another client is still under way");
    rig.complete(0);
    assert_eq!((rig.answer(5), rig.disk.adopted.last()), (Some(Ok(())), Some(&(8, 2))));
}

#[test]
fn waiting_requests_of_an_old_epoch_are_refused_and_never_begin() {
    let mut rig = Rig::new();
    rig.disk.room = 1;
    rig.attach(1, 7, 1);
    rig.submit(of_epoch(1, request(2, Work::Write, 10, 1)));
    rig.submit(of_epoch(1, request(3, Work::Write, 11, 1)));
    rig.submit(of_epoch(1, request(4, Work::Write, 10, 1)));
    rig.attach(5, 8, 2);
    assert_eq!((rig.answer(3), rig.answer(4)), (Some(Err(Fault::Superseded)), Some(Err(Fault::Superseded))));
    rig.complete_all();
    assert_eq!(rig.answer(5), Some(Ok(())));
    assert_eq!(rig.disk.blocks, BTreeMap::from([(10, 2)]));
}

#[test]
fn a_request_of_the_new_epoch_waits_for_the_fence_and_one_with_lent_memory_does_not() {
    let mut rig = Rig::new();
    rig.attach(1, 7, 1);
    rig.submit(of_epoch(1, request(2, Work::Write, 10, 1)));
    rig.attach(3, 8, 2);
    rig.submit(of_epoch(2, request(4, Work::Read, 50, 1)));
    rig.submit(request(5, Work::Read, 60, 1));
    assert_eq!(rig.under_way(), [2, 5]);
    rig.complete(0);
    assert_eq!(
        (rig.answer(3), rig.under_way()),
        (Some(Ok(())), vec![5, 4]),
        "requests behind the fence do not hold it"
    );
}

#[test]
fn a_request_done_in_part_is_finished_before_the_fence_stands() {
    let mut rig = Rig::new();
    rig.disk.part = 1;
    rig.attach(1, 7, 1);
    rig.submit(of_epoch(1, request(2, Work::Write, 10, 3)));
    rig.complete(0);
    rig.attach(3, 8, 2);
    assert_eq!(rig.answer(3), None);
    rig.complete_all();
    assert_eq!((rig.answer(2), rig.answer(3)), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(rig.disk.adopted.last(), Some(&(8, 2)));
}

#[test]
fn a_second_attach_takes_the_place_of_one_that_waits() {
    let mut rig = Rig::new();
    rig.submit(request(1, Work::Write, 10, 1));
    rig.attach(2, 7, 1);
    rig.attach(3, 8, 2);
    rig.complete_all();
    assert_eq!((rig.answer(2), rig.answer(3)), (Some(Err(Fault::Superseded)), Some(Ok(()))));
    assert_eq!(rig.disk.adopted, [(8, 2)]);
}

#[test]
fn an_attach_that_fails_refuses_what_waited_for_it() {
    let mut rig = Rig::new();
    rig.submit(request(1, Work::Write, 10, 1));
    rig.attach(2, 0, 1);
    rig.submit(of_epoch(1, request(3, Work::Read, 0, 1)));
    rig.complete_all();
    assert_eq!((rig.answer(2), rig.answer(3)), (Some(Err(Fault::NotAttached)), Some(Err(Fault::NotAttached))));
}

#[test]
fn any_order_of_the_device_looks_like_the_order_of_arrival() {
    // A small random walk, the same on every run: what reads find must be what doing everything in order gives.
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..300 {
        let mut rig = Rig::new();
        rig.disk.room = 1 + random(6) as usize;
        rig.disk.part = 1 + random(4);
        let mut model: BTreeMap<u64, u64> = BTreeMap::new();
        let mut expected: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for call in 1..40 {
            let (block, count) = (random(20), 1 + random(6));
            let work = [Work::Read, Work::Write, Work::Write, Work::Read, Work::Flush][random(5) as usize];
            match work {
                Work::Write => model.extend((block..block + count).map(|b| (b, call))),
                Work::Read => {
                    let found = (block..block + count).map(|b| *model.get(&b).unwrap_or(&0)).collect();
                    expected.insert(call, found);
                }
                Work::Flush => {}
            }
            let (block, count) = if work == Work::Flush { (0, 0) } else { (block, count) };
            rig.submit(request(call, work, block, count));
            while random(3) == 0 && !rig.disk.under_way.is_empty() {
                let at = random(rig.disk.under_way.len() as u64) as usize;
                rig.complete(at);
            }
        }
        while !rig.disk.under_way.is_empty() {
            let at = random(rig.disk.under_way.len() as u64) as usize;
            rig.complete(at);
        }
        assert_eq!(rig.answers.len(), 39);
        assert_eq!((&rig.disk.blocks, &rig.disk.found), (&model, &expected));
    }
}
