//! The UART: a 16550 behind I/O ports, driven by its interrupts.
//!
//! Always true:
//! 1. The transmitter's interrupt is on only while something waits to be sent and the UART has no room for it; the
//!    receiver's only while there is room for a byte. So a line that rings is a line that can be served.
//! 2. A successor leaves the UART as it is: a reset would drop bytes in its queues.
#![allow(unsafe_code)]

use console::terminal::Uart;
use libipc::ports::Ports;
use uart_16550::{
    BaudRate, Config, Uart16550,
    backend::{Backend, PioBackend},
    spec::{
        FIFO_SIZE,
        registers::{IER, LSR, offsets},
    },
};

/// How often the line status is read while the last byte leaves: 1 ms and more, ten times what a byte takes.
const IDLE_READS: usize = 1000;

/// The UART.
pub struct Com {
    uart: Uart16550<PioBackend>,
    /// The ports stay open as long as the process; nobody else writes them.
    _ports: Ports,
    enabled: IER,
}

impl Com {
    /// The UART at `ports`, which start at `first`; set up from scratch unless a predecessor has done so. `None`: nothing
    /// answers there.
    pub fn open(ports: Ports, first: u16, adopted: bool) -> Option<Com> {
        // SAFETY: 1. Port accesses touch no memory of this program.
        //         2. The eight ports are open to this process as long as it lives (`Ports::open` has returned), and the
        //            supervisor hands them to the console alone.
        let mut uart = unsafe { Uart16550::new_port(first) }.ok()?;
        if adopted {
            uart.check_present().then_some(())?;
        } else {
            uart.init(Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT }).ok()?;
        }
        uart.disable_interrupts(IER::all());
        Some(Com { uart, _ports: ports, enabled: IER::empty() })
    }

    /// Takes note of what the UART calls for, so that it stops calling; the cause itself is served by the next step.
    pub fn hear(&mut self) {
        // Reading these clears the transmitter's, line status and modem status interrupts; the receiver's goes when
        // its bytes are read.
        let _ = self.uart.isr();
        let _ = self.uart.lsr();
        let _ = self.uart.msr();
    }

    /// Whether the interrupt line is up.
    pub fn is_calling(&mut self) -> bool {
        const NOTHING: u8 = 1;
        self.uart.isr().bits() & NOTHING == 0
    }

    /// Says what to be told of.
    pub fn listen(&mut self, sending: bool, receiving: bool) {
        let mut wanted = IER::empty();
        wanted.set(IER::THR_EMPTY, sending && self.room() == 0);
        wanted.set(IER::DATA_READY, receiving);
        if wanted != self.enabled {
            self.uart.disable_interrupts(self.enabled - wanted);
            self.uart.enable_interrupts(wanted - self.enabled);
            self.enabled = wanted;
        }
    }
}

impl Uart for Com {
    fn receive(&mut self) -> Option<u8> {
        self.uart.try_receive_byte().ok()
    }

    fn room(&mut self) -> usize {
        if self.uart.ready_to_send().is_ok() { FIFO_SIZE } else { 0 }
    }

    #[inline(always)]
    fn send(&mut self, byte: u8) {
        // SAFETY: the offset is a register of the UART; the ports are open (see `open`).
        unsafe { self.uart.backend_mut().write(offsets::DATA as u8, byte) }
    }

    fn idle(&mut self) -> bool {
        (0..IDLE_READS).any(|_| self.uart.lsr().contains(LSR::TRANSMITTER_EMPTY))
    }
}
