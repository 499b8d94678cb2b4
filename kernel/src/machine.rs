//! The machine as the object logic sees it: a trait, implemented by `arch` for the real one and by [`fake`] for tests.
//!
//! Invariants:
//! 1. Object logic reaches hardware through [`Machine`] alone; it holds no assembly and no statics.
//! 2. Time is in ticks of the time-stamp counter; only [`Clock`] turns them into nanoseconds.

use abi::Registers;
use heapless::{String, Vec};

/// The registers of a thread while it is in the kernel, and how they came there.
///
/// The layout is known to the entry and exit code in `arch/x86_64/entry.rs`: it pushes the registers downwards from
/// `entered`, so the fields stand in the order of [`Registers`].
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// The general registers. After a system call `rcx` and `r11` are not saved.
    pub registers: Registers,
    /// How to go back.
    pub entered: Entered,
}

/// How a thread came into the kernel, and so how it leaves.
#[repr(u64)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entered {
    /// By `syscall`: leaves by `sysretq`, vector registers are dead.
    Syscall = 0,
    /// By an interrupt, a fault, or not at all yet: leaves by `iretq`, all registers restored.
    #[default]
    Interrupt = 1,
}

/// FXSAVE area of a thread that was preempted (Intel SDM vol. 1, section 10.5.1).
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct VectorState(pub [u8; 512]);

impl VectorState {
    /// The state in which a thread starts and leaves every system call: all registers zero, `FCW` = 037Fh, `MXCSR` =
    /// 1F80h (Intel SDM vol. 1, sections 8.1.5 and 10.2.3).
    pub const INITIAL: VectorState = {
        let mut bytes = [0; 512];
        bytes[0] = 0x7f;
        bytes[1] = 0x03;
        bytes[24] = 0x80;
        bytes[25] = 0x1f;
        VectorState(bytes)
    };
}

/// A range of I/O ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Number of ports, at least 1.
    pub count: u32,
}

/// Port ranges that a process may have open.
pub const MAX_PORT_RANGES: usize = 4;

/// An interrupt as the kernel names it: the number of its handler slot, 0 to [`MAX_IRQS`] - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqLine(pub u8);

/// Interrupt objects of the system: the vectors 32 to 223.
pub const MAX_IRQS: usize = 192;

/// What an MSI-capable device is programmed with (Intel SDM vol. 3, section 11.11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsiMessage {
    /// Message address register.
    pub address: u64,
    /// Message data register.
    pub data: u32,
}

/// What the object logic needs of the hardware. Nothing here can fail but the interrupt set-up.
pub trait Machine {
    /// The time-stamp counter now.
    fn ticks(&self) -> u64;
    /// Asks for a timer interrupt at `at` ticks (at once if that has passed), instead of any asked for before. `None`:
    /// no interrupt.
    fn set_timer(&mut self, at: Option<u64>);
    /// Loads the page-table root at physical address `root`.
    fn enter_space(&mut self, root: u64);
    /// Forgets the translation of `address` in the current address space.
    fn invalidate(&mut self, address: u64);
    /// Opens exactly these ports to user mode.
    fn open_ports(&mut self, ranges: &[PortRange]);
    /// Puts every vector register and control word into [`VectorState::INITIAL`].
    fn reset_vectors(&mut self);
    /// Stores the vector registers.
    fn save_vectors(&mut self, into: &mut VectorState);
    /// Loads the vector registers.
    fn load_vectors(&mut self, from: &VectorState);
    /// Routes I/O APIC line `gsi` to handler slot `slot`, masked. `level`: level-triggered, active low. `false` if
    /// there is no such line.
    fn route_line(&mut self, slot: IrqLine, gsi: u32, level: bool) -> bool;
    /// What a device must write to raise handler slot `slot`.
    fn msi_message(&self, slot: IrqLine) -> MsiMessage;
    /// Masks the I/O APIC line `gsi`.
    fn mask_line(&mut self, gsi: u32);
    /// Unmasks the I/O APIC line `gsi`.
    fn unmask_line(&mut self, gsi: u32);
    /// A number that nobody can guess; `None` where the processor has none.
    fn random(&mut self) -> Option<u64>;
    /// Writes to the kernel's log.
    fn log(&mut self, text: &[u8]);
    /// Writes `reason` to the kernel's log and stops the machine, for good.
    fn halt(&mut self, reason: &str);
}

/// A range of physical memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhysRange {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
}

/// What `arch` found out while booting.
pub struct BootInfo {
    /// RAM that is free to use: page-aligned, disjoint, ascending, without kernel image, boot page tables and archive.
    pub free: Vec<PhysRange, 32>,
    /// All RAM, page-aligned: what `MemoryPhysical` must not reach. Firmware tables (ACPI)
    /// are not in it, so that the supervisor may map them.
    pub ram: Vec<PhysRange, 32>,
    /// The boot archive (tar), page-aligned start, exact end.
    pub archive: PhysRange,
    /// The kernel's command line.
    pub cmdline: String<{ abi::MAX_CMDLINE }>,
    /// Physical address of the ACPI root pointer, or 0.
    pub rsdp: u64,
    /// Ticks of the time-stamp counter per second.
    pub tsc_hz: u64,
    /// The time-stamp counter at kernel entry.
    pub entry_tsc: u64,
    /// Physical address of the kernel's page-table root, whose upper half every address space shares.
    pub kernel_root: u64,
}

/// What the processor does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "dropping this leaves the wrong thread running"]
pub enum Resume {
    /// Leave to user mode through the context at this address.
    Thread(*const Context),
    /// Nobody is ready: wait for an interrupt.
    Idle,
    /// The kernel has work of its own left: let interrupts in for a moment, then call `Kernel::start`.
    Again,
}

/// A processor exception in user mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Vector number (Intel SDM vol. 3, table 6-1).
    pub vector: u8,
    /// Error code, 0 where there is none.
    pub code: u64,
    /// CR2 for a page fault; else 0.
    pub address: u64,
}

/// Turns ticks into nanoseconds and back with one multiplication.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Ticks at which it read 0.
    pub entry: u64,
    /// Nanoseconds in a tick, in units of 2^-32.
    pub to_ns: u64,
    to_ticks: u64,
}

impl Clock {
    /// Binary places of the factors.
    pub const SHIFT: u32 = 32;

    /// The clock that reads 0 at `entry` ticks and has `hz` ticks a second (1 MHz to 100 GHz).
    pub fn new(entry: u64, hz: u64) -> Clock {
        let hz = hz.clamp(1_000_000, 100_000_000_000);
        Clock {
            entry,
            to_ns: ((1_000_000_000u128 << Self::SHIFT) / hz as u128) as u64,
            to_ticks: ((hz as u128) << Self::SHIFT).div_ceil(1_000_000_000) as u64,
        }
    }
    /// Nanoseconds since power-on at `ticks`.
    #[inline]
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        self.duration(ticks.wrapping_sub(self.entry))
    }
    /// `ticks` as a duration in nanoseconds.
    #[inline]
    pub fn duration(&self, ticks: u64) -> u64 {
        ((ticks as u128 * self.to_ns as u128) >> Self::SHIFT) as u64
    }
    /// A duration of `ns` nanoseconds in ticks.
    pub fn ticks_of(&self, ns: u64) -> u64 {
        ((ns as u128 * self.to_ticks as u128) >> Self::SHIFT) as u64
    }
    /// The tick at which the clock reads `ns`, saturating.
    pub fn ticks(&self, ns: u64) -> u64 {
        let ticks = (ns as u128 * self.to_ticks as u128) >> Self::SHIFT;
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(self.entry)
    }
}
