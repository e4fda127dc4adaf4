//! Largest size that is read of each kind of file, in bytes: several times the usual size.

/// A settings file: configuration, scenario, fleet or target. The longest example has 2 KB.
pub(crate) const SETTINGS_BYTES_MAX: u64 = 1 << 20;
/// Keys, certificates, tokens and other secrets. The authorities of a whole system have 250 KB.
pub(crate) const CREDENTIAL_BYTES_MAX: u64 = 1 << 20;
/// The body of a request, of which each connection keeps a copy.
pub(crate) const REQUEST_BODY_BYTES_MAX: u64 = 1 << 20;
/// A world file: 100,000 VMs with their identities have about 30 MB, and TOML takes ten times as much memory.
pub(crate) const WORLD_BYTES_MAX: u64 = 64 << 20;
/// A trace: five million requests have about 100 MB.
pub(crate) const TRACE_BYTES_MAX: u64 = 256 << 20;
/// `run.json`, `gate.json` or a distribution, usually 5 to 100 KB. A merged one has that for each part.
pub(crate) const RESULT_BYTES_MAX: u64 = 16 << 20;
/// A CSV file that runs are appended to. A row has about 300 bytes.
pub(crate) const SERIES_BYTES_MAX: u64 = 64 << 20;
