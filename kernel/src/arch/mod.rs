//! What depends on the processor. One directory a processor.

pub mod x86_64;
