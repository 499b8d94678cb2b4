//! The last words of a program.

use crate::object::Queue;
use crate::proto::log::{LogClient, Severity};
use crate::sys;
use abi::Handle;
use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Status of a program that panicked.
const PANICKED: i32 = 101;
/// Nanoseconds that the log has to take the message.
const PATIENCE: u64 = 1_000_000_000;

static LOG: AtomicU64 = AtomicU64::new(0);
static DYING: AtomicBool = AtomicBool::new(false);

/// Says where the message goes.
pub(super) fn set_log(log: Option<Handle>) {
    LOG.store(log.unwrap_or(Handle::NONE).raw(), Ordering::Relaxed);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if !DYING.swap(true, Ordering::SeqCst) {
        let mut text = Text { bytes: [0; 512], used: 0 };
        let _ = write!(text, "{info}");
        let log = Handle::from_raw(LOG.load(Ordering::Relaxed));
        if !log.is_none() {
            let client = LogClient::new(Queue::new(log)).until(Some(sys::clock().saturating_add(PATIENCE)));
            let _ = client.write(Severity::Error, text.as_str());
        }
        crate::print::try_flush();
        crate::print::try_err(format_args!("{}\n", text.as_str()));
    }
    sys::exit(PANICKED)
}

/// A message of bounded length, so that a panic for want of memory needs none.
struct Text {
    bytes: [u8; 512],
    used: usize,
}

impl Text {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.used]).unwrap_or("panic")
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let length = text.floor_char_boundary(self.bytes.len() - self.used);
        self.bytes[self.used..self.used + length].copy_from_slice(&text.as_bytes()[..length]);
        self.used += length;
        Ok(())
    }
}
