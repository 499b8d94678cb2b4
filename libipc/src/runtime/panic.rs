//! The last words of a program.

use crate::log::{self, Line};
use crate::proto::log::Severity;
use crate::sys;
use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

/// Status of a program that panicked.
const PANICKED: i32 = 101;

static DYING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if !DYING.swap(true, Ordering::SeqCst) {
        let mut text = Line::new();
        // What is too long is cut.
        let _ = write!(text, "{info}");
        log::write(Severity::Error, format_args!("{}", text.as_str()));
        crate::print::try_flush();
        crate::print::try_err(format_args!("{}\n", text.as_str()));
    }
    sys::exit(PANICKED)
}
