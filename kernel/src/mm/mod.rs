//! Physical memory: who owns which frame, and the only ways to its bytes.
//!
//! Invariants:
//! 1. Every managed frame has one [`FrameKind`]; a frame is reachable only by the operations of its kind. Those on plain
//!    bytes and page tables check the kind; objects and capability slots are reached through the [`window`], where the
//!    processor does. So no stale name can make the bytes of one thing appear as another.
//! 2. A frame leaves the free pool zeroed unless its taker overwrites all of it.
//! 3. References into frames live no longer than the borrow of the [`Mm`] or [`Pool`] that gave them.
//!
//! This module and `arch` are the only ones of the kernel with `unsafe` code.
#![allow(unsafe_code)]

mod direct;
mod frames;
mod numbers;
mod pool;
mod ring;
mod slots;
mod space;
mod walks;
mod window;

pub use direct::{DIRECT_MAP, DirectMap};
pub use frames::{Frame, FrameKind, Mm, Run};
pub use numbers::Numbers;
pub use pool::{Object, Pool, Ref, SlabList};
pub use ring::Ring;
pub use slots::{SLOTS_PER_PAGE, SlotRef, Slots};
pub use space::{Protection, Space, StaleEntry};
pub use walks::Walks;
