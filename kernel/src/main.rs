//! The kernel: the object logic of the library, on the machine that `arch` brings up.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod arch;

/// Boots. The entry code calls this on the kernel stack, with interrupts off and the boot page tables loaded.
#[cfg(target_os = "none")]
extern "C" fn kernel_main(path: u64, info: u64, tsc: u64) -> ! {
    use arch::x86_64::{boot, dispatch, log};

    log::init(); // from here on, panics are seen
    let entry = boot::Entry { path, info, tsc };
    // SAFETY: called once, by the entry code, with the boot page tables loaded; no low address is used below.
    let (mut info, topology) = unsafe { boot::memory(&entry) }; // the kernel's own address space
    boot::processor(); // descriptor tables, protection, the doors to user mode
    let machine = boot::machine(&mut info, &topology); // interrupt controllers, clocks
    let kernel = kernel::Kernel::new(machine, &info); // accounts for all memory, loads init from the boot archive
    dispatch::run(kernel) // leaves to init
}

/// The kernel runs on bare machines only; for the host there is its library.
#[cfg(not(target_os = "none"))]
fn main() {}
