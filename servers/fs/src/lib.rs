//! The filesystem server: ext4 behind a persistent block cache.
