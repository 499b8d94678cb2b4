//! Names that user code holds: handles of capabilities and ids of messages.

/// Names one capability in the table of the calling process: the slot's index in bits 0..32, its generation in bits
/// 32..64, so that a stale handle never hits a new occupant. `Handle::NONE` (0) names nothing.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Handle(u64);

impl Handle {
    /// Names nothing; every operation refuses it.
    pub const NONE: Handle = Handle(0);

    /// The handle of slot `index` in its `generation`.
    #[inline]
    pub const fn new(index: u32, generation: u32) -> Handle {
        Handle((generation as u64) << 32 | index as u64)
    }
    /// The handle as it crosses the system-call boundary.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }
    /// Any number is a handle; whether it names something is for the kernel to say.
    #[inline]
    pub const fn from_raw(raw: u64) -> Handle {
        Handle(raw)
    }
    /// The slot.
    #[inline]
    pub const fn index(self) -> u32 {
        self.0 as u32
    }
    /// The slot's generation.
    #[inline]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
    /// Whether this is [`Handle::NONE`].
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Names one call from its first delivery to its answer, across redeliveries, and no other call until power-off. For
/// the process that received the call it is also the *reply token*: `Reply`, `Forward` and the lease operations
/// take it, and take no id of a call that this process has not received or has answered already.
///
/// The bits are the kernel's. 0 is no call (a posted message, an event).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MessageId(u64);

impl MessageId {
    /// No call.
    pub const NONE: MessageId = MessageId(0);

    /// The id as it crosses the system-call boundary.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }
    /// Any number can be claimed to be an id; the kernel checks.
    #[inline]
    pub const fn from_raw(raw: u64) -> MessageId {
        MessageId(raw)
    }
    /// Whether this is [`MessageId::NONE`].
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}
