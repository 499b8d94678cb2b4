//! The pipe server: a rendezvous of writers and readers that survives its own death.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod badge;
#[cfg(test)]
mod model;
pub mod pipes;
pub mod record;
pub mod server;
