//! Computes with floating point: a table of square roots, sines and logarithms. For tests.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(0, 0), run);

/// The area under 4 / (1 + x * x) from 0 to 1 by the midpoint rule: pi. Long enough to be preempted on the way.
fn pi(steps: u32) -> f64 {
    let width = 1.0 / f64::from(steps);
    let height = |step: u32| {
        let x = (f64::from(step) + 0.5) * width;
        4.0 / (1.0 + x * x)
    };
    (0..steps).map(height).sum::<f64>() * width
}

fn run(program: &mut Program, _: &Given<'_>) -> Result<(), Stop> {
    program.say(&format!("pi {:.9}\n", pi(2_000_000)))?;
    for n in 0..=4u8 {
        let x = f64::from(n);
        let (root, sine, log) = (libm::sqrt(x), libm::sin(x), libm::log(x + 1.0));
        program.say(&format!("{x:.1} sqrt {root:.6} sin {sine:.6} log(x+1) {log:.6}\n"))?;
    }
    Ok(())
}
