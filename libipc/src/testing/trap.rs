//! Where system calls go on the host, and each thread's message page.

use super::system::Shared;
use crate::sys::Frame;
use abi::{CallFlags, CapDescriptor, Handle, LeaseAccess, LeaseDescriptor, MAX_CAPS, MessageId, MessagePage};
use abi::{Rights, SysError, Sysno};
use std::boxed::Box;
use std::cell::RefCell;
use std::sync::Arc;
use std::vec::Vec;

std::thread_local! {
    // Leaked: a thread's page is used until its last instruction, also by destructors of other thread-locals.
    static PAGE: *mut MessagePage = {
        // SAFETY: every field is plain old data, for which zero is valid.
        Box::into_raw(unsafe { Box::<MessagePage>::new_zeroed().assume_init() })
    };
    pub(super) static CURRENT: RefCell<Option<(Arc<Shared>, usize)>> = const { RefCell::new(None) };
}

/// The calling thread's message page.
pub(crate) fn page() -> *mut MessagePage {
    PAGE.with(|page| *page)
}

/// A reference to the page for the duration of `f`.
fn with_page<R>(f: impl FnOnce(&mut MessagePage) -> R) -> R {
    // SAFETY: the page is this thread's own and valid for ever; `f` is one of the few lines below, which reach it in no
    //         other way meanwhile; `crate::page` holds no references into it.
    f(unsafe { &mut *page() })
}

pub(super) fn payload(length: usize) -> Vec<u8> {
    with_page(|page| page.payload[..length].to_vec())
}
pub(super) fn caps(count: usize) -> Vec<CapDescriptor> {
    with_page(|page| page.caps[..count].to_vec())
}
pub(super) fn leases(count: usize) -> Vec<LeaseDescriptor> {
    with_page(|page| page.leases[..count].to_vec())
}
pub(super) fn deadline() -> u64 {
    with_page(|page| page.deadline)
}
pub(super) fn deliver(payload: &[u8], handles: &[Handle]) {
    with_page(|page| {
        page.payload[..payload.len()].copy_from_slice(payload);
        page.received = [Handle::NONE; MAX_CAPS];
        page.received[..handles.len()].copy_from_slice(handles);
    });
}

/// As `sys::trap::message`.
pub(crate) fn message(f: Frame) -> Frame {
    let current = CURRENT.with(|current| current.borrow().clone());
    let Some((shared, process)) = current else { return Frame { rax: SysError::BadState as u64, ..f } };
    match shared.enter(process).and_then(|number| {
        let result = run(&shared, process, f);
        shared.leave(process, number).and(result)
    }) {
        Ok(f) => Frame { rax: 0, ..f },
        Err(error) => Frame { rax: error as u64, ..f },
    }
}

/// As `sys::trap::receive`.
pub(crate) fn receive(rax: u64, rdi: u64) -> Frame {
    message(Frame { rax, rdi, ..Frame::default() })
}

/// As `sys::trap::forward`.
pub(crate) fn forward(rax: u64, rdi: u64, rsi: u64, r15: u64) -> Frame {
    message(Frame { rax, rdi, rsi, r15, words: [0; 8] })
}

/// As `sys::trap::post`.
pub(crate) fn post(rax: u64, rdi: u64, rsi: u64, words: [u64; 8]) -> u64 {
    message(Frame { rax, rdi, rsi, r15: 0, words }).rax
}

/// As `sys::trap::bare`.
pub(crate) fn bare(rax: u64) -> (u64, u64) {
    single(rax, 0, [0; 2])
}

/// As `sys::trap::single`.
pub(crate) fn single(rax: u64, rdi: u64, w: [u64; 2]) -> (u64, u64) {
    let (rax, w) = narrow(rax, rdi, 0, 0, [w[0], w[1], 0, 0]);
    (rax, w[0])
}

/// As `sys::trap::double`.
pub(crate) fn double(rax: u64, rdi: u64, rsi: u64, w: [u64; 4]) -> u64 {
    narrow(rax, rdi, rsi, 0, w).0
}

/// As `sys::trap::copy`.
pub(crate) fn copy(rax: u64, rsi: u64, r15: u64, w: [u64; 3]) -> u64 {
    narrow(rax, 0, rsi, r15, [w[0], w[1], w[2], 0]).0
}

/// As `sys::trap::narrow`.
pub(crate) fn narrow(rax: u64, rdi: u64, rsi: u64, r15: u64, w: [u64; 4]) -> (u64, [u64; 4]) {
    wide(rax, rdi, rsi, r15, [w[0], w[1], w[2], w[3], 0, 0, 0, 0])
}

/// As `sys::trap::wide`.
pub(crate) fn wide(rax: u64, rdi: u64, rsi: u64, r15: u64, words: [u64; 8]) -> (u64, [u64; 4]) {
    let f = message(Frame { rax, rdi, rsi, r15, words });
    (f.rax, [f.words[0], f.words[1], f.words[2], f.words[3]])
}

