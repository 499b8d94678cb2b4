//! The graph of a running system: every process with its capabilities, and which of them came from which.

use super::{Arrow, Box, Graph, Kind, Place, Row};
use userland::holdings::{Holding, Holdings, SUPERVISOR, slot};

/// Draws what processes hold. `noted`: the kernel has noted what was used.
pub fn running(holdings: &Holdings, noted: bool) -> Graph {
    let names = holdings.names();
    let mut graph = Graph { title: "Capabilities of the running system".into(), ..Graph::default() };
    let mut places: Vec<(u64, u64, Place)> = Vec::new();
    for (of, holder) in holdings.holders.iter().enumerate() {
        let mut rows = Vec::new();
        for held in holdings.held.iter().filter(|held| held.process == holder.number) {
            places.push((held.process, held.handle, Place { of, row: Some(rows.len()) }));
            rows.push(row(holdings, held, noted));
        }
        let own = holdings
            .held
            .iter()
            .find(|held| held.kind() == Some(libipc::Kind::Process) && held.object == holder.number);
        let payer = own.map_or(0, |own| own.payer);
        let note = match payer {
            0 => format!("process {}", holder.number),
            payer => format!("process {}, paid by the account of {}", holder.number, names.account(payer)),
        };
        graph.boxes.push(Box { title: holder.name.clone(), note, kind: kind(holdings, holder.number), rows });
    }
    let place = |process: u64, handle: u64| {
        let found = places.iter().find(|(holder, known, _)| (*holder, *known) == (process, handle));
        found.map(|(.., place)| *place)
    };
    for held in holdings.held.iter().filter(|held| held.parent_process != 0) {
        let ends = place(held.parent_process, held.parent).zip(place(held.process, held.handle));
        graph.arrows.extend(ends.map(|(from, to)| Arrow { from, to, label: String::new() }));
    }
    graph
}

/// Services are handed names by the supervisor; programs get theirs from their parents.
fn kind(holdings: &Holdings, process: u64) -> Kind {
    let named = holdings.held.iter().any(|held| held.process == process && !held.name.is_empty());
    match (process == SUPERVISOR, named) {
        (true, _) => Kind::Supervisor,
        (false, true) => Kind::Service,
        (false, false) => Kind::Program,
    }
}

fn row(holdings: &Holdings, held: &Holding, noted: bool) -> Row {
    let names = holdings.names();
    let kind = held.kind().map_or("?", libipc::Kind::text);
    let object = holdings.object(held, &names);
    let about = if object == "-" { kind.to_owned() } else { format!("{kind} {object}") };
    let mut detail = held.rights().to_string();
    if held.badge != 0 {
        detail += &format!(" · badge {:#x}", held.badge);
    }
    if held.payer != 0 {
        detail += &format!(" · paid by {}", names.account(held.payer));
    }
    let name = if held.name.is_empty() { String::new() } else { format!("{}: ", held.name) };
    let unused = if noted { held.unused() } else { libipc::Rights::empty() };
    Row {
        name: format!("{} {name}{about}", slot(held.handle)),
        detail,
        unused: if unused.is_empty() { String::new() } else { unused.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "process 1 init\nprocess 4 fs\nprocess 9 sh\n\
        capability 1 4294967297 2 1 0 0 0 0 0 1 0 0 100 self\n\
        capability 1 4294967303 5 3 7 1 0 0 0 0 0 0 100 queue:block\n\
        capability 4 4294967305 5 3 5 1 32 0 0 1 1 4294967303 100 block\n\
        capability 9 4294967306 5 3 1 0 32 0 0 0 4 4294967305 100 \n";

    #[test]
    fn processes_rows_and_derivations_are_those_that_were_told() {
        let holdings = Holdings::parse(TOLD).expect("well formed");
        let graph = running(&holdings, true);
        let titles: Vec<&str> = graph.boxes.iter().map(|found| found.title.as_str()).collect();
        assert_eq!(titles, ["init", "fs", "sh"]);
        assert_eq!(graph.boxes[1].rows[0].name, "9 block: queue block");
        assert_eq!(graph.boxes[1].rows[0].detail, "send,mint · badge 0x20 · paid by init");
        assert_eq!((graph.boxes[1].rows[0].unused.as_str(), graph.boxes[2].rows[0].unused.as_str()), ("mint", "send"));
        let ends: Vec<(usize, usize)> = graph.arrows.iter().map(|arrow| (arrow.from.of, arrow.to.of)).collect();
        assert_eq!(ends, [(0, 1), (1, 2)]);
        assert!(running(&holdings, false).boxes[1].rows[0].unused.is_empty(), "what is not known is not said");
    }
}
