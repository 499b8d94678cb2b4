//! The graph of a description: services, what they provide, and what they use.

use super::{Arrow, Box, Graph, Kind, Place, Row};
use manifest::{Amount, Device, INIT_QUEUE, PAGE_SIZE, Rights, Service, System, Use};

/// Draws a description.
pub fn described(system: &System, file: &str) -> Graph {
    let mut graph = Graph { title: format!("Capabilities in {file}"), ..Graph::default() };
    graph.boxes.push(supervisor());
    graph.boxes.extend(system.services.iter().map(service));
    graph.boxes.push(programs(system));
    for (n, service) in system.services.iter().enumerate() {
        add_uses(&mut graph, n + 1, &service.uses);
        add_devices(&mut graph, n + 1, service);
    }
    let last = system.services.len() + 1;
    add_uses(&mut graph, last, &system.programs.uses);
    graph
}

fn supervisor() -> Box {
    let row = Row { name: format!("queue:{INIT_QUEUE}"), detail: "logs, heartbeats, svc".into(), ..Row::default() };
    Box { title: INIT_QUEUE.into(), note: "the supervisor".into(), kind: Kind::Supervisor, rows: vec![row] }
}

fn service(service: &Service) -> Box {
    let mut rows: Vec<Row> = Vec::new();
    for queue in &service.provides {
        rows.push(Row {
            name: format!("queue:{}", queue.name),
            detail: format!("ring {}", queue.ring),
            ..Row::default()
        });
    }
    for memory in &service.persistent {
        let detail = format!("{}, survives restarts{}", amount(memory.size), if memory.dma { ", dma" } else { "" });
        rows.push(Row { name: format!("persistent:{}", memory.name), detail, ..Row::default() });
    }
    if service.dma_pages > 0 {
        rows.push(Row {
            name: "dma".into(),
            detail: amount(Amount::Pages(service.dma_pages.into())),
            ..Row::default()
        });
    }
    let note = format!("priority {}, memory {}", service.priority, amount(service.memory));
    Box { title: service.name.clone(), note, kind: Kind::Service, rows }
}

fn programs(system: &System) -> Box {
    let note = format!("priority {}, memory {}", system.programs.priority, amount(system.programs.memory));
    Box { title: "programs".into(), note, kind: Kind::Program, rows: Vec::new() }
}

/// A row for each queue that is used, and an arrow from where it is provided.
fn add_uses(graph: &mut Graph, user: usize, uses: &[Use]) {
    for used in uses {
        let name = format!("queue:{}", used.queue);
        let provided = graph.boxes.iter().enumerate().find_map(|(of, found)| {
            found.rows.iter().position(|row| row.name == name).map(|row| Place { of, row: Some(row) })
        });
        let rows = &mut graph.boxes[user].rows;
        rows.push(Row { name: used.queue.clone(), detail: rights(used.rights), ..Row::default() });
        let to = Place { of: user, row: Some(rows.len() - 1) };
        graph.arrows.extend(provided.map(|from| Arrow { from, to, label: String::new() }));
    }
}

fn add_devices(graph: &mut Graph, of: usize, service: &Service) {
    for device in &service.devices {
        let (title, note) = match device {
            Device::Ports { first, count, irq } => {
                let line = irq.map_or(String::new(), |line| format!("interrupt line {line}"));
                (format!("ports {first:#x}-{:#x}", u32::from(*first) + u32::from(*count) - 1), line)
            }
            Device::Pci { ids } => {
                let ids: Vec<String> = ids.iter().map(|id| format!("{:04x}:{:04x}", id.vendor, id.device)).collect();
                ("PCI function".to_owned(), ids.join(" or "))
            }
        };
        graph.boxes.push(Box { title, note, kind: Kind::Device, rows: Vec::new() });
        let from = Place { of: graph.boxes.len() - 1, row: None };
        graph.arrows.push(Arrow { from, to: Place { of, row: None }, label: String::new() });
    }
}

fn rights(rights: Rights) -> String {
    let names = [("send", rights.send), ("mint", rights.mint)];
    names.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}

fn amount(amount: Amount) -> String {
    match amount {
        Amount::Percent(percent) => format!("{percent}%"),
        Amount::PercentUpTo(percent, most) => {
            format!("{percent}% up to {}", userland::units::human(most.saturating_mul(PAGE_SIZE)))
        }
        Amount::Pages(pages) => userland::units::human(pages.saturating_mul(PAGE_SIZE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::check_description, workspace};

    #[test]
    fn every_use_has_an_arrow_from_its_provider() {
        let system = check_description().unwrap_or_else(|error| panic!("{error}"));
        let graph = described(&system, &workspace::shown(&workspace::system_toml()));
        let uses: usize = system.services.iter().map(|service| service.uses.len() + service.devices.len()).sum();
        assert_eq!(graph.arrows.len(), uses + system.programs.uses.len());
        let find = |title: &str| graph.boxes.iter().position(|found| found.title == title).expect("a box");
        let (block, fs) = (find("block"), find("fs"));
        assert!(graph.arrows.iter().any(|arrow| (arrow.from.of, arrow.to.of) == (block, fs)));
        let memory = system.services.iter().find(|service| service.name == "fs").map(|service| amount(service.memory));
        assert_eq!(graph.boxes[fs].note, format!("priority 20, memory {}", memory.expect("there is an fs")));
    }
}