fn run(shared: &Shared, process: usize, f: Frame) -> Result<Frame, SysError> {
    let call = Sysno::try_from(f.rax & 0xff)?;
    let flags = CallFlags::from_bits_truncate((f.rax >> 8) as u8);
    let deadline = flags.contains(CallFlags::DEADLINE).then(deadline);
    let (handle, id) = (Handle::from_raw(f.rdi), MessageId::from_raw(f.r15));
    let mut state = shared.lock();
    match call {
        Sysno::Clock => Ok(result(f, shared.now())),
        Sysno::Yield => {
            drop(state);
            shared.pause(deadline);
            Ok(f)
        }
        Sysno::Call => {
            let id = state.send(process, &f, flags)?;
            let patience = deadline.or(Some(shared.now().saturating_add(Sysno::CALL_PATIENCE)));
            shared
                .wait(state, process, patience, |s| Ok(s.answer_of(process, id)), |s| s.withdraw(id))?
                .map(|m| Frame { rsi: m.tag.raw(), words: m.words, ..f })
        }
        Sysno::Post => state.post(process, &f).map(|()| f),
        Sysno::Recv => shared.wait(state, process, deadline, |s| s.next(process, handle), |_| SysError::TimedOut),
        Sysno::Reply => state.reply(process, &f).map(|()| f),
        Sysno::ReplyRecv => {
            state.reply(process, &f).or_else(|e| if e == SysError::BadToken { Ok(()) } else { Err(e) })?;
            shared.changed();
            shared.wait(state, process, deadline, |s| s.next(process, handle), |_| SysError::TimedOut)
        }
        Sysno::Forward => state.forward(process, id, handle).map(|()| f),
        Sysno::ForwardRecv => {
            state.forward(process, id, handle)?;
            shared.changed();
            let queue = Handle::from_raw(f.rsi);
            shared.wait(state, process, deadline, |s| s.next(process, queue), |_| SysError::TimedOut)
        }
        Sysno::LeaseRead | Sysno::LeaseWrite | Sysno::LeaseCopy => lease(&state, process, call, &f).map(|()| f),
        Sysno::Duplicate => {
            let wish = CapDescriptor { handle, rights: f.words[0], badge: f.words[1] };
            let cap = state.derive(process, wish)?;
            Ok(result(f, state.install(process, cap).raw()))
        }
        Sysno::Close => state.close(process, handle).map(|()| f),
        Sysno::Inspect => {
            let [w0, w1, w2, w3] = state.inspect(process, handle)?;
            Ok(Frame { words: [w0, w1, w2, w3, 0, 0, 0, 0], ..f })
        }
        Sysno::EventSignal => {
            let cap = state.cap(process, handle, Rights::SIGNAL)?;
            state.event(cap.object)?.bits |= f.words[0];
            Ok(f)
        }
        Sysno::EventWait => {
            let cap = state.cap(process, handle, Rights::WAIT)?;
            let wanted = f.words[0];
            let take = |s: &mut super::state::State| {
                let event = s.event(cap.object)?;
                let bits = event.bits & wanted;
                event.bits &= !bits;
                Ok((bits != 0).then(|| result(f, bits)))
            };
            shared.wait(state, process, deadline, take, |_| SysError::TimedOut)
        }
        Sysno::EventBind => {
            let event = state.cap(process, handle, Rights::WAIT)?.object;
            let queue = state.cap(process, Handle::from_raw(f.rsi), Rights::RECEIVE)?.object;
            state.event(event)?.badge = f.words[0];
            state.queue(queue)?.bound.retain(|bound| *bound != event);
            state.queue(queue)?.bound.push(event);
            Ok(f)
        }
        _ => Err(SysError::BadSyscall),
    }
    .inspect(|_| shared.changed())
}

fn result(f: Frame, value: u64) -> Frame {
    let mut words = f.words;
    words[0] = value;
    Frame { words, ..f }
}

fn lease(state: &super::state::State, process: usize, call: Sysno, f: &Frame) -> Result<(), SysError> {
    let [w0, w1, length, id2, index2, ..] = f.words;
    if length > crate::sys::LEASE_CHUNK as u64 {
        return Err(SysError::BadArgument);
    }
    let at = |access| state.lease(process, f.r15, f.rsi, (w0, length), access);
    let (from, to) = match call {
        Sysno::LeaseRead => (at(LeaseAccess::READ)?, w1),
        Sysno::LeaseWrite => (w1, at(LeaseAccess::WRITE)?),
        _ => (at(LeaseAccess::READ)?, state.lease(process, id2, index2, (w1, length), LeaseAccess::WRITE)?),
    };
    let from: *const u8 = core::ptr::with_exposed_provenance(from as usize);
    let to: *mut u8 = core::ptr::with_exposed_provenance_mut(to as usize);
    // SAFETY: 1. The lease lies in a borrow that its caller holds until its call returns, which needs the lock that
    //            `state` stands for; it was lent for this access, and `length` is within it.
    //         2. The other side is the calling thread's own borrow (`sys::lease_read`, `lease_write`), or a second lease.
    //         3. They may overlap where one caller lends twice: `copy` allows that.
    unsafe { from.copy_to(to, length as usize) };
    Ok(())
}
