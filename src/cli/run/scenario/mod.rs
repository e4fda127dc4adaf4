//! Scenarios: TOML files that define the requests and the changes of a run. Some are built in.

pub(super) mod file;
mod read;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use self::file::{Definition, ScenarioError};
pub(super) use self::read::{RATE_MAX, speed_is_fine};
use crate::base::files;
use crate::base::files::SETTINGS_BYTES_MAX;
use crate::base::secret::shown_url;

/// Requests and changes of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Scenario {
    /// All caches are cold and all VMs boot
    BootStorm,
    /// As steady, while identities are taken from VMs and given back: no token after a removal
    Churn,
    /// A file of the user
    File(PathBuf),
    /// Many callers of one cold key at one instant: one mint each time
    Herd,
    /// Every request asks for a new key: one mint each
    Mint,
    /// The token service behind the broker is down for a while: nothing fails
    Outage,
    /// All tokens come up for renewal together: nobody waits
    RefreshWave,
    /// As steady, while signing keys and certificates roll: nothing fails, and every token verifies
    Rotate,
    /// Cache hits: some VMs are popular, most are not
    Steady,
}

/// Error of a text that names no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a scenario; write one of {known}, or the path of a file that ends in .toml",
    known = BUILT_IN.map(|scenario| scenario.text().0).join(", ")
)]
pub(in crate::cli) struct UnknownScenario(String);

const BUILT_IN: [Scenario; 8] = [
    Scenario::BootStorm,
    Scenario::Churn,
    Scenario::Herd,
    Scenario::Mint,
    Scenario::Outage,
    Scenario::RefreshWave,
    Scenario::Rotate,
    Scenario::Steady,
];

impl Scenario {
    /// Returns the name for folders and files.
    pub(in crate::cli) fn as_str(&self) -> &str {
        match self {
            Self::File(path) => path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("file"),
            built_in => built_in.text().0,
        }
    }

    /// Returns the file name of a scenario that is not built in.
    pub(in crate::cli) fn file_name(&self) -> Option<String> {
        let Self::File(path) = self else { return None };
        Some(path.file_name()?.to_string_lossy().into_owned())
    }

    /// Returns the name and text of a built-in scenario. Both are empty for a file.
    const fn text(&self) -> (&'static str, &'static str) {
        match self {
            Self::BootStorm => ("boot-storm", include_str!("boot-storm.toml")),
            Self::Churn => ("churn", include_str!("churn.toml")),
            Self::File(_) => ("", ""),
            Self::Herd => ("herd", include_str!("herd.toml")),
            Self::Mint => ("mint", include_str!("mint.toml")),
            Self::Outage => ("outage", include_str!("outage.toml")),
            Self::RefreshWave => ("refresh-wave", include_str!("refresh-wave.toml")),
            Self::Rotate => ("rotate", include_str!("rotate.toml")),
            Self::Steady => ("steady", include_str!("steady.toml")),
        }
    }

    /// Returns the text of the scenario file.
    ///
    /// # Errors
    /// Returns an error when the file cannot be read.
    pub(super) fn source(&self) -> Result<String, ScenarioError> {
        match self {
            Self::File(path) => Ok(files::read_text(path, SETTINGS_BYTES_MAX)?),
            built_in => Ok(built_in.text().1.to_owned()),
        }
    }

    /// Reads the scenario file.
    ///
    /// # Errors
    /// Returns [`ScenarioError`], which names the file, the key and what to write.
    pub(super) fn read(&self) -> Result<Definition, ScenarioError> {
        let folder = match self {
            Self::File(path) => path.parent().unwrap_or(Path::new("")),
            _ => Path::new(""),
        };
        read::definition(&self.to_string(), folder, &self.source()?)
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

#[cfg(test)]
mod tests;
