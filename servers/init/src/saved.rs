//! What the supervisor cannot learn from the kernel: which of its capabilities is what, and what it has decided.
//!
//! 1. It is whole or not there: encoded and decoded as one, and committed as one by [`crate::lasting`].
//! 2. It names capabilities by their handles in init's own table, or in that of the service that was handed them.

use abi::Handle;
use alloc::{string::String, vec::Vec};
use libipc::OwnedHandle;
use serde::{Deserialize, Serialize};

/// A handle as it is saved.
pub type Raw = u64;

/// The handle of something that init keeps.
pub fn raw(handle: &OwnedHandle) -> Raw {
    handle.handle().raw()
}

/// The owner of a handle that was saved.
pub fn owned(raw: Raw) -> OwnedHandle {
    OwnedHandle::new(Handle::from_raw(raw))
}

/// A service's unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedUnit {
    /// Its account.
    pub account: Raw,
    /// Its process.
    pub process: Raw,
    /// The event of its end.
    pub end: Raw,
    /// What it was handed: name, and handle in its own table.
    pub names: Vec<(String, Raw)>,
    /// Texts that it is started with.
    pub environment: Vec<(String, String)>,
    /// How often it was started.
    pub starts: u64,
    /// When it was started last.
    pub started: u64,
    /// Why it cannot run on this machine.
    pub lacks: Option<String>,
}

/// What was decided about a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedEntry {
    /// What it is doing.
    pub state: SavedState,
    /// How often it was started again.
    pub restarts: u64,
    /// How it died last.
    pub last: Option<String>,
    /// When it died of itself, within the last minute.
    pub recent: Vec<u64>,
    /// Failures in a row.
    pub row: u32,
    /// Start of its life, for the policy.
    pub started: u64,
}

/// See [`crate::table::State`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as the states of the table")]
pub enum SavedState {
    Waiting(u64),
    Running,
    Stopping,
    Held(String),
}

/// An image that is not in the boot archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedImage {
    /// Its memory.
    pub memory: Raw,
    /// Its bytes.
    pub length: u64,
}

/// An image on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedTrial {
    /// Number of the service.
    pub at: u32,
    /// What ran before.
    pub old: Option<SavedImage>,
    /// When it must have answered.
    pub deadline: u64,
    /// The call that asked for it.
    pub id: u64,
}

/// The devices that were handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedDevices {
    /// Number of the service; bus, device and function.
    pub taken: Vec<(u32, [u8; 3])>,
    /// Capabilities that init keeps.
    pub kept: Vec<Raw>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The queue that init receives from.
    pub queue: Raw,
    /// Init's queue and those of the services, in the order in which they were made.
    pub queues: Vec<Raw>,
    /// The services' lasting memory.
    pub memories: Vec<Raw>,
    /// The services.
    pub units: Vec<Option<SavedUnit>>,
    /// What was decided about them.
    pub table: Vec<SavedEntry>,
    /// Nothing is started any more.
    pub stopped: bool,
    /// The devices.
    pub devices: SavedDevices,
    /// The account of the session's programs.
    pub programs: Option<Raw>,
    /// Its pages.
    pub programs_pages: u64,
    /// Whether the log goes to the terminal as well.
    pub echo: bool,
    /// The machine goes down: restart or not, and when at the latest.
    pub leaving: Option<(bool, u64)>,
    /// Calls that wait for a service to be started again.
    pub waiting: Vec<(u32, u64)>,
    /// The services' images, where they are not those of the boot archive.
    pub images: Vec<Option<SavedImage>>,
    /// Images on trial.
    pub trials: Vec<SavedTrial>,
}

impl Saved {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in it can be refused by the encoder; no bytes are no state.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// What the bytes say.
    pub fn decode(bytes: &[u8]) -> Option<Saved> {
        postcard::from_bytes(bytes).ok()
    }

    /// Whether it is about a system of so many services with so many queues, init's own among them.
    pub fn fits(&self, services: usize, queues: usize) -> bool {
        self.units.len() == services
            && self.table.len() == services
            && self.images.len() == services
            && self.queues.len() == queues
    }

    /// Every capability in init's table that it names.
    pub fn handles(&self) -> Vec<Raw> {
        let units = self.units.iter().flatten().flat_map(|unit| [unit.account, unit.process, unit.end]);
        let lists = self.queues.iter().chain(&self.memories).chain(&self.devices.kept).chain(&self.programs);
        let images = self.images.iter().flatten().chain(self.trials.iter().flat_map(|trial| &trial.old));
        let images = images.map(|image| image.memory);
        units.chain(lists.copied()).chain(images).chain([self.queue]).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec;

    pub(crate) fn sample() -> Saved {
        let unit = SavedUnit {
            account: 11,
            process: 12,
            end: 13,
            names: vec![("self".into(), 1), ("queue:fs".into(), 2)],
            environment: vec![("exec".into(), "echo ä".into())],
            starts: 3,
            started: 99,
            lacks: None,
        };
        let entry = SavedEntry {
            state: SavedState::Held("page fault".into()),
            restarts: 7,
            last: Some("killed".into()),
            recent: vec![1, 2],
            row: 2,
            started: 98,
        };
        Saved {
            queue: 6,
            queues: vec![7, 8],
            memories: vec![14],
            units: vec![Some(unit), None],
            table: vec![entry.clone(), entry],
            stopped: false,
            devices: SavedDevices { taken: vec![(1, [0, 3, 0])], kept: vec![15, 16] },
            programs: Some(17),
            programs_pages: 1000,
            echo: true,
            leaving: Some((true, 5)),
            waiting: vec![(0, 77)],
            images: vec![None, Some(SavedImage { memory: 18, length: 5 })],
            trials: vec![SavedTrial { at: 1, old: Some(SavedImage { memory: 19, length: 6 }), deadline: 7, id: 8 }],
        }
    }

    #[test]
    fn what_is_saved_comes_back_and_names_every_capability() {
        let saved = sample();
        assert_eq!(Saved::decode(&saved.encode()).as_ref(), Some(&saved));
        let mut handles = saved.handles();
        handles.sort_unstable();
        assert_eq!(handles, [6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
        assert!(saved.fits(2, 2) && !saved.fits(3, 2) && !saved.fits(2, 1));
    }

    #[test]
    fn bytes_that_are_cut_off_anywhere_are_no_state() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert_eq!(Saved::decode(&bytes[..length]), None, "{length} bytes");
        }
    }
}
