//! What the supervisor tells of the whole machine: the audit, and who waits for whom.

use crate::supervisor::Supervisor;
use abi::{AuditReport, SysError, ThreadStatus};
use alloc::{string::String, vec::Vec};
use libipc::Account;
use libipc::proto::svc::{AuditRow, WaitInfo};

/// Bytes that the numbers of a thread take at most, encoded.
pub(crate) const NUMBERS: usize = 11 * 10 + 2;

impl Supervisor {
    /// Every line of the kernel's audit, and the counts that have no second side.
    pub(crate) fn audit_rows(&self) -> Result<Vec<AuditRow>, SysError> {
        Ok(rows(&self.machine().audit()?))
    }
}

fn rows(report: &AuditReport) -> Vec<AuditRow> {
    let row = |name: &str, found, paid| AuditRow { name: String::from(name), found, paid };
    let mut rows: Vec<AuditRow> = report.lines().map(|(name, line)| row(name, line.found, line.paid)).collect();
    rows.push(row("total", report.free.found + report.all.found, report.total));
    rows.push(row("sound accounts", report.accounts - report.unsound.min(report.accounts), report.accounts));
    rows.push(row("running processes", report.processes, report.processes));
    rows.push(row("capabilities", report.capabilities, report.capabilities));
    rows
}

/// The threads below `account` with numbers of at least `from`.
pub(crate) fn threads_from(account: Account, from: u64) -> impl Iterator<Item = WaitInfo> {
    let mut at = Some(from);
    core::iter::from_fn(move || {
        loop {
            let (status, next) = account.thread_from(at?).ok()?;
            at = next;
            if let Some(status) = status {
                return Some(info(&status));
            }
        }
    })
}

fn info(status: &ThreadStatus) -> WaitInfo {
    WaitInfo {
        number: status.number,
        process: status.process,
        index: status.index,
        name: text(&status.name),
        priority: status.priority,
        wait: status.wait,
        age: status.age,
        queue: status.queue,
        message: status.message,
        attempts: status.attempts,
        blamed: status.blamed,
        blamed_name: text(&status.blamed_name),
        ran: status.ran,
    }
}

/// The text in a field that is padded with zero bytes.
fn text(field: &[u8]) -> String {
    let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..length]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::AuditLine;

    #[test]
    fn a_frame_that_nobody_paid_for_shows_in_its_row_and_in_the_sum() {
        let fine = AuditLine { found: 5, paid: 5 };
        let report = AuditReport {
            total: 12,
            free: fine,
            contents: fine,
            all: AuditLine { found: 7, paid: 6 },
            ..AuditReport::default()
        };
        assert!(!report.is_balanced());
        let wrong: Vec<String> =
            rows(&report).into_iter().filter(|row| row.found != row.paid).map(|row| row.name).collect();
        assert_eq!(wrong, ["all"]);
    }
}
