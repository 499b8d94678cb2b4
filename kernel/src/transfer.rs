//! What travels beside the registers: payload and capabilities, from message page to message page.
//!
//! Invariants:
//! 1. The kernel reads and writes message pages by their frames, never by a program's address.
//! 2. A capability in a message is derived from the sender's at delivery, so that revoking the sender's removes the
//!    receiver's, and a redelivery derives afresh.

use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::Ref;
use crate::thread::Thread;
use abi::{CapDescriptor, Handle, MAX_CAPS, MAX_PAYLOAD, MessagePage, Rights, SysError, Tag};
use core::mem::offset_of;

const CAPS: usize = offset_of!(MessagePage, caps) / 8;
const CAP_WORDS: usize = size_of::<CapDescriptor>() / 8;
const RECEIVED: usize = offset_of!(MessagePage, received) / 8;
/// Word of the message page that holds the deadline.
pub(crate) const DEADLINE_WORD: usize = offset_of!(MessagePage, deadline) / 8;

const _: () = assert!(offset_of!(MessagePage, payload) == 0);

impl<M: Machine> Kernel<M> {
    /// Word `n` of a thread's message page.
    #[inline]
    pub(crate) fn message_word(&self, thread: Ref<Thread>, n: usize) -> u64 {
        self.mm.word(self.threads[thread].message.expect("a thread in use has a message page"), n)
    }

    #[inline(always)]
    fn cap_descriptor(&self, thread: Ref<Thread>, n: usize) -> CapDescriptor {
        let page = self.threads[thread].message.expect("a thread in use has a message page");
        let [handle, rights, badge] = self.mm.words::<CAP_WORDS>(page, CAPS + n * CAP_WORDS);
        CapDescriptor { handle: Handle::from_raw(handle), rights, badge }
    }

    /// Refuses a message whose capabilities the sender does not have.
    #[inline]
    pub(crate) fn check_caps(&self, sender: Ref<Thread>, tag: Tag) -> Result<(), SysError> {
        let process = self.threads[sender].process;
        for n in 0..tag.caps().min(MAX_CAPS) {
            let descriptor = self.cap_descriptor(sender, n);
            let cap = self.lookup(process, descriptor.handle)?;
            if descriptor.badge != 0 {
                cap.require(abi::Kind::Queue, Rights::MINT)?;
            }
        }
        Ok(())
    }

    /// Copies payload and derives capabilities from one thread to the other. A capability that cannot be derived (the
    /// receiver's table is full, or the sender lost it meanwhile) arrives as `Handle::NONE`.
    #[inline]
    pub(crate) fn transfer(&mut self, from: Ref<Thread>, to: Ref<Thread>, tag: Tag) {
        if tag.raw() & Tag::BODY_MASK == 0 {
            return;
        }
        let source = self.threads[from].message.expect("a thread in use has a message page");
        let target = self.threads[to].message.expect("a thread in use has a message page");
        if tag.payload() > 0 {
            self.mm.copy(source, 0, target, 0, tag.payload().min(MAX_PAYLOAD));
        }
        let (sender, receiver) = (self.threads[from].process, self.threads[to].process);
        for n in 0..tag.caps().min(MAX_CAPS) {
            let descriptor = self.cap_descriptor(from, n);
            let rights = Rights::from_bits_truncate(descriptor.rights as u16);
            let derived = self
                .lookup(sender, descriptor.handle)
                .and_then(|cap| self.derive(cap, rights, descriptor.badge, receiver, false));
            self.mm.set_word(target, RECEIVED + n, derived.unwrap_or(Handle::NONE).raw());
        }
    }

    /// The same of one capability alone, from the first page of its table into the first page of the
    /// other; `None`, and nothing is changed, elsewhere.
    #[inline(always)]
    pub(crate) fn transfer_one(&mut self, from: Ref<Thread>, to: Ref<Thread>) -> Option<()> {
        let (sender, receiver) = (self.threads[from].process, self.threads[to].process);
        let target = self.threads[to].message?;
        let CapDescriptor { handle, rights, badge } = self.cap_descriptor(from, 0);
        let slot = self.short_slot(sender, handle.raw())?;
        let place = self.processes[receiver].caps_table.vacant_near()?;
        let badge = self.short_badge(slot, badge)?;
        let derived = self.derive_in(slot, Rights::from_bits_retain(rights as u16), badge, receiver, place);
        self.mm.set_word(target, RECEIVED, derived.raw());
        Some(())
    }

    /// Writes a report to the payload of a thread's message page.
    ///
    /// # Panics
    /// If it is longer than the payload.
    pub(crate) fn report(&mut self, thread: Ref<Thread>, words: &[u64]) {
        assert!(words.len() <= MAX_PAYLOAD / 8);
        let page = self.threads[thread].message.expect("a thread in use has a message page");
        for (n, word) in words.iter().enumerate() {
            self.mm.set_word(page, n, *word);
        }
    }
}
