//! From the kernel's four capabilities to a supervisor with every service ready to start.
//!
//! 1. Every queue is made before the first service is, so that a service can be handed the queues of those that start
//!    later, or again.
//! 2. A service is handed what its description names, its own process and account, and the log; nothing else.
//! 3. What belongs to one service and cannot be had holds that service, not the system.

use crate::{
    archive,
    cmdline::{self, Options},
    devices::Devices,
    hardware,
    lasting::Lasting,
    restart::Policy,
    successor,
    supervisor::{Provided, Supervisor},
    table::Table,
    unit::{Doing, Plan, StartError, Unit},
};
use abi::Rights;
use alloc::{format, string::String, vec::Vec};
use libipc::{
    Account, Machine, Mapping, Memory, OwnedHandle, Queue, Startup, SysError, proto::svc::Allowed, spawn::Image,
    startup,
};
use manifest::{Service, System, Use};

/// What everything is made from.
pub struct Boot {
    /// Pays for everything.
    pub account: Account,
    /// The authority over the hardware.
    pub machine: Machine,
    /// The boot archive.
    pub archive: Memory,
    /// Where in the archive each service's program lies: first byte and length.
    images: Vec<Option<(u64, u64)>>,
    /// The system description.
    pub system: System,
    /// What the command line asks for.
    pub options: Options,
    /// The devices.
    pub devices: Devices,
    /// The services' lasting memory, which lives as long as init has it.
    pub memories: Vec<OwnedHandle>,
}

impl Boot {
    /// The image of service `at`.
    pub fn image(&self, at: usize) -> Result<Image, String> {
        let (offset, length) =
            self.images.get(at).copied().flatten().ok_or("its program is not in the boot archive")?;
        Ok(Image::borrowed(self.archive, offset, length))
    }
}

/// Sets everything up, or finds it again. The error is for people: the system cannot run.
pub fn set_up(startup: &Startup<'_>) -> Result<Supervisor, String> {
    let missing = |name| move |_| format!("the kernel did not hand over '{name}'");
    let account = startup.account().map_err(missing("account"))?;
    let machine = startup.machine("machine").map_err(missing("machine"))?;
    let archive = startup.memory("archive").map_err(missing("archive"))?;
    let info = machine.info().map_err(|error| format!("cannot ask for the machine: {error}"))?;
    let line = info.cmdline.get(..info.cmdline_bytes as usize).and_then(|line| core::str::from_utf8(line).ok());
    let options = cmdline::parse(line.unwrap_or("")).map_err(|error| format!("{error}"))?;
    let mapping = archive.map(false).map_err(|error| format!("cannot map the boot archive: {error}"))?;
    let (system, images) = describe(&mapping, info.archive_bytes)?;
    let record = startup.memory("record").map_err(missing("record"))?;
    let record = record.map(true).map_err(|error| format!("cannot map its record: {error}"))?;
    let record = record.leak().ok_or("its record cannot be written")?;
    let (lasting, _) = Lasting::open(record).map_err(|error| format!("{error}"))?;
    let status = startup.process().map_err(missing("self"))?.status();
    let status = status.map_err(|error| format!("cannot ask for its own state: {error}"))?;
    let devices = Devices::new(machine, account, info.rsdp);
    let boot = Boot { account, machine, archive, images, system, options, devices, memories: Vec::new() };
    let queues = 1 + boot.system.services.iter().map(|service| service.provides.len()).sum::<usize>();
    let saved = lasting.state().filter(|saved| saved.fits(boot.system.services.len(), queues));
    successor::tidy(&boot, saved.as_ref(), info.rsdp)?;
    let kept = saved.is_some();
    let mut supervisor = match saved {
        Some(saved) => successor::restore(boot, saved, lasting),
        None => make_services(boot, lasting)?,
    };
    match hardware::power(machine, account, info.rsdp) {
        Ok(power) => supervisor.power = power,
        Err(error) => supervisor.log_own(&format!("{error}: software cannot switch this machine off")),
    }
    if kept {
        supervisor.take_over(&status);
        return Ok(supervisor);
    }
    if status.incarnation > 1 {
        let end = successor::last_end(&status);
        supervisor.log_own(&format!("its record was not there; all services start anew; the last incarnation {end}"));
    }
    let found = supervisor.boot.devices.found();
    supervisor.log_own(&format!("{} services; {found}", supervisor.boot.system.services.len()));
    supervisor.commit(None);
    Ok(supervisor)
}

