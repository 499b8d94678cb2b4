//! A driver that breaks all that a driver is asked to keep to, and then has its device interrupt as often as it can. The
//! device is the real-time clock (Motorola MC146818A data sheet, "Registers A, B, C"): ports 0x70 and 0x71, line 8.
//!
//! No program is handed an interrupt, so this attack is a service, with a description of the system of its own; a service
//! that dies is started again, and then all of it must hold again. What it finds is in its log.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::format;
use alloc::string::String;
use hostile::check::{holds, same, works};
use hostile::{Verdict, refused};
use libipc::ports::Ports;
use libipc::{Event, Irq, OwnedHandle, Rights, Startup, SysError, sys};

libipc::entry!(main);

/// The first port of the clock.
const CLOCK: u16 = 0x70;
/// Register A with the usual time base and the highest rate, 8192 interrupts a second.
const A_FASTEST: u8 = 0x23;
/// Register B with periodic interrupts, 24 hours.
const B_PERIODIC: u8 = 0x42;
/// The bit that an interrupt sets.
const TICK: u64 = 1;
/// How long the line must be silent, nanoseconds: it would have rung some four hundred times.
const SILENCE: u64 = 50_000_000;
/// How long to wait for what must come, nanoseconds.
const PATIENCE: u64 = 20_000_000_000;
/// Interrupts of the storm between two lines of the log.
const GALE: u64 = 4_000;

fn main(startup: Startup<'static>) -> Result<(), String> {
    let mut driver = Driver::new(&startup)?;
    driver.attack(&startup)?;
    libipc::log!(Info, "every interrupt was masked when it must be");
    driver.storm()
}

struct Driver {
    clock: Ports,
    irq: Irq,
    event: OwnedHandle,
}

impl Driver {
    fn new(startup: &Startup<'static>) -> Result<Driver, String> {
        let clock = works("its ports", Ports::open(works("ports", startup.ports("ports"))?, CLOCK))?;
        let irq = works("interrupt", startup.irq("irq"))?;
        let event = works("an event", works("account", startup.account())?.create_event())?;
        let mut driver = Driver { clock, irq, event };
        driver.write(0x0a, A_FASTEST);
        driver.write(0x0b, B_PERIODIC);
        Ok(driver)
    }

    fn attack(&mut self, startup: &Startup<'static>) -> Verdict {
        works("acknowledge", self.irq.acknowledge())?;
        self.is_silent("a line that nobody has bound")?;
        works("bind", self.irq.bind(self.event(), TICK))?;
        self.rings("a line that is bound")?;
        self.is_silent("a line that is not acknowledged")?;
        works("acknowledge", self.irq.acknowledge())?;
        self.rings("a line that is acknowledged")?;

        let copy = works("derive", self.irq.derive(Rights::all()))?;
        works("bind", copy.irq().bind(self.event(), TICK))?;
        self.rings("a line that is bound through a copy")?;
        works("acknowledge", copy.irq().acknowledge())?;
        works("revoke", sys::revoke(self.irq.handle()))?;
        self.forget();
        self.is_silent("a line whose binding is revoked")?;
        refused("revoked", SysError::BadHandle, copy.irq().acknowledge())?;
        refused("revoked", SysError::BadHandle, copy.irq().bind(self.event(), TICK))?;
        works("acknowledge", self.irq.acknowledge())?;
        self.is_silent("a line whose binding is revoked, and which is acknowledged")?;

        let weak = works("derive", self.irq.derive(Rights::empty()))?;
        refused("without the right", SysError::MissingRights, weak.irq().bind(self.event(), TICK))?;
        refused("without the right", SysError::MissingRights, weak.irq().acknowledge())?;
        let account = works("account", startup.account())?;
        let passing = works("an event", account.create_event())?;
        works("bind", self.irq.bind(passing.event(), TICK))?;
        drop(passing);
        works("acknowledge", self.irq.acknowledge())?;
        works("bind", self.irq.bind(self.event(), TICK))?;
        self.rings("a line that was bound to an event that is gone")
    }

    /// Hears and acknowledges as fast as it can, until it is ended.
    fn storm(&mut self) -> Result<(), String> {
        for heard in 1_u64.. {
            works("acknowledge", self.irq.acknowledge())?;
            self.rings("a line in a storm")?;
            if heard % GALE == 0 {
                libipc::log!(Info, "{heard} interrupts of the storm");
            }
        }
        Ok(())
    }

    /// The line rings. The device waits to be heard before it rings again, and rings into the void while the line is masked.
    fn rings(&mut self, what: &str) -> Verdict {
        let until = sys::clock() + PATIENCE;
        loop {
            self.hear();
            match self.event().wait(TICK, Some(sys::clock() + 1_000_000)) {
                Err(SysError::TimedOut) => holds(&format!("{what} rings"), sys::clock() < until)?,
                bits => return same(what, bits, Ok(TICK)),
            }
        }
    }

    /// The line does not ring, as often as the device does.
    fn is_silent(&mut self, what: &str) -> Verdict {
        let until = sys::clock() + SILENCE;
        let mut rang = 0;
        while sys::clock() < until {
            rang += u32::from(self.hear());
            let bits = self.event().wait(TICK, Some(sys::clock() + 100_000));
            refused(what, SysError::TimedOut, bits)?;
        }
        holds("the device has rung meanwhile", rang > 1)
    }

    /// Bits that came before something was revoked are not what is looked for.
    fn forget(&self) {
        // None may have come.
        let _ = self.event().wait(TICK, Some(0));
    }

    /// Lets the device ring again; whether it had.
    fn hear(&mut self) -> bool {
        self.clock.write_u8(0, 0x0c);
        self.clock.read_u8(1) & 0x80 != 0
    }

    fn write(&mut self, register: u8, value: u8) {
        self.clock.write_u8(0, register);
        self.clock.write_u8(1, value);
    }

    fn event(&self) -> Event {
        self.event.event()
    }
}
