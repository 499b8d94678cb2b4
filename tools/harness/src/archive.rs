//! The boot archive: a plain `ustar` file that the kernel maps programs from in place.
//!
//! The content of every member starts at a multiple of [`PAGE`] in the archive. Where the next content would not, a
//! member named [`PADDING`] fills the gap; readers that do not know the rule just see a small extra file.

use anyhow::{Result, ensure};

/// Contents start at multiples of this.
pub const PAGE: usize = 4096;
/// The name of members that are only there to align the next one.
pub const PADDING: &str = ".pad";
const BLOCK: usize = 512;

/// Packs `members` (name, content) in their order.
pub fn pack(members: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (name, content) in members {
        align_next(&mut archive)?;
        append(&mut archive, name, content)?;
    }
    archive.resize(archive.len() + 2 * BLOCK, 0); // the end of a tar file: two empty blocks
    archive.resize(archive.len().next_multiple_of(PAGE), 0);
    Ok(archive)
}

/// Fills up, if need be, so that one header later a page begins.
fn align_next(archive: &mut Vec<u8>) -> Result<()> {
    let filler = (PAGE - (archive.len() + BLOCK) % PAGE) % PAGE;
    if filler == 0 {
        return Ok(());
    }
    append(archive, PADDING, &vec![0; filler - BLOCK])
}

fn append(archive: &mut Vec<u8>, name: &str, content: &[u8]) -> Result<()> {
    archive.extend_from_slice(&header(name, content.len())?);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    Ok(())
}

fn header(name: &str, size: usize) -> Result<[u8; BLOCK]> {
    ensure!(!name.is_empty() && name.len() < 100, "a name in the boot archive has 1 to 99 bytes: `{name}` does not");
    ensure!(size < 1 << 33, "`{name}` is too large for the boot archive");
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755\0");
    put(108, "0000000\0"); // owner and group: root
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0"); // no time: equal inputs give equal archives
    put(148, "        "); // the checksum counts itself as spaces
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn members() -> Vec<(String, Vec<u8>)> {
        [0, 1, 511, 512, 513, 3071, 3072, 3584, 4095, 4096, 4097, 70_000]
            .into_iter()
            .map(|size| (format!("m{size}"), (0..size).map(|n| n as u8 ^ size as u8).collect()))
            .collect()
    }

    #[test]
    fn every_content_starts_on_a_page_and_is_whole() {
        let archive = pack(&members()).expect("they pack");
        let (mut at, mut seen) = (0, Vec::new());
        while archive[at] != 0 {
            let field = |from: usize, to: usize| String::from_utf8_lossy(&archive[at + from..at + to]).into_owned();
            let name = field(0, 100).trim_end_matches('\0').to_owned();
            let size = usize::from_str_radix(&field(124, 135), 8).expect("an octal size");
            let start = at + BLOCK;
            if name != PADDING {
                assert_eq!(start % PAGE, 0, "{name} starts at {start}");
                seen.push((name, archive[start..start + size].to_vec()));
            }
            at = (start + size).next_multiple_of(BLOCK);
        }
        assert_eq!(seen, members());
        assert_eq!(archive.len() % PAGE, 0);
    }

    #[test]
    fn tar_itself_reads_it_back() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("boot.tar");
        std::fs::write(&file, pack(&members()).expect("they pack")).expect("it is written");
        let listed = Command::new("tar").arg("-tf").arg(&file).output().expect("tar runs");
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(members().iter().all(|(name, _)| names.lines().any(|line| line == name)), "{names}");
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        assert!(pack(&[("n".repeat(100), vec![])]).is_err());
        assert!(pack(&[(String::new(), vec![])]).is_err());
    }
}
