//! Paths as text.

use alloc::{format, string::String, vec::Vec};

/// The absolute path of `path` seen from `here`, without `.`, `..` and empty components.
pub fn absolute(here: &str, path: &str) -> String {
    let start = if path.starts_with('/') { "" } else { here };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_have_no_dots() {
        assert_eq!(absolute("/a/b", "../c/./d"), "/a/c/d");
        assert_eq!(absolute("/a", "/x//y/"), "/x/y");
        assert_eq!(absolute("/", "../../.."), "/");
        assert_eq!(absolute("/a", ""), "/a");
    }
}
