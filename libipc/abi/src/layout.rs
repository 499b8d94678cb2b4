//! Where things lie in a program's address space. The kernel fixes only the user half; the rest is agreed between
//! the loader of a program (a parent, or the kernel for the first one) and its runtime.

/// First address that a program may map: the first page is never mapped, so that null pointers fault.
pub const USER_START: u64 = 0x1000;
/// First address after the user half. One page short of the canonical limit, so that no instruction of a program ends
/// at it and returns to a non-canonical address (Intel SDM vol. 2, SYSRET).
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;

/// Where the runtime's heap begins.
pub const HEAP_START: u64 = 0x0000_1000_0000_0000;
/// First address after the largest heap.
pub const HEAP_END: u64 = 0x0000_2000_0000_0000;
/// Where a program maps memory objects that it is handed or makes.
pub const MAP_START: u64 = 0x0000_2000_0000_0000;
/// First address after that.
pub const MAP_END: u64 = 0x0000_6000_0000_0000;
/// Where the startup page (arguments, names of the initial capabilities) is mapped, read-only.
pub const STARTUP: u64 = 0x0000_6000_0000_0000;
/// Where the boot archive is mapped for the first program, read-only.
pub const BOOT_ARCHIVE: u64 = 0x0000_6100_0000_0000;

/// Where the areas of threads begin; thread n of a process has the n-th area.
pub const THREAD_AREAS: u64 = 0x0000_7000_0000_0000;
/// Bytes of one area, and its alignment: at its start the message page, then an unmapped guard page, then room for the
/// stack, which grows down from the area's end. So `rsp & !(THREAD_AREA - 1)` is the address of the message page.
pub const THREAD_AREA: u64 = 1 << 20;
/// Most bytes of stack in an area.
pub const STACK_MAX: u64 = THREAD_AREA - 2 * crate::PAGE_SIZE;

/// What the first program finds in its capability table: its own process, with all rights.
pub const INIT_SELF: crate::Handle = crate::Handle::new(1, 1);
/// The account that pays for everything but the kernel itself.
pub const INIT_ACCOUNT: crate::Handle = crate::Handle::new(2, 1);
/// The authority over the hardware.
pub const INIT_MACHINE: crate::Handle = crate::Handle::new(3, 1);
/// The memory of the boot archive: `READ`, `MAP` and `EXECUTE`.
pub const INIT_ARCHIVE: crate::Handle = crate::Handle::new(4, 1);
/// Memory that is zero at power-on and outlives the first program: `READ`, `WRITE` and `MAP`.
pub const INIT_RECORD: crate::Handle = crate::Handle::new(5, 1);
/// Its pages.
pub const INIT_RECORD_PAGES: u64 = 128;
