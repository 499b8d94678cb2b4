//! What of the hardware each service is handed.
//!
//! 1. A device is handed to one service only.
//! 2. A PCI function may access memory only while its driver's process is being started or runs: it is silenced when
//!    the driver has died, before anything of it is used again.

use crate::{
    acpi::AcpiError,
    hardware::{self, Buses},
    pci::{self, Address, Function},
    saved::{self, SavedDevices},
    unit::{Doing, StartError, Unit},
};
use abi::Rights;
use alloc::{format, string::String, vec::Vec};
use libipc::{Account, Machine, OwnedHandle};
use manifest::{Device, PciId, Service};

/// All devices of the system that belong to services.
pub struct Devices {
    machine: Machine,
    account: Account,
    rsdp: u64,
    /// Looked for when the first service asks for one.
    buses: Option<(Buses, Vec<Function>)>,
    /// Functions that were handed out, with the number of their service.
    taken: Vec<(usize, Address)>,
    /// Capabilities that were handed out; init keeps its own, so that they live on.
    kept: Vec<OwnedHandle>,
}

/// Why a service does not get its device.
pub enum DeviceError {
    /// The machine's tables do not tell where its PCI functions are.
    Acpi(AcpiError),
    /// There is no such function, or each has a service already.
    Missing(Vec<PciId>),
    /// The kernel refused.
    Start(StartError),
}

impl From<StartError> for DeviceError {
    fn from(error: StartError) -> Self {
        DeviceError::Start(error)
    }
}

impl core::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            DeviceError::Acpi(error) => write!(f, "its PCI device cannot be found: {error} (QEMU: use -M q35)"),
            DeviceError::Missing(ids) => {
                f.write_str("the machine has none of its PCI devices")?;
                ids.iter().try_for_each(|id| write!(f, " {:04x}:{:04x}", id.vendor, id.device))
            }
            DeviceError::Start(error) => write!(f, "{error}"),
        }
    }
}

impl Devices {
    /// None handed out yet.
    pub fn new(machine: Machine, account: Account, rsdp: u64) -> Devices {
        Devices { machine, account, rsdp, buses: None, taken: Vec::new(), kept: Vec::new() }
    }

    /// What is saved.
    pub fn save(&self) -> SavedDevices {
        let place = |(at, a): &(usize, Address)| (*at as u32, [a.bus, a.device, a.function]);
        SavedDevices { taken: self.taken.iter().map(place).collect(), kept: self.kept.iter().map(saved::raw).collect() }
    }

    /// What was handed out by an earlier incarnation.
    pub fn restore(&mut self, saved: SavedDevices) {
        let place = |(at, [bus, device, function]): (u32, [u8; 3])| (at as usize, Address { bus, device, function });
        self.taken = saved.taken.into_iter().map(place).collect();
        self.kept = saved.kept.into_iter().map(saved::owned).collect();
    }

    /// No function of the machine accesses memory any more: nobody knows which of them has a driver.
    pub fn silence_all(&mut self) {
        let Ok((buses, functions)) = self.buses() else { return };
        let functions = functions.clone();
        functions.iter().for_each(|function| pci::silence(buses, function.address));
    }

    /// Hands service number `at` everything that its description names.
    pub fn hand(&mut self, at: usize, service: &Service, unit: &mut Unit) -> Result<(), DeviceError> {
        for device in &service.devices {
            match device {
                Device::Ports { first, count, irq } => self.hand_ports(*first, *count, *irq, unit)?,
                Device::Pci { ids } => self.hand_function(at, ids, unit)?,
            }
        }
        if service.dma_pages > 0 {
            let memory = self.account.create_contiguous(service.dma_pages.into()).doing("make its DMA memory")?;
            let rights = Rights::READ | Rights::WRITE | Rights::MAP | Rights::DMA;
            unit.hand("dma", memory.handle(), rights, 0)?;
            self.kept.push(memory);
        }
        Ok(())
    }

