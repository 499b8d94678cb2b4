//! ELF files and archives, built in memory field by field, so that tests can break each of them.

/// One program header.
#[derive(Clone, Debug)]
pub struct Segment {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

pub const LOAD: u32 = 1;
pub const DYNAMIC: u32 = 2;
pub const INTERPRETER: u32 = 3;
pub const TLS: u32 = 7;
pub const RELRO: u32 = 0x6474_e552;
pub const STACK: u32 = 0x6474_e551;
pub const X: u32 = 1;
pub const W: u32 = 2;
pub const R: u32 = 4;

/// An ELF file, good until a test changes a field.
#[derive(Clone, Debug)]
pub struct Elf {
    pub magic: [u8; 4],
    pub class: u8,
    pub data: u8,
    pub kind: u16,
    pub machine: u16,
    pub entry: u64,
    pub headers_at: u64,
    pub header_size: u16,
    /// The count in the header, where it is not that of `segments`.
    pub count: Option<u16>,
    pub segments: Vec<Segment>,
    /// Words at bytes of the file.
    pub words: Vec<(u64, u64)>,
    /// Bytes of the file.
    pub length: usize,
}

/// Where the code of a good image begins.
pub const TEXT: u64 = 0;
/// Where its data begins: in the middle of a page, as linkers lay it out.
pub const DATA: u64 = 0x2040;
/// Where in the file of a relocated image its dynamic section is, and its table.
pub const TABLE: u64 = 0x800;

impl Elf {
    /// Code (one page and a bit), read-only data by itself, and data of 3,000 bytes with 9,000 more of zeroes.
    pub fn good() -> Elf {
        let text = Segment {
            kind: LOAD,
            flags: R | X,
            offset: 0,
            address: TEXT,
            file_size: 5000,
            memory_size: 5000,
            align: 4096,
        };
        let data = Segment {
            kind: LOAD,
            flags: R | W,
            offset: 0x2040,
            address: DATA,
            file_size: 3000,
            memory_size: 12_000,
            align: 4096,
        };
        let stack =
            Segment { kind: STACK, flags: R | W, offset: 0, address: 0, file_size: 0, memory_size: 0, align: 16 };
        Elf {
            magic: *b"\x7fELF",
            class: 2,
            data: 1,
            kind: 3,
            machine: 62,
            entry: TEXT + 0x200,
            headers_at: 64,
            header_size: 56,
            count: None,
            segments: vec![text, data, stack],
            words: Vec::new(),
            length: 0x2040 + 3000,
        }
    }

    /// A good image with relocations at these addresses, each entry as it stands in the table, and its dynamic section.
    pub fn relocated(table: &[u64]) -> Elf {
        let mut elf = Elf::good();
        let bytes = table.len() as u64 * 8;
        let dynamic = [36, TABLE, 35, bytes, 37, 8, 0, 0];
        elf.words.extend((0..).map(|n| TABLE + n * 8).zip(table.iter().copied()));
        elf.words.extend((0..).map(|n| DATA + n * 8).zip(dynamic));
        elf.segments.push(Segment {
            kind: DYNAMIC,
            offset: DATA,
            address: DATA,
            file_size: 64,
            memory_size: 64,
            align: 8,
            ..elf.segments[1].clone()
        });
        elf
    }

    /// The smallest image that loads: one page of code.
    pub fn small() -> Elf {
        let mut elf = Elf::good();
        elf.segments.truncate(1);
        (elf.segments[0].file_size, elf.segments[0].memory_size, elf.length) = (0x300, 0x300, 0x300);
        elf
    }

    /// The file. What is neither header nor program header is a pattern.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out: Vec<u8> = (0..self.length).map(|n| (n % 251) as u8).collect();
        let mut head = Vec::new();
        head.extend(self.magic);
        head.extend([self.class, self.data, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        head.extend(self.kind.to_le_bytes());
        head.extend(self.machine.to_le_bytes());
        head.extend(1u32.to_le_bytes());
        head.extend(self.entry.to_le_bytes());
        head.extend(self.headers_at.to_le_bytes());
        head.extend(0u64.to_le_bytes());
        head.extend(0u32.to_le_bytes());
        let count = self.count.unwrap_or(self.segments.len() as u16);
        for half in [64, self.header_size, count, 0, 0, 0] {
            head.extend(u16::to_le_bytes(half));
        }
        put(&mut out, 0, &head);
        for (n, s) in self.segments.iter().enumerate() {
            let mut header = Vec::new();
            header.extend(s.kind.to_le_bytes());
            header.extend(s.flags.to_le_bytes());
            for word in [s.offset, s.address, s.address, s.file_size, s.memory_size, s.align] {
                header.extend(word.to_le_bytes());
            }
            put(&mut out, self.headers_at.saturating_add(n as u64 * 56), &header);
        }
        for (at, word) in &self.words {
            put(&mut out, *at, &word.to_le_bytes());
        }
        out
    }
}

/// Writes what fits.
fn put(out: &mut [u8], at: u64, bytes: &[u8]) {
    for (n, byte) in bytes.iter().enumerate() {
        if let Some(place) = usize::try_from(at).ok().and_then(|at| out.get_mut(at.checked_add(n)?)) {
            *place = *byte;
        }
    }
}

/// A tar archive with `init` at a page boundary, as the boot archive has its programs.
pub fn archive(init: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in [("padding", &[0u8; 4096 - 1024][..]), ("init", init)] {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[257..262].copy_from_slice(b"ustar");
        out.extend(header);
        out.extend(data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out
}
