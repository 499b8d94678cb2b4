//! What a capability is about, and what its holder may do.

use crate::numbered;

bitflags::bitflags! {
    /// What the holder of a capability may do with its object. A derived capability never has more than its parent.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Rights: u16 {
        /// Queue: call and post.
        const SEND = 1 << 0;
        /// Queue: receive from it, bind events to it.
        const RECEIVE = 1 << 1;
        /// Queue: derive capabilities with a badge.
        const MINT = 1 << 2;
        /// Event: signal it, bind it as the target of an interrupt or of a process's end.
        const SIGNAL = 1 << 3;
        /// Event: wait for it, bind it to a queue.
        const WAIT = 1 << 4;
        /// Memory: map it readable, load an image from it.
        const READ = 1 << 5;
        /// Memory: map it writable.
        const WRITE = 1 << 6;
        /// Memory: map it executable.
        const EXECUTE = 1 << 7;
        /// Memory: map it at all. Process: change its mappings.
        const MAP = 1 << 8;
        /// Memory: learn its physical addresses, to give them to a device.
        const DMA = 1 << 9;
        /// Account: pay for new objects out of it. Machine: make interrupts, ports and physical memory.
        const CREATE = 1 << 10;
        /// Account: destroy it with all that it paid for.
        const DESTROY = 1 << 11;
        /// Account, Process, Thread, Machine: read their state.
        const INSPECT = 1 << 12;
        /// Process, Thread: load, start, stop, kill, restart, set the priority.
        const CONTROL = 1 << 13;
        /// Process: put capabilities into its table.
        const GRANT = 1 << 14;
        /// Irq: bind and acknowledge it. IoPorts: open them to a process.
        const USE = 1 << 15;
    }
}

/// Names apart by commas, such as `send,mint`; `-` for none.
impl core::fmt::Display for Rights {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        for (n, (name, _)) in self.iter_names().enumerate() {
            f.write_str(if n == 0 { "" } else { "," })?;
            name.bytes().try_for_each(|byte| core::fmt::Write::write_char(f, byte.to_ascii_lowercase().into()))?;
        }
        Ok(())
    }
}

numbered! {
    /// The kinds of kernel object.
    #[derive(Hash)]
    pub enum Kind: u8 {
        /// A quota of physical memory out of which objects are paid; accounts form a tree.
        Account = 1, "account";
        /// An address space, a capability table, threads, and an account that pays; has an incarnation number.
        Process = 2, "process";
        /// Registers, a priority and a message page; belongs to a process.
        Thread = 3, "thread";
        /// A set of frames.
        Memory = 4, "memory";
        /// A bounded message queue.
        Queue = 5, "queue";
        /// A word of signal bits.
        Event = 6, "event";
        /// An interrupt line or MSI vector.
        Irq = 7, "irq";
        /// A range of x86 I/O ports.
        IoPorts = 8, "ioports";
        /// The authority over the hardware of this machine, out of which interrupts, ports and physical memory are made.
        Machine = 9, "machine";
    }
}

impl Kind {
    /// Every right that means something for this kind.
    pub const fn all_rights(self) -> Rights {
        match self {
            Kind::Account => Rights::CREATE.union(Rights::DESTROY).union(Rights::INSPECT),
            Kind::Process => Rights::CONTROL.union(Rights::MAP).union(Rights::GRANT).union(Rights::INSPECT),
            Kind::Thread => Rights::CONTROL.union(Rights::INSPECT),
            Kind::Memory => {
                Rights::READ.union(Rights::WRITE).union(Rights::EXECUTE).union(Rights::MAP).union(Rights::DMA)
            }
            Kind::Queue => Rights::SEND.union(Rights::RECEIVE).union(Rights::MINT),
            Kind::Event => Rights::SIGNAL.union(Rights::WAIT),
            Kind::Irq | Kind::IoPorts => Rights::USE,
            Kind::Machine => Rights::CREATE.union(Rights::INSPECT),
        }
    }
}
