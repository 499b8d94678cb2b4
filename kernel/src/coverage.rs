//! Coverage: which rights of its capabilities a run has used.
//!
//! `coverage=1` on the kernel's command line switches it on. A right is used when a system call needed it, or when it was
//! handed on with a derived capability: from then on its new holder answers for it.
//!
//! Invariants:
//! 1. Without the word nothing is noted, and the handoff pays nothing.
//! 2. With it every call takes the general path, so that every use is seen.
//! 3. A use is in its slot when the system call that made it returns. A slot that was emptied takes its uses along; one
//!    that stays over a reset keeps them.

use crate::cap::Cap;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::mm::Ref;
use crate::process::Process;
use abi::{Handle, Kind, Rights, SysError};
use core::cell::Cell;

/// The word of the command line.
const WORD: &str = "coverage=";
/// Most uses that the checks of one system call note.
const MOST_USES: usize = 4;

/// Rights of a capability that a system call needed, and the object that it led to.
type Use = (Cap, u32, Rights);

/// Whether uses are noted, and those of the present system call.
#[derive(Default)]
pub struct Coverage {
    on: bool,
    noted: Cell<[Option<Use>; MOST_USES]>,
}

impl Coverage {
    /// Of a command line; `Err` is the word that is not understood.
    pub fn parse(line: &str) -> Result<Coverage, &str> {
        let mut on = false;
        for word in line.split_ascii_whitespace().filter(|word| word.starts_with(WORD)) {
            on = if &word[WORD.len()..] == "1" { true } else { return Err(word) };
        }
        Ok(Coverage { on, ..Coverage::default() })
    }

    /// Whether uses are noted.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    #[cold]
    fn note_down(&self, use_: Use) {
        let mut noted = self.noted.get();
        if let Some(empty) = noted.iter_mut().find(|noted| noted.is_none()) {
            *empty = Some(use_);
        }
        self.noted.set(noted);
    }
}

impl<M: Machine> Kernel<M> {
    /// The capability behind `handle` of `process`, if it is of this kind and has all of `needed`.
    #[inline(always)]
    pub(crate) fn allow(
        &self,
        process: Ref<Process>,
        handle: Handle,
        kind: Kind,
        needed: Rights,
    ) -> Result<Cap, SysError> {
        let cap = match self.find_cap(process, handle, kind, needed) {
            Some(cap) => cap,
            None => return Err(self.why_not(process, handle, kind, needed)),
        };
        self.note_use(cap, needed);
        Ok(cap)
    }

    /// Notes that a system call needs `rights` of `cap`.
    #[inline(always)]
    pub(crate) fn note_use(&self, cap: Cap, rights: Rights) {
        if self.coverage.on {
            self.coverage.note_down((cap, self.slots[cap.slot].object, rights));
        }
    }

    /// Why there is no such capability.
    #[cold]
    #[inline(never)]
    fn why_not(&self, process: Ref<Process>, handle: Handle, kind: Kind, needed: Rights) -> SysError {
        let found = self.lookup(process, handle).and_then(|cap| cap.require(kind, needed));
        found.err().unwrap_or(SysError::BadHandle)
    }

    /// Writes what was noted into the slots.
    #[cold]
    pub(crate) fn settle_uses(&mut self) {
        for (cap, object, rights) in self.coverage.noted.take().into_iter().flatten() {
            // Tables are taken apart by the reaper, which does not run within a system call.
            if self.slots[cap.slot].object == object {
                self.slots[cap.slot].mark_used(cap.kind, rights);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_off_unless_the_command_line_says_so() {
        assert!(!Coverage::parse("quiet exec=636f coverages=1").unwrap().is_on());
        assert!(Coverage::parse("quiet coverage=1").unwrap().is_on());
        for word in ["coverage=", "coverage=yes", "coverage=2"] {
            assert_eq!(Coverage::parse(&format!("quiet {word}")).err(), Some(word));
        }
    }
}
