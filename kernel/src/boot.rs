//! From boot information to the first program.
//!
//! Invariants:
//! 1. All RAM belongs to the root account, and the first program's process is paid by it.
//! 2. The first program has exactly five capabilities, at the handles that `abi::layout` names.

use crate::account::{Account, Purpose};
use crate::coverage::Coverage;
use crate::first::FirstProgram;
use crate::handoff::Allowed;
use crate::ipc::CallIds;
use crate::kernel::Kernel;
use crate::killpoint::KillPoints;
use crate::latency::Latency;
use crate::machine::{BootInfo, Clock, Machine};
use crate::memory::{Backing, Memory};
use crate::mm::{DirectMap, Frame, Mm, Numbers, Object, Pool, Ref, Slots};
use crate::placement::Placement;
use crate::process::Process;
use crate::reaper::Reaper;
use crate::schedule::Slice;
use crate::trace::{self, Trace};
use crate::trouble::Trouble;
use crate::wheel::Wheel;
use abi::{Kind, MachineInfo, PAGE_SIZE, PRIORITIES, SysError, layout};

/// The first program's name in the boot archive.
const FIRST: &str = "init";
/// Pages that stay with the kernel for the table of threads, which belongs to no program: 4,096 threads.
const KERNEL_RESERVE: u64 = 4;

/// Why the system cannot start.
#[derive(Debug)]
pub enum BootError {
    /// No RAM, or not enough for the frame table.
    NoRam,
    /// Not enough RAM in one piece for the trace that the command line asks for.
    NoTrace,
    /// This word of the command line, or its beginning, is not understood.
    BadWord(heapless::String<64>),
    /// The boot archive has no member of this name.
    NoMember(&'static str),
    /// The first program was refused.
    FirstProgram(Trouble),
}

impl core::fmt::Display for BootError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            BootError::NoRam => f.write_str("not enough memory"),
            BootError::NoTrace => f.write_str("not enough memory for the trace; ask for a smaller one with trace=N"),
            BootError::BadWord(word) => write!(f, "`{word}` on the command line is not understood"),
            BootError::NoMember(name) => write!(f, "the boot archive has no member `{name}` (give one with -initrd)"),
            BootError::FirstProgram(Trouble::Malformed(defect)) => write!(f, "{FIRST}: {}", defect.text()),
            BootError::FirstProgram(trouble) => write!(f, "{FIRST}: {trouble:?}"),
        }
    }
}

impl From<SysError> for BootError {
    fn from(error: SysError) -> Self {
        BootError::FirstProgram(error.into())
    }
}

/// Finds a file in a tar archive (POSIX.1-2017, pax, "ustar Interchange Format"): its offset and length.
pub fn find_member(archive: &impl Fn(u64) -> [u8; 512], length: u64, name: &str) -> Option<(u64, u64)> {
    let mut at = 0u64;
    while at.checked_add(512)? <= length {
        let header = archive(at);
        if &header[257..262] != b"ustar" {
            return None;
        }
        let octal = |field: &[u8]| {
            field.iter().take_while(|b| (b'0'..=b'7').contains(b)).fold(0u64, |n, b| n << 3 | (b - b'0') as u64)
        };
        let size = octal(&header[124..135]);
        let end = header[..100].iter().position(|b| *b == 0).unwrap_or(100);
        let start = at + 512;
        if header[..end] == *name.as_bytes() && start.checked_add(size)? <= length {
            return Some((start, size));
        }
        at = start.checked_add(size)?.checked_next_multiple_of(512)?;
    }
    None
}

/// Whether calls are delivered again, by a command line: unless it says `redelivery=off`, by which what recoverability costs
/// is measured. `Err` is the word that is not understood.
fn redelivers(line: &str) -> Result<bool, &str> {
    let mut words = line.split_ascii_whitespace().filter(|word| word.starts_with("redelivery="));
    let unknown = words.clone().find(|word| *word != "redelivery=off");
    unknown.map_or(Ok(words.next().is_none()), Err)
}

impl<M: Machine> Kernel<M> {
    /// The kernel on this machine, with the first program ready to run.
    pub fn new(mut machine: M, boot: &BootInfo, direct: DirectMap) -> Result<Kernel<M>, BootError> {
        let bad = |word: &str| BootError::BadWord(word.chars().take(16).collect());
        let kill_points = KillPoints::parse(&boot.cmdline).map_err(bad)?;
        let latency = Latency::parse(&boot.cmdline).map_err(bad)?;
        let coverage = Coverage::parse(&boot.cmdline).map_err(bad)?;
        let redelivers = redelivers(&boot.cmdline).map_err(bad)?;
        let mut placement = Placement::parse(&boot.cmdline).map_err(bad)?;
        placement.begin(&mut machine);
        let tracing = trace::Settings::parse(&boot.cmdline).map_err(bad)?;
        let mut mm = Mm::new(direct, &boot.free, boot.archive).ok_or(BootError::NoRam)?;
        mm.open_window(boot.kernel_root).ok_or(BootError::NoRam)?;
        let mut accounts = Pool::new(&mm);
        let root = Self::root_account(&mut mm, &mut accounts)?;
        let trace = Trace::new(tracing, &mut mm).ok_or(BootError::NoTrace)?;
        accounts[root].charge(Purpose::Contents, trace.pages()).map_err(|_| BootError::NoTrace)?;
        let now = machine.ticks();
        let clock = Clock::new(boot.entry_tsc, boot.tsc_hz);
        let mut kernel = Kernel {
            slots: Slots::new(&mm),
            processes: Pool::new(&mm),
            threads: Pool::new(&mm),
            memories: Pool::new(&mm),
            queues: Pool::new(&mm),
            events: Pool::new(&mm),
            irqs: Pool::new(&mm),
            ports: Pool::new(&mm),
            regions: Pool::new(&mm),
            accounts,
            info: Self::machine_info(boot, mm.total_frames()),
            placement,
            numbers: Numbers::new(&mm, KERNEL_RESERVE),
            mm,
            machine,
            root,
            current: None,
            left: None,
            ports_open: false,
            handoff_allowed: Allowed::Nothing,
            watched: kill_points.is_on() || coverage.is_on() || latency.is_on(),
            redelivers,
            kill_points,
            trace,
            coverage,
            latency,
            ready: Default::default(),
            changed: false,
            slice: Slice::new(&clock),
            wheel: Wheel::new(now),
            clock,
            calls: CallIds::default(),
            audit: None,
            reaper: Reaper::new(),
            irq_table: Self::empty_irq_table(),
            machine_caps: 0,
            next_process: 0,
            next_queue: 0,
            first_program: None,
            first_process: None,
            last_process: None,
            kernel_root: boot.kernel_root,
            ram: boot.ram.clone(),
        };
        kernel.start_first(boot)?;
        kernel.info.boot_ticks = kernel.machine.ticks().saturating_sub(boot.entry_tsc);
        Ok(kernel)
    }

