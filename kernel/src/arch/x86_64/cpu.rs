//! One processor: its tables, its control registers, and everything that is its own.
//!
//! Invariants:
//! 1. All state of a processor is in its [`PerCpu`]. In the kernel GS points to it; in user mode `KERNEL_GS_BASE` does,
//!    and `swapgs` at the edge exchanges the two.
//! 2. The I/O bitmap denies every port but those in `open`.
//! 3. The page below the kernel stack is not mapped, and the double fault handler has a stack of its own.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::cell::UnsafeCell;
use core::mem::offset_of;

use heapless::Vec;
use kernel::machine::{MAX_PORT_RANGES, PortRange};
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::debug::{Dr7, Dr7Flags, Dr7Value};
use x86_64::registers::model_specific::{FsBase, GsBase, KernelGsBase, LStar, SFMask, Star};
use x86_64::registers::rflags::RFlags;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;
use x86_64::{PrivilegeLevel, VirtAddr};

use super::apic::LocalApic;
use super::entry;

/// Selectors, in the order that `syscall` and `sysret` prescribe (Intel SDM vol. 3, section 5.8.8).
pub const KERNEL_CODE: u16 = 0x08;
/// Kernel stack segment.
pub const KERNEL_DATA: u16 = 0x10;
/// User stack segment.
pub const USER_DATA: u16 = 0x18 | 3;
/// User code segment.
pub const USER_CODE: u16 = 0x20 | 3;

/// Bytes of a processor's kernel stack.
const KERNEL_STACK: usize = 64 * 1024;

/// The stacks of a processor. Each grows down; the first thing below the kernel stack is the guard page.
#[repr(C, align(4096))]
pub struct Stacks {
    guard: [u8; 4096],
    kernel: [u8; KERNEL_STACK],
    nmi: [u8; 1024],
    debug: [u8; 1024],
    /// Of double faults and machine checks, which never return.
    last: [u8; 10 * 1024],
}

/// A static that the processor and assembly write behind the compiler's back.
#[repr(transparent)]
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: what is inside is reached by raw pointer only, and each user of such a pointer argues for itself.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Around `value`.
    pub const fn new(value: T) -> Self {
        Shared(UnsafeCell::new(value))
    }
    /// Where it is.
    pub const fn get(&self) -> *mut T {
        self.0.get()
    }
}

/// The stacks of the boot processor.
pub static BOOT_STACKS: Shared<Stacks> = Shared::new(Stacks {
    guard: [0; 4096],
    kernel: [0; KERNEL_STACK],
    nmi: [0; 1024],
    debug: [0; 1024],
    last: [0; 10 * 1024],
});
/// Where its kernel stack begins.
pub const BOOT_STACK_TOP_OFFSET: usize = offset_of!(Stacks, kernel) + KERNEL_STACK;

/// Whether the processor has `rdrand` (CPUID 1, ECX bit 30).
pub fn has_random() -> bool {
    __cpuid_count(1, 0).ecx >> 30 & 1 != 0
}

/// A random number; `None` where the generator has none at the moment. Only where [`has_random`] says so.
pub fn random() -> Option<u64> {
    let (number, there): (u64, u8);
    // SAFETY: changes the two registers and the flags, nothing else. Where it is missing, it is an exception.
    unsafe { asm!("rdrand {}", "setc {}", out(reg) number, out(reg_byte) there, options(nomem, nostack)) };
    (there != 0).then_some(number)
}

/// Everything that is one processor's own. The entry code knows the first three fields.
#[repr(C)]
pub struct PerCpu {
    /// Address of the `Context` of the thread that runs.
    pub context: u64,
    /// The user's `rsp`, or the address of the interrupt frame, for a few instructions of the entry code.
    pub scratch: u64,
    /// Where the kernel stack begins.
    pub kernel_stack: u64,
    this: *mut PerCpu,
    /// The local APIC.
    pub apic: LocalApic,
    open: Vec<PortRange, MAX_PORT_RANGES>,
    gdt: GlobalDescriptorTable,
    tss: PortTss,
}