    fn hand_ports(&mut self, first: u16, count: u16, irq: Option<u8>, unit: &mut Unit) -> Result<(), DeviceError> {
        let ports = self.machine.ports(self.account, first, count.into()).doing("make its I/O ports")?;
        unit.hand("ports", ports.handle(), Rights::USE, 0)?;
        unit.tell("ports", format!("{first:#x}"));
        self.kept.push(ports);
        if let Some(line) = irq {
            let irq = self.machine.line(self.account, line.into(), false).doing("make its interrupt")?;
            self.hand_irq(irq, unit)?;
        }
        Ok(())
    }

    fn hand_irq(&mut self, irq: OwnedHandle, unit: &mut Unit) -> Result<(), DeviceError> {
        unit.hand("irq", irq.handle(), Rights::USE, 0)?;
        self.kept.push(irq);
        Ok(())
    }

    fn hand_function(&mut self, at: usize, ids: &[PciId], unit: &mut Unit) -> Result<(), DeviceError> {
        let taken: Vec<Address> = self.taken.iter().map(|(_, address)| *address).collect();
        let (buses, functions) = self.buses()?;
        let wanted = |f: &&Function| ids.iter().any(|id| (id.vendor, id.device) == (f.vendor, f.device));
        let found = functions.iter().find(|function| wanted(function) && !taken.contains(&function.address));
        let function = *found.ok_or_else(|| DeviceError::Missing(ids.to_vec()))?;
        let bars = pci::measure(buses, function.address);
        let config = buses.config_page(function.address).doing("reach its configuration space")?;
        let memories = hardware::bar_memories(self.machine, self.account, &bars).doing("reach its registers")?;
        let (irq, msi) = self.machine.msi(self.account).doing("make its interrupt")?;
        let rights = Rights::READ | Rights::WRITE | Rights::MAP;
        unit.hand("mmio:config", config.handle(), rights, 0)?;
        for (index, memory) in &memories {
            unit.hand(&format!("mmio:bar{index}"), memory.handle(), rights, 0)?;
        }
        unit.tell("pci", format!("{}", function.address));
        unit.tell("msi_address", format!("{:#x}", msi.address));
        unit.tell("msi_data", format!("{:#x}", msi.data));
        self.hand_irq(irq, unit)?;
        self.kept.push(config);
        self.kept.extend(memories.into_iter().map(|(_, memory)| memory));
        self.taken.push((at, function.address));
        Ok(())
    }

    fn buses(&mut self) -> Result<&mut (Buses, Vec<Function>), DeviceError> {
        if self.buses.is_none() {
            let tables = hardware::tables(self.machine, self.account, self.rsdp);
            let ecam = tables.and_then(|mut tables| tables.ecam()).map_err(DeviceError::Acpi)?;
            let mut buses = Buses::new(self.machine, self.account, ecam);
            let functions = buses.functions();
            self.buses = Some((buses, functions));
        }
        self.buses.as_mut().ok_or(DeviceError::Acpi(AcpiError::NoRoot))
    }

    /// Before service `at` is started: its functions may access memory.
    pub fn wake(&mut self, at: usize) {
        self.each(at, pci::enable);
    }

    /// After service `at` has died: its functions access no memory any more.
    pub fn silence(&mut self, at: usize) {
        self.each(at, pci::silence);
    }

    fn each(&mut self, at: usize, act: impl Fn(&mut Buses, Address)) {
        let mine = |(service, address): &(usize, Address)| (*service == at).then_some(*address);
        let addresses: Vec<Address> = self.taken.iter().filter_map(mine).collect();
        if addresses.is_empty() {
            return;
        }
        // Found again by a new incarnation of the supervisor; where that fails the functions cannot be reached at all.
        let Ok((buses, _)) = self.buses() else { return };
        addresses.into_iter().for_each(|address| act(buses, address));
    }

    /// Text for people: what was found, for the log.
    pub fn found(&self) -> String {
        let count = self.buses.as_ref().map_or(0, |(_, functions)| functions.len());
        format!("{count} PCI functions, {} with a driver", self.taken.len())
    }
}
