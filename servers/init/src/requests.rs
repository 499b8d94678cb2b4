//! What the supervisor answers: the protocols `svc` and `log`.

use crate::{
    hardware::Exit,
    inspect, inventory,
    supervisor::{NOT_ALLOWED, Supervisor},
    table::State,
    trace,
    unit::Unit,
    upgrade::OwnImage,
};
use abi::{MAX_PAYLOAD, MessageId, ProcessStatus, TraceRecord};
use alloc::{string::String, vec::Vec};
use libipc::{
    Account, Context, Lease, OwnedHandle, Reply, Write,
    answer::Answer,
    context::now,
    proto::{
        log::{LogError, LogServer, Severity},
        svc::{
            Allowed, AuditRow, CapabilityInfo, MemoryInfo, ProcessInfo, ServiceInfo, ServiceState, SvcError, SvcKillOp,
            SvcPoweroffOp, SvcRebootOp, SvcRestartOp, SvcServer, SvcUpgradeOp, WaitInfo,
        },
    },
    sys,
};

/// Bytes of an answer that its fixed parts may take.
const ROOM: usize = MAX_PAYLOAD - 64;
/// Bytes that the numbers of a description take at most, encoded.
const NUMBERS: usize = 72;
/// Bytes of the last end that are told.
const MAX_END: usize = 200;

fn require(cx: &Context, needed: Allowed) -> Result<(), SvcError> {
    if Allowed::of_badge(cx.badge()).0.contains(needed) { Ok(()) } else { Err(SvcError::NotPermitted) }
}

