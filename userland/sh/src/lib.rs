//! The shell's own logic, apart from the system that it runs on: language, words, patterns, line editor.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod glob;
pub mod syntax;
pub mod word;
