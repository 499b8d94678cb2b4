//! `cargo xtask graph`.

use crate::run::{COVERAGE, description_file};
use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use harness::{
    Images, System,
    build::{check_description, check_description_of},
    graph::{Graph, described, mermaid, running, svg},
    line::Line,
    workspace,
};
use std::{fs, path::PathBuf, process::ExitCode, time::Duration};
use userland::holdings::Holdings;

/// How the lines of `svc caps --raw` begin.
const FIRST_LINE: &str = "process 1 init\n";

/// In what form the graph is drawn.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Text that viewers of Markdown draw
    Mermaid,
    /// A drawing for a browser
    Svg,
}

/// Draws who holds which capability: as system.toml describes it, or as it is in a running system.
#[derive(Args)]
#[command(
    after_help = "The form is Mermaid, unless --format says otherwise or the file's name ends in .svg. The exit \
    status is 0, or 1 when nothing could be drawn, or 124 when the time of --live ran out."
)]
pub struct Options {
    /// Where to [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// In what form
    #[arg(short, long)]
    format: Option<Format>,
    /// The description of the system, such as examples/system.toml [default: servers/system.toml]
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
    /// Boot a system with a fresh disk and draw what its processes hold: objects, rights, badges, origins, payers
    #[arg(long)]
    live: bool,
    /// With --live: run this in the guest's shell before
    #[arg(long, value_name = "CMD", requires = "live")]
    exec: Option<String>,
    /// With --live: mark the rights that were never used
    #[arg(long, requires = "live")]
    coverage: bool,
    /// How long --live may take, boot included
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "live")]
    timeout: u64,
}

impl Options {
    /// Draws it.
    pub fn run(&self) -> Result<ExitCode> {
        let graph = if self.live { self.live()? } else { self.described()? };
        let by_name = self.output.as_ref().and_then(|file| file.extension()).is_some_and(|ending| ending == "svg");
        let drawn = match self.format.unwrap_or(if by_name { Format::Svg } else { Format::Mermaid }) {
            Format::Mermaid => mermaid(&graph),
            Format::Svg => svg(&graph),
        };
        match &self.output {
            None => print!("{drawn}"),
            Some(file) => fs::write(file, drawn).with_context(|| format!("cannot write {}", file.display()))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn described(&self) -> Result<Graph> {
        let (system, file) = match &self.system {
            None => (check_description()?, workspace::system_toml()),
            Some(file) => (check_description_of(&description_file(file)?)?, description_file(file)?),
        };
        Ok(described(&system, &workspace::shown(&file)))
    }

    fn live(&self) -> Result<Graph> {
        let mut system = System::builder().patience(Duration::from_secs(self.timeout));
        if let Some(file) = &self.system {
            system = system.system(description_file(file)?);
        }
        if self.coverage {
            system = system.word(COVERAGE);
        }
        let before = self.exec.as_ref().map_or(String::new(), |command| format!("{command}\n"));
        Images::get()?; // whose builder shows how far it is
        let line = Line::show("booting a machine to see what its processes hold");
        let output = system.exec(&format!("{before}svc caps --raw"))?;
        line.hide();
        ensure!(output.status == 0, "`svc caps --raw` failed: {}", output.error_text().trim_end());
        let text = output.text();
        // What comes before is the command's.
        let text = text.rfind(FIRST_LINE).map_or("", |at| &text[at..]);
        let holdings = Holdings::parse(text).map_err(|line| anyhow!("`svc caps --raw` printed `{line}`"))?;
        Ok(running(&holdings, self.coverage))
    }
}
