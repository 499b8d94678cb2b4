//! What the interpreter needs of the system: a trait, implemented by the program over libipc and by a stand-in in tests.

use alloc::{string::String, vec::Vec};

/// How a redirection opens its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For reading.
    Read,
    /// For writing, made where it does not exist, emptied where it does.
    Truncate,
    /// For writing at its end, made where it does not exist.
    Append,
}

/// Why a program did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoStart {
    /// There is no such program, in these words: status 127.
    NotFound(String),
    /// There is a file, but it is no program; says why: status 126.
    NotExecutable(String),
    /// The system could not; says why: status 126.
    Failed(String),
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It exited, or was killed, with this status.
    Exited(i32),
    /// It faulted: what happened, and the status that stands for it.
    Faulted(String, i32),
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Some process may have ended.
    Change,
    /// ^C was pressed.
    Interrupt,
}

/// A program to start.
pub struct Launch<'a, S: System + ?Sized> {
    /// As it was typed: a name to look up, or a path.
    pub name: &'a str,
    /// Name and arguments.
    pub arguments: &'a [String],
    /// Exported variables.
    pub environment: &'a [(String, String)],
    /// Standard input; without one it is empty.
    pub input: Option<S::Stream>,
    /// Standard output.
    pub output: S::Stream,
    /// Standard errors.
    pub errors: S::Stream,
    /// The processes of all jobs, for programs that control them.
    pub jobs: &'a [&'a S::Process],
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// It is a directory.
    pub is_dir: bool,
}

/// The system under the shell. Errors are sentence parts for people.
pub trait System {
    /// An open stream; clones share it.
    type Stream: Clone;
    /// A running program.
    type Process;

    /// The shell's own input, output and errors.
    fn standard(&self) -> [Self::Stream; 3];
    /// Opens a file.
    fn open(&mut self, path: &str, mode: Mode) -> Result<Self::Stream, String>;
    /// Makes a pipe: its end to read and its end to write.
    fn pipe(&mut self) -> Result<(Self::Stream, Self::Stream), String>;
    /// Says that nobody uses this end of a pipe any more.
    fn hang_up(&mut self, end: Self::Stream);
    /// Whether this is an end of a pipe that this shell has made. The shell itself never writes there: it would wait for
    /// a reader that may in turn wait for the shell.
    fn is_pipe(&self, stream: &Self::Stream) -> bool;
    /// Writes everything.
    fn write(&mut self, stream: &Self::Stream, bytes: &[u8]) -> Result<(), String>;
    /// Starts a program.
    fn start(&mut self, launch: Launch<'_, Self>) -> Result<Self::Process, NoStart>;
    /// The number by which people know the process.
    fn number(&self, process: &Self::Process) -> u64;
    /// How it ended, once it has.
    fn ended(&mut self, process: &Self::Process) -> Option<End>;
    /// Ends it with this status.
    fn kill(&mut self, process: &Self::Process, status: i32);
    /// Frees everything that it had.
    fn discard(&mut self, process: Self::Process);
    /// Waits for an end or for ^C.
    fn wait(&mut self) -> Wake;
    /// Makes a directory the current one.
    fn enter(&mut self, path: &str) -> Result<(), String>;
    /// The entries of a directory (`""`: the current one), without `.` and `..`.
    fn entries(&mut self, directory: &str) -> Option<Vec<Entry>>;
    /// Hands the terminal to the job that is about to run.
    fn lend_terminal(&mut self);
    /// Takes the terminal back: every key comes as it is typed, without echo.
    fn claim_terminal(&mut self);
    /// Waits for keys; `None`: there will be no more.
    fn read_terminal(&mut self) -> Option<Vec<u8>>;
}
