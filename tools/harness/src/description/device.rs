//! Devices: what a service asks for of the hardware, and that nobody else has it.

use super::{
    Check,
    raw::{self, text},
};
use crate::diagnostic::Problem;
use manifest::{Device, PciId};
use std::{collections::BTreeMap, ops::Range};
use toml::Spanned;

/// A device with its place in the file.
type Placed = (Device, Range<usize>);

impl Check<'_> {
    /// The devices of every service.
    pub fn devices<'r>(&mut self, raw: &'r raw::System) -> BTreeMap<&'r str, Vec<Device>> {
        let mut services: Vec<_> = raw.service.iter().collect();
        services.sort_by_key(|(name, _)| name.span().start);
        let mut taken: Vec<(&str, Placed)> = Vec::new();
        let mut all = BTreeMap::new();
        for (name, service) in services {
            let placed = service.devices.iter().filter_map(|raw| Some((self.device(raw)?, raw.span())));
            let devices: Vec<Placed> = placed.collect();
            self.names_of_devices(&devices);
            for (device, at) in &devices {
                for (owner, (earlier, _)) in &taken {
                    if let Some(what) = shared(device, earlier) {
                        self.problem(at.clone(), format!("{what} belongs to `{owner}` already"));
                    }
                }
            }
            if let Some(dma) = service.dma.as_ref().filter(|_| !devices.iter().any(|(device, _)| is_pci(device))) {
                let problem = Problem::new(dma.span(), format!("`{}` has no device that could reach it", text(name)));
                self.problems.push(problem.help("`dma` is memory for a PCI device; give it one, or leave `dma` out"));
            }
            taken.extend(devices.iter().map(|placed| (text(name), placed.clone())));
            all.insert(text(name), devices.into_iter().map(|(device, _)| device).collect());
        }
        all
    }

    /// A service finds its ports, its PCI function and its interrupt under one name each.
    fn names_of_devices(&mut self, devices: &[Placed]) {
        let rules: [Rule; 3] = [("range of ports", is_ports), ("PCI function", is_pci), ("interrupt", has_irq)];
        for (what, is) in rules {
            if let Some((_, at)) = devices.iter().filter(|(device, _)| is(device)).nth(1) {
                let problem = Problem::new(at.clone(), format!("a service has one {what} at most"));
                self.problems.push(problem.help("make a service of its own for each"));
                return;
            }
        }
    }

    fn device(&mut self, raw: &Spanned<raw::Device>) -> Option<Device> {
        let irq = raw.as_ref().irq.as_ref().and_then(|irq| match u8::try_from(irq.as_ref().0) {
            Ok(line @ 0..=15) => Some(line),
            _ => self.wrong(irq.span(), format!("an ISA interrupt line is 0 to 15, not {}", irq.as_ref().0), None),
        });
        match raw.as_ref() {
            raw::Device { uart: Some(port), ports: None, irq: None, pci: None } => self.uart(port),
            raw::Device { uart: None, ports: Some(range), pci: None, .. } => self.ports(range, irq),
            raw::Device { uart: None, ports: None, irq: None, pci: Some(ids) } => Some(self.pci(ids)),
            _ => {
                let problem = Problem::new(raw.span(), "a device is one of three kinds");
                let kinds = "{ uart = \"com1\" }, { ports = \"0x60-0x64\", irq = 1 } or { pci = \"1af4:1042\" }";
                self.problems.push(problem.help(kinds));
                None
            }
        }
    }

    fn uart(&mut self, name: &raw::Text) -> Option<Device> {
        const PORTS: [(&str, u16, u8); 4] =
            [("com1", 0x3f8, 4), ("com2", 0x2f8, 3), ("com3", 0x3e8, 4), ("com4", 0x2e8, 3)];
        if let Some((_, first, irq)) = PORTS.iter().find(|(known, ..)| *known == text(name)) {
            return Some(Device::Ports { first: *first, count: 8, irq: Some(*irq) });
        }
        let problem = Problem::new(name.span(), format!("no serial port is named `{}`", text(name)));
        self.problems.push(problem.suggest(text(name), PORTS.map(|(known, ..)| known)));
        None
    }

    fn ports(&mut self, range: &raw::Text, irq: Option<u8>) -> Option<Device> {
        let (first, last) = text(range).split_once('-').unwrap_or((text(range), text(range)));
        match (hex(first), hex(last)) {
            (Some(first), Some(last)) if first <= last && last - first < u16::MAX => {
                Some(Device::Ports { first, count: last - first + 1, irq })
            }
            _ => self.wrong(range.span(), "ports are a range such as \"0x3f8-0x3ff\"", None),
        }
    }

    fn pci(&mut self, raw: &Spanned<raw::OneOrMore>) -> Device {
        let texts = match raw.as_ref() {
            raw::OneOrMore::One(text) => std::slice::from_ref(text),
            raw::OneOrMore::More(texts) => texts,
        };
        let id = |text: &String| {
            let (vendor, device) = text.split_once(':')?;
            Some(PciId { vendor: hex(vendor)?, device: hex(device)? })
        };
        let ids: Vec<PciId> = texts.iter().filter_map(id).collect();
        if ids.len() != texts.len() || ids.is_empty() {
            self.problem(raw.span(), "a PCI id is written \"1af4:1042\", vendor and device in hexadecimal");
        }
        Device::Pci { ids }
    }
}

/// What a service has one of at most, and which devices are such.
type Rule = (&'static str, fn(&Device) -> bool);

fn is_ports(device: &Device) -> bool {
    matches!(device, Device::Ports { .. })
}

fn has_irq(device: &Device) -> bool {
    is_pci(device) || matches!(device, Device::Ports { irq: Some(_), .. })
}

fn is_pci(device: &Device) -> bool {
    matches!(device, Device::Pci { .. })
}

/// What two devices both are. PCI functions with one id may be several: each service gets another.
fn shared(a: &Device, b: &Device) -> Option<String> {
    let (Device::Ports { first, count, irq }, Device::Ports { first: other, count: others, irq: line }) = (a, b) else {
        return None;
    };
    let end = |first: &u16, count: &u16| u32::from(*first) + u32::from(*count);
    if u32::from(*first) < end(other, others) && u32::from(*other) < end(first, count) {
        return Some(format!("the range of ports {first:#x}-{:#x}", end(first, count) - 1));
    }
    irq.filter(|_| irq == line).map(|line| format!("the interrupt line {line}"))
}

fn hex(text: &str) -> Option<u16> {
    let text = text.trim();
    u16::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}
