//! The exactly-once record: which messages have taken effect, and what was answered.
//!
//! 1. A record is committed in the same flip as the effect that it reports.
//! 2. A message id is in the table at most once.
//! 3. The last N records are kept (N at least 256): more than there can be calls that are not yet acknowledged.

use alloc::collections::BTreeMap;

use crate::bytes::{get32, get64, put32, put64};
use crate::crc::crc32c;
use crate::region::Region;

/// Bytes of a record.
pub const RECORD_SIZE: usize = 48;

/// An answer, packed: two words whose meaning the operation knows.
pub type Packed = [u64; 2];

/// One message and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts all records from 0.
    pub serial: u64,
    /// The message id.
    pub id: u64,
    /// The answer.
    pub answer: Packed,
}

impl Record {
    /// The record as bytes, checksummed.
    pub fn encode(&self) -> [u8; RECORD_SIZE] {
        let mut bytes = [0; RECORD_SIZE];
        put64(&mut bytes, 0, self.serial);
        put64(&mut bytes, 8, self.id);
        put64(&mut bytes, 16, self.answer[0]);
        put64(&mut bytes, 24, self.answer[1]);
        let crc = crc32c(!0, &bytes[..40]);
        put32(&mut bytes, 40, crc);
        bytes
    }

    /// The record in `bytes`, if the checksum holds.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let whole = crc32c(!0, bytes.get(..40)?) == get32(bytes, 40);
        let answer = [get64(bytes, 16), get64(bytes, 24)];
        whole.then(|| Self { serial: get64(bytes, 0), id: get64(bytes, 8), answer })
    }
}

/// Finds records by message id.
pub struct Records {
    by_id: BTreeMap<u64, u64>,
}

impl Records {
    /// Indexes the records in `region`.
    pub fn load(region: &Region<'_>) -> Self {
        let total = region.root().records;
        let first = total.saturating_sub(region.record_count() as u64);
        let by_id = (first..total).filter_map(|serial| region.record(serial)).map(|r| (r.id, r.serial)).collect();
        Self { by_id }
    }

    /// The answer that was given to message `id`.
    pub fn answer(&self, region: &Region<'_>, id: u64) -> Option<Packed> {
        let serial = *self.by_id.get(&id)?;
        region.record(serial).map(|record| record.answer)
    }

    /// The record to commit for message `id`.
    pub fn next(&self, region: &Region<'_>, id: u64, answer: Packed) -> Record {
        Record { serial: region.root().records, id, answer }
    }

    /// The record that the next commit will overwrite goes out of the index.
    pub fn retire(&mut self, region: &Region<'_>) {
        let total = region.root().records;
        if let Some(record) = total.checked_sub(region.record_count() as u64).and_then(|serial| region.record(serial)) {
            self.by_id.remove(&record.id);
        }
    }

    /// `record` has been committed.
    pub fn committed(&mut self, record: Record) {
        self.by_id.insert(record.id, record.serial);
    }
}
