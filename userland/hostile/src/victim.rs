//! The protocol between the well-behaved server and its well-behaved client, written against `libipc` like any other.

use libipc::protocol;

/// Badge of the well-behaved client.
pub const CLIENT: u64 = 11;
/// Badge of the attacks.
pub const ATTACK: u64 = 7;

protocol! {
    /// Does small sums, and tells who asks.
    pub protocol Victim = 1100 version 1;
    /// It refuses nothing.
    error VictimError {
        /// The lent memory is longer than it takes.
        TooLong = 1 => "more than a page",
    }
    /// Adds.
    idempotent fn add(a: u64, b: u64) -> u64 = 1;
    /// The caller's badge, and how many calls the server has answered.
    idempotent fn who() -> (u64, u64) = 2;
    /// The sum of the bytes.
    idempotent fn sum(data: &[u8]) -> u64 = 3;
}
