//! What a refused system call returns.

/// Why the kernel refused. The value stands in `rax` on return; 0 means success.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysError {
    /// No system call has this number, or a flag is set that it does not know.
    BadSyscall = 1,
    /// The handle names no capability: never given, closed, revoked, or of an earlier occupant of its slot.
    BadHandle = 2,
    /// The capability is of another kind than the operation needs.
    WrongKind = 3,
    /// The capability lacks a right that the operation needs.
    MissingRights = 4,
    /// An operand is out of its range.
    BadArgument = 5,
    /// An address range is not in the user half, wraps, is not aligned, or is not mapped with the needed protection.
    BadAddress = 6,
    /// The account that would pay has no quota left (or no run of free frames is long enough).
    NoMemory = 7,
    /// The operation would have to wait and was told not to, or a ring is full.
    WouldBlock = 8,
    /// The deadline passed. A call that times out before it was received has had no effect.
    TimedOut = 9,
    /// The object is gone for good. The message was not delivered.
    Closed = 10,
    /// The server received the call and died, and the call may not be delivered again. Its outcome is unknown.
    ServerDied = 11,
    /// The wait would close a cycle of waiting callers.
    Deadlock = 12,
    /// The message id names no call that this process has received and not yet answered.
    BadToken = 13,
    /// The lease does not exist, ends before the range, lacks the access, or its memory is not there.
    BadLease = 14,
    /// The address range is in use already.
    AddressInUse = 15,
    /// The object is not in a state that allows the operation.
    BadState = 16,
    /// The file is no ELF image that the kernel loads; word 0 has the [`ImageDefect`].
    BadImage = 17,
    /// A fixed limit of the kernel is reached (slots of a table, threads of the system).
    LimitReached = 18,
    /// The call timed out, or was cancelled, after a server received it. Its outcome is unknown.
    OutcomeUnknown = 19,
}

impl SysError {
    const ALL: [SysError; 19] = {
        use SysError::*;
        [
            BadSyscall,
            BadHandle,
            WrongKind,
            MissingRights,
            BadArgument,
            BadAddress,
            NoMemory,
            WouldBlock,
            TimedOut,
            Closed,
            ServerDied,
            Deadlock,
            BadToken,
            BadLease,
            AddressInUse,
            BadState,
            BadImage,
            LimitReached,
            OutcomeUnknown,
        ]
    };

    /// The meaning of `rax` after a system call: `Ok` for 0. A number that no kernel returns reads as `BadSyscall`.
    #[inline]
    pub fn check(raw: u64) -> Result<(), SysError> {
        if raw == 0 { Ok(()) } else { Err(Self::from_raw(raw)) }
    }

    /// The error with this number; one that no kernel returns reads as `BadSyscall`.
    pub fn from_raw(raw: u64) -> SysError {
        Self::ALL.into_iter().find(|e| *e as u64 == raw).unwrap_or(SysError::BadSyscall)
    }

    /// A sentence part for people.
    pub const fn text(self) -> &'static str {
        match self {
            SysError::BadSyscall => "no such system call",
            SysError::BadHandle => "no capability behind this handle",
            SysError::WrongKind => "capability of the wrong kind",
            SysError::MissingRights => "capability lacks the right",
            SysError::BadArgument => "argument out of range",
            SysError::BadAddress => "bad address",
            SysError::NoMemory => "out of memory",
            SysError::WouldBlock => "would block",
            SysError::TimedOut => "timed out",
            SysError::Closed => "object is gone",
            SysError::ServerDied => "server died, outcome unknown",
            SysError::Deadlock => "would deadlock",
            SysError::BadToken => "no such pending call",
            SysError::BadLease => "bad lease",
            SysError::AddressInUse => "address in use",
            SysError::BadState => "object not in a state for this",
            SysError::BadImage => "not a loadable ELF image",
            SysError::LimitReached => "kernel limit reached",
            SysError::OutcomeUnknown => "timed out after delivery, outcome unknown",
        }
    }
}

impl core::fmt::Display for SysError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

