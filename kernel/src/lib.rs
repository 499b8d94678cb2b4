//! The Tessera kernel's object logic: everything of the kernel that does not depend on the processor.
#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]

pub mod machine;
pub mod mm;
