//! A disk in memory that outlives its users and remembers what was done to it.

use std::cell::RefCell;
use std::rc::Rc;

use super::fuse;
use crate::{BLOCK, Disk, DiskError};

/// Something done to the disk.
#[derive(Clone)]
pub enum Event {
    Write(u64, Vec<u8>),
    Flush,
}

#[derive(Default)]
pub struct State {
    pub data: Vec<u8>,
    pub log: Vec<Event>,
    pub recording: bool,
    pub reads: u64,
    pub writes: u64,
    /// Every use of the disk from now on fails.
    pub broken: bool,
}

/// A disk that can be opened again after its user is gone.
#[derive(Clone)]
pub struct SharedDisk(pub Rc<RefCell<State>>);

impl SharedDisk {
    pub fn new(data: Vec<u8>) -> Self {
        Self(Rc::new(RefCell::new(State { data, ..State::default() })))
    }

    pub fn data(&self) -> Vec<u8> {
        self.0.borrow().data.clone()
    }
}

impl Disk for SharedDisk {
    fn read_blocks(&mut self, first: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        let mut state = self.0.borrow_mut();
        state.reads += 1;
        let at = first as usize * BLOCK;
        buf.copy_from_slice(state.data.get(at..at + buf.len()).filter(|_| !state.broken).ok_or(DiskError)?);
        Ok(())
    }

    fn write_blocks(&mut self, first: u64, buf: &[u8]) -> Result<(), DiskError> {
        let got = fuse::burn(buf);
        {
            let mut state = self.0.borrow_mut();
            state.writes += 1;
            let at = first as usize * BLOCK;
            if state.broken || at + buf.len() > state.data.len() {
                return Err(DiskError);
            }
            state.data[at..at + got.len()].copy_from_slice(got);
            if state.recording {
                for (i, block) in buf.chunks(BLOCK).enumerate() {
                    state.log.push(Event::Write(first + i as u64, block.to_vec()));
                }
            }
        }
        fuse::die_if_burnt();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        fuse::burn::<u8>(&[]);
        fuse::die_if_burnt();
        let mut state = self.0.borrow_mut();
        if state.recording {
            state.log.push(Event::Flush);
        }
        if state.broken { Err(DiskError) } else { Ok(()) }
    }
}
