//! Boots a Tessera system in QEMU and drives it: the public test library.
#![forbid(unsafe_code)]
pub mod archive;
pub mod build;
pub mod description;
pub mod diagnostic;
pub mod disk;
pub mod elf;
pub mod frames;
pub mod toolchain;
pub mod workspace;
