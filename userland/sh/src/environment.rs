//! Which program gets which capability beyond its streams, its directories and its own account.
//!
//! The two functions here are the shell's whole policy: what they do not give, no program gets.

/// Something that the shell can hand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// The supervisor: looking only, where the shell can narrow it; what exactly it allows its badge says.
    Supervisor,
    /// The processes of the shell's jobs, to end them.
    Jobs,
    /// The console's session, where the program talks to a person: to get keys as they are typed.
    Terminal,
    /// The console's session, the maker of pipes, and a larger quota: what a shell needs to be one, or a program that
    /// starts others.
    Shell,
}

/// The program that gets every service, to hand it on by these same rules.
pub const SHELL: &str = "sh";

/// What a program of this name in `/bin` gets.
pub fn extras(program: &str) -> &'static [Extra] {
    match program {
        "free" | "poweroff" | "ps" | "reboot" | "svc" | "uptime" => &[Extra::Supervisor],
        "bench" => &[Extra::Supervisor, Extra::Shell],
        "kill" => &[Extra::Jobs],
        "top" => &[Extra::Supervisor, Extra::Terminal],
        "sh" => &[Extra::Supervisor, Extra::Shell],
        _ => &[],
    }
}

/// Whether a program of this name in `/bin` gets the queue `service`, which `[programs]` in system.toml uses: where it
/// bears the service's name, alone or before a hyphen, as `counter` and `counter-client` do for the service `counter`.
pub fn is_client(program: &str, service: &str) -> bool {
    program.strip_prefix(service).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_handle_files_get_nothing_more() {
        for program in ["cat", "cp", "df", "echo", "ls", "mv", "rm", "sha256sum", "touch", "unheard-of", ""] {
            assert!(extras(program).is_empty(), "{program}");
        }
    }

    #[test]
    fn a_service_is_given_to_programs_of_its_name_only() {
        assert!(is_client("counter", "counter") && is_client("counter-client", "counter"));
        for program in ["cat", "count", "counters", "my-counter", "sh", ""] {
            assert!(!is_client(program, "counter"), "{program}");
        }
    }

    #[test]
    fn only_kill_gets_the_jobs_and_only_who_starts_programs_or_wants_keys_the_console() {
        assert_eq!(extras("kill"), [Extra::Jobs]);
        assert!(extras("sh").contains(&Extra::Shell));
        assert_eq!(
            extras("bench"),
            [Extra::Supervisor, Extra::Shell],
            "it starts programs, measures pipes, and ends services"
        );
        assert_eq!(extras("top"), [Extra::Supervisor, Extra::Terminal]);
        for program in ["free", "poweroff", "ps", "reboot", "svc", "uptime"] {
            assert_eq!(extras(program), [Extra::Supervisor], "{program}");
        }
    }
}
