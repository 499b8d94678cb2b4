//! Faults in words, and the statuses that stand for them.

use alloc::{format, string::String};
use libipc::abi::{FaultKind, FaultReport, layout};

/// The status that stands for a fault: 128 and the number that the signal has elsewhere.
pub fn status(fault: &FaultReport) -> i32 {
    128 + match FaultKind::from_raw(fault.kind) {
        FaultKind::InvalidInstruction => 4,
        FaultKind::Debug => 5,
        FaultKind::Divide | FaultKind::FloatingPoint => 8,
        FaultKind::NoMemory => 9,
        FaultKind::Page | FaultKind::Protection => 11,
        FaultKind::None | FaultKind::Other => 7,
    }
}

/// What happened, and where, in a program whose image lies at `image`.
pub fn text(fault: &FaultReport, image: u64) -> String {
    let kind = FaultKind::from_raw(fault.kind);
    let place = format!("(rip {:#x}, image at {image:#x})", fault.registers.rip);
    // Below a stack lies nothing: neither the page (bit 0 of the code) nor an instruction to be fetched (bit 4).
    let no_page = fault.code & 0b1_0001 == 0;
    let areas = layout::THREAD_AREAS..layout::USER_END;
    match kind {
        FaultKind::Page if no_page && areas.contains(&fault.address) => {
            format!("stack overflow at {:#x} {place}", fault.address)
        }
        FaultKind::Page | FaultKind::NoMemory => format!("{} at {:#x} {place}", kind.text(), fault.address),
        kind => format!("{} {place}", kind.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: u64 = 0xabc_d000;

    fn fault(kind: FaultKind, address: u64, code: u64) -> FaultReport {
        let mut fault = FaultReport { kind: kind as u64, address, code, ..FaultReport::default() };
        fault.registers.rip = IMAGE + 0x1000;
        fault
    }

    #[test]
    fn a_fault_names_its_kind_and_place() {
        assert_eq!(text(&fault(FaultKind::Page, 0, 4), IMAGE), "page fault at 0x0 (rip 0xabce000, image at 0xabcd000)");
        assert_eq!(text(&fault(FaultKind::Divide, 0, 0), IMAGE), "divide error (rip 0xabce000, image at 0xabcd000)");
        assert_eq!(
            text(&fault(FaultKind::NoMemory, 0x5000, 6), IMAGE),
            "out of memory at 0x5000 (rip 0xabce000, image at 0xabcd000)"
        );
    }

    #[test]
    fn only_a_missing_page_below_a_stack_is_an_overflow() {
        let guard = layout::THREAD_AREAS + 0x1ff8;
        assert_eq!(
            text(&fault(FaultKind::Page, guard, 6), IMAGE),
            "stack overflow at 0x700000001ff8 (rip 0xabce000, image at 0xabcd000)"
        );
        assert!(
            text(&fault(FaultKind::Page, guard, 0b1_0101), IMAGE).starts_with("page fault"),
            "code run on the stack"
        );
        assert!(
            text(&fault(FaultKind::Page, guard, 7), IMAGE).starts_with("page fault"),
            "a page that may not be written"
        );
    }

    #[test]
    fn statuses_are_those_of_the_signals() {
        let of = |kind| status(&fault(kind, 0, 0));
        assert_eq!([FaultKind::Page, FaultKind::Protection, FaultKind::NoMemory].map(of), [139, 139, 137]);
        assert_eq!([FaultKind::InvalidInstruction, FaultKind::Divide, FaultKind::Debug].map(of), [132, 136, 133]);
    }
}
