//! Which Rust builds the kernel and the user programs.
//!
//! They need `core` built from source, so the toolchain must have `rust-src`. The host's own crates do not care.

use crate::workspace;
use anyhow::{Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const LIBRARY: &str = "lib/rustlib/src/rust/library/Cargo.lock";

/// The Debian packages that make a complete toolchain (scripts/setup.sh installs the same list).
pub const DEBIAN_PACKAGES: &str = "rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web rust-web-llvm lld-22";

/// A toolchain that can build for targets without a shipped `core`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The one that `rustc` on the path belongs to.
    Active,
    /// Debian's, under `/usr`.
    Debian,
}

impl Toolchain {
    /// The active toolchain if it has `rust-src`, else Debian's, else an error with both ways to install one.
    pub fn choose() -> Result<Toolchain> {
        choose_from(active_sysroot().as_deref(), Path::new("/usr"))
    }

    /// A `cargo` command for bare targets. Only this child may use unstable flags: host builds stay plain stable.
    pub fn cargo(&self) -> Command {
        let mut cargo = match self {
            Toolchain::Active => Command::new("cargo"),
            Toolchain::Debian => {
                let mut cargo = Command::new("/usr/bin/cargo");
                cargo.env("RUSTUP_TOOLCHAIN", "/usr").env("RUSTC", "/usr/bin/rustc");
                cargo
            }
        };
        cargo.env_remove("CARGO").env_remove("LD_LIBRARY_PATH").env("RUSTC_BOOTSTRAP", "1");
        cargo
    }
}

fn active_sysroot() -> Option<PathBuf> {
    let output = Command::new("rustc").current_dir(workspace::root()).args(["--print", "sysroot"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

fn choose_from(active: Option<&Path>, debian: &Path) -> Result<Toolchain> {
    if active.is_some_and(|sysroot| sysroot.join(LIBRARY).exists()) {
        return Ok(Toolchain::Active);
    }
    if debian.join(LIBRARY).exists() && debian.join("bin/rustc").exists() && debian.join("bin/cargo").exists() {
        return Ok(Toolchain::Debian);
    }
    bail!(
        "no Rust toolchain here has the source of the standard library, which the kernel is built with.\n\
         Install one of the two:\n  \
         with rustup:    rustup component add rust-src\n  \
         on Debian 12:   apt-get install {DEBIAN_PACKAGES}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn fake(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("it has a parent")).expect("its parent is made");
            fs::write(path, "").expect("it is written");
        }
        dir
    }

    #[test]
    fn the_active_toolchain_wins_when_it_has_the_library_source() {
        let (active, debian) = (fake(&[LIBRARY]), fake(&[LIBRARY, "bin/rustc", "bin/cargo"]));
        assert_eq!(choose_from(Some(active.path()), debian.path()).ok(), Some(Toolchain::Active));
    }

    #[test]
    fn debians_is_taken_when_the_active_one_has_no_source() {
        let (active, debian) = (fake(&[]), fake(&[LIBRARY, "bin/rustc", "bin/cargo"]));
        assert_eq!(choose_from(Some(active.path()), debian.path()).ok(), Some(Toolchain::Debian));
        assert_eq!(choose_from(None, debian.path()).ok(), Some(Toolchain::Debian));
    }

    #[test]
    fn with_neither_both_install_lines_are_said() {
        let message = choose_from(None, fake(&[LIBRARY]).path()).expect_err("there is no rustc").to_string();
        assert!(message.contains("rustup component add rust-src") && message.contains("apt-get install rustc-web"));
    }
}
