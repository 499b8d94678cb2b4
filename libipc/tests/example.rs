//! The example of the documentation, as a module: that it compiles is the test.

#[allow(dead_code, reason = "nothing runs it here")]
#[path = "../examples/counter.rs"]
mod counter;
