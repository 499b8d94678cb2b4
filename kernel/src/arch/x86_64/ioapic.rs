//! The I/O APICs: which line raises which vector (Intel 82093AA datasheet), and the old controller, which is silenced.
//!
//! Invariants:
//! 1. A line is masked until object logic has routed and unmasked it.
//! 2. Lines are named by their global number; 0 to 15 name the ISA lines, wherever the firmware says these end.

use heapless::Vec;
use x86_64::instructions::port::Port;

use super::dispatch::LEGACY;
use super::madt::{ISA_LINES, IsaLine, MAX_IO_APICS, Topology};

/// Redirection entry: no interrupts.
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;

/// Index of the version register.
const VERSION: u32 = 1;
/// Index of the first redirection entry; each has two registers.
const REDIRECTION: u32 = 0x10;

/// One I/O APIC.
struct IoApic {
    registers: *mut u32,
    first_line: u32,
    lines: u32,
}

/// All of them.
pub struct IoApics {
    apics: Vec<IoApic, MAX_IO_APICS>,
    isa: [IsaLine; ISA_LINES],
}

impl IoApics {
    /// Masks every line of the I/O APICs in `topology`.
    ///
    /// # Safety
    /// The registers of the I/O APIC with index i must be mapped at `mapped(i)`, uncached, and be nobody else's.
    pub unsafe fn new(topology: &Topology, mapped: impl Fn(usize) -> u64) -> IoApics {
        let apics = topology.io_apics.iter().enumerate().map(|(index, at)| {
            let mut apic = IoApic { registers: mapped(index) as *mut u32, first_line: at.first_line, lines: 0 };
            apic.lines = (apic.read(VERSION) >> 16 & 0xff) + 1;
            for line in 0..apic.lines {
                apic.write(REDIRECTION + 2 * line, MASKED);
            }
            apic
        });
        IoApics { apics: apics.collect(), isa: topology.isa }
    }

    /// Number of lines.
    pub fn lines(&self) -> u32 {
        self.apics.iter().map(|apic| apic.lines).sum()
    }

    /// Lets line `line` raise `vector` on processor `target`, masked. `false` where there is no such line.
    pub fn route(&mut self, line: u32, vector: u8, level: bool, target: u32) -> bool {
        let isa = self.isa(line);
        let level_triggered = isa.level.unwrap_or(level);
        let active_low = isa.active_low.unwrap_or(level);
        let Some((apic, index)) = self.find(isa.gsi) else { return false };
        let mut low = MASKED | u32::from(vector);
        if level_triggered {
            low |= LEVEL;
        }
        if active_low {
            low |= ACTIVE_LOW;
        }
        apic.write(REDIRECTION + 2 * index, MASKED);
        apic.write(REDIRECTION + 2 * index + 1, target << 24);
        apic.write(REDIRECTION + 2 * index, low);
        true
    }

    /// Masks or unmasks line `line`, if there is one.
    pub fn set_masked(&mut self, line: u32, masked: bool) {
        let gsi = self.isa(line).gsi;
        if let Some((apic, index)) = self.find(gsi) {
            let low = apic.read(REDIRECTION + 2 * index);
            apic.write(REDIRECTION + 2 * index, if masked { low | MASKED } else { low & !MASKED });
        }
    }

    /// What the firmware says of `line`; beyond the ISA lines, nothing.
    fn isa(&self, line: u32) -> IsaLine {
        let unsaid = IsaLine { gsi: line, active_low: None, level: None };
        usize::try_from(line).ok().and_then(|l| self.isa.get(l)).copied().unwrap_or(unsaid)
    }

    /// The I/O APIC of line `gsi`, and its index there.
    fn find(&mut self, gsi: u32) -> Option<(&mut IoApic, u32)> {
        self.apics.iter_mut().find_map(|apic| {
            let index = gsi.checked_sub(apic.first_line)?;
            (index < apic.lines).then_some((apic, index))
        })
    }
}

impl IoApic {
    fn read(&mut self, register: u32) -> u32 {
        // SAFETY: the registers are mapped and nobody else's (contract of `new`); the first selects, the second, 16
        // bytes on, reads.
        unsafe {
            self.registers.write_volatile(register);
            self.registers.add(4).read_volatile()
        }
    }

    fn write(&mut self, register: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe {
            self.registers.write_volatile(register);
            self.registers.add(4).write_volatile(value);
        }
    }
}

/// Silences the two 8259 controllers: moved to vectors that are ignored, then masked, because a spurious interrupt
/// comes through even so.
pub fn silence_legacy() {
    for (base, vector, cascade) in [(0x20, LEGACY, 4), (0xa0, LEGACY + 8, 2)] {
        let (mut command, mut data) = (Port::<u8>::new(base), Port::<u8>::new(base + 1));
        // SAFETY: 20h, 21h, A0h and A1h are the controllers' ports on every PC, or nothing; the kernel alone uses them.
        unsafe {
            command.write(0x11);
            data.write(vector);
            data.write(cascade);
            data.write(0x01);
            data.write(0xff);
        }
    }
}
