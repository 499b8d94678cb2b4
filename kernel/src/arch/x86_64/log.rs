//! The kernel's log on COM1: polled, lines end in `\n`.
//!
//! Invariants:
//! 1. Writing never waits for ever: a port that takes no byte for a while loses the rest of the text.
//! 2. The port's line settings are written once, at boot; the console server may own it afterwards, interrupts and
//!    all, and polled writes of the kernel do not disturb it.

use core::fmt;

use spin::Mutex;
use uart_16550::backend::PioBackend;
use uart_16550::{BaudRate, Config, Uart16550};

/// The first serial port of a PC.
const COM1: u16 = 0x3f8;
/// How often a full transmitter is asked again: some 0.1 s on real hardware, where 16 bytes take 1.4 ms.
const PATIENCE: u32 = 100_000;

static PORT: Mutex<Option<Uart16550<PioBackend>>> = Mutex::new(None);

/// Sets the port up. From here on log lines and panics are seen; where there is no such port, all log is dropped.
pub fn init() {
    let mut port = port();
    let config = Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT };
    *PORT.lock() = port.init(config).is_ok().then_some(port);
}

/// COM1.
fn port() -> Uart16550<PioBackend> {
    // SAFETY: 1. 3F8h to 3FFh are the registers of COM1 on every PC, or nothing at all.
    //         2. Others that hold a value for it poll and write single bytes, which does not disturb.
    unsafe { Uart16550::new_port(COM1) }.expect("COM1 is a valid port")
}

/// Writes `text` to the log.
pub fn write(text: &[u8]) {
    // Only a panic can find the lock taken: there is one processor, and interrupts are off in the kernel.
    if let Some(mut guard) = PORT.try_lock()
        && let Some(port) = guard.as_mut()
    {
        send(port, text);
    }
}

fn send(port: &mut Uart16550<PioBackend>, mut text: &[u8]) {
    let mut patience = PATIENCE;
    while !text.is_empty() && patience > 0 {
        match port.send_bytes(text) {
            0 => patience -= 1,
            sent => {
                text = &text[sent..];
                patience = PATIENCE;
            }
        }
    }
}

/// The log as a destination of `write!`.
pub struct Log;

impl fmt::Write for Log {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}

/// The log as a panic finds it: whoever holds the port will not come back for it.
pub struct LastWords(Uart16550<PioBackend>);

impl LastWords {
    /// Takes the port from whoever had it.
    pub fn take_over() -> LastWords {
        LastWords(port())
    }
}

impl fmt::Write for LastWords {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        send(&mut self.0, text.as_bytes());
        Ok(())
    }
}

/// Writes a line to the log, with the kernel's name before it.
macro_rules! say {
    ($($text:tt)*) => {{
        use core::fmt::Write as _;
        // The log's own `write_str` never fails.
        let _ = writeln!($crate::arch::x86_64::log::Log, "tessera: {}", format_args!($($text)*));
    }};
}
pub(crate) use say;
