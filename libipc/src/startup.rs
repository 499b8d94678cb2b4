//! The startup pages: what a parent tells a program before its first instruction. Reader and writer.
//!
//! Layout, little-endian, without padding: magic (8 bytes), total length (u32), number of arguments, of environment
//! pairs and of capabilities (u32 each), the places of the process (u64); then each argument as a text, each pair as two texts, each capability as a
//! text (its name) and its handle (u64). A text is its length (u16) and its bytes in UTF-8.
//!
//! Invariants:
//! 1. [`Startup::parse`] accepts only what is well-formed to its end, so that later reading cannot fail.

use crate::object::*;
use abi::Handle;
use abi::layout::Places;
use alloc::vec::Vec;

const MAGIC: [u8; 8] = *b"tessrun\x02";
const HEAD: usize = 32;
/// How the names of capabilities begin that the session and the shell have only to hand them on to programs.
pub const SERVICE: &str = "service:";
/// Most bytes of startup pages.
pub const MAX_STARTUP: usize = 256 << 10;

/// What a program was started with.
#[derive(Clone, Copy, Debug)]
pub struct Startup<'a> {
    places: Places,
    args: Section<'a>,
    env: Section<'a>,
    handles: Section<'a>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Section<'a> {
    count: u32,
    bytes: &'a [u8],
}

/// The program was not given a capability that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing<'n>(pub &'n str);

impl core::fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "was not given the capability '{}'", self.0)
    }
}
impl core::error::Error for Missing<'_> {}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.text_bytes()?).ok()
    }
    /// A text that is only compared.
    #[inline]
    fn text_bytes(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_le_bytes(self.array()?) as usize;
        self.take(length)
    }
    fn section(&mut self, count: u32, item: impl Fn(&mut Self) -> Option<()>) -> Option<Section<'a>> {
        let before = self.0;
        for _ in 0..count {
            item(self)?;
        }
        Some(Section { count, bytes: &before[..before.len() - self.0.len()] })
    }
}

/// The total length that startup pages claim by their first 12 bytes; `None` where they are none.
pub fn claimed_length(head: &[u8; 12]) -> Option<usize> {
    let (magic, length) = head.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    (*magic == MAGIC && (HEAD..=MAX_STARTUP).contains(&length)).then_some(length)
}

impl<'a> Startup<'a> {
    /// Nothing at all.
    pub const EMPTY: Startup<'static> = {
        const NONE: Section<'static> = Section { count: 0, bytes: &[] };
        Startup { places: Places::from_raw(0), args: NONE, env: NONE, handles: NONE }
    };

    /// Of the first program, which the kernel starts without pages: the capabilities that `layout` numbers.
    pub const FIRST_PROGRAM: Startup<'static> = {
        const ARGS: &[u8] = b"\x04\0init";
        const HANDLES: &[u8] = b"\x04\0self\x01\0\0\0\x01\0\0\0\x07\0account\x02\0\0\0\x01\0\0\0\
            \x07\0machine\x03\0\0\0\x01\0\0\0\x07\0archive\x04\0\0\0\x01\0\0\0\
            \x06\0record\x05\0\0\0\x01\0\0\0";
        let args = Section { count: 1, bytes: ARGS };
        Startup { args, handles: Section { count: 5, bytes: HANDLES }, ..Startup::EMPTY }
    };

    /// Reads startup pages; `None` where they are malformed.
    pub fn parse(bytes: &'a [u8]) -> Option<Startup<'a>> {
        let mut cursor = Cursor(bytes);
        let length = claimed_length(&cursor.array()?)?;
        let [args, env, handles] = [cursor.array()?, cursor.array()?, cursor.array()?].map(u32::from_le_bytes);
        let places = Places::from_raw(u64::from_le_bytes(cursor.array()?));
        let mut cursor = Cursor(bytes.get(HEAD..length)?);
        let startup = Startup {
            places,
            args: cursor.section(args, |c| c.text().map(drop))?,
            env: cursor.section(env, |c| c.text().and(c.text()).map(drop))?,
            handles: cursor.section(handles, |c| c.text().and(c.take(8)).map(drop))?,
        };
        cursor.0.is_empty().then_some(startup)
    }
    /// Where things lie in the process.
    pub fn places(&self) -> Places {
        self.places
    }
    /// The arguments; the first is the program's name.
    pub fn args(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut cursor = Cursor(self.args.bytes);
        core::iter::from_fn(move || cursor.text())
    }
    /// Number of arguments.
    pub fn arg_count(&self) -> usize {
        self.args.count as usize
    }
    /// Argument `index`.
    pub fn arg(&self, index: usize) -> Option<&'a str> {
        self.args().nth(index)
    }
    /// The program's name: the first argument, without the directories before it.
    pub fn program(&self) -> &'a str {
        self.arg(0).and_then(|path| path.rsplit('/').next()).unwrap_or("program")
    }
    /// The environment.
    pub fn envs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut cursor = Cursor(self.env.bytes);
        core::iter::from_fn(move || Some((cursor.text()?, cursor.text()?)))
    }
    /// The value of `key` in the environment.
    pub fn env(&self, key: &str) -> Option<&'a str> {
        self.envs().find(|(k, _)| *k == key).map(|(_, value)| value)
    }
    /// The capabilities by name.
    pub fn handles(&self) -> impl Iterator<Item = (&'a str, Handle)> + use<'a> {
        let mut cursor = Cursor(self.handles.bytes);
        core::iter::from_fn(move || {
            let name = cursor.text()?;
            Some((name, Handle::from_raw(u64::from_le_bytes(cursor.array()?))))
        })
    }
    /// The services that the program may hand on, by their names without [`SERVICE`].
    pub fn services(&self) -> impl Iterator<Item = (&'a str, Handle)> + use<'a> {
        self.handles().filter_map(|(name, handle)| Some((name.strip_prefix(SERVICE)?, handle)))
    }
    /// The capability with this name.
    pub fn handle(&self, name: &str) -> Option<Handle> {
        let mut cursor = Cursor(self.handles.bytes);
        loop {
            let found = cursor.text_bytes()? == name.as_bytes();
            let handle = u64::from_le_bytes(cursor.array()?);
            if found {
                return Some(Handle::from_raw(handle));
            }
        }
    }
    /// The capability with this name, which the program cannot do without.
    pub fn require<'n>(&self, name: &'n str) -> Result<Handle, Missing<'n>> {
        self.handle(name).ok_or(Missing(name))
    }
}

