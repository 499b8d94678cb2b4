//! The system description: `servers/system.toml`, checked by the host tool and packed for init.
//!
//! Always true of a [`System`] that came out of [`System::unpack`] (the host tool refuses to pack any other):
//! 1. Services stand in start order: each one comes after every service whose queue it uses.
//! 2. Service names, queue names and persistent-memory names are unique; a service's binary is a member of the boot image.
//! 3. Every [`Use`] names a queue that some service (or init, [`INIT_QUEUE`]) provides.
//! 4. Fixed amounts together fit in [`System::memory_pages`]; percentages together are at most 100.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// The name under which the packed description travels in the boot image.
pub const MEMBER: &str = "manifest";
/// The queue that init itself provides: `svc`, heartbeats, power.
pub const INIT_QUEUE: &str = "init";
/// The service that is handed the programs' account and starts the shell.
pub const SESSION: &str = "session";
/// Bytes in a page: the unit of every amount of memory here.
pub const PAGE_SIZE: u64 = 4096;

/// Most pages of a service's DMA memory: what the kernel makes in one piece.
pub const MAX_DMA_PAGES: u32 = 128;

/// Leads every packed description; the last byte is the version of this crate's types.
const MAGIC: [u8; 8] = *b"tessera\x02";

/// A whole system: what init starts, with which capabilities, and what is left for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// The smallest machine, in pages, that this description is made for.
    pub memory_pages: u64,
    /// The services in start order.
    pub services: Vec<Service>,
    /// What the user's programs get.
    pub programs: Programs,
}

/// One service: a process that init starts and keeps alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, for `svc` and the log.
    pub name: String,
    /// The member of the boot image that it runs.
    pub binary: String,
    /// Scheduling priority, 0 (lowest) to 31.
    pub priority: u8,
    /// The quota of its account.
    pub memory: Amount,
    /// Pages of its first thread's stack.
    pub stack_pages: u32,
    /// Hardware that it is handed.
    pub devices: Vec<Device>,
    /// Pages of DMA memory; they outlive an incarnation, so that running DMA never hits reused memory.
    pub dma_pages: u32,
    /// Queues that it serves. They belong to init; the service gets the receive right.
    pub provides: Vec<Queue>,
    /// Queues of others that it is handed.
    pub uses: Vec<Use>,
    /// What happens when it dies.
    pub restart: Restart,
    /// Memory that survives its restarts.
    pub persistent: Vec<Persistent>,
    /// It is taken for hung when it has not answered for this long; `None` switches the watch off.
    pub heartbeat_ms: Option<u32>,
}

/// A queue that a service provides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its name, unique in the system.
    pub name: String,
    /// Places in the ring of posted messages.
    pub ring: u32,
}

/// A capability to somebody's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The queue's name.
    pub queue: String,
    /// What may be done with it.
    pub rights: Rights,
}

/// Rights on a used queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// Call and post.
    pub send: bool,
    /// Derive capabilities with badges of one's own.
    pub mint: bool,
}

/// A piece of hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// A range of I/O ports, with an interrupt line where it has one.
    Ports {
        /// The lowest port.
        first: u16,
        /// How many ports.
        count: u16,
        /// The ISA interrupt line.
        irq: Option<u8>,
    },
    /// The first PCI function that matches one of these ids, with its configuration space, BARs and MSI-X vectors.
    Pci {
        /// Acceptable (vendor, device) pairs.
        ids: Vec<PciId>,
    },
}

/// A PCI vendor and device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciId {
    /// Who made it.
    pub vendor: u16,
    /// What it is.
    pub device: u16,
}

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amount {
    /// So many pages.
    Pages(u64),
    /// So many hundredths of what is free at boot once every fixed amount is set aside.
    Percent(u8),
    /// The same, but no more than so many pages.
    PercentUpTo(u8, u64),
}

impl Amount {
    /// The amount in pages, where `free_pages` are left once every fixed amount is set aside.
    pub fn pages(self, free_pages: u64) -> u64 {
        match self {
            Amount::Pages(pages) => pages,
            Amount::Percent(percent) => {
                free_pages / 100 * u64::from(percent) + free_pages % 100 * u64::from(percent) / 100
            }
            Amount::PercentUpTo(percent, most) => Amount::Percent(percent).pages(free_pages).min(most),
        }
    }

    /// The fixed part: 0 for a share.
    pub fn fixed_pages(self) -> u64 {
        self.pages(0)
    }
}

/// Memory that survives the restarts of its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistent {
    /// Its name, unique in the service.
    pub name: String,
    /// Its size.
    pub size: Amount,
    /// Devices may reach it: that of the service, or of a service to which it hands it on.
    pub dma: bool,
}

/// What init does when a service dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// A call to one of its queues that it has died at this many times is answered `ServerDied`.
    pub max_attempts: u8,
    /// The pause before the second restart in a row; it doubles from there. The first restart is immediate.
    pub backoff_ms: u32,
    /// The longest pause.
    pub backoff_max_ms: u32,
}

impl Default for Restart {
    fn default() -> Self {
        Restart { max_attempts: 3, backoff_ms: 10, backoff_max_ms: 1000 }
    }
}

