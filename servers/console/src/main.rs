//! The console server.
//!
//! What the supervisor hands it, by name:
//!
//! | name | what |
//! |---|---|
//! | `queue:console` | its queue (`RECEIVE`, `MINT`) |
//! | `ports` | the eight ports of the UART; the text `ports` says which is the first |
//! | `irq` | the UART's interrupt, edge-triggered |
//! | `persistent` | memory that survives it, of at least 64 KiB |
//! | `self`, `account`, `log` | as for every service |
//! | text `exec` | exec mode: frames on the line, see `console::frame` |
//!
//! `self` with the right `GRANT` lets it keep the event that ^C signals across its own death; without, the event is
//! forgotten until the client sets it again.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod clients;
mod uart;

use alloc::{format, string::String};
use clients::Clients;
use console::{
    badge::{Badge, Role},
    line::Mode,
    state::Interrupt,
    terminal::Terminal,
    vault::{self, Mapped},
};
use libipc::{
    Context, Grant, Handle, Irq, Lease, Memory, MessageId, OwnedHandle, Queue, Read, Reply, Rights, Service, Startup,
    SysError, Write,
    answer::Answer,
    context::now,
    log,
    memory::own_process,
    ports::Ports,
    proto::{
        FsError,
        console::{ConsoleError, ConsoleProtocol, ConsoleServer, Mode as WireMode},
        stream::{StreamProtocol, StreamServer},
    },
    protocols, server,
};
use uart::Com;

libipc::entry!(main);

/// Badge of the interrupt's event on the queue.
const INTERRUPT: u64 = 1;
/// The first serial port of a PC.
const COM1: u16 = 0x3f8;

struct Console {
    queue: Queue,
    exec: bool,
    terminal: Terminal<Mapped<'static>>,
    clients: Clients,
    uart: Com,
    irq: Irq,
    /// Keeps the interrupt's event.
    _event: OwnedHandle,
}

fn main(startup: Startup<'static>) -> Result<(), String> {
    let (mut console, queue) = Console::open(&startup)?;
    console.step();
    server::serve(queue, &mut console).map_err(|error| format!("cannot receive from queue:console: {error}"))
}

impl Console {
    fn open(startup: &Startup<'static>) -> Result<(Console, Queue), String> {
        let missing = |missing| format!("{missing}; system.toml or the supervisor must give it");
        let refused = |what: &'static str| move |error: SysError| format!("cannot {what}: {error}");
        let queue = startup.queue("queue:console").map_err(missing)?;
        let exec = startup.env("exec").is_some();
        let first = startup.env("ports").and_then(parse_port).unwrap_or(COM1);
        let ports = Ports::open(startup.ports("ports").map_err(missing)?, first).map_err(refused("open its ports"))?;
        let cells = lasting_memory(startup)?;
        let opened = Terminal::open(Mapped(cells), exec);
        let (terminal, recovered) = opened
            .ok_or_else(|| format!("its persistent memory is smaller than {} KiB", vault::SIZE.div_ceil(1024)))?;
        let uart = Com::open(ports, first, recovered).ok_or_else(|| format!("no UART answers at port {first:#x}"))?;
        let irq = startup.irq("irq").map_err(missing)?;
        let account = startup.account().map_err(missing)?;
        let event = account.create_event().map_err(refused("make an event"))?;
        event.event().bind(queue, INTERRUPT).map_err(refused("bind its event"))?;
        irq.bind(event.event(), 1).map_err(refused("bind its interrupt"))?;
        if recovered {
            log!(Info, "goes on with what its predecessor left");
        }
        let clients = Clients::default();
        Ok((Console { queue, exec, terminal, clients, uart, irq, _event: event }, queue))
    }

    /// Does what can be done now, and asks the UART to tell when more can.
    fn step(&mut self) {
        self.terminal.step(&mut self.clients, &mut self.uart);
        self.uart.listen(self.terminal.wants_to_send(), self.terminal.wants_to_receive());
    }

    fn badge(cx: &Context) -> Result<Badge, ConsoleError> {
        Badge::from_raw(cx.badge()).ok_or(ConsoleError::NotPermitted)
    }

    /// The session whose owner's capability this is.
    fn session(cx: &Context) -> Result<u16, ConsoleError> {
        match Self::badge(cx)? {
            Badge { session, role: Role::Control } => Ok(session),
            Badge { role: Role::Owner, .. } => Err(ConsoleError::NoSession),
            _ => Err(ConsoleError::NotPermitted),
        }
    }

    fn stream(&self, session: u16, role: Role) -> Grant {
        self.queue.minted(Rights::SEND, Badge::new(session, role).raw())
    }

    fn replace_interrupt(&mut self, session: u16, interrupt: Interrupt) {
        let before = self.terminal.set_interrupt(session, interrupt);
        if before.event != 0 {
            drop(OwnedHandle::new(Handle::from_raw(before.event)));
        }
    }
}

