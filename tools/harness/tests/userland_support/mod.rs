//! Tables of commands with what they must do.

use harness::{Result, System};

/// A command, the status that it must end with, and everything that it must show.
pub type Case<'a> = (&'a str, i32, &'a str);

/// Runs commands one after the other in one session; all that is wrong is told together.
pub fn check(system: &mut System, cases: &[Case<'_>]) -> Result<()> {
    let mut wrong = Vec::new();
    for (command, status, shown) in cases {
        let output = system.run(command)?;
        if output.status != *status || output.text() != *shown {
            let text = output.text();
            wrong.push(format!("{command}\n  must give {status} {shown:?}\n  and gave  {} {text:?}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{} of {} commands are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}
