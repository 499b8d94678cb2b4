//! The Tessera kernel's object logic: everything of the kernel that does not depend on the processor.
#![cfg_attr(not(test), no_std)]

pub mod machine;
