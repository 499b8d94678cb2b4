//! From the capabilities that the supervisor hands over to a device that works.
//!
//! The order matters: the device is reset before anything else is touched, so that it no longer uses the memory that a
//! predecessor gave it; only then is that memory mapped and used again.

use crate::{
    Driver, INTERRUPT, attachment,
    disk::{BLOCK, Disk},
    hal,
    mapped::Mapped,
    ring::Ring,
};
use alloc::{format, string::String};
use block::{
    config::{BUS_MASTER, Config, ConfigError, MEMORY_SPACE, NO_WIRE, Place},
    msix,
    registers::{Registers, Window},
    schedule::Schedule,
    transport::{COMMON_SIZE, Features, Pci},
};
use libipc::{Queue, Startup, SysError, log, proto::block::BlockInfo};
use virtio_drivers::transport::Transport;

/// The device has accepted the features that the driver wants (virtio 1.2, section 2.1).
const FEATURES_OK: u8 = 8;

/// The device's registers.
struct Device {
    config: Config<Mapped>,
    bars: [Option<Mapped>; 6],
}

impl Device {
    fn open(startup: &Startup<'static>) -> Result<Device, String> {
        let config = startup.memory("mmio:config").map_err(|missing| format!("{missing}"))?;
        let config = Mapped::map(config).map_err(refused("map the device's configuration"))?;
        let bar = |number: usize| {
            let memory = startup.memory(&format!("mmio:bar{number}")).ok()?;
            Mapped::map(memory).ok()
        };
        Ok(Device { config: Config(config), bars: core::array::from_fn(bar) })
    }

    fn window(&self, place: Place, what: &'static str) -> Result<Window<Mapped>, ConfigError> {
        self.config.address(place.bar)?;
        let bar = self.bars.get(usize::from(place.bar)).and_then(Option::as_ref);
        let bar = bar.ok_or(ConfigError::NoMemory(place.bar))?;
        Window::new(bar.clone(), place.offset, place.length).ok_or(ConfigError::Outside(what))
    }

    /// The device, reset.
    fn reset(&self) -> Result<Pci<Window<Mapped>>, ConfigError> {
        self.config.check()?;
        self.config.command(MEMORY_SPACE | NO_WIRE, 0);
        let structures = self.config.structures()?;
        let common = self.window(structures.common, "common configuration")?;
        if common.size() < COMMON_SIZE {
            return Err(ConfigError::Outside("common configuration"));
        }
        let notify = self.window(structures.notify, "notification area")?;
        let device = self.window(structures.device, "device configuration")?;
        let mut transport = Pci::new(common, notify, device, structures.notify_step);
        match transport.reset() {
            true => Ok(transport),
            false => Err(ConfigError::Refused("does not reset")),
        }
    }

    fn route(&self, address: u64, data: u32) -> Result<(), ConfigError> {
        let at = self.config.structures()?.msix;
        let table = self.window(msix::table(&self.config, at), "interrupt table")?;
        msix::program(&self.config, at, &table, address, data)?;
        self.config.command(BUS_MASTER, 0);
        Ok(())
    }
}

fn refused(what: &'static str) -> impl Fn(SysError) -> String {
    move |error| format!("cannot {what}: {error}")
}

fn number(startup: &Startup<'static>, name: &str) -> Result<u64, String> {
    let text = startup.env(name).and_then(|text| text.strip_prefix("0x"));
    let value = text.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    value.ok_or_else(|| format!("was not told a hexadecimal '{name}'"))
}

/// Brings the device up.
pub fn open(startup: &Startup<'static>) -> Result<(Driver, Queue), String> {
    let unusable = |error: ConfigError| format!("cannot use the device: {error}");
    let missing = |missing| format!("{missing}; system.toml or the supervisor must give it");
    let queue = startup.queue("queue:block").map_err(missing)?;
    let device = Device::open(startup)?;
    let mut transport = device.reset().map_err(unusable)?;
    let dma = startup.memory("dma").map_err(missing)?;
    hal::open(dma).map_err(|error| format!("cannot use its DMA memory: {error}"))?;
    let (address, data) = (number(startup, "msi_address")?, number(startup, "msi_data")?);
    device.route(address, data as u32).map_err(unusable)?;
    let (info, ring, flushes) = start(&mut transport).map_err(unusable)?;
    let irq = startup.irq("irq").map_err(missing)?;
    let event = startup.account().map_err(missing)?.create_event().map_err(refused("make an event"))?;
    event.event().bind(queue, INTERRUPT).map_err(refused("bind its event"))?;
    irq.bind(event.event(), 1).map_err(refused("bind its interrupt"))?;
    let recalled = attachment::recall().filter(|(found, _)| hal::attach(found.memory()).is_ok());
    let epoch = recalled.as_ref().map(|(_, epoch)| *epoch);
    let disk = Disk::new(transport, ring, recalled.map(|(found, _)| found), flushes);
    let schedule = Schedule::new(info.blocks, info.read_only, epoch);
    Ok((Driver { info, schedule, disk, irq, _event: event }, queue))
}

/// Negotiates features and makes the queue known.
fn start(transport: &mut Pci<Window<Mapped>>) -> Result<(BlockInfo, Ring, bool), ConfigError> {
    let features = transport.begin_init(Features::all());
    if !features.contains(Features::VERSION_1) || transport.status() & FEATURES_OK == 0 {
        return Err(ConfigError::Refused("does not accept virtio 1.0"));
    }
    let flushes = features.contains(Features::FLUSH);
    if !flushes {
        // By virtio 1.2, section 5.2.6.2, such a device has written what it says is done.
        log!(Warning, "the device has no cache to flush: it writes through");
    }
    let [low, high] = [0, 4].map(|at| transport.read_config_space::<u32>(at));
    let (Ok(low), Ok(high)) = (low, high) else { return Err(ConfigError::Outside("capacity")) };
    let blocks = u64::from(high) << 32 | u64::from(low);
    if !transport.route_interrupt() {
        return Err(ConfigError::Refused("has no interrupt for its queue"));
    }
    let ring = Ring::new(transport).map_err(|_| ConfigError::Refused("does not take a queue of 64 requests"))?;
    transport.finish_init();
    let read_only = features.contains(Features::READ_ONLY);
    Ok((BlockInfo { blocks, block_size: BLOCK as u32, read_only }, ring, flushes))
}
