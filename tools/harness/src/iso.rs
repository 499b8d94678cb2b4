//! The bootable ISO: the kernel and the boot archive behind GRUB, for BIOS and UEFI.
//!
//! 1. The image holds the same kernel and the same archive as a boot with `qemu -kernel`; GRUB enters the kernel through
//!    Multiboot2. The archive is the only module.
//! 2. GRUB speaks on the first serial port and on the screen; Tessera on the serial port only.
//! 3. An image is replaced whole.

use crate::{build::Images, latency, workspace};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What starts the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// PC BIOS: QEMU's SeaBIOS.
    Bios,
    /// UEFI: OVMF.
    Uefi,
}

/// Where OVMF lies, code and variables in one file (Debian's package `ovmf`).
const OVMF: &str = "/usr/share/ovmf/OVMF.fd";
/// GRUB's parts for the two kinds of firmware, and the packages that they come with.
const GRUB_PLATFORMS: [(&str, &str); 2] =
    [("/usr/lib/grub/i386-pc", "grub-pc-bin"), ("/usr/lib/grub/x86_64-efi", "grub-efi-amd64-bin")];
/// Programs, and the packages that they come with.
const PROGRAMS: [(&str, &str); 3] = [("grub-mkrescue", "grub-common"), ("xorriso", "xorriso"), ("mformat", "mtools")];
/// GRUB's modules on the image; what these need comes along.
const MODULES: &str = "multiboot2 normal iso9660 serial terminal part_msdos part_gpt part_acorn part_amiga part_bsd \
    part_dfly part_dvh part_plan part_sun part_sunpc part_apple search_fs_uuid";
/// Seconds in which the menu can be reached.
const MENU: u32 = 2;

impl Firmware {
    /// The file that QEMU starts with, where it is not QEMU's own BIOS.
    pub fn file(self) -> Result<Option<&'static Path>> {
        match self {
            Firmware::Bios => Ok(None),
            Firmware::Uefi => {
                let file = Path::new(OVMF);
                ensure!(file.exists(), "there is no {OVMF}; on Debian: apt-get install ovmf");
                Ok(Some(file))
            }
        }
    }
}

/// The usual place of the image.
pub fn default_path() -> PathBuf {
    workspace::images_dir().join("tessera.iso")
}

/// Makes the image at `to`. `words` go onto the kernel's command line.
pub fn make(images: &Images, words: &str, to: &Path) -> Result<()> {
    let missing = missing_packages(&std::env::var_os("PATH").unwrap_or_default());
    if !missing.is_empty() {
        bail!("an ISO cannot be made without GRUB and xorriso; on Debian: apt-get install {}", missing.join(" "));
    }
    let words = if latency::file().is_some() { format!("{words} {}", latency::WORD) } else { words.to_owned() };
    let directory = tempfile::tempdir()?;
    let root = directory.path().join("root");
    fs::create_dir_all(root.join("boot/grub"))?;
    for (file, name) in [(&images.kernel, "kernel"), (&images.archive, "boot.tar")] {
        fs::copy(file, root.join("boot").join(name)).with_context(|| format!("cannot read {}", file.display()))?;
    }
    fs::write(root.join("boot/grub/grub.cfg"), menu(&words)?)?;
    let image = tempfile::Builder::new().prefix(".new-").tempfile_in(to.parent().unwrap_or(Path::new(".")))?;
    let mut mkrescue = Command::new("grub-mkrescue");
    mkrescue.arg("-o").arg(image.path()).args(["--install-modules", MODULES, "--locales=", "--fonts=", "--themes="]);
    mkrescue.arg(&root).args(["--", "-volid", "TESSERA"]);
    let output = mkrescue.stdin(Stdio::null()).output().context("cannot start grub-mkrescue")?;
    ensure!(
        output.status.success(),
        "grub-mkrescue could not make the image:\n{}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    fs::set_permissions(image.path(), fs::Permissions::from_mode(0o644))?;
    image.persist(to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

/// GRUB's configuration.
fn menu(words: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " =@+-_:.,/".contains(c);
    if let Some(odd) = words.chars().find(|c| !plain(*c)) {
        bail!("`{odd}` cannot stand on the command line of an ISO: letters, digits, blanks and =@+-_:.,/ can");
    }
    Ok(format!(
        "serial --unit=0 --speed=115200\n\
         terminal_input console serial\n\
         terminal_output console serial\n\
         set timeout={MENU}\n\
         set timeout_style=countdown\n\
         menuentry 'Tessera' {{\n    \
             multiboot2 /boot/kernel {words}\n    \
             module2 /boot/boot.tar\n\
         }}\n"
    ))
}

/// Packages without which no image can be made.
fn missing_packages(path: &std::ffi::OsStr) -> Vec<&'static str> {
    let found = |program: &str| std::env::split_paths(path).any(|directory| directory.join(program).is_file());
    let programs = PROGRAMS.into_iter().filter(|(program, _)| !found(program));
    let platforms = GRUB_PLATFORMS.into_iter().filter(|(folder, _)| !Path::new(folder).is_dir());
    programs.chain(platforms).map(|(_, package)| package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_starts_the_kernel_with_its_words_and_the_archive() {
        let menu = menu("exec=6c73 kill=fs@before-reply:3,+1").expect("these are plain words");
        assert!(menu.contains("\n    multiboot2 /boot/kernel exec=6c73 kill=fs@before-reply:3,+1\n"), "{menu}");
        assert!(menu.contains("\n    module2 /boot/boot.tar\n"), "{menu}");
    }

    #[test]
    fn words_that_grub_would_take_for_its_own_are_refused() {
        for words in ["a;reboot", "a\nreboot", "$x", "'", "a{b"] {
            assert!(menu(words).is_err(), "{words}");
        }
    }

    #[test]
    fn every_missing_program_names_its_package() {
        let missing = missing_packages("/no/such/folder".as_ref());
        assert!(missing.starts_with(&["grub-common", "xorriso", "mtools"]), "{missing:?}");
    }
}
