//! What the kernel's ring of trace events holds (`MachineTrace`).

use crate::numbered;

/// One event.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceRecord {
    /// When, nanoseconds since power-on.
    pub time: u64,
    /// Bits 0 to 8: [`TraceKind`] as a number; bits 8 to 24: number of the thread in the system; bits 24 to 64: number of
    /// its process.
    pub what: u64,
    /// As the kind says.
    pub first: u64,
    /// As the kind says.
    pub second: u64,
}

const _: () = assert!(size_of::<TraceRecord>() == 32);

numbered! {
    /// What happened.
    pub enum TraceKind: u64 {
        /// The thread runs from now on.
        Switch = 1, "switch";
        /// No thread runs from now on.
        Idle = 2, "idle";
        /// The thread made call `first` to the queue with number `second`.
        Call = 3, "call";
        /// The thread was given call `first`, which had been delivered `second` times before.
        Deliver = 4, "deliver";
        /// The thread answered call `first`.
        Reply = 5, "reply";
        /// A wait of the thread, whose last call is `first`, ended with error `second`.
        Fail = 6, "fail";
        /// The interrupt with handler slot `first` came; the thread is 0.
        Irq = 7, "irq";
        /// The thread faulted at address `first`, at work on call `second` (0: on none).
        Fault = 8, "fault";
        /// The process ends, or ends this incarnation, with status `first`. The thread is 0.
        Death = 9, "death";
        /// The process starts; the place of the thread has its incarnation, `first` and `second` its name, padded with zeroes.
        Start = 10, "start";
    }
}

impl TraceRecord {
    /// Bytes of a record.
    pub const SIZE: usize = size_of::<TraceRecord>();
    /// Most records of one `MachineTrace`.
    pub const MOST: usize = crate::MAX_PAYLOAD / TraceRecord::SIZE;

    /// The word that says what happened to whom.
    pub const fn what(kind: TraceKind, thread: u16, process: u64) -> u64 {
        kind as u64 | TraceRecord::label(thread, process)
    }
    /// The part of it that says to whom.
    pub const fn label(thread: u16, process: u64) -> u64 {
        (thread as u64) << 8 | process << 24
    }
    /// The kind; `None` for one that is not known.
    pub fn kind(&self) -> Option<TraceKind> {
        TraceKind::find(self.what & 0xff)
    }
    /// Number of the thread; of a `Start`, the incarnation.
    pub const fn thread(&self) -> u16 {
        (self.what >> 8) as u16
    }
    /// Number of the process, 0 for none.
    pub const fn process(&self) -> u64 {
        self.what >> 24
    }
    /// Of a `Start`: the process's name.
    pub fn name(&self) -> [u8; 16] {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&self.first.to_le_bytes());
        name[8..].copy_from_slice(&self.second.to_le_bytes());
        name
    }
    /// The words as they lie in memory.
    pub const fn words(&self) -> [u64; 4] {
        [self.time, self.what, self.first, self.second]
    }
    /// The record of these bytes.
    pub fn from_bytes(bytes: &[u8; TraceRecord::SIZE]) -> TraceRecord {
        let word = |n: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[8 * n..8 * n + 8]);
            u64::from_le_bytes(word)
        };
        TraceRecord { time: word(0), what: word(1), first: word(2), second: word(3) }
    }
    /// The bytes of the record.
    pub fn to_bytes(&self) -> [u8; TraceRecord::SIZE] {
        let mut bytes = [0; TraceRecord::SIZE];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// What happened, without time and place.
impl core::fmt::Display for TraceRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use TraceKind::*;
        let Some(kind) = self.kind() else { return write!(f, "event {:#x}", self.what & 0xff) };
        let text = kind.text();
        let (first, second) = (self.first, self.second);
        match kind {
            Switch | Idle => f.write_str(text),
            Call => write!(f, "{text} #{first:x} to queue {second}"),
            Deliver if second > 0 => write!(f, "{text} #{first:x} again, attempt {}", second + 1),
            Deliver | Reply => write!(f, "{text} #{first:x}"),
            Fail => match crate::SysError::check(second) {
                Err(error) => write!(f, "{text}: {error} (last call #{first:x})"),
                Ok(()) => f.write_str(text),
            },
            Irq => write!(f, "{text} {first}"),
            Fault if second == 0 => write!(f, "{text} at {first:#x}"),
            Fault => write!(f, "{text} at {first:#x}, at work on #{second:x}"),
            Death => write!(f, "{text}, status {}", first as i64),
            Start => write!(f, "{text}, incarnation {}", self.thread()),
        }
    }
}
