//! Boots a Tessera system in QEMU and drives it: the public test library.
#![forbid(unsafe_code)]
pub mod archive;
pub mod description;
pub mod diagnostic;
pub mod elf;
pub mod toolchain;
pub mod workspace;
