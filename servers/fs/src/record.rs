//! The exactly-once record: which messages have taken effect, and what was answered.
//!
//! 1. A record is committed in the same flip as the effect that it reports.
//! 2. A message id is in the table at most once.
//! 3. The last N records are kept (N at least 256): more than there can be calls that are not yet acknowledged.

use crate::crc::WordSum;
use crate::index::Index;
use crate::region::Region;

/// Words of a record.
pub const RECORD_WORDS: usize = 5;

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
    /// The record as words, checksummed.
    #[inline]
    pub fn encode(&self) -> [u64; RECORD_WORDS] {
        let fields = [self.serial, self.id, self.answer[0], self.answer[1]];
        let [serial, id, first, second] = fields;
        [serial, id, first, second, sum(&fields)]
    }

    /// The record in `words`, if the checksum holds.
    #[inline]
    pub fn decode([serial, id, first, second, found]: [u64; RECORD_WORDS]) -> Option<Self> {
        let whole = found == sum(&[serial, id, first, second]);
        whole.then_some(Self { serial, id, answer: [first, second] })
    }
}

#[inline]
fn sum(fields: &[u64; 4]) -> u64 {
    WordSum::new(RECORD_WORDS as u64).with(fields).value()
}

/// Finds records by message id: in which place of the table each is.
pub struct Records {
    by_id: Index,
}

impl Records {
    /// Indexes the records in `region`.
    pub fn load(region: &Region<'_>) -> Self {
        let total = region.root().records;
        let first = total.saturating_sub(region.record_count() as u64);
        let mut records = Self { by_id: Index::new(region.record_count()) };
        let kept = (first..total).filter_map(|serial| region.record(serial));
        kept.for_each(|record| records.committed(region, record));
        records
    }

    /// The answer that was given to message `id`.
    pub fn answer(&self, region: &Region<'_>, id: u64) -> Option<Packed> {
        region.record_at(self.by_id.get(id)?).filter(|record| record.id == id).map(|record| record.answer)
    }

    /// The record to commit for message `id`.
    pub fn next(&self, region: &Region<'_>, id: u64, answer: Packed) -> Record {
        Record { serial: region.root().records, id, answer }
    }

    /// The record that the next commit will overwrite goes out of the index.
    pub fn retire(&mut self, region: &Region<'_>) {
        let total = region.root().records;
        if let Some(record) = total.checked_sub(region.record_count() as u64).and_then(|serial| region.record(serial)) {
            self.by_id.remove(record.id);
        }
    }

    /// `record` has been committed.
    pub fn committed(&mut self, region: &Region<'_>, record: Record) {
        self.by_id.set(record.id, region.record_place(record.serial));
    }
}
