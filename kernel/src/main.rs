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
    match kernel::Kernel::new(machine, &info, kernel::mm::DirectMap::kernel()) {
        Ok(kernel) => dispatch::run(kernel), // all memory has an account, init is loaded: leaves to it
        Err(error) => panic!("cannot start: {error}"),
    }
}

/// The kernel runs on bare machines only; for the host there is its library.
#[cfg(not(target_os = "none"))]
fn main() {}
