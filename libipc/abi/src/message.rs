//! Messages: a tag and eight words in registers; payload, capabilities and leases beside them in the message page.

/// Words that a message carries in registers: one cache line.
pub const MESSAGE_WORDS: usize = 8;
/// Most bytes of payload in a message.
pub const MAX_PAYLOAD: usize = 1024;
/// Most capabilities in a message.
pub const MAX_CAPS: usize = 4;
/// Most leases in a message.
pub const MAX_LEASES: usize = 4;

/// The word that says what a message is and how much it carries.
///
/// | bits | meaning | written by |
/// |---|---|---|
/// | 0..16 | operation, or of a reply its status (0 = done) | sender |
/// | 16..32 | protocol | sender |
/// | 32..43 | payload, bytes (0 to 1024) | sender |
/// | 43..46 | capabilities (0 to 4) | sender |
/// | 46..49 | leases (0 to 4) | sender |
/// | 49..56 | 0 | sender |
/// | 56..58 | [`Delivery`] | kernel |
/// | 58..64 | how often it was delivered before (0 = the first time, else *redelivered*) | kernel |
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tag(u64);

/// How a received message came.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// By `Call`: the sender waits, the message id names the reply token.
    Call = 0,
    /// By `Post`: nobody waits.
    Post = 1,
    /// A bound event was signalled: word 0 has the bits.
    Event = 2,
}

impl Tag {
    const PAYLOAD: u32 = 32;
    const CAPS: u32 = 43;
    const LEASES: u32 = 46;
    const DELIVERY: u32 = 56;
    const ATTEMPT: u32 = 58;
    /// Bits that a sender may set.
    pub const SENDER_MASK: u64 = (1 << 49) - 1;
    /// Bits that are zero in a message that is all in registers (leases stay where they are, so they count as such).
    pub const BODY_MASK: u64 = (0x7ff << Self::PAYLOAD) | (7 << Self::CAPS);

    /// The tag of `operation` of `protocol`, without payload, capabilities and leases.
    #[inline]
    pub const fn new(protocol: u16, operation: u16) -> Tag {
        Tag((protocol as u64) << 16 | operation as u64)
    }
    /// The same with `bytes` of payload. Above [`MAX_PAYLOAD`] the kernel refuses it.
    #[inline]
    pub const fn with_payload(self, bytes: usize) -> Tag {
        Tag(self.0 & !(0x7ff << Self::PAYLOAD) | (bytes as u64 & 0x7ff) << Self::PAYLOAD)
    }
    /// The same with `count` capabilities.
    #[inline]
    pub const fn with_caps(self, count: usize) -> Tag {
        Tag(self.0 & !(7 << Self::CAPS) | (count as u64 & 7) << Self::CAPS)
    }
    /// The same with `count` leases.
    #[inline]
    pub const fn with_leases(self, count: usize) -> Tag {
        Tag(self.0 & !(7 << Self::LEASES) | (count as u64 & 7) << Self::LEASES)
    }
    /// As the receiver sees it: the sender's bits, and how it came.
    #[inline]
    pub const fn delivered(self, how: Delivery, attempt: u8) -> Tag {
        Tag(self.0 & Self::SENDER_MASK | (how as u64) << Self::DELIVERY | (attempt as u64 & 63) << Self::ATTEMPT)
    }
    /// The tag as it crosses the system-call boundary.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }
    /// Any number is a tag; counts beyond the limits are for the kernel to refuse.
    #[inline]
    pub const fn from_raw(raw: u64) -> Tag {
        Tag(raw)
    }
    /// The operation, or of a reply its status.
    #[inline]
    pub const fn operation(self) -> u16 {
        self.0 as u16
    }
    /// The protocol.
    #[inline]
    pub const fn protocol(self) -> u16 {
        (self.0 >> 16) as u16
    }
    /// Bytes of payload.
    #[inline]
    pub const fn payload(self) -> usize {
        (self.0 >> Self::PAYLOAD) as usize & 0x7ff
    }
    /// Number of capabilities.
    #[inline]
    pub const fn caps(self) -> usize {
        (self.0 >> Self::CAPS) as usize & 7
    }
    /// Number of leases.
    #[inline]
    pub const fn leases(self) -> usize {
        (self.0 >> Self::LEASES) as usize & 7
    }
    /// How it came.
    #[inline]
    pub const fn delivery(self) -> Delivery {
        match self.0 >> Self::DELIVERY & 3 {
            0 => Delivery::Call,
            1 => Delivery::Post,
            _ => Delivery::Event,
        }
    }
    /// How often it was delivered before; more than 0 means *redelivered*.
    #[inline]
    pub const fn attempt(self) -> u8 {
        (self.0 >> Self::ATTEMPT) as u8
    }
    /// Whether the counts are within their limits and no bit is set that a sender may not set.
    #[inline]
    pub const fn is_sendable(self) -> bool {
        self.0 & !Self::SENDER_MASK == 0
            && self.payload() <= MAX_PAYLOAD
            && self.caps() <= MAX_CAPS
            && self.leases() <= MAX_LEASES
    }
}

/// What travels in registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Message {
    /// What it is.
    pub tag: Tag,
    /// Its words.
    pub words: [u64; MESSAGE_WORDS],
}

const _: () = assert!(size_of::<Message>() == 8 * (1 + MESSAGE_WORDS));
