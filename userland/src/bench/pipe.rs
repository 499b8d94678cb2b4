//! Pipes, as the shell makes them between programs.

use alloc::vec;
use libipc::proto::pipe::PipeClient;
use libipc::{PAGE_SIZE, Queue, Rights, Stream};

use super::message::ROUNDS;
use super::{Bench, Figure, Outcome, PRIORITY, during};

/// A page goes through: the other part writes it, this program reads it.
pub fn through(bench: &Bench) -> Outcome<Figure> {
    let maker = bench.pipes.ok_or("was not handed the maker of pipes; start it from a shell")?;
    let (input, output) = PipeClient::new(maker).create().map_err(during("make a pipe"))?;
    let _partner = bench.partner("feed", PRIORITY, &[("output", &output, Rights::SEND)])?;
    let mut stream = Stream::new(input);
    let mut page = vec![0; PAGE_SIZE as usize];
    let round = |_| {
        page[0] = 0;
        let read = stream.read_full(&mut page).map_err(during("read"))?;
        if read == page.len() && page[0] == 0x5a { Ok(()) } else { Err("not what was written".into()) }
    };
    Ok(bench.rounds(ROUNDS, round)?.figure())
}

/// The other part: writes pages for ever.
pub(super) fn feed(output: Queue) -> Outcome<()> {
    let mut stream = Stream::borrowed(output);
    let page = vec![0x5a; PAGE_SIZE as usize];
    loop {
        stream.write_all(&page).map_err(during("write"))?;
    }
}
