//! The beginning of a stream (`head`).

/// How much of the beginning is still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// So many lines.
    Lines(u64),
    /// So many bytes.
    Bytes(u64),
}

impl Wanted {
    /// How much of the next piece belongs to the beginning; what is wanted afterwards is less by that.
    pub fn take(&mut self, piece: &[u8]) -> usize {
        match self {
            Wanted::Bytes(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= taken as u64;
                taken
            }
            Wanted::Lines(left) => {
                let mut taken = 0;
                while *left > 0 {
                    match piece[taken..].iter().position(|byte| *byte == b'\n') {
                        Some(end) => {
                            taken += end + 1;
                            *left -= 1;
                        }
                        None => return piece.len(),
                    }
                }
                taken
            }
        }
    }

    /// Whether nothing more is wanted.
    pub fn is_done(self) -> bool {
        matches!(self, Wanted::Lines(0) | Wanted::Bytes(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_pieces() {
        let mut wanted = Wanted::Lines(2);
        assert_eq!(wanted.take(b"one"), 3);
        assert_eq!(wanted.take(b" more\ntwo"), 9);
        assert!(!wanted.is_done());
        assert_eq!(wanted.take(b"\nthree\n"), 1);
        assert!(wanted.is_done());
        assert_eq!(wanted.take(b"rest"), 0);
    }

    #[test]
    fn bytes_are_counted_across_pieces() {
        let mut wanted = Wanted::Bytes(5);
        assert_eq!(wanted.take(b"abc"), 3);
        assert_eq!(wanted.take(b"def"), 2);
        assert!(wanted.is_done());
        assert!(Wanted::Bytes(0).is_done());
    }
}
