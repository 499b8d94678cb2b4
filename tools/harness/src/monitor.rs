//! QEMU's monitor, for tests that do to a machine what otherwise only hardware does.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

/// A connection, by QEMU's machine protocol (QMP: a JSON object a line).
#[derive(Debug)]
pub struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects to the monitor of a machine that is starting. Each answer may take so long, too.
    pub fn connect(socket: &Path, within: Duration) -> Result<Monitor> {
        let started = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(_) if started.elapsed() < within => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(error).with_context(|| format!("no monitor at {}", socket.display())),
            }
        };
        stream.set_read_timeout(Some(within))?;
        let mut monitor = Monitor { stream: BufReader::new(stream) };
        monitor.line().context("the monitor does not greet")?;
        monitor.run("qmp_capabilities")?;
        Ok(monitor)
    }

    /// Runs a command; what it returns.
    pub fn run(&mut self, command: &str) -> Result<Value> {
        self.request(command, json!({}))
    }

    fn request(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({"execute": command, "arguments": arguments});
        writeln!(self.stream.get_mut(), "{request}").with_context(|| format!("no monitor for {command}"))?;
        loop {
            let mut answer = self.line().with_context(|| format!("no answer to {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
            // Events come in between.
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Runs a command of the monitor for people; what it says.
    pub fn say(&mut self, command: &str) -> Result<String> {
        let said = self.request("human-monitor-command", json!({"command-line": command}))?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the machine is gone");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// A register in what `info registers` says, such as `CR4`.
pub fn register(said: &str, name: &str) -> Option<u64> {
    let mut values = said.split_whitespace().filter_map(|word| word.split_once('='));
    let (_, value) = values.find(|(key, _)| *key == name)?;
    u64::from_str_radix(value, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_found_by_their_names() {
        let said =
            "RIP=ffffffff80109000 RFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\nCR0=80010033 CR4=003006a0\n";
        assert_eq!(register(said, "CR4"), Some(0x30_06a0));
        assert_eq!((register(said, "RIP"), register(said, "CPL")), (Some(0xffff_ffff_8010_9000), Some(0)));
        assert_eq!(register(said, "R4"), None);
    }
}