/// Pages that init keeps for itself before anything is shared out: for its heap, with the logs of the services.
const OWN_PAGES: u64 = 96;

type Placed = Vec<Option<(u64, u64)>>;

/// The system description in the archive, and where in it each service's program lies.
fn describe(mapping: &Mapping, bytes: u64) -> Result<(System, Placed), String> {
    let all = mapping.bytes();
    let archive = all.get(..bytes as usize).unwrap_or(all);
    let packed = archive::find(archive, manifest::MEMBER);
    let packed = packed.ok_or("the boot archive holds no system description; build it with 'cargo xtask build'")?;
    let system = System::unpack(packed.content).map_err(|error| format!("{error}"))?;
    let place = |service: &Service| {
        let member = archive::find(archive, &service.binary)?;
        Some((member.offset as u64, member.content.len() as u64))
    };
    let images = system.services.iter().map(place).collect();
    Ok((system, images))
}

/// When a service comes back.
pub fn policy(service: &Service) -> Policy {
    Policy::from_ms(service.restart.backoff_ms, service.restart.backoff_max_ms)
}

/// What a service's unit is made of, where `left` pages are left for shares.
pub fn plan(service: &Service, left: u64) -> Plan<'_> {
    Plan {
        name: &service.name,
        pages: service.memory.pages(left),
        priority: service.priority,
        stack_pages: service.stack_pages.into(),
    }
}

fn make_services(mut boot: Boot, lasting: Lasting<'static>) -> Result<Supervisor, String> {
    let text = |error: SysError| format!("cannot make the services' queues: {error}");
    let queue = boot.account.create_queue(64).map_err(text)?;
    let own = queue.derive(Rights::SEND | Rights::RECEIVE | Rights::MINT, 0).map_err(text)?;
    let mut queues = alloc::vec![Provided { name: manifest::INIT_QUEUE.into(), queue: own, provider: None }];
    for (at, service) in boot.system.services.iter().enumerate() {
        for provided in &service.provides {
            let attempts = service.restart.max_attempts;
            let queue = boot.account.create_queue_for(provided.ring.into(), attempts).map_err(text)?;
            queues.push(Provided { name: provided.name.clone(), queue, provider: Some(at) });
        }
    }
    let mut table = Table::new(boot.system.services.iter().map(policy));
    let status = boot.account.status().map_err(text)?;
    let left = status.limit.saturating_sub(status.used).saturating_sub(boot.system.fixed_pages() + OWN_PAGES);
    let mut units = Vec::new();
    let mut problems = Vec::new();
    for at in 0..boot.system.services.len() {
        let service = boot.system.services[at].clone();
        let made = make_service(&mut boot, at, &service, &queues, queue.queue(), left);
        let (unit, problem) = match made {
            Ok(unit) => {
                let problem = unit.lacks().map(String::from);
                (Some(unit), problem)
            }
            Err(error) => (None, Some(format!("{error}"))),
        };
        if let Some(reason) = problem {
            problems.push(format!("{} is held: {reason}", service.name));
            table.hold(at, reason);
        }
        units.push(unit);
    }
    let programs_pages = boot.system.programs.memory.pages(left);
    let mut supervisor = Supervisor::new(boot, table, units, queues, queue, lasting);
    supervisor.programs_pages = programs_pages;
    for problem in problems {
        supervisor.log_own(&problem);
    }
    Ok(supervisor)
}

