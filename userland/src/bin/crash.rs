//! Fails in a chosen way, for tests: `stack` overflows the stack, `oom` asks for memory until it is refused, `touch`
//! uses more memory than there is, `panic` breaks an invariant, `exit N` ends with a status.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, vec::Vec};
use core::hint::black_box;
use userland::{Accepts, Given, Program, Stop};

userland::program!(Accepts::operands(1, 2), run);

const PIECE: usize = 64 << 10;

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    match given.operands[..] {
        ["stack"] => program.say(&format!("{}\n", deeper(1))),
        ["oom"] => Err(Stop::Failed(format!("out of memory after {} KiB", fill().len() * (PIECE >> 10)))),
        ["touch"] => program.say(&format!("{} pieces\n", touch())),
        ["panic"] => panic!("as was asked for"),
        ["exit", status] => Err(Stop::Status(status.parse().map_err(|_| Stop::usage("a status is a number".into()))?)),
        _ => Err(Stop::usage("KIND is stack, oom, touch, panic or exit N".into())),
    }
}

/// Never returns: each call needs another piece of stack.
fn deeper(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if depth == 0 {
        return 0;
    }
    deeper(black_box(depth + 1)) + room[(depth % 64) as usize]
}

/// Takes memory until there is no more.
fn fill() -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut piece: Vec<u8> = Vec::new();
        if pieces.try_reserve(1).is_err() || piece.try_reserve_exact(PIECE).is_err() {
            return pieces;
        }
        piece.resize(PIECE, 0xa5);
        pieces.push(black_box(piece));
    }
}

/// Takes memory that was never asked about, as a careless program does.
fn touch() -> usize {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    loop {
        pieces.push(black_box(alloc::vec![0x5a; PIECE]));
    }
}
