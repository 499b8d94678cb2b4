//! Fills a disk that speaks the block protocol with a pattern, through leases and through attached memory, and reads it
//! back by both ways. It is the client that any disk has: nothing in it knows of the RAM disk.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{format, vec, vec::Vec};
use libipc::proto::block::BlockClient;
use libipc::{Mapping, OwnedHandle, Rights};
use userland::{Accepts, Given, Program, Stop, units};

userland::program!(
    Accepts::operands(1, 2).about("info | fill SEED | check SEED", "try a disk in memory by the block protocol"),
    run
);

/// Blocks that are moved at once.
const STEP: u64 = 64;

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let disk = BlockClient::new(program.service("ramdisk")?);
    let info = disk.info().map_err(Stop::service)?;
    let (size, steps) = (info.block_size as usize, info.blocks / STEP);
    match given.operands[..] {
        ["info"] => program.say(&format!("{} blocks of {size} bytes\n", info.blocks)),
        ["fill", seed] => {
            let mut window = Window::attach(program, disk, STEP as usize * size)?;
            for step in 0..steps {
                let data = pattern(number(seed)?, step, STEP as usize * size);
                window.put(&data).map_err(Stop::service)?;
                let written = match step % 2 {
                    0 => disk.write(step * STEP, STEP, &data),
                    _ => disk.write_from(window.epoch, step * STEP, STEP, 0),
                };
                written.map_err(Stop::service)?;
            }
            disk.flush().map_err(Stop::service)
        }
        ["check", seed] => {
            let window = Window::attach(program, disk, STEP as usize * size)?;
            for step in 0..steps {
                let mut data = vec![0; STEP as usize * size];
                // The other way round than it was written.
                let read = match step % 2 {
                    0 => disk.read_into(window.epoch, step * STEP, STEP, 0),
                    _ => disk.read(step * STEP, STEP, &mut data),
                };
                read.map_err(Stop::service)?;
                if step % 2 == 0 {
                    window.get(&mut data).map_err(Stop::service)?;
                }
                if data != pattern(number(seed)?, step, data.len()) {
                    return Err(Stop::Failed(format!("blocks {} to {} are wrong", step * STEP, (step + 1) * STEP - 1)));
                }
            }
            program.say(&format!("{} blocks are right\n", steps * STEP))
        }
        _ => Err(Stop::usage("say what is to be done".into())),
    }
}

fn number(text: &str) -> Result<u64, Stop> {
    units::parse_count(text).ok_or_else(|| Stop::usage("SEED is a number".into()))
}

/// Bytes that differ from place to place.
fn pattern(seed: u64, step: u64, length: usize) -> Vec<u8> {
    let word = |place: u64| (seed << 40 ^ step << 20 ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..length as u64 / 8).flat_map(word).collect()
}

/// Memory that is attached to the disk.
struct Window {
    _memory: OwnedHandle,
    mapping: Mapping,
    epoch: u64,
}

impl Window {
    fn attach(program: &Program, disk: BlockClient, bytes: usize) -> Result<Window, Stop> {
        let pages = (bytes as u64).div_ceil(libipc::PAGE_SIZE);
        let memory = program.account()?.create_memory(pages).map_err(Stop::service)?;
        let mut mapping = memory.memory().map(true).map_err(Stop::service)?;
        // Every page must be there before somebody else writes to it.
        mapping.write(0, &vec![0; bytes]).map_err(Stop::service)?;
        let epoch = libipc::sys::clock();
        let rights = Rights::READ | Rights::WRITE | Rights::MAP | Rights::DMA;
        disk.attach(memory.memory().grant(rights), epoch).map_err(Stop::service)?;
        Ok(Window { _memory: memory, mapping, epoch })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), libipc::SysError> {
        self.mapping.write(0, bytes)
    }

    fn get(&self, bytes: &mut [u8]) -> Result<(), libipc::SysError> {
        self.mapping.read(0, bytes)
    }
}
