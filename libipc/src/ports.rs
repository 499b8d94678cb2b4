//! I/O ports that are open to this program.
//!
//! Invariant: the instructions touch no memory; a port that is not open makes them fault, which ends the program.

use crate::memory::own_process;
use crate::object::IoPorts;
use crate::sys;
use abi::SysError;

/// A range of ports, open to this program.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    count: u16,
}

macro_rules! accesses {
    ($($type:ident $register:tt $read:ident $write:ident),*) => { $(
        #[doc = concat!("Reads a `", stringify!($type), "` from port `first + offset`; all ones beyond the range.")]
        #[inline]
        pub fn $read(&self, offset: u16) -> $type {
            let Some(_port) = self.place(offset, size_of::<$type>() as u16) else { return $type::MAX };
            #[cfg(target_os = "none")]
            {
                let value;
                // SAFETY: touches no memory and no flags (invariant).
                unsafe {
                    core::arch::asm!(concat!("in ", $register, ", dx"), out($register) value, in("dx") _port,
                                     options(nomem, nostack, preserves_flags));
                }
                value
            }
            #[cfg(not(target_os = "none"))]
            $type::MAX
        }
        #[doc = concat!("Writes a `", stringify!($type), "` to port `first + offset`; nothing beyond the range.")]
        #[inline]
        pub fn $write(&mut self, offset: u16, value: $type) {
            let Some(_port) = self.place(offset, size_of::<$type>() as u16) else { return };
            // SAFETY: touches no memory and no flags (invariant). Compilers keep it after earlier stores: it has no `nomem`.
            #[cfg(target_os = "none")]
            unsafe {
                core::arch::asm!(concat!("out dx, ", $register), in("dx") _port, in($register) value,
                                 options(nostack, preserves_flags));
            }
            let _ = value;
        }
    )* };
}

impl Ports {
    /// Opens `ports`, which start at port `first`.
    pub fn open(ports: IoPorts, first: u16) -> Result<Ports, SysError> {
        let size = sys::inspect(ports.handle())?.size;
        own_process().open_ports(ports)?;
        Ok(Ports { first, count: u16::try_from(size).unwrap_or(u16::MAX) })
    }
    fn place(&self, offset: u16, size: u16) -> Option<u16> {
        let fits = offset.checked_add(size).is_some_and(|end| end <= self.count);
        self.first.checked_add(offset).filter(|_| fits)
    }
    accesses!(u8 "al" read_u8 write_u8, u16 "ax" read_u16 write_u16);
}
