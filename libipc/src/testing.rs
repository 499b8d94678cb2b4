//! The host's stand-in for the kernel, so that servers and clients run under plain `cargo test`, are killed at any
//! system call, and restarted as the supervisor would.
//!
//! A [`System`] has processes with capability tables; each [`TestProcess`] runs code on threads of the host, with the
//! same generated code, payloads, capabilities and leases as on the machine. What it leaves out: memory objects,
//! accounts, processes made by programs, priorities, interrupts; those calls are refused with `BadSyscall`.
//!
//! ```
//! use libipc::{Rights, sys, testing::System};
//! let system = System::new();
//! let (server, client) = (system.process("server"), system.process("client"));
//! let queue = system.queue(0);
//! let receive = server.grant(queue, Rights::RECEIVE, 0);
//! let send = client.grant(queue, Rights::SEND, 7);
//! server.run(move || {
//!     let call = sys::recv(receive, None).unwrap();
//!     assert_eq!(call.badge, 7);
//!     sys::reply(call.id, call.message).unwrap();
//! });
//! client.enter(|| assert_eq!(sys::call(send, Default::default()).unwrap().words, [0; 8]));
//! ```
//!
//! Most tests of a server need no more than [`kill_everywhere`]: a server, a client, and every death in between.
//!
//! Invariants:
//! 1. All of a system's state is behind one lock; a thread that waits has released it.
//! 2. A killed process has no further effect: its calls, also those of its destructors, are refused.
//! 3. Memory of another thread is touched only as its lease allows, while that thread waits for the reply.

mod everywhere;
mod ipc;
mod objects;
mod state;
mod system;
#[allow(unsafe_code)]
pub(crate) mod trap;

pub use everywhere::{Deaths, World, kill_everywhere, kill_everywhere_twice};
pub use objects::{Death, Moment, ObjectId};
pub use system::{Persistent, System, TestProcess, crash};
