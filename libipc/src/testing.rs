//! The host's stand-in for the kernel, so that servers and clients run under plain `cargo test`.

pub(crate) mod trap;
