//! A second process that makes whatever system call its master asks for, so that an attack that needs two processes is
//! still written down in one place.
//!
//! The order is a message on the puppet's queue: operation, and eight words `rax rdi rsi r15 w0 w1 w2 w3`. The answer
//! has `rax rdi rsi r15 w0 w1 w2 w3` after the call, and for [`TAKE`] the handle of the capability that came along.

use crate::check::{Verdict, works};
use crate::{Given, raw};
use alloc::string::String;
use libipc::abi::{CapDescriptor, Delivery, LeaseDescriptor, Message, MessageId, Sysno, Tag};
use libipc::spawn::Child;
use libipc::sys::{self, Frame};
use libipc::{Handle, OwnedHandle, Process, Rights, SysError};

/// Make a system call.
const DO: u16 = 1;
/// Keep the capability.
const TAKE: u16 = 2;
/// Put a lease descriptor (words 0 to 3) into the message page.
const LEND: u16 = 3;
/// In the place of a token: the order's own.
pub const ORDER: u64 = u64::MAX;
/// In the place of an address: the puppet's buffer of a page.
pub const BUFFER: u64 = u64::MAX - 1;
/// Byte of the pattern in the buffer.
pub const PATTERN: u8 = 0xb5;

/// Registers of an order, with the first four words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Number and flags.
    pub rax: u64,
    /// See the table of registers.
    pub rdi: u64,
    /// See the table of registers.
    pub rsi: u64,
    /// See the table of registers.
    pub r15: u64,
    /// Words 0 to 3.
    pub words: [u64; 4],
}

impl Order {
    /// A call by name with a handle.
    pub fn new(number: Sysno, rdi: Handle) -> Order {
        Order { rax: number as u64, rdi: rdi.raw(), ..Order::default() }
    }
    fn message(self, operation: u16) -> Message {
        let Order { rax, rdi, rsi, r15, words: [a, b, c, d] } = self;
        Message { tag: Tag::new(0, operation), words: [rax, rdi, rsi, r15, a, b, c, d] }
    }
    fn of(words: [u64; 8]) -> Order {
        let [rax, rdi, rsi, r15, a, b, c, d] = words;
        Order { rax, rdi, rsi, r15, words: [a, b, c, d] }
    }
    /// What the kernel said.
    pub fn result(self) -> Result<Order, SysError> {
        SysError::check(self.rax).map(|()| self)
    }
}

/// A puppet of this program.
pub struct Puppet {
    /// Its process; the master may do anything to it.
    pub child: Child,
    queue: OwnedHandle,
}

impl Puppet {
    /// Starts one.
    pub fn start(given: &Given) -> Result<Puppet, String> {
        let queue = works("queue of a puppet", given.account.create_queue(8))?;
        let child = given.start("puppet", &[("orders", &queue, Rights::RECEIVE)])?;
        Ok(Puppet { child, queue })
    }
    /// Its process.
    pub fn process(&self) -> Process {
        self.child.process()
    }
    /// Has it make a system call, and waits for the result.
    pub fn order(&self, order: Order) -> Result<Order, SysError> {
        sys::call(self.queue.handle(), order.message(DO)).map(|reply| Order::of(reply.words))
    }
    /// The same for a call by name, and its result.
    pub fn request(&self, number: Sysno, rdi: Handle, rsi: u64, words: [u64; 4]) -> Result<Order, SysError> {
        self.order(Order { rsi, words, ..Order::new(number, rdi) })?.result()
    }
    /// Has it make a system call, and does not wait.
    pub fn begin(&self, order: Order) -> Result<(), SysError> {
        sys::post(self.queue.handle(), order.message(DO))
    }
    /// Lends it memory with the order: the descriptor as it is.
    pub fn order_with(&self, lease: LeaseDescriptor, order: Order) -> Result<Order, SysError> {
        let message = order.message(DO);
        raw::set_lease(0, lease);
        let frame = raw::call(
            Sysno::Call as u64,
            self.queue.handle().raw(),
            message.tag.with_leases(1).raw(),
            0,
            message.words,
        );
        SysError::check(frame.rax).map(|()| Order::of(frame.words))
    }
    /// Hands it a capability by message; returns its handle there.
    pub fn take(&self, cap: CapDescriptor) -> Result<Handle, SysError> {
        raw::set_cap(0, cap);
        let message = Order::default().message(TAKE);
        let reply = sys::call(self.queue.handle(), Message { tag: message.tag.with_caps(1), ..message })?;
        Ok(Handle::from_raw(reply.words[0]))
    }
    /// Has it put a lease into its message page, for its next call.
    pub fn lend(&self, index: u64, lease: LeaseDescriptor) -> Result<(), SysError> {
        let LeaseDescriptor { start, length, of, access, index: of_index } = lease;
        let order =
            Order { rax: start, rdi: length, rsi: of, r15: access.into(), words: [of_index.into(), index, 0, 0] };
        sys::call(self.queue.handle(), order.message(LEND)).map(drop)
    }
}

/// The puppet's part: obeys until its queue is gone.
pub fn play(given: &Given) -> Verdict {
    let orders = works("orders", given.startup.queue("orders"))?.handle();
    let memory = works("buffer", given.account.create_memory(1))?;
    let mut buffer = works("buffer", memory.memory().map(true))?;
    works("buffer", buffer.write(0, &[PATTERN; 4096]))?;
    loop {
        let received = match sys::recv(orders, sys::NEVER) {
            Ok(received) => received,
            Err(SysError::Closed) => return Ok(()),
            Err(error) => return Err(alloc::format!("puppet: {error:?}")),
        };
        let tag = received.message.tag;
        let answer = match tag.operation() {
            TAKE => [libipc::page::received_cap(0).raw(), 0, 0, 0, 0, 0, 0, 0],
            LEND => lend(received.message.words, buffer.address()),
            _ => obey(received.message.words, received.id, buffer.address()),
        };
        if tag.delivery() == Delivery::Call {
            // Refused only where the master is gone or has seen to it that the order is answered already.
            let _ = sys::reply(received.id, Message { tag: Tag::default(), words: answer });
        }
    }
}

fn lend(words: [u64; 8], buffer: u64) -> [u64; 8] {
    let [start, length, of, access, of_index, index, ..] = words;
    let start = if start == BUFFER { buffer } else { start };
    raw::set_lease(
        index as usize & 3,
        LeaseDescriptor { start, length, of, access: access as u32, index: of_index as u32 },
    );
    [0; 8]
}

fn obey(words: [u64; 8], id: MessageId, buffer: u64) -> [u64; 8] {
    let [rax, rdi, rsi, r15, w0, w1, w2, w3] = words.map(|word| if word == BUFFER { buffer } else { word });
    let r15 = if r15 == ORDER { id.raw() } else { r15 };
    raw::set_deadline(0);
    let Frame { rax, rdi, rsi, r15, words } = raw::call(rax, rdi, rsi, r15, [w0, w1, w2, w3, 0, 0, 0, 0]);
    [rax, rdi, rsi, r15, words[0], words[1], words[2], words[3]]
}