/// The user's programs: the shell and all that it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    /// The quota of their common account.
    pub memory: Amount,
    /// Pages of a program's stack.
    pub stack_pages: u32,
    /// Scheduling priority.
    pub priority: u8,
    /// Queues that the first shell is handed; it hands on what it chooses.
    pub uses: Vec<Use>,
}

/// Why a packed description was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadManifest {
    /// It does not begin as one made by this version of the host tool does.
    Version,
    /// It begins well and then does not decode.
    Damaged,
}

impl fmt::Display for BadManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadManifest::Version => {
                "the packed system description was made for another version; rebuild the boot image"
            }
            BadManifest::Damaged => "the packed system description is damaged; rebuild the boot image",
        })
    }
}

impl core::error::Error for BadManifest {}

impl System {
    /// The bytes that travel in the boot image.
    pub fn pack(&self) -> Vec<u8> {
        postcard::to_extend(self, MAGIC.to_vec()).expect("a vector takes all that is written to it")
    }

    /// Reads the bytes made by [`System::pack`]. Never panics, whatever the bytes; padding after the end is ignored.
    pub fn unpack(bytes: &[u8]) -> Result<System, BadManifest> {
        let body = bytes.strip_prefix(&MAGIC).ok_or(BadManifest::Version)?;
        let (system, _padding) = postcard::take_from_bytes(body).map_err(|_| BadManifest::Damaged)?;
        Ok(system)
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The service that provides this queue; `None` for init's own and for unknown names.
    pub fn provider(&self, queue: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.provides.iter().any(|provided| provided.name == queue))
    }

    /// Every amount in the system: quotas, persistent and DMA memory.
    fn amounts(&self) -> impl Iterator<Item = Amount> + '_ {
        let of_service = |service: &Service| {
            let kept: Vec<Amount> = service.persistent.iter().map(|memory| memory.size).collect();
            kept.into_iter().chain([service.memory, Amount::Pages(service.dma_pages.into())])
        };
        self.services.iter().flat_map(of_service).chain([self.programs.memory])
    }

    /// Pages set aside whatever the size of the machine; percentages are of what remains.
    pub fn fixed_pages(&self) -> u64 {
        self.amounts().map(Amount::fixed_pages).fold(0, u64::saturating_add)
    }

    /// The sum of all percentages.
    pub fn percent_total(&self) -> u32 {
        let percent = |amount| match amount {
            Amount::Pages(_) => 0,
            Amount::Percent(percent) | Amount::PercentUpTo(percent, _) => percent.into(),
        };
        self.amounts().map(percent).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    fn sample() -> System {
        let uses = vec![Use { queue: "block".to_string(), rights: Rights { send: true, mint: false } }];
        System {
            memory_pages: 8192,
            services: vec![Service {
                name: "fs".to_string(),
                binary: "fs".to_string(),
                priority: 20,
                memory: Amount::Pages(512),
                stack_pages: 16,
                devices: vec![
                    Device::Ports { first: 0x3f8, count: 8, irq: Some(4) },
                    Device::Pci { ids: vec![PciId { vendor: 0x1af4, device: 0x1042 }] },
                ],
                dma_pages: 16,
                provides: vec![Queue { name: "fs".to_string(), ring: 32 }],
                uses: uses.clone(),
                restart: Restart::default(),
                persistent: vec![Persistent { name: "cache".to_string(), size: Amount::Percent(10), dma: true }],
                heartbeat_ms: Some(2000),
            }],
            programs: Programs { memory: Amount::Percent(80), stack_pages: 32, priority: 8, uses },
        }
    }

    #[test]
    fn a_packed_system_comes_back_as_it_was() {
        let mut packed = sample().pack();
        assert_eq!(System::unpack(&packed), Ok(sample()));
        packed.resize(packed.len() + 4096, 0);
        assert_eq!(System::unpack(&packed), Ok(sample()), "padding up to a page does no harm");
    }

    #[test]
    fn every_truncation_is_refused_without_a_panic() {
        let packed = sample().pack();
        for length in 0..packed.len() {
            assert!(System::unpack(&packed[..length]).is_err(), "the first {length} bytes were accepted");
        }
    }

    #[test]
    fn flipping_any_byte_never_panics() {
        let packed = sample().pack();
        for at in 0..packed.len() {
            let mut bad = packed.clone();
            bad[at] ^= 0xff;
            let _ = System::unpack(&bad);
        }
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        let mut packed = sample().pack();
        packed[7] += 1;
        assert_eq!(System::unpack(&packed), Err(BadManifest::Version));
    }

    #[test]
    fn percentages_are_of_what_fixed_amounts_leave() {
        assert_eq!(sample().fixed_pages(), 528);
        assert_eq!(sample().percent_total(), 90);
        assert_eq!(Amount::Percent(10).pages(1999), 199);
        assert_eq!([1999, 5000].map(|free| Amount::PercentUpTo(10, 300).pages(free)), [199, 300]);
        assert_eq!(Amount::Percent(100).pages(u64::MAX), u64::MAX);
        assert_eq!(Amount::Pages(7).pages(1_000_000), 7);
    }

    #[test]
    fn a_queue_leads_to_its_provider() {
        assert_eq!(sample().provider("fs").map(|service| service.name.as_str()), Some("fs"));
        assert_eq!(sample().provider(INIT_QUEUE), None);
    }
}
