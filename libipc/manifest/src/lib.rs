//! system.toml in memory: what init reads and the host tool checks and packs.
