//! Paths as text.

use alloc::{format, string::String};

/// The path of `name` in directory `base`.
pub fn join(base: &str, name: &str) -> String {
    if name.starts_with('/') || base.is_empty() {
        return name.into();
    }
    if base.ends_with('/') { format!("{base}{name}") } else { format!("{base}/{name}") }
}

/// The last component, `/` for the root; slashes at the end do not count.
pub fn file_name(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() && !path.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// Everything before the last component, `.` where there is nothing.
pub fn parent(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rfind('/') {
        Some(0) => "/",
        Some(at) => trimmed[..at].trim_end_matches('/'),
        None => {
            if path.starts_with('/') {
                "/"
            } else {
                "."
            }
        }
    }
}

/// Whether absolute path `inner` is `outer` or lies below it.
pub fn lies_in(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_component_and_parent_ignore_trailing_slashes() {
        for (path, name, above) in [
            ("a", "a", "."),
            ("a/", "a", "."),
            ("/a", "a", "/"),
            ("/a/b//", "b", "/a"),
            ("a//b", "b", "a"),
            ("/", "/", "/"),
            ("//", "/", "/"),
            ("../x", "x", ".."),
        ] {
            assert_eq!((file_name(path), parent(path)), (name, above), "{path}");
        }
    }

    #[test]
    fn a_path_lies_in_itself_and_its_parents_only() {
        assert!(lies_in("/a/b", "/a"));
        assert!(lies_in("/a", "/a"));
        assert!(lies_in("/a", "/"));
        assert!(!lies_in("/ab", "/a"));
        assert!(!lies_in("/", "/a"));
    }
}
