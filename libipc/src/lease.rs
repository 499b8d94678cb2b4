//! Leases: a range of the caller's memory, lent to the receiver until the reply.
//!
//! Invariants:
//! 1. A client lends only what it has borrowed for longer than the call (or passes on what was lent to it).
//!    So leases are put into the message page last before the call, and taken out of it by `sys::call`.
//! 2. The length that a server sees is the caller's claim; the kernel checks it at every access.

use crate::{page, sys};
use abi::{LeaseAccess, LeaseDescriptor, MessageId, SysError};
use core::marker::PhantomData;

/// The receiver may read.
#[derive(Clone, Copy, Debug)]
pub struct Read;
/// The receiver may write.
#[derive(Clone, Copy, Debug)]
pub struct Write;

/// What a lease allows.
pub trait Access {
    /// As the kernel knows it.
    const ACCESS: LeaseAccess;
}
impl Access for Read {
    const ACCESS: LeaseAccess = LeaseAccess::READ;
}
impl Access for Write {
    const ACCESS: LeaseAccess = LeaseAccess::WRITE;
}

/// Memory that the caller of a pending call has lent. After the answer every access is refused.
#[derive(Debug)]
pub struct Lease<A> {
    id: MessageId,
    index: u32,
    start: u64,
    length: u64,
    access: PhantomData<A>,
}

impl<A> Clone for Lease<A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A> Copy for Lease<A> {}

impl<A> Lease<A> {
    /// Lease `index` of call `id`, of `length` bytes as its sender claims. For generated code.
    #[doc(hidden)]
    #[inline(always)]
    pub const fn new(id: MessageId, index: u32, length: u64) -> Lease<A> {
        Lease { id, index, start: 0, length, access: PhantomData }
    }
    /// Bytes.
    #[inline]
    pub const fn len(&self) -> u64 {
        self.length
    }
    /// Whether it has no bytes.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
    /// Its `length` bytes from `offset` on, both cut to what there is.
    pub const fn slice(&self, offset: u64, length: u64) -> Lease<A> {
        let offset = if offset < self.length { offset } else { self.length };
        let rest = self.length - offset;
        Lease { start: self.start + offset, length: if length < rest { length } else { rest }, ..*self }
    }
    #[inline]
    fn bound(&self, offset: u64, length: usize) -> Result<u64, SysError> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.length);
        end.map(|_| self.start + offset).ok_or(SysError::BadLease)
    }
}

impl Lease<Read> {
    /// Copies out of it, from byte `offset` on.
    #[inline]
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), SysError> {
        sys::lease_read(self.id, self.index, self.bound(offset, into.len())?, into)
    }
    /// Copies it to another call's lease, as far as both reach; returns the bytes copied.
    pub fn copy_to(&self, to: &Lease<Write>) -> Result<u64, SysError> {
        let length = self.length.min(to.length);
        sys::lease_copy((self.id, self.index, self.start), (to.id, to.index, to.start), length)?;
        Ok(length)
    }
}

impl Lease<Write> {
    /// Copies into it, to byte `offset` on.
    #[inline]
    pub fn write_at(&self, offset: u64, from: &[u8]) -> Result<(), SysError> {
        sys::lease_write(self.id, self.index, self.bound(offset, from.len())?, from)
    }
}

/// What can be lent in a call: borrowed bytes, or what was lent to the caller itself. Sealed.
pub trait Lend<A>: sealed::Sealed {
    /// Puts it into the message page as lease `index`; returns its length. For generated code.
    #[doc(hidden)]
    fn lend(&mut self, index: usize) -> u64;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for &[u8] {}
    impl Sealed for &mut [u8] {}
    impl<const N: usize> Sealed for &[u8; N] {}
    impl<const N: usize> Sealed for &mut [u8; N] {}
    impl Sealed for &alloc::vec::Vec<u8> {}
    impl Sealed for &mut alloc::vec::Vec<u8> {}
    impl<A> Sealed for super::Lease<A> {}
}

#[inline(always)]
fn own(index: usize, start: usize, length: usize, access: LeaseAccess) -> u64 {
    let lease = LeaseDescriptor { start: start as u64, length: length as u64, of: 0, access: access.bits(), index: 0 };
    page::set_lease(index, lease);
    length as u64
}

macro_rules! lend_slices {
    ($([$($generic:tt)*] $type:ty),*) => { $(
        impl<$($generic)*> Lend<Read> for &$type {
            #[inline(always)]
            fn lend(&mut self, index: usize) -> u64 {
                own(index, self.as_ptr().expose_provenance(), self.len(), LeaseAccess::READ)
            }
        }
        impl<$($generic)*> Lend<Write> for &mut $type {
            #[inline(always)]
            fn lend(&mut self, index: usize) -> u64 {
                own(index, self.as_mut_ptr().expose_provenance(), self.len(), LeaseAccess::WRITE)
            }
        }
    )* };
}
lend_slices!([] [u8], [const N: usize] [u8; N], [] alloc::vec::Vec<u8>);

impl<A: Access> Lend<A> for Lease<A> {
    #[inline(always)]
    fn lend(&mut self, index: usize) -> u64 {
        let access = A::ACCESS.bits();
        let Lease { id, start, length, .. } = *self;
        page::set_lease(index, LeaseDescriptor { start, length, of: id.raw(), access, index: self.index });
        length
    }
}
