//! Queues: who provides them, who uses them, and that both exist.

use super::{
    Check,
    raw::{self, text},
};
use crate::diagnostic::Problem;
use manifest::{INIT_QUEUE, Queue, Rights, SESSION, Use};
use std::collections::BTreeMap;
use toml::Spanned;

/// Places in a ring, unless said otherwise.
const DEFAULT_RING: u32 = 32;

/// Every queue with its provider; init's own has none.
pub type Queues<'r> = BTreeMap<&'r str, Option<&'r raw::Text>>;

impl Check<'_> {
    /// The names of all queues.
    pub fn queue_names<'r>(&mut self, raw: &'r raw::System) -> Queues<'r> {
        let mut queues = BTreeMap::from([(INIT_QUEUE, None)]);
        for (service, body) in &raw.service {
            if text(service) == INIT_QUEUE {
                self.problem(service.span(), "`init` is the supervisor itself and is not described here");
            }
            for queue in &body.provides {
                let name = queue.as_ref().name.as_str();
                let message = match queues.insert(name, Some(service)) {
                    None => continue,
                    Some(None) => format!("the queue `{name}` is init's own"),
                    Some(Some(first)) => format!("the queue `{name}` is already provided by `{}`", text(first)),
                };
                self.problem(queue.span(), message);
            }
        }
        queues
    }

    /// Warns of queues that nobody uses. That of the session is used by init.
    pub fn unused_queues(&mut self, raw: &raw::System) {
        let of_services = raw.service.values().flat_map(|service| &service.uses);
        let used: Vec<&str> = of_services.chain(&raw.programs.uses).map(|used| used.as_ref().queue.as_str()).collect();
        for queue in raw.service.values().flat_map(|service| &service.provides) {
            let name = queue.as_ref().name.as_str();
            if name != SESSION && !used.contains(&name) {
                let problem = Problem::warning(queue.span(), format!("nobody uses the queue `{name}`"));
                let help = "name it under `uses` of a service or of [programs], or do not provide it";
                self.warnings.push(problem.help(help));
            }
        }
    }

    pub fn queue(&mut self, raw: &Spanned<raw::Queue>) -> Queue {
        let ring = raw.as_ref().ring.as_ref().map_or(DEFAULT_RING, |ring| match u32::try_from(ring.as_ref().0) {
            Ok(places @ 1..=1024) => places,
            _ => {
                let message = format!("a ring has 1 to 1024 places, not {}", ring.as_ref().0);
                self.wrong(ring.span(), message, DEFAULT_RING)
            }
        });
        Queue { name: raw.as_ref().name.clone(), ring }
    }

    pub fn uses(&mut self, raw: &[Spanned<raw::Use>], queues: &Queues<'_>) -> Vec<Use> {
        let mut uses: Vec<Use> = Vec::new();
        for used in raw {
            let raw::Use { queue, rights } = used.as_ref();
            let rights = rights.as_ref().map_or(Rights { send: true, mint: false }, |names| self.rights(names));
            if !queues.contains_key(queue.as_str()) {
                let problem = Problem::new(used.span(), format!("no service provides a queue named `{queue}`"));
                self.problems.push(problem.suggest(queue, queues.keys().copied()));
            }
            if uses.iter().any(|earlier| earlier.queue == *queue) {
                self.problem(used.span(), format!("the queue `{queue}` is listed twice"));
            }
            uses.push(Use { queue: queue.clone(), rights });
        }
        uses
    }

    fn rights(&mut self, names: &[raw::Text]) -> Rights {
        let mut rights = Rights { send: false, mint: false };
        for name in names {
            match text(name) {
                "send" => rights.send = true,
                "mint" => rights.mint = true,
                other => {
                    let problem = Problem::new(name.span(), format!("no right on a used queue is named `{other}`"));
                    self.problems.push(problem.suggest(other, ["send", "mint"]));
                }
            }
        }
        rights
    }

    /// Services in start order: depth first along `uses`. Services that call each other in a circle would wait for each
    /// other for ever.
    pub fn start_order<'r>(&mut self, raw: &'r raw::System) -> Vec<&'r raw::Text> {
        let mut order = Vec::new();
        let mut services: Vec<&raw::Text> = raw.service.keys().collect();
        services.sort_by_key(|name| name.span().start);
        for name in services {
            self.visit(raw, name, &mut Vec::new(), &mut order);
        }
        order
    }

    fn visit<'r>(
        &mut self,
        raw: &'r raw::System,
        name: &'r raw::Text,
        path: &mut Vec<&'r raw::Text>,
        order: &mut Vec<&'r raw::Text>,
    ) {
        if order.contains(&name) {
            return;
        }
        path.push(name);
        for used in &raw.service[name].uses {
            let queue = &used.as_ref().queue;
            let Some((provider, _)) = raw.service.iter().find(|(_, body)| provides(body, queue)) else { continue };
            match path.iter().position(|earlier| *earlier == provider) {
                None => self.visit(raw, provider, path, order),
                Some(from) => {
                    let chain: Vec<&str> = path[from..].iter().chain([&provider]).map(|name| text(name)).collect();
                    let message = format!("services wait for each other in a circle: {}", chain.join(" -> "));
                    self.problems
                        .push(Problem::new(used.span(), message).help("one of them must do without the other"));
                }
            }
        }
        path.pop();
        order.push(name);
    }
}

fn provides(service: &raw::Service, queue: &str) -> bool {
    service.provides.iter().any(|provided| provided.as_ref().name == queue)
}