/// The memory that the console's state lies in.
fn lasting_memory(startup: &Startup<'static>) -> Result<&'static mut [u8], String> {
    let mapped = match startup.memory("persistent") {
        Ok(memory) => memory.map(true),
        Err(_) => {
            log!(Warning, "has no persistent memory: what it holds is lost when it restarts");
            let account = startup.account().map_err(|missing| format!("{missing}"))?;
            let made = account.create_memory(vault::SIZE.div_ceil(4096) as u64);
            made.and_then(|memory| Memory::new(memory.leak()).map(true))
        }
    };
    let mapped = mapped.map_err(|error| format!("cannot map its persistent memory: {error}"))?;
    mapped.leak().ok_or_else(|| "its persistent memory is read-only".into())
}

fn parse_port(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

impl Service for Console {
    protocols!(StreamProtocol, ConsoleProtocol);

    fn on_event(&mut self, badge: u64, _: u64) {
        if badge != INTERRUPT {
            return;
        }
        // The line is edge-triggered: it must have been low after it was acknowledged, or no edge comes any more.
        loop {
            self.uart.hear();
            self.step();
            // Refused only if the interrupt is gone, and then nothing helps.
            let _ = self.irq.acknowledge();
            if !self.uart.is_calling() {
                break;
            }
        }
    }
}

impl StreamServer for Console {
    /// The terminal keeps its own records: effect and record are committed as one there.
    fn recall(&mut self, _: MessageId) -> Option<Answer> {
        None
    }

    fn read(&mut self, cx: &Context, _: u64, buffer: Lease<Write>) -> Result<Reply<u64>, FsError> {
        match Badge::from_raw(cx.badge()) {
            Some(Badge { role: Role::Stdin, .. }) => {}
            _ => return Err(FsError::NotPermitted),
        }
        let call = self.clients.reads(cx, buffer);
        self.terminal.read(call, buffer.len(), &mut self.clients);
        self.step();
        Ok(Reply::Later)
    }

    fn write(&mut self, cx: &Context, _: u64, data: Lease<Read>) -> Result<Reply<u64>, FsError> {
        let badge = Badge::from_raw(cx.badge()).filter(|badge| badge.writes()).ok_or(FsError::NotPermitted)?;
        let call = self.clients.writes(cx, data);
        self.terminal.write(call, badge, data.len(), &mut self.clients);
        self.step();
        Ok(Reply::Later)
    }
}

impl ConsoleServer for Console {
    fn open_session(&mut self, cx: &Context, number: u16) -> Result<Reply<Grant>, ConsoleError> {
        if Self::badge(cx)?.role != Role::Owner {
            return Err(ConsoleError::NotPermitted);
        }
        if number == 0 {
            return Err(ConsoleError::NoSession);
        }
        now(self.stream(number, Role::Control))
    }

    fn streams(&mut self, cx: &Context) -> Result<Reply<(Grant, Grant, Grant)>, ConsoleError> {
        let session = Self::session(cx)?;
        now((self.stream(session, Role::Stdin), self.stream(session, Role::Stdout), self.stream(session, Role::Stderr)))
    }

    fn set_mode(&mut self, cx: &Context, mode: WireMode) -> Result<Reply<()>, ConsoleError> {
        let session = Self::session(cx)?;
        let mode = match mode {
            WireMode::Cooked => Mode::Cooked,
            WireMode::Raw => Mode::Raw,
        };
        self.terminal.set_mode(session, mode);
        self.step();
        now(())
    }

    fn set_interrupt(&mut self, cx: &Context, event: OwnedHandle, bits: u64) -> Result<Reply<()>, ConsoleError> {
        let session = Self::session(cx)?;
        let kept = own_process().give(event.handle(), Rights::SIGNAL, 0);
        let interrupt = match kept {
            Ok(handle) => Interrupt { event: handle.raw(), bits, lasting: 1 },
            Err(_) => Interrupt { event: event.leak().raw(), bits, lasting: 0 },
        };
        self.replace_interrupt(session, interrupt);
        now(())
    }

    fn clear_interrupt(&mut self, cx: &Context) -> Result<Reply<()>, ConsoleError> {
        self.replace_interrupt(Self::session(cx)?, Interrupt::default());
        now(())
    }

    /// A serial line does not tell.
    fn size(&mut self, _: &Context) -> Result<Reply<(u32, u32)>, ConsoleError> {
        now((0, 0))
    }

    fn is_exec(&mut self, _: &Context) -> Result<Reply<bool>, ConsoleError> {
        now(self.exec)
    }

    fn set_exit_status(&mut self, cx: &Context, status: i32) -> Result<Reply<()>, ConsoleError> {
        if !matches!(Self::badge(cx)?.role, Role::Owner | Role::Control) {
            return Err(ConsoleError::NotPermitted);
        }
        if !self.exec {
            return Err(ConsoleError::NotExec);
        }
        let call = self.clients.waits(cx);
        self.terminal.drain(call, Some(status));
        self.step();
        Ok(Reply::Later)
    }
}
