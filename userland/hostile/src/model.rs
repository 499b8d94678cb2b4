//! A model of the program's own capability table: which handles live, what they are about, with which rights, and what
//! was derived from what. The fuzzer compares the kernel with it after every call.
//!
//! Invariants:
//! 1. A living capability's parent lives, and is about the same object.
//! 2. An object's payer is an account, or the program's own, which the model does not end.

use alloc::vec::Vec;
use libipc::{Handle, Kind, Rights};

/// An object.
#[derive(Clone, Copy, Debug)]
struct Object {
    kind: Kind,
    /// The account that pays; none: it was there from the start.
    payer: Option<usize>,
    alive: bool,
}

/// A capability.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// Its handle.
    pub handle: Handle,
    /// Its kind.
    pub kind: Kind,
    /// What it allows.
    pub rights: Rights,
    /// Whether it is still there.
    pub alive: bool,
    /// It was there from the start and stays.
    pub fixed: bool,
    /// What it was derived from.
    pub parent: Option<usize>,
    object: usize,
}

/// The table.
#[derive(Default)]
pub struct Model {
    objects: Vec<Object>,
    caps: Vec<Cap>,
}

impl Model {
    /// All capabilities, dead ones among them.
    pub fn caps(&self) -> &[Cap] {
        &self.caps
    }
    /// Living ones.
    pub fn living(&self) -> usize {
        self.caps.iter().filter(|cap| cap.alive).count()
    }
    /// What the model knows of a handle.
    pub fn find(&self, handle: Handle) -> Option<usize> {
        self.caps.iter().position(|cap| cap.handle == handle)
    }
    /// The living capability with this handle.
    pub fn get(&self, handle: Handle) -> Option<&Cap> {
        self.caps.iter().find(|cap| cap.alive && cap.handle == handle)
    }

    /// Whether `handle` names an object that the program was given.
    pub fn is_given(&self, handle: Handle) -> bool {
        let Some(cap) = self.get(handle) else { return false };
        self.caps.iter().any(|given| given.fixed && given.object == cap.object)
    }

    /// One that was there from the start.
    pub fn start_with(&mut self, handle: Handle, kind: Kind, rights: Rights) {
        let object = self.new_object(kind, None);
        self.place(Cap { handle, kind, rights, alive: true, fixed: true, parent: None, object });
    }
    /// A new object that the account behind capability `payer` pays for.
    pub fn make(&mut self, handle: Handle, kind: Kind, payer: usize) {
        let object = self.new_object(kind, Some(self.caps[payer].object));
        let rights = kind.all_rights();
        self.place(Cap { handle, kind, rights, alive: true, fixed: false, parent: None, object });
    }
    /// A capability derived from `parent` with rights out of `mask`.
    pub fn derive(&mut self, handle: Handle, parent: usize, mask: Rights) {
        let Cap { kind, rights, object, .. } = self.caps[parent];
        let rights = rights & mask;
        self.place(Cap { handle, kind, rights, alive: true, fixed: false, parent: Some(parent), object });
    }
    /// It is given up; what was derived from it belongs to its parent.
    pub fn close(&mut self, cap: usize) {
        let parent = self.caps[cap].parent;
        for child in self.caps.iter_mut().filter(|child| child.alive && child.parent == Some(cap)) {
            child.parent = parent;
        }
        self.caps[cap].alive = false;
        self.forget_objects();
    }
    /// Everything derived from it goes.
    pub fn revoke(&mut self, cap: usize) {
        for at in 0..self.caps.len() {
            if self.caps[at].alive && self.is_below(at, cap) {
                self.caps[at].alive = false;
            }
        }
        self.forget_objects();
    }
    /// The account behind `cap` goes, with all that it paid for.
    pub fn destroy(&mut self, cap: usize) {
        let account = self.caps[cap].object;
        self.end_paid(account, None);
        self.objects[account].alive = false;
        self.bury();
    }
    /// The process behind `cap` is reset: all that its account paid for goes, but itself.
    pub fn reset(&mut self, cap: usize) {
        let process = self.caps[cap].object;
        if let Some(account) = self.objects[process].payer {
            self.end_paid(account, Some(process));
        }
        self.bury();
    }

    fn is_below(&self, mut at: usize, ancestor: usize) -> bool {
        while let Some(parent) = self.caps[at].parent {
            if parent == ancestor {
                return true;
            }
            at = parent;
        }
        false
    }

    fn end_paid(&mut self, account: usize, spared: Option<usize>) {
        for at in 0..self.objects.len() {
            let object = self.objects[at];
            if object.alive && object.payer == Some(account) && Some(at) != spared {
                self.objects[at].alive = false;
                if object.kind == Kind::Account {
                    self.end_paid(at, None);
                }
            }
        }
    }

    /// Capabilities to objects that are gone are gone.
    fn bury(&mut self) {
        for cap in &mut self.caps {
            cap.alive &= self.objects[cap.object].alive;
        }
        self.forget_objects();
    }

    /// An object that no living capability names is out of sight; an account still pays for what is in sight.
    fn forget_objects(&mut self) {
        for at in 0..self.objects.len() {
            let object = self.objects[at];
            if object.alive
                && object.kind != Kind::Account
                && !self.caps.iter().any(|cap| cap.alive && cap.object == at)
            {
                self.objects[at].alive = false;
            }
        }
    }

    fn new_object(&mut self, kind: Kind, payer: Option<usize>) -> usize {
        let object = Object { kind, payer, alive: true };
        let free = (0..self.objects.len()).find(|at| {
            let unnamed = |cap: &Cap| cap.object != *at;
            !self.objects[*at].alive
                && self.caps.iter().all(unnamed)
                && self.objects.iter().all(|other| !other.alive || other.payer != Some(*at))
        });
        match free {
            Some(at) => self.objects[at] = object,
            None => self.objects.push(object),
        }
        free.unwrap_or(self.objects.len() - 1)
    }

    /// Into the place of a dead one, of which some are kept so that stale handles are tried.
    fn place(&mut self, new: Cap) {
        const KEPT: usize = 24;
        let dead = self.caps.iter().filter(|cap| !cap.alive).count();
        let oldest = self.caps.iter().position(|cap| !cap.alive && cap.handle.index() == new.handle.index());
        let oldest = oldest.or_else(|| self.caps.iter().position(|cap| !cap.alive).filter(|_| dead > KEPT));
        match oldest {
            Some(at) => self.caps[at] = new,
            None => self.caps.push(new),
        }
    }
}