/// A task state segment with a bitmap of all ports behind it.
#[repr(C)]
struct PortTss {
    tss: TaskStateSegment,
    /// A set bit denies the port. The processor reads one byte beyond the last.
    denied: [u8; 8192 + 1],
}

/// The boot processor. `main` loads it with [`PerCpu::init`].
pub static BOOT_CPU: Shared<PerCpu> = Shared::new(PerCpu {
    context: 0,
    scratch: 0,
    kernel_stack: 0,
    this: core::ptr::null_mut(),
    apic: LocalApic::UNKNOWN,
    open: Vec::new(),
    gdt: GlobalDescriptorTable::new(),
    tss: PortTss { tss: TaskStateSegment::new(), denied: [0xff; 8192 + 1] },
});

/// A gate of the interrupt descriptor table (Intel SDM vol. 3, section 6.14.1).
#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Gate {
    low: u64,
    high: u64,
}

/// The interrupt descriptor table of all processors.
static IDT: Shared<[Gate; 256]> = Shared::new([Gate { low: 0, high: 0 }; 256]);

/// Stacks by number in the interrupt stack table; 0 means: the kernel stack.
const IST_NMI: u64 = 1;
const IST_DEBUG: u64 = 2;
const IST_LAST: u64 = 3;

impl Gate {
    /// An interrupt gate to `target` on stack `ist`, usable by `int` from ring `privilege` on.
    fn new(target: u64, ist: u64, privilege: u64) -> Gate {
        let attributes = 1 << 15 | privilege << 13 | 0xe << 8 | ist;
        let low = target & 0xffff | u64::from(KERNEL_CODE) << 16 | attributes << 32 | (target >> 16 & 0xffff) << 48;
        Gate { low, high: target >> 32 }
    }

    /// The gate of `vector`.
    fn of(vector: u8) -> Gate {
        match vector {
            1 => Gate::new(entry::debug_entry as *const () as u64, IST_DEBUG, 0),
            2 => Gate::new(entry::nmi_entry as *const () as u64, IST_NMI, 0),
            // Programs may execute `int3`; that is what it is for.
            3 => Gate::new(entry::stub(3), 0, 3),
            8 => Gate::new(entry::double_fault_entry as *const () as u64, IST_LAST, 0),
            18 => Gate::new(entry::machine_check_entry as *const () as u64, IST_LAST, 0),
            other => Gate::new(entry::stub(other), 0, 0),
        }
    }
}

impl PerCpu {
    /// The processor that this code runs on.
    #[inline(always)]
    pub fn this() -> *mut PerCpu {
        let this;
        // SAFETY: in the kernel GS points to the processor's PerCpu (invariant 1), whose `this` holds its address.
        unsafe {
            asm!("mov {}, gs:[{}]", out(reg) this, const offset_of!(PerCpu, this), options(nostack, readonly, pure));
        }
        this
    }

    /// Opens exactly the ports in `ranges` to user mode. Does nothing where the set is as before.
    pub fn open_ports(&mut self, ranges: &[PortRange]) {
        if self.open.as_slice() == ranges {
            return;
        }
        for range in core::mem::take(&mut self.open) {
            self.tss.set(range, true);
        }
        for range in ranges {
            self.tss.set(*range, false);
        }
        // More ranges than a process may have do not occur; those beyond stay closed when the set changes next.
        self.open = ranges.iter().copied().take(MAX_PORT_RANGES).collect();
    }

    /// Makes this processor the kernel's: descriptor tables, control registers, system call entry, GS.
    ///
    /// # Safety
    /// 1. To be called once for each processor, on it, with interrupts off and on its kernel stack.
    /// 2. `cpu` and `stacks` must be for this processor alone, stay for ever, and lie in the kernel's address space.
    pub unsafe fn init(cpu: *mut PerCpu, stacks: *mut Stacks) {
        // SAFETY: nobody else uses them (2), and no interrupt can come in between (1).
        unsafe {
            (*cpu).fill(cpu, stacks as u64);
            (*cpu).load_tables();
        }
        control_registers();
        // SAFETY: `cpu` is this processor's own and stays (2).
        unsafe { system_call_registers(cpu) };
    }

