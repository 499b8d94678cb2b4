//! Boots a Tessera system in QEMU and drives it: the public test library.
//!
//! A test of a server boots a system, does something to it, and looks:
//!
//! ```no_run
//! use harness::{Result, System};
//!
//! #[test]
//! fn a_killed_filesystem_is_not_noticed() -> Result<()> {
//!     let mut system = System::builder().memory(64).boot()?;
//!     system.run("echo hello > /tmp/x")?.success()?;
//!     system.run("svc kill fs")?.success()?;
//!     assert_eq!(system.run("cat /tmp/x")?.success()?.text(), "hello\n");
//!     system.poweroff()
//! }
//! ```
//!
//! For one command there is [`Builder::exec`], which gives its output byte for byte, with the two streams apart:
//!
//! ```no_run
//! # fn main() -> harness::Result<()> {
//! let output = harness::System::builder().exec("cat /nope")?;
//! assert_eq!((output.status, output.error_text().as_str()), (1, "cat: /nope: no such file\n"));
//! # Ok(())
//! # }
//! ```
//!
//! Files go in and out through [`Disk`], before the boot and after the end:
//!
//! ```no_run
//! # fn main() -> harness::Result<()> {
//! let disk = harness::Disk::scratch(64 << 20)?;
//! disk.write("/home/data", b"abc")?;
//! harness::System::builder().disk(&disk).exec("cp /home/data /home/copy")?.success()?;
//! assert_eq!(disk.read("/home/copy")?, b"abc");
//! disk.assert_sound()?;
//! # Ok(())
//! # }
//! ```
//!
//! Tests of the whole system stand in `tools/harness/tests/`; `cargo xtask test NAME` runs those whose names contain
//! NAME. `TESSERA_QEMU` names another QEMU, `TESSERA_IMAGES` a directory with images that are not to be built again.
#![forbid(unsafe_code)]

pub mod archive;
pub mod bench;
pub mod build;
pub mod description;
pub mod diagnostic;
pub mod disk;
pub mod elf;
pub mod frames;
pub mod fuzz;
pub mod gdb;
pub mod graph;
pub mod iso;
pub mod latency;
pub mod line;
pub mod machine;
pub mod monitor;
pub mod qemu;
pub mod storm;
pub mod sweep;
pub mod system;
pub mod toolchain;
pub mod trace;
pub mod workspace;

pub use anyhow::{Error, Result};
pub use build::Images;
pub use disk::Disk;
pub use machine::Failure;
pub use system::{Builder, Output, System};
