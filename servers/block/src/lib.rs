//! The block driver: virtio-blk over PCI.
//!
//! What decides lives in this library, which runs on the host as well; the program around it (`main.rs`) joins it to
//! the mapped device, to the virtqueue and to the message queue.
//!
//! | module | what it is |
//! |---|---|
//! | [`registers`] | a range of device registers |
//! | [`config`] | the PCI configuration page: capabilities, memory ranges, commands |
//! | [`msix`] | programming of the device's interrupt |
//! | [`transport`] | the virtio registers, as `virtio-drivers` wants them |
//! | [`pool`] | pages of DMA memory |
//! | [`segments`] | where attached memory lies for the device |
//! | [`schedule`] | which request goes to the device when, and the fence |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod config;
pub mod msix;
pub mod pool;
pub mod registers;
pub mod schedule;
pub mod segments;
pub mod transport;