    /// The account of all RAM, in a slab page that it pays for itself.
    fn root_account(mm: &mut Mm, accounts: &mut Pool<Account>) -> Result<Ref<Account>, BootError> {
        let mut list = Default::default();
        let frame = mm.take_dirty(Account::FRAME).ok_or(BootError::NoRam)?;
        accounts.add_page(mm, &mut list, frame).ok_or(BootError::NoRam)?;
        let root = accounts.insert(&mut list, Account::new(mm.total_frames(), None)).ok_or(BootError::NoRam)?;
        accounts[root].slabs.accounts = list;
        accounts[root].charge(Purpose::Objects, 1)?;
        Ok(root)
    }

    fn machine_info(boot: &BootInfo, frames: u64) -> MachineInfo {
        let mut cmdline = [0; abi::MAX_CMDLINE];
        let text = boot.cmdline.as_bytes();
        cmdline[..text.len()].copy_from_slice(text);
        MachineInfo {
            rsdp: boot.rsdp,
            tsc_hz: boot.tsc_hz,
            frames,
            boot_ticks: 0,
            entry_tsc: boot.entry_tsc,
            archive_bytes: boot.archive.end - boot.archive.start,
            cmdline_bytes: text.len() as u64,
            cmdline,
        }
    }

    fn start_first(&mut self, boot: &BootInfo) -> Result<(), BootError> {
        let length = boot.archive.end - boot.archive.start;
        let archive = Memory {
            backing: Backing::Archive(Frame::containing(boot.archive.start)),
            ..Memory::anonymous(length.div_ceil(PAGE_SIZE).max(1), self.root)
        };
        let archive = self.create(self.root, archive)?;
        let block = |at: u64| {
            let frame = Frame::containing(boot.archive.start + at);
            let mut bytes = [0; 512];
            bytes.copy_from_slice(&self.mm.bytes(frame)[(at % PAGE_SIZE) as usize..][..512]);
            bytes
        };
        let (start, size) = find_member(&block, length, FIRST).ok_or(BootError::NoMember(FIRST))?;
        let mut name = [0; 16];
        name[..FIRST.len()].copy_from_slice(FIRST.as_bytes());
        self.accounts[self.root].charge(Purpose::Other, KERNEL_RESERVE)?;
        let process = self.new_process(self.root, PRIORITIES - 1, name)?;
        self.grant_first(process, archive)?;
        let first = FirstProgram::new(process, archive, start, size);
        self.start_program(&first).map_err(BootError::FirstProgram)?;
        self.first_program = Some(first);
        Ok(())
    }

    fn grant_first(&mut self, process: Ref<Process>, archive: Ref<Memory>) -> Result<(), BootError> {
        let root = self.root.raw();
        let lasting = self.create(self.root, Memory::anonymous(layout::INIT_RECORD_PAGES, self.root))?;
        let grants = [
            (Kind::Process, process.raw(), layout::INIT_SELF),
            (Kind::Account, root, layout::INIT_ACCOUNT),
            (Kind::Machine, Self::MACHINE, layout::INIT_MACHINE),
            (Kind::Memory, archive.raw(), layout::INIT_ARCHIVE),
            (Kind::Memory, lasting.raw(), layout::INIT_RECORD),
        ];
        for (kind, object, expected) in grants {
            let handle = self.insert_root(process, kind, object)?;
            assert_eq!(handle, expected, "the first program's handles are part of the ABI");
            self.keep(process, handle)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, data) in members {
            let mut header = [0u8; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
            header[257..262].copy_from_slice(b"ustar");
            out.extend(header);
            out.extend(*data);
            out.resize(out.len().next_multiple_of(512), 0);
        }
        out
    }

    fn find(archive: &[u8], name: &str) -> Option<(u64, u64)> {
        find_member(&|at| archive[at as usize..][..512].try_into().unwrap(), archive.len() as u64, name)
    }

    #[test]
    fn a_member_is_found_behind_others() {
        let archive = tar(&[("manifest", &[1; 700]), ("init", b"abc")]);
        assert_eq!(find(&archive, "init"), Some((512 + 1024 + 512, 3)));
        assert_eq!(find(&archive, "fs"), None);
    }

    #[test]
    fn a_broken_archive_has_no_members() {
        assert_eq!(find(&[7; 2048], "init"), None);
        let mut archive = tar(&[("init", b"abc")]);
        archive[124..135].copy_from_slice(b"77777777777");
        assert_eq!(find(&archive, "init"), None);
    }
}
