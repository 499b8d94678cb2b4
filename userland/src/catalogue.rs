//! The programs of the system with a line on each, for `help`.

/// Name, operands, what it does.
pub const PROGRAMS: &[(&str, &str, &str)] = &[
    ("bench", "[NAME]...", "measure system calls, messages, reads and spawns"),
    ("cat", "[FILE]...", "write files, or standard input, to standard output"),
    ("cp", "[-r] SOURCE... TARGET", "copy files"),
    ("crash", "KIND", "fail in a chosen way (for tests)"),
    ("df", "[-h]", "show how full the disk is"),
    ("echo", "[-n] [TEXT]...", "write text"),
    ("false", "", "end with status 1"),
    ("float", "", "compute with floating point (for tests)"),
    ("free", "[-h]", "show how much memory is in use"),
    ("head", "[-n LINES | -c BYTES] [FILE]...", "write the beginning of files"),
    ("help", "[NAME]", "list programs and builtins"),
    ("hexdump", "[-C] [FILE]...", "show bytes in hexadecimal"),
    ("kill", "[-SIGNAL] PID...", "end processes that the shell started"),
    ("ls", "[-a] [-l] [PATH]...", "list directories"),
    ("mkdir", "[-p] DIRECTORY...", "make directories"),
    ("mv", "SOURCE... TARGET", "rename or move files"),
    ("poweroff", "", "sync the disk and switch the machine off"),
    ("ps", "[--waits]", "list processes, or who waits for whom"),
    ("reboot", "", "sync the disk and restart the machine"),
    ("rm", "[-r] [-f] PATH...", "remove files"),
    ("rmdir", "DIRECTORY...", "remove empty directories"),
    ("sh", "[-c COMMAND | FILE [ARGUMENT]...]", "the shell"),
    ("sha256sum", "[FILE]...", "compute SHA-256 sums"),
    ("sleep", "SECONDS...", "wait"),
    ("stat", "PATH...", "show what is known about files"),
    (
        "svc",
        "list | kill NAME | restart NAME [TIMES] | upgrade NAME FILE | log [NAME] | report NAME | trace [--raw] [NAME] | audit | caps [--unused] [NAME]",
        "look after the servers",
    ),
    ("sync", "", "bring everything written to the disk"),
    ("top", "[-t] [-n COUNT] [-d SECONDS]", "show who uses the processor, until q is typed"),
    ("touch", "FILE...", "make files, or set their time of change"),
    ("true", "", "end with status 0"),
    ("uptime", "", "show how long the machine has run"),
    ("wc", "[-l] [-w] [-c] [FILE]...", "count lines, words and bytes"),
    ("workload", "NUMBER STEPS", "work on files and check every result (for tests)"),
];

/// What a program does.
pub fn find(name: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    PROGRAMS.iter().find(|(program, _, _)| *program == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_in_the_catalogue_and_has_a_file() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".rs").map(String::from))
            .collect();
        files.push("sh".into());
        files.sort();
        let mut listed: Vec<&str> = PROGRAMS.iter().map(|(name, _, _)| *name).collect();
        assert_eq!(files, listed);
        listed.dedup();
        assert_eq!(listed.len(), PROGRAMS.len());
    }
}