/// As many items as an answer holds, the first in any case.
fn fitting<T>(items: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<T> {
    let mut used = 0;
    let fits = |item: &T| {
        used += size(item);
        used <= ROOM
    };
    items.take_while(fits).collect()
}

impl Supervisor {
    fn service_info(&self, at: usize) -> Option<ServiceInfo> {
        let service = self.boot.system.services.get(at)?;
        let unit = self.units.get(at).and_then(Option::as_ref);
        let status = unit.and_then(|unit| unit.status().ok()).unwrap_or_default();
        let state = self.table.state(at)?;
        let runs = matches!(state, State::Running | State::Stopping);
        let reason = if let State::Held(reason) = state { Some(reason.as_str()) } else { self.table.last_death(at) };
        let reason = reason.unwrap_or("");
        Some(ServiceInfo {
            name: service.name.clone(),
            state: match state {
                State::Running => ServiceState::Running,
                State::Waiting(_) | State::Stopping => ServiceState::Waiting,
                State::Held(_) => ServiceState::Failed,
            },
            process: status.id,
            restarts: self.table.restarts(at).try_into().unwrap_or(u32::MAX),
            uptime: if runs { sys::clock().saturating_sub(unit.map_or(0, Unit::started)) } else { 0 },
            pages: status.pages,
            last_end: reason[..reason.floor_char_boundary(MAX_END)].into(),
        })
    }

    /// The oldest line with a number of at least `cookie`, of service `name` or of all.
    fn line(&self, name: Option<usize>, cookie: u64) -> Option<(u64, usize, &str)> {
        let of =
            |at: usize| self.journals.get(at).and_then(|j| j.line(cookie)).map(|(number, text)| (number, at, text));
        match name {
            Some(at) => of(at),
            None => (0..self.journals.len()).filter_map(of).min_by_key(|(number, ..)| *number),
        }
    }

    /// Lines from `cookie` on, as many as `room` bytes hold; the cookie after them.
    fn lines(&self, name: Option<usize>, mut cookie: u64, room: usize) -> (u64, String) {
        let mut text = String::new();
        while let Some((number, at, line)) = self.line(name, cookie) {
            let tag = if name.is_none() { self.name(at) } else { "" };
            let length = tag.len() + if tag.is_empty() { 0 } else { 2 } + line.len() + 1;
            if text.len() + length > room {
                break;
            }
            if !tag.is_empty() {
                text.push_str(tag);
                text.push_str(": ");
            }
            text.push_str(line);
            text.push('\n');
            cookie = number + 1;
        }
        (cookie, text)
    }
}

impl SvcServer for Supervisor {
    fn recall(&mut self, id: MessageId) -> Option<Answer> {
        self.lasting.recall(id)
    }

    fn list(&mut self, cx: &Context, first: u32) -> Result<Reply<Vec<ServiceInfo>>, SvcError> {
        require(cx, Allowed::INSPECT)?;
        let services = (first as usize..self.units.len()).filter_map(|at| self.service_info(at));
        now(fitting(services, |info| NUMBERS + info.name.len() + info.last_end.len()))
    }

    fn kill(&mut self, cx: &Context, name: &str) -> Result<Reply<()>, SvcError> {
        require(cx, Allowed::CONTROL)?;
        if name == manifest::INIT_QUEUE {
            // Delivered again, it has been done: whoever received it first is dead.
            return if cx.attempt() > 0 { now(()) } else { self.end_itself() };
        }
        let at = self.able(name)?;
        let ends = self.table.ordered(at, sys::clock());
        self.commit(Some((cx.id(), &cx.answer::<SvcKillOp>(&Ok(())))));
        if ends {
            self.end(at);
        }
        now(())
    }

    fn restart(&mut self, cx: &Context, name: &str) -> Result<Reply<()>, SvcError> {
        require(cx, Allowed::CONTROL)?;
        if name == manifest::INIT_QUEUE {
            return if cx.attempt() > 0 { now(()) } else { self.end_itself() };
        }
        let at = self.able(name)?;
        // One that came to an earlier incarnation has been begun.
        let begun = self.expected.extract_if(.., |(_, id)| *id == cx.id()).next().is_some();
        if begun && self.table.state(at) == Some(&State::Running) {
            return now(());
        }
        let ends = !begun && self.table.ordered(at, sys::clock());
        self.waiting.push((at, cx.defer::<SvcRestartOp>()));
        self.commit(None);
        if ends {
            self.end(at);
        }
        Ok(Reply::Later)
    }

    fn upgrade(
        &mut self,
        cx: &Context,
        name: &str,
        image: OwnedHandle,
        length: u64,
    ) -> Result<Reply<String>, SvcError> {
        require(cx, Allowed::CONTROL)?;
        let at = self.able(name)?;
        if cx.attempt() > 0 && self.resume_upgrade(cx.id(), || cx.defer::<SvcUpgradeOp>()) {
            return Ok(Reply::Later);
        }
        if self.is_on_trial(at) {
            return Err(SvcError::BadState);
        }
        let image = OwnImage::copy(self.account(), &image, length)?;
        self.begin_upgrade(at, image, cx.defer::<SvcUpgradeOp>());
        Ok(Reply::Later)
    }

    fn report(&mut self, cx: &Context, name: &str, text: Lease<Write>) -> Result<Reply<u64>, SvcError> {
        require(cx, Allowed::INSPECT)?;
        let at = self.find(name).ok_or(SvcError::NoService)?;
        let report = self.crashes.get(at).and_then(Option::as_deref).unwrap_or("");
        let report = &report[..report.floor_char_boundary(usize::try_from(text.len()).unwrap_or(usize::MAX))];
        text.write_at(0, report.as_bytes())?;
        now(report.len() as u64)
    }

    fn log(
        &mut self,
        cx: &Context,
        name: &str,
        cookie: u64,
        text: Lease<Write>,
    ) -> Result<Reply<(u64, u64)>, SvcError> {
        const MOST: u64 = 64 << 10;
        require(cx, Allowed::INSPECT)?;
        let which = match name {
            "" => None,
            manifest::INIT_QUEUE => Some(self.units.len()),
            name => Some(self.find(name).ok_or(SvcError::NoService)?),
        };
        let (next, lines) = self.lines(which, cookie, text.len().min(MOST) as usize);
        text.write_at(0, lines.as_bytes())?;
        now((next, lines.len() as u64))
    }

    fn processes(&mut self, cx: &Context, after: u64) -> Result<Reply<Vec<ProcessInfo>>, SvcError> {
        require(cx, Allowed::INSPECT)?;
        let next = processes_after(self.account(), after);
        let info = |status: ProcessStatus| ProcessInfo {
            id: status.id,
            incarnation: status.incarnation,
            state: status.state,
            name: text_of(&status.name),
            threads: status.threads,
            priority: status.priority,
            pages: status.pages,
            cpu_time: status.cpu_time,
            waiting: status.waiting,
        };
        now(fitting(next.map(info), |info| NUMBERS + info.name.len()))
    }

    fn memory(&mut self, cx: &Context) -> Result<Reply<MemoryInfo>, SvcError> {
        require(cx, Allowed::INSPECT)?;
        let root = self.account().status()?;
        let programs = self.programs.as_ref().map(OwnedHandle::account);
        let own = programs.and_then(|account| account.status().ok()).unwrap_or_default();
        let children: u64 = programs.map_or(0, |account| processes_after(account, 0).map(|status| status.pages).sum());
        now(MemoryInfo {
            total: root.total,
            free: root.free,
            programs_limit: own.limit,
            programs_used: (own.used - own.lent.min(own.used)) + children,
            services_used: self.units.iter().flatten().map(Unit::used).sum(),
        })
    }

    fn uptime(&mut self, cx: &Context) -> Result<Reply<u64>, SvcError> {
        require(cx, Allowed::INSPECT)?;
        now(sys::clock())
    }

    fn audit(&mut self, cx: &Context) -> Result<Reply<Vec<AuditRow>>, SvcError> {
        require(cx, Allowed::INSPECT)?;
        now(self.audit_rows()?)
    }

    fn waits(&mut self, cx: &Context, from: u64) -> Result<Reply<Vec<WaitInfo>>, SvcError> {
        require(cx, Allowed::INSPECT)?;
        let threads = inspect::threads_from(self.account(), from);
        now(fitting(threads, |info| inspect::NUMBERS + info.name.len() + info.blamed_name.len()))
    }

    fn capabilities(
        &mut self,
        cx: &Context,
        process: u64,
        from: u64,
    ) -> Result<Reply<(bool, Vec<CapabilityInfo>)>, SvcError> {
        require(cx, Allowed::INSPECT)?;
        let held = fitting(self.held_by(process, from), inventory::encoded);
        now((self.boot.options.coverage, held))
    }

    fn trace(&mut self, cx: &Context, from: u64, events: Lease<Write>) -> Result<Reply<(u64, u64, u64)>, SvcError> {
        const MOST: u64 = 16 << 10;
        require(cx, Allowed::INSPECT)?;
        let (first, written, bytes) = trace::read(self.machine(), from, events.len().min(MOST) as usize)?;
        events.write_at(0, &bytes)?;
        now((first, (bytes.len() / TraceRecord::SIZE) as u64, written))
    }

    fn poweroff(&mut self, cx: &Context) -> Result<Reply<()>, SvcError> {
        require(cx, Allowed::POWER)?;
        self.goodbyes.push(Goodbye::PowerOff(cx.defer::<SvcPoweroffOp>()));
        self.prepare_to_leave(Exit::PowerOff);
        Ok(Reply::Later)
    }

    fn reboot(&mut self, cx: &Context) -> Result<Reply<()>, SvcError> {
        require(cx, Allowed::POWER)?;
        self.goodbyes.push(Goodbye::Reboot(cx.defer::<SvcRebootOp>()));
        self.prepare_to_leave(Exit::Reboot);
        Ok(Reply::Later)
    }
}

/// Somebody who asked for the machine to go down: answered only where it did not.
pub(crate) enum Goodbye {
    PowerOff(#[allow(dead_code, reason = "dropped, it answers")] libipc::Pending<SvcPoweroffOp>),
    Reboot(#[allow(dead_code, reason = "dropped, it answers")] libipc::Pending<SvcRebootOp>),
}

impl Supervisor {
    /// Number of the service with this name, which this machine can run.
    fn able(&self, name: &str) -> Result<usize, SvcError> {
        let at = self.find(name).ok_or(SvcError::NoService)?;
        let unit = self.units.get(at).and_then(Option::as_ref);
        if unit.is_some_and(|unit| unit.lacks().is_none()) { Ok(at) } else { Err(SvcError::BadState) }
    }

    /// Ends this incarnation; the next one answers.
    fn end_itself<T>(&mut self) -> Result<Reply<T>, SvcError> {
        const ORDERED: i32 = 137;
        Err(sys::process_kill(abi::layout::INIT_SELF, ORDERED).map_or_else(SvcError::from, |()| SvcError::BadState))
    }
}

impl LogServer for Supervisor {
    fn write(&mut self, cx: &Context, _: Severity, text: &str) -> Result<Reply<()>, LogError> {
        let (allowed, who) = Allowed::of_badge(cx.badge());
        if !allowed.contains(Allowed::LOG) {
            return Err(LogError::Refused(NOT_ALLOWED));
        }
        self.log(who as usize, text.as_bytes());
        now(())
    }
}

/// The processes that `account` and those below it have paid for, by their numbers, those above `after`.
fn processes_after(account: Account, after: u64) -> impl Iterator<Item = ProcessStatus> {
    let mut after = after;
    core::iter::from_fn(move || {
        let status = account.process_after(after).ok()??;
        after = status.id;
        Some(status)
    })
}

/// The text in a field that is padded with zero bytes.
fn text_of(field: &[u8]) -> String {
    let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..length]).into_owned()
}
