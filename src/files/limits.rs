//! The most that is read of a file, by kind: several times what a person or a tool writes.

/// A file of settings: configuration, scenario, fleet or target. The longest example has 2 KB.
pub const SETTINGS_BYTES_MAX: u64 = 1 << 20;
/// Keys, certificates, tokens and other secrets. The authorities of a whole system have 250 KB.
pub const CREDENTIAL_BYTES_MAX: u64 = 1 << 20;
/// A world file: 100,000 VMs with their identities have some 30 MB, and TOML takes ten times as much memory.
pub const WORLD_BYTES_MAX: u64 = 64 << 20;
/// A trace: five million requests have some 100 MB.
pub const TRACE_BYTES_MAX: u64 = 256 << 20;
/// `run.json`, `gate.json` or a distribution: they have 5 to 100 KB; a merged one has some for each part.
pub const RESULT_BYTES_MAX: u64 = 16 << 20;
/// A CSV file that runs are added to: a row has some 300 bytes.
pub const SERIES_BYTES_MAX: u64 = 64 << 20;
