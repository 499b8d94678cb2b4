//! The protocols of the system, one file each. Numbers are given here once and never reused:
//!
//! | number | protocol | spoken by |
//! |---|---|---|
//! | 1 | [`stream`] | console sessions, pipe ends, open files |
//! | 2 | [`file`] | open files |
//! | 3 | [`directory`] | directories |
//! | 4 | [`block`] | the disk |
//! | 5 | [`console`] | the console |
//! | 6 | [`svc`] | the supervisor |
//! | 7 | [`log`] | the supervisor |
//! | 8 | [`pipe`] | the pipe server |
//!
//! Numbers from 1024 on are free for servers outside this repository.

pub mod block;
pub mod console;
pub mod directory;
pub mod file;
pub mod fs_error;
pub mod info;
pub mod log;
pub mod pipe;
pub mod stream;
pub mod svc;

pub use fs_error::FsError;