    /// Fills in what the processor will be told of.
    fn fill(&mut self, this: *mut PerCpu, stacks: u64) {
        let end = |offset: usize, size: usize| VirtAddr::new(stacks + (offset + size) as u64);
        let top = end(offset_of!(Stacks, kernel), KERNEL_STACK);
        self.this = this;
        self.kernel_stack = top.as_u64();
        let tss = &mut self.tss.tss;
        tss.privilege_stack_table[0] = top;
        tss.interrupt_stack_table[IST_NMI as usize - 1] = end(offset_of!(Stacks, nmi), 1024);
        tss.interrupt_stack_table[IST_DEBUG as usize - 1] = end(offset_of!(Stacks, debug), 1024);
        tss.interrupt_stack_table[IST_LAST as usize - 1] = end(offset_of!(Stacks, last), 10 * 1024);
        tss.iomap_base = offset_of!(PortTss, denied) as u16;

        let segments = [
            Descriptor::kernel_code_segment(),
            Descriptor::kernel_data_segment(),
            Descriptor::user_data_segment(),
            Descriptor::user_code_segment(),
            self.tss.descriptor(),
        ];
        self.gdt = GlobalDescriptorTable::new();
        for segment in segments {
            self.gdt.append(segment);
        }
    }

    /// Loads the descriptor tables.
    ///
    /// # Safety
    /// `self` must have been filled, and stay for ever.
    unsafe fn load_tables(&self) {
        let selector = |raw: u16| SegmentSelector::new(raw >> 3, PrivilegeLevel::from_u16(raw & 3));
        // SAFETY: 1. The table stays (the caller's promise), and its entries are those that the selectors mean.
        //         2. The gates lead to the entry points of `entry`, on stacks that `fill` has put in the TSS.
        //         3. Null is fine for the data segments in 64-bit mode; FS and GS get their bases later.
        unsafe {
            self.gdt.load_unsafe();
            CS::set_reg(selector(KERNEL_CODE));
            SS::set_reg(selector(KERNEL_DATA));
            DS::set_reg(SegmentSelector::NULL);
            ES::set_reg(SegmentSelector::NULL);
            FS::set_reg(SegmentSelector::NULL);
            GS::set_reg(SegmentSelector::NULL);
            asm!("lldt {:x}", in(reg) 0u16, options(nomem, nostack));
            load_tss(selector(0x28));
            IDT.get().write(core::array::from_fn(|vector| Gate::of(vector as u8)));
            lidt(&DescriptorTablePointer {
                limit: (size_of::<[Gate; 256]>() - 1) as u16,
                base: VirtAddr::new(IDT.get() as u64),
            });
        }
    }
}

impl PortTss {
    /// Its descriptor, whose limit takes in the bitmap.
    fn descriptor(&self) -> Descriptor {
        // SAFETY: used by `fill` alone, whose value stays for ever (contract of `init`).
        match unsafe { Descriptor::tss_segment_unchecked(&self.tss) } {
            Descriptor::SystemSegment(low, high) => {
                Descriptor::SystemSegment(low & !0xffff | (size_of::<PortTss>() - 1) as u64, high)
            }
            segment => segment,
        }
    }

    /// Denies or allows the ports in `range`.
    fn set(&mut self, range: PortRange, denied: bool) {
        let first = usize::from(range.first);
        for port in first..(first + range.count as usize).min(0x1_0000) {
            let bit = 1 << (port % 8);
            let byte = &mut self.denied[port / 8];
            *byte = if denied { *byte | bit } else { *byte & !bit };
        }
    }
}

const _: () = assert!(offset_of!(PortTss, denied) == 104);

/// Whether `address` is in the guard page below the boot processor's kernel stack.
pub fn in_guard_page(address: u64) -> bool {
    address.wrapping_sub(guard_page()) < 4096
}