/// The service's unit; where a device is missing, it says that it lacks it.
fn make_service(
    boot: &mut Boot,
    at: usize,
    service: &Service,
    queues: &[Provided],
    own: Queue,
    left: u64,
) -> Result<Unit, StartError> {
    let mut unit = Unit::make(boot.account, &plan(service, left), own, at as u64)?;
    unit.hand("log", own.handle(), Rights::SEND, Allowed::LOG.badge(at as u32))?;
    for provided in queues.iter().filter(|provided| provided.provider == Some(at)) {
        // SEND, so that capabilities that it mints can have it.
        let rights = Rights::RECEIVE | Rights::MINT | Rights::SEND;
        unit.hand(&format!("queue:{}", provided.name), provided.queue.handle(), rights, 0)?;
    }
    for used in &service.uses {
        hand_use(at, used, &used.queue, queues, &mut unit)?;
    }
    for (number, memory) in service.persistent.iter().enumerate() {
        let pages = memory.size.pages(left).max(1);
        let made = boot.account.create_memory(pages).doing("make its lasting memory")?;
        let mut rights = Rights::READ | Rights::WRITE | Rights::MAP;
        rights.set(Rights::DMA, memory.dma);
        let name = format!("persistent:{}", memory.name);
        unit.hand(&name, made.handle(), rights, 0)?;
        if number == 0 {
            unit.alias("persistent", &name);
        }
        boot.memories.push(made);
    }
    if boot.options.records_off {
        unit.tell("records", "off".into());
    }
    if let Some(command) = &boot.options.exec {
        let value = if service.name == manifest::SESSION { command.clone() } else { "1".into() };
        unit.tell("exec", value);
    }
    if service.name == manifest::SESSION {
        unit.tell("priority", format!("{}", boot.system.programs.priority));
        unit.tell("stack", format!("{}", boot.system.programs.stack_pages));
        hand_services(at, service, &boot.system.programs.uses, queues, &mut unit)?;
    }
    if let Err(error) = boot.devices.hand(at, service, &mut unit) {
        unit.set_lacking(format!("{error}"));
    }
    Ok(unit)
}

/// Hands the session what it passes on to programs as it is. What it uses itself (the console, the filesystem, the maker
/// of pipes, the supervisor) reaches programs only in the narrower forms that it makes of it.
fn hand_services(
    at: usize,
    session: &Service,
    uses: &[Use],
    queues: &[Provided],
    unit: &mut Unit,
) -> Result<(), StartError> {
    let is_own = |used: &Use| session.uses.iter().any(|own| own.queue == used.queue);
    for used in uses.iter().filter(|used| used.queue != manifest::INIT_QUEUE && !is_own(used)) {
        hand_use(at, used, &format!("{}{}", startup::SERVICE, used.queue), queues, unit)?;
    }
    Ok(())
}

/// Hands a service a queue that it uses, under `name`. With the right to mint it makes badges of its own; without, its badge is its
/// number plus one.
fn hand_use(at: usize, used: &Use, name: &str, queues: &[Provided], unit: &mut Unit) -> Result<(), StartError> {
    let Some(provided) = queues.iter().find(|provided| provided.name == used.queue) else {
        return Err(StartError::Sys("find a queue that it uses", SysError::BadArgument));
    };
    let mut rights = Rights::empty();
    rights.set(Rights::SEND, used.rights.send);
    rights.set(Rights::MINT, used.rights.mint);
    let badge = match (used.queue.as_str(), used.rights.mint) {
        (manifest::INIT_QUEUE, true) => Allowed::all().badge(at as u32),
        (manifest::INIT_QUEUE, false) => (Allowed::INSPECT | Allowed::LOG).badge(at as u32),
        (_, true) => 0,
        (_, false) => at as u64 + 1,
    };
    unit.hand(name, provided.queue.handle(), rights, badge)
}

#[cfg(test)]
mod tests {
    use abi::layout;
    use libipc::Startup;

    #[test]
    fn the_first_program_finds_what_the_kernel_puts_into_its_table() {
        let startup = Startup::FIRST_PROGRAM;
        let expected = [
            ("self", layout::INIT_SELF),
            ("account", layout::INIT_ACCOUNT),
            ("machine", layout::INIT_MACHINE),
            ("archive", layout::INIT_ARCHIVE),
            ("record", layout::INIT_RECORD),
        ];
        assert!(startup.handles().eq(expected));
        assert_eq!(startup.program(), "init");
    }
}
