//! What a refused system call returns.

use crate::numbered;

numbered! {
    /// Why the kernel refused. The value stands in `rax` on return; 0 means success.
    pub enum SysError: u64 {
        /// No system call has this number, or a flag is set that it does not know.
        BadSyscall = 1, "no such system call";
        /// The handle names no capability: never given, closed, revoked, or of an earlier occupant of its slot.
        BadHandle = 2, "no capability behind this handle";
        /// The capability is of another kind than the operation needs.
        WrongKind = 3, "capability of the wrong kind";
        /// The capability lacks a right that the operation needs.
        MissingRights = 4, "capability lacks the right";
        /// An operand is out of its range.
        BadArgument = 5, "argument out of range";
        /// An address range is not in the user half, wraps, is not aligned, or is not mapped with the needed protection.
        BadAddress = 6, "bad address";
        /// The account that would pay has no quota left (or no run of free frames is long enough).
        NoMemory = 7, "out of memory";
        /// The operation would have to wait and was told not to, or a ring is full.
        WouldBlock = 8, "would block";
        /// The deadline passed. A call that times out before it was received has had no effect.
        TimedOut = 9, "timed out";
        /// The object is gone for good. The message was not delivered.
        Closed = 10, "object is gone";
        /// The server received the call and died, and the call may not be delivered again. Its outcome is unknown.
        ServerDied = 11, "server died, outcome unknown";
        /// The wait would close a cycle of waiting callers.
        Deadlock = 12, "would deadlock";
        /// The message id names no call that this process has received and not yet answered.
        BadToken = 13, "no such pending call";
        /// The lease does not exist, ends before the range, lacks the access, or its memory is not there.
        BadLease = 14, "bad lease";
        /// The address range is in use already.
        AddressInUse = 15, "address in use";
        /// The object is not in a state that allows the operation.
        BadState = 16, "object not in a state for this";
        /// The file is no ELF image that the kernel loads; word 0 has the [`ImageDefect`].
        BadImage = 17, "not a loadable ELF image";
        /// A fixed limit of the kernel is reached (slots of a table, threads of the system).
        LimitReached = 18, "kernel limit reached";
        /// The call timed out, or was cancelled, after a server received it. Its outcome is unknown.
        OutcomeUnknown = 19, "timed out after delivery, outcome unknown";
    }
}

impl SysError {
    /// The meaning of `rax` after a system call: `Ok` for 0. A number that no kernel returns reads as `BadSyscall`.
    #[inline]
    pub fn check(raw: u64) -> Result<(), SysError> {
        if raw == 0 { Ok(()) } else { Err(Self::from_raw(raw)) }
    }

    /// The error with this number; one that no kernel returns reads as `BadSyscall`.
    pub fn from_raw(raw: u64) -> SysError {
        Self::find(raw).unwrap_or(SysError::BadSyscall)
    }
}

impl core::fmt::Display for SysError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

numbered! {
    /// What is wrong with an ELF file that was refused with [`SysError::BadImage`].
    pub enum ImageDefect: u64 {
        /// The file is shorter than an ELF header or its program headers.
        Truncated = 1, "file ends inside its headers";
        /// The first four bytes are not `\x7fELF`, or the header is malformed.
        NotElf = 2, "not an ELF file";
        /// Not a 64-bit little-endian image for x86-64.
        WrongMachine = 3, "not a 64-bit x86-64 image";
        /// Not a position-independent executable (`ET_DYN`).
        NotExecutable = 4, "not a position-independent executable";
        /// No loadable segment, or more than the kernel takes.
        SegmentCount = 5, "no loadable segment, or too many";
        /// A segment asks to be writable and executable at once.
        WritableAndExecutable = 6, "a segment is writable and executable";
        /// A segment's file range lies outside the file, or is longer than its memory.
        SegmentOutOfFile = 7, "a segment lies outside the file";
        /// A segment's addresses wrap, or lie at or above [`crate::layout::IMAGE_MAX`].
        SegmentAddress = 8, "a segment lies outside the program's addresses";
        /// A segment's alignment is no power of two, or its address and offset disagree modulo the page size.
        SegmentAlignment = 9, "a segment is misaligned";
        /// Two segments share a page.
        SegmentOverlap = 10, "two segments share a page";
        /// The entry point is in no executable segment.
        BadEntry = 11, "the entry point is not executable";
        /// The image needs an interpreter, dynamic linking or thread-local storage.
        NeedsLinker = 12, "needs a dynamic linker or thread-local storage";
        /// The program headers do not lie within the file's first page.
        HeadersTooFar = 13, "program headers lie beyond the first page";
        /// The dynamic section, or the table of relocations that it names, is cut short, misaligned, outside the file's segments,
        /// or not of the form `DT_RELR`.
        RelocationTable = 14, "its table of relocations is malformed";
        /// There are relocations of another kind than relative ones (`R_X86_64_RELATIVE`, packed as `DT_RELR`).
        RelocationKind = 15, "it has relocations other than relative ones";
        /// A relocation is not in the file's part of a segment that begins writable, or they do not ascend.
        RelocationTarget = 16, "a relocation lies outside the writable segments";
        /// More relocations than the kernel does in one system call.
        RelocationCount = 17, "too many relocations";
        /// What is to be read-only after relocation (`PT_GNU_RELRO`) is not exactly the pages of a segment that begins writable.
        RelocationProtection = 18, "what is read-only after relocation is no segment";
    }
}
