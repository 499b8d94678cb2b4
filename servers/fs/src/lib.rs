//! The filesystem server: ext4 behind a persistent block cache.
//!
//! It runs and is tested on any host. From bottom to top:
//!
//! | module | is |
//! |---|---|
//! | [`disk`] | the disk that is used |
//! | [`memory`], [`region`] | the persistent memory: its words, its layout, and the flip by which it changes |
//! | [`record`] | which messages have taken effect, and what was answered |
//! | [`cache`], [`index`] | the block cache in that memory: stage, commit, abort, evict |
//! | [`journal`] | the on-disk journal, through which the cache becomes safe from power cuts |
//! | [`superblock`], `alloc_map`, `inode`, `extent`, `dir`, `names` | ext4 |
//! | [`store`] | the operations |
//! | [`badge`], [`server`], [`remote`] | the protocols in which clients ask for them, and the disk behind the block server |
//!
//! Supported images: ext4 with 4 KiB blocks, a journal inside, `extent` and `filetype`, with or without `64bit`, `flex_bg`,
//! `metadata_csum`, `metadata_csum_seed`, `huge_file`, `dir_index`; what `mke2fs -t ext4 -b 4096` makes. Others are refused.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod alloc_map;
pub mod badge;
pub mod bytes;
pub mod cache;
pub mod crc;
mod dir;
pub mod disk;
pub mod error;
mod extent;
pub mod index;
mod inode;
pub mod journal;
pub mod memory;
mod names;
pub mod record;
pub mod region;
pub mod remote;
pub mod server;
pub mod store;
pub mod superblock;
#[cfg(test)]
mod tests;

pub use disk::{BLOCK, Disk, DiskError};
pub use error::{Error, Result};
pub use record::Message;
pub use store::{Entry, FileId, FileStore, Fs, Kind, Sink, Source, Space, Stat};
