//! The shell's own logic, apart from the system that it runs on: language, words, patterns, line editor.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod editor;
pub mod glob;
pub mod history;
pub mod keys;
pub mod syntax;
pub mod word;