/// What is wrong with an ELF file that was refused with [`SysError::BadImage`].
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageDefect {
    /// The file is shorter than an ELF header or its program headers.
    Truncated = 1,
    /// The first four bytes are not `\x7fELF`, or the header is malformed.
    NotElf = 2,
    /// Not a 64-bit little-endian image for x86-64.
    WrongMachine = 3,
    /// Not a position-independent executable (`ET_DYN`).
    NotExecutable = 4,
    /// No loadable segment, or more than the kernel takes.
    SegmentCount = 5,
    /// A segment asks to be writable and executable at once.
    WritableAndExecutable = 6,
    /// A segment's file range lies outside the file, or is longer than its memory.
    SegmentOutOfFile = 7,
    /// A segment's addresses wrap, or lie at or above [`crate::layout::IMAGE_MAX`].
    SegmentAddress = 8,
    /// A segment's alignment is no power of two, or its address and offset disagree modulo the page size.
    SegmentAlignment = 9,
    /// Two segments share a page.
    SegmentOverlap = 10,
    /// The entry point is in no executable segment.
    BadEntry = 11,
    /// The image needs an interpreter, dynamic linking or thread-local storage.
    NeedsLinker = 12,
    /// The program headers do not lie within the file's first page.
    HeadersTooFar = 13,
    /// The dynamic section, or the table of relocations that it names, is cut short, misaligned, outside the file's segments,
    /// or not of the form `DT_RELR`.
    RelocationTable = 14,
    /// There are relocations of another kind than relative ones (`R_X86_64_RELATIVE`, packed as `DT_RELR`).
    RelocationKind = 15,
    /// A relocation is not in the file's part of a segment that begins writable, or they do not ascend.
    RelocationTarget = 16,
    /// More relocations than the kernel does in one system call.
    RelocationCount = 17,
    /// What is to be read-only after relocation (`PT_GNU_RELRO`) is not exactly the pages of a segment that begins writable.
    RelocationProtection = 18,
}

impl ImageDefect {
    const ALL: [ImageDefect; 18] = {
        use ImageDefect::*;
        [
            Truncated,
            NotElf,
            WrongMachine,
            NotExecutable,
            SegmentCount,
            WritableAndExecutable,
            SegmentOutOfFile,
            SegmentAddress,
            SegmentAlignment,
            SegmentOverlap,
            BadEntry,
            NeedsLinker,
            HeadersTooFar,
            RelocationTable,
            RelocationKind,
            RelocationTarget,
            RelocationCount,
            RelocationProtection,
        ]
    };

    /// The defect with this number, `None` where there is none.
    pub fn from_raw(raw: u64) -> Option<ImageDefect> {
        Self::ALL.into_iter().find(|d| *d as u64 == raw)
    }

    /// A sentence part for people.
    pub const fn text(self) -> &'static str {
        match self {
            ImageDefect::Truncated => "file ends inside its headers",
            ImageDefect::NotElf => "not an ELF file",
            ImageDefect::WrongMachine => "not a 64-bit x86-64 image",
            ImageDefect::NotExecutable => "not a position-independent executable",
            ImageDefect::SegmentCount => "no loadable segment, or too many",
            ImageDefect::WritableAndExecutable => "a segment is writable and executable",
            ImageDefect::SegmentOutOfFile => "a segment lies outside the file",
            ImageDefect::SegmentAddress => "a segment lies outside the program's addresses",
            ImageDefect::SegmentAlignment => "a segment is misaligned",
            ImageDefect::SegmentOverlap => "two segments share a page",
            ImageDefect::BadEntry => "the entry point is not executable",
            ImageDefect::NeedsLinker => "needs a dynamic linker or thread-local storage",
            ImageDefect::HeadersTooFar => "program headers lie beyond the first page",
            ImageDefect::RelocationTable => "its table of relocations is malformed",
            ImageDefect::RelocationKind => "it has relocations other than relative ones",
            ImageDefect::RelocationTarget => "a relocation lies outside the writable segments",
            ImageDefect::RelocationCount => "too many relocations",
            ImageDefect::RelocationProtection => "what is read-only after relocation is no segment",
        }
    }
}
