//! What runs before `main` and after its end: the entry point, the heap, the panic handler. Guest only.

mod heap;
mod panic;
mod start;