/// The page that must not be mapped.
pub fn guard_page() -> u64 {
    BOOT_STACKS.get() as u64 + offset_of!(Stacks, guard) as u64
}

/// The addresses of the boot processor's stacks.
pub fn stack_addresses() -> core::ops::Range<u64> {
    guard_page() + 4096..BOOT_STACKS.get() as u64 + size_of::<Stacks>() as u64
}

/// What a processor says that does not know the question.
const NO_FEATURES: CpuidResult = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/// Switches on what protects, and off what programs shall not have.
fn control_registers() {
    let extended = if __cpuid_count(0, 0).eax >= 7 { __cpuid_count(7, 0) } else { NO_FEATURES };
    let has = |register: u32, bit: u32, flag: Cr4Flags| if register >> bit & 1 != 0 { flag } else { Cr4Flags::empty() };
    let optional = has(extended.ebx, 7, Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION)
        | has(extended.ebx, 20, Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION)
        | has(extended.ecx, 2, Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION);
    let always = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
        | Cr4Flags::PAGE_GLOBAL
        | Cr4Flags::MACHINE_CHECK_EXCEPTION
        | Cr4Flags::OSFXSR
        | Cr4Flags::OSXMMEXCPT_ENABLE;
    // SAFETY: 1. Paging stays as it is; the kernel's code is mapped executable and its data supervisor-only.
    //         2. The kernel uses no vector registers, so what the FPU bits do concerns user mode alone.
    //         3. No breakpoint is set from here on: the kernel sets none, and user mode cannot.
    unsafe {
        Cr0::write(
            Cr0Flags::PROTECTED_MODE_ENABLE
                | Cr0Flags::MONITOR_COPROCESSOR
                | Cr0Flags::EXTENSION_TYPE
                | Cr0Flags::NUMERIC_ERROR
                | Cr0Flags::WRITE_PROTECT
                | Cr0Flags::PAGING,
        );
        Cr4::write(always | optional);
        Efer::update(|efer| efer.insert(EferFlags::SYSTEM_CALL_EXTENSIONS | EferFlags::NO_EXECUTE_ENABLE));
    }
    Dr7::write(Dr7Value::from(Dr7Flags::empty()));
}

/// From now on `syscall` leads to this door.
pub fn enter_through(door: unsafe extern "C" fn()) {
    LStar::write(VirtAddr::new(door as *const () as u64));
}

/// Points `syscall` and GS at the kernel.
///
/// # Safety
/// `cpu` must be this processor's own, filled, and stay for ever.
unsafe fn system_call_registers(cpu: *mut PerCpu) {
    GsBase::write(VirtAddr::new(cpu as u64));
    KernelGsBase::write(VirtAddr::zero());
    FsBase::write(VirtAddr::zero());
    LStar::write(VirtAddr::new(entry::syscall_entry as *const () as u64));
    // Everything that a program can set and that would mean something in the kernel.
    SFMask::write(
        RFlags::INTERRUPT_FLAG
            | RFlags::DIRECTION_FLAG
            | RFlags::TRAP_FLAG
            | RFlags::ALIGNMENT_CHECK
            | RFlags::NESTED_TASK
            | RFlags::RESUME_FLAG
            | RFlags::IOPL_LOW
            | RFlags::IOPL_HIGH
            | RFlags::OVERFLOW_FLAG
            | RFlags::SIGN_FLAG
            | RFlags::ZERO_FLAG
            | RFlags::AUXILIARY_CARRY_FLAG
            | RFlags::PARITY_FLAG
            | RFlags::CARRY_FLAG
            | RFlags::ID,
    );
    // SAFETY: the selectors are those of the table in `fill`, in the order that the instructions count on:
    // `syscall` takes KERNEL_CODE and the next, `sysretq` the base + 16 for code and + 8 for the stack.
    unsafe { Star::write_raw(KERNEL_DATA | 3, KERNEL_CODE) };
}
