//! Names of scenarios, and the texts of those that are built in.
//!
//! A scenario is a TOML file. `format` describes its keys, and `read` turns it into a `RunSpec`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::base::files;
use crate::base::files::{ReadError, SETTINGS_BYTES_MAX};
use crate::base::secret::shown_url;

/// Scenario of a run: one of the built-in ones, or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Boot of all VMs with cold caches.
    BootStorm,
    /// Traffic of `steady`, while identities are removed from VMs and assigned again. No token may follow a
    /// removal.
    Churn,
    /// Scenario file of the user.
    File(PathBuf),
    /// Many callers of one cold key at one instant, with one mint each time.
    Herd,
    /// Requests for new keys only, with one mint each.
    Mint,
    /// Outage of the token service behind the broker. No request may fail.
    Outage,
    /// Renewal of all tokens at the same time. No request may wait.
    RefreshWave,
    /// Traffic of `steady`, while signing keys and certificates roll. Every token must verify.
    Rotate,
    /// Cache hits, with a few popular VMs.
    Steady,
    /// One VM above its limit, the others below theirs. No other VM may be refused.
    Throttle,
}

/// Error of a text that names no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a scenario; write one of {known}, or the path of a file that ends in .toml",
    known = BUILT_IN.map(|scenario| scenario.text().0).join(", ")
)]
pub(crate) struct UnknownScenario(String);

/// Every built-in scenario.
pub(super) const BUILT_IN: [Scenario; 9] = [
    Scenario::BootStorm,
    Scenario::Churn,
    Scenario::Herd,
    Scenario::Mint,
    Scenario::Outage,
    Scenario::RefreshWave,
    Scenario::Rotate,
    Scenario::Steady,
    Scenario::Throttle,
];

impl Scenario {
    /// Returns the name for folders and files.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::File(path) => path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("file"),
            built_in => built_in.text().0,
        }
    }

    /// Returns the file name of a scenario that is not built in.
    pub(crate) fn file_name(&self) -> Option<String> {
        let Self::File(path) = self else { return None };
        Some(path.file_name()?.to_string_lossy().into_owned())
    }

    /// Returns the name and text of a built-in scenario. Both are empty for a file.
    const fn text(&self) -> (&'static str, &'static str) {
        match self {
            Self::BootStorm => ("boot-storm", include_str!("built_in/boot-storm.toml")),
            Self::Churn => ("churn", include_str!("built_in/churn.toml")),
            Self::File(_) => ("", ""),
            Self::Herd => ("herd", include_str!("built_in/herd.toml")),
            Self::Mint => ("mint", include_str!("built_in/mint.toml")),
            Self::Outage => ("outage", include_str!("built_in/outage.toml")),
            Self::RefreshWave => ("refresh-wave", include_str!("built_in/refresh-wave.toml")),
            Self::Rotate => ("rotate", include_str!("built_in/rotate.toml")),
            Self::Steady => ("steady", include_str!("built_in/steady.toml")),
            Self::Throttle => ("throttle", include_str!("built_in/throttle.toml")),
        }
    }

    /// Returns the text of the scenario file.
    ///
    /// # Errors
    /// Returns an error when the file cannot be read.
    pub(crate) fn source(&self) -> Result<String, ReadError> {
        match self {
            Self::File(path) => files::read_text(path, SETTINGS_BYTES_MAX),
            built_in => Ok(built_in.text().1.to_owned()),
        }
    }

    /// Returns the folder that relative paths in the scenario file start from.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new("")),
            _ => Path::new(""),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            built_in => f.write_str(built_in.text().0),
        }
    }
}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, UnknownScenario> {
        if let Some(built_in) = BUILT_IN.into_iter().find(|built_in| built_in.text().0 == text) {
            return Ok(built_in);
        }
        let path = Path::new(text);
        let is_file = path.extension().is_some_and(|extension| extension == "toml");
        // A URL in place of a scenario may hold a password.
        let shown = if text.contains("://") { shown_url(text) } else { text.to_owned() };
        is_file.then(|| Self::File(path.to_owned())).ok_or(UnknownScenario(shown))
    }
}
