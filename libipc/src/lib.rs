//! The one crate that a Tessera program needs: system calls, protocols, the server loop, exactly-once records, the
//! runtime, streams, files and the spawning of programs.
//!
//! Invariants:
//! 1. `unsafe` stands only where a line here allows it: the system-call instruction, the message page, what is mapped,
//!    the time-stamp counter, ports, the processor's instructions for checksums, the lock, the runtime, and the stand-in kernel of the host.
//! 2. Nothing here panics on what another program sends: a malformed message is refused before a server's code sees it.
//! 3. Everything but `runtime` and the instruction itself also runs on the host, over [`testing`]'s stand-in kernel.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
extern crate self as libipc;
#[cfg(not(target_os = "none"))]
extern crate std;

pub use abi;
pub use abi::{Handle, Kind, MessageId, PAGE_SIZE, Rights, SysError};
/// Defines a protocol: one place gives the typed client, the server trait, its dispatch and the error type.
///
/// ```
/// libipc::protocol! {
///     /// Nine words are too many for a message, eight are not.
///     pub protocol Wide = 3001 version 1;
///     /// What it refuses.
///     error WideError {}
///     /// Eight words.
///     idempotent fn eight(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64) -> (u64, u64) = 1;
/// }
/// ```
///
/// What cannot be right does not compile. An operation that says neither `idempotent` nor `recorded`:
///
/// ```compile_fail
/// libipc::protocol! {
///     pub protocol Wide = 3001 version 1;
///     error WideError {}
///     fn eight(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64) -> (u64, u64) = 1;
/// }
/// ```
///
/// Arguments, or results, that need more words than a message has:
///
/// ```compile_fail
/// libipc::protocol! {
///     pub protocol Wide = 3001 version 1;
///     error WideError {}
///     idempotent fn nine(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64, i: u64) -> u64 = 1;
/// }
/// ```
///
/// ```compile_fail
/// libipc::protocol! {
///     pub protocol Wide = 3001 version 1;
///     error WideError {}
///     idempotent fn nine() -> (u64, u64, u64, u64, u64, u64, u64, u64, u64) = 1;
/// }
/// ```
///
/// A server of a protocol with a recorded operation that has no answer for calls that come again:
///
/// ```compile_fail
/// # use libipc::{Context, Reply};
/// libipc::protocol! {
///     pub protocol Once = 3002 version 1;
///     error OnceError {}
///     recorded fn once() = 1;
/// }
/// struct Server;
/// impl OnceServer for Server {
///     fn once(&mut self, _: &Context) -> Result<Reply<()>, OnceError> {
///         Ok(().into())
///     }
/// }
/// ```
pub use macros::protocol;

pub mod sys;
#[macro_use]
pub mod error;
pub mod answer;
pub mod context;
pub mod dir;
pub mod endpoint;
pub mod file;
pub mod lease;
#[allow(unsafe_code)]
pub mod lock;
pub mod log;
#[allow(unsafe_code)]
pub mod memory;
pub mod object;
pub mod owned;
#[allow(unsafe_code)]
pub mod page;
#[allow(unsafe_code)]
pub mod ports;
#[allow(unsafe_code)]
pub mod processor;
pub mod proto;
pub mod record;
#[allow(unsafe_code)]
pub mod registers;
pub mod server;
pub mod startup;
pub mod stream;
#[allow(unsafe_code)]
pub mod time;
pub mod wire;
#[macro_use]
pub mod print;
pub mod spawn;
pub mod termination;
#[macro_use]
pub mod entry;
#[cfg(target_os = "none")]
#[allow(unsafe_code)]
mod runtime;
#[cfg(not(target_os = "none"))]
pub mod testing;

pub use abi::CapDescriptor as Grant;
pub use context::{Context, Operation, Pending, Reply};
pub use dir::Dir;
pub use file::File;
pub use lease::{Lease, Lend, Read, Write};
pub use memory::Mapping;
pub use object::{Account, Event, IoPorts, Irq, Machine, Memory, Process, Queue, Thread};
pub use owned::OwnedHandle;
pub use server::{Service, serve};
pub use startup::Startup;
pub use stream::Stream;
pub use termination::{Failure, Termination};
pub use wire::Words;
