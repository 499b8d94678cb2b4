//! A capability that is given up when its owner is dropped.

use crate::object::*;
use crate::sys;
use abi::{CapDescriptor, Handle, Rights, SysError};

/// Owns the capability behind a handle. The typed wrappers (`queue()`, `memory()`, ...) borrow it by value: used after
/// the owner's drop, they are refused with `BadHandle`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct OwnedHandle(Handle);

impl OwnedHandle {
    /// Takes over the capability behind `handle`.
    #[inline]
    pub const fn new(handle: Handle) -> OwnedHandle {
        OwnedHandle(handle)
    }
    /// The handle, still owned by this.
    #[inline]
    pub const fn handle(&self) -> Handle {
        self.0
    }
    /// The handle, from now on nobody's.
    #[inline]
    pub fn leak(self) -> Handle {
        let handle = self.0;
        core::mem::forget(self);
        handle
    }
    /// Derives a capability with `rights`, and with `badge` where that is not 0.
    pub fn derive(&self, rights: Rights, badge: u64) -> Result<OwnedHandle, SysError> {
        sys::duplicate(self.0, rights, badge).map(OwnedHandle)
    }
    /// To be sent in a message: a copy with `rights`.
    pub fn grant(&self, rights: Rights) -> CapDescriptor {
        CapDescriptor::copy(self.0, rights)
    }
    /// Removes everything derived from it.
    pub fn revoke(&self) -> Result<(), SysError> {
        sys::revoke(self.0)
    }
}

impl Drop for OwnedHandle {
    fn drop(&mut self) {
        if !self.0.is_none() {
            // Refused only where the capability is gone already, which is what was wanted.
            let _ = sys::close(self.0);
        }
    }
}

macro_rules! views {
    ($($method:ident -> $type:ident),*) => {
        impl OwnedHandle { $(
            #[doc = concat!("As a [`", stringify!($type), "`].")]
            #[inline]
            pub const fn $method(&self) -> $type { $type::new(self.0) }
        )* }
    };
}
views!(account -> Account, process -> Process, thread -> Thread, memory -> Memory, queue -> Queue, event -> Event,
       irq -> Irq, ports -> IoPorts, machine -> Machine);
