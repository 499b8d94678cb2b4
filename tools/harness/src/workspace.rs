//! Where things are: the repository, cargo's output, the images made from it.
//!
//! Every path that the tools use is made here, so that a folder is moved in one place.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The repository's root: `TESSERA_ROOT` where set, else where this crate was built.
pub fn root() -> PathBuf {
    let built_here = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let root = env::var_os("TESSERA_ROOT").map_or_else(built_here, PathBuf::from);
    root.canonicalize().unwrap_or(root)
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Where the images lie: `TESSERA_IMAGES` where set (`cargo xtask test` sets it for the tests that it starts).
pub fn images_dir() -> PathBuf {
    env::var_os("TESSERA_IMAGES").map_or_else(|| target_dir().join("tessera"), PathBuf::from)
}

/// The description of the system.
pub fn system_toml() -> PathBuf {
    root().join("servers/system.toml")
}

/// The description of the system with the example servers.
pub fn examples_toml() -> PathBuf {
    root().join("examples/system.toml")
}

/// The disk that `cargo xtask run` boots with when none is named; one for each description of a system.
pub fn default_disk(description: Option<&Path>) -> PathBuf {
    let name = description.map_or("disk.img".into(), |path| format!("{}.img", shown(path).replace('/', "-")));
    root().join(".tessera").join(name)
}

/// `path` as a person at the root of the repository would write it.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