macro_rules! typed {
    ($($method:ident -> $type:ident),*) => {
        impl Startup<'_> { $(
            #[doc = concat!("The capability with this name, as a [`", stringify!($type), "`].")]
            pub fn $method<'n>(&self, name: &'n str) -> Result<$type, Missing<'n>> {
                self.require(name).map($type::new)
            }
        )* }
    };
}
typed!(queue -> Queue, event -> Event, memory -> Memory, irq -> Irq, ports -> IoPorts, machine -> Machine);

impl Startup<'_> {
    /// The account that pays for what the program makes.
    pub fn account(&self) -> Result<Account, Missing<'static>> {
        self.require("account").map(Account::new)
    }
    /// The program's own process.
    pub fn process(&self) -> Result<Process, Missing<'static>> {
        self.require("self").map(Process::new)
    }
}

/// Writes startup pages.
#[derive(Clone, Debug, Default)]
pub struct StartupBuilder {
    places: Places,
    args: (u32, Vec<u8>),
    env: (u32, Vec<u8>),
    handles: (u32, Vec<u8>),
    overlong: bool,
}

/// The startup pages would be longer than [`MAX_STARTUP`], or a text longer than 65,535 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

fn text(into: &mut Vec<u8>, text: &str) -> bool {
    let Ok(length) = u16::try_from(text.len()) else { return true };
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(text.as_bytes());
    false
}

impl StartupBuilder {
    /// With nothing in it.
    pub fn new() -> StartupBuilder {
        StartupBuilder::default()
    }
    /// Says where things lie in the process.
    pub fn places(&mut self, places: Places) -> &mut Self {
        self.places = places;
        self
    }
    /// Adds an argument.
    pub fn arg(&mut self, arg: &str) -> &mut Self {
        self.args.0 += 1;
        self.overlong |= text(&mut self.args.1, arg);
        self
    }
    /// Adds a pair to the environment.
    pub fn env(&mut self, key: &str, value: &str) -> &mut Self {
        self.env.0 += 1;
        self.overlong |= text(&mut self.env.1, key) | text(&mut self.env.1, value);
        self
    }
    /// Adds a capability, by its handle in the program's table.
    pub fn handle(&mut self, name: &str, handle: Handle) -> &mut Self {
        self.handles.0 += 1;
        self.overlong |= text(&mut self.handles.1, name);
        self.handles.1.extend_from_slice(&handle.raw().to_le_bytes());
        self
    }
    /// The bytes to be mapped.
    pub fn finish(&self) -> Result<Vec<u8>, TooLong> {
        let sections = [&self.args, &self.env, &self.handles];
        let length = HEAD + sections.iter().map(|s| s.1.len()).sum::<usize>();
        if self.overlong || length > MAX_STARTUP {
            return Err(TooLong);
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&(length as u32).to_le_bytes());
        sections.iter().for_each(|s| bytes.extend_from_slice(&s.0.to_le_bytes()));
        bytes.extend_from_slice(&self.places.raw().to_le_bytes());
        sections.iter().for_each(|s| bytes.extend_from_slice(&s.1));
        Ok(bytes)
    }
}
