//! The shell's own logic, apart from the system that it runs on: language, words, patterns, jobs, line editor.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod builtin;
pub mod complete;
pub mod editor;
pub mod environment;
pub mod fault;
pub mod glob;
pub mod history;
pub mod job;
pub mod keys;
pub mod path;
pub mod session;
pub mod shell;
pub mod syntax;
pub mod system;
pub mod word;
