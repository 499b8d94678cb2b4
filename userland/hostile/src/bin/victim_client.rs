//! The well-behaved client beside the attacks: asks, checks every answer, and keeps count.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use hostile::victim::{CLIENT, VictimClient};
use libipc::{Failure, Mapping, Startup, sys};

libipc::entry!(main);

/// Nanoseconds that an answer may take, on a slow machine that does other things too.
const PATIENCE: u64 = 5_000_000_000;

fn main(startup: Startup<'static>) -> Result<(), Failure> {
    let client = VictimClient::new(startup.queue("victim")?);
    let mut board = startup.memory("board")?.map(true)?;
    let pattern = alloc::vec![0x3c; 8192];
    let mut lent = [0u8; 512];
    for round in 1u64.. {
        let began = sys::clock();
        let byte = round as u8;
        lent.fill(byte);
        let answers = (client.add(round, 3 * round), client.sum(&lent), client.who().map(|(badge, _)| badge));
        let fine = answers == (Ok(4 * round), Ok(512 * u64::from(byte)), Ok(CLIENT))
            && pattern.iter().all(|byte| *byte == 0x3c)
            && lent.iter().all(|own| *own == byte)
            && sys::clock() - began < PATIENCE;
        if !fine {
            note(&mut board, 8, round)?;
        }
        note(&mut board, 0, round)?;
        sys::sleep_until(sys::clock() + 1_000_000);
    }
    Ok(())
}

/// Byte 0 of the board: the rounds; byte 8: the last one in which something was wrong.
fn note(board: &mut Mapping, at: usize, value: u64) -> Result<(), Failure> {
    Ok(board.write(at, &value.to_le_bytes())?)
}
