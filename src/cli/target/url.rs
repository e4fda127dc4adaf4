//! Written form of a target: a URL with or without a protocol before it, or the name of a file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use super::args::TargetArgs;
use crate::base::files;
use crate::base::files::{ReadError, SETTINGS_BYTES_MAX};
use crate::harness::dialect::protocol::Protocol;
use crate::harness::dialect::url::{HttpUrl, UrlError};

/// URL, and the protocol that is written before it, if one is: `oauth2+https://host/path`.
///
/// The written form may also be the name of a TOML file, which holds the URL and the flags of the
/// target.
#[derive(Clone, Debug)]
pub(crate) struct TargetUrl {
    pub(super) protocol: Option<Protocol>,
    /// Protocol that applies if none is named.
    pub(super) default: Protocol,
    pub(crate) url: HttpUrl,
    /// Flags in the target file. `--ca` and `--insecure` of the command line apply if the file has
    /// neither.
    pub(super) own: Option<Box<TargetArgs>>,
}

/// Reason why a text names no target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetUrlError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("`{0}` is not a protocol; use one of {all}", all = Protocol::ALL.map(Protocol::as_str).join(", "))]
    Protocol(String),
    #[error("the target file cannot be used: {}", .0.in_a_line())]
    File(ReadError),
    #[error("the target file `{path}` is wrong: {message}", path = path.display())]
    Syntax { path: PathBuf, message: String },
}

impl FromStr for TargetUrl {
    type Err = TargetUrlError;

    fn from_str(text: &str) -> Result<Self, TargetUrlError> {
        let Some((scheme, _)) = text.split_once("://") else {
            let path = Path::new(text);
            let is_file = path.extension().is_some_and(|extension| extension == "toml");
            return if is_file { file(path) } else { plain(text) };
        };
        let Some((name, _)) = scheme.split_once('+') else { return plain(text) };
        let is_named = |protocol: &Protocol| protocol.as_str().eq_ignore_ascii_case(name);
        let protocol = Protocol::ALL.into_iter().find(is_named);
        let protocol = protocol.ok_or_else(|| TargetUrlError::Protocol(name.to_owned()))?;
        let url = text.get(name.len() + 1..).unwrap_or_default();
        Ok(Self { protocol: Some(protocol), ..plain(url)? })
    }
}

fn plain(url: &str) -> Result<TargetUrl, TargetUrlError> {
    Ok(TargetUrl { protocol: None, default: Protocol::Imds, url: url.parse()?, own: None })
}

impl TargetUrl {
    /// Parses the target of `mintbench run URL`. Plain requests ask it, unless a protocol is named.
    ///
    /// # Errors
    /// Returns an error when the text is no URL that can be used.
    pub(crate) fn for_plain_gets(text: &str) -> Result<Self, TargetUrlError> {
        Ok(Self { default: Protocol::Get, ..text.parse()? })
    }

    /// Returns the target at the first address of its host that takes a connection.
    pub(crate) fn reached(&self) -> Self {
        Self { url: self.url.clone().reached(), ..self.clone() }
    }
}

/// Target file: the key `target`, and keys named like the flags of the target.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TargetFile {
    target: String,
    #[serde(flatten)]
    own: toml::Table,
}

fn file(path: &Path) -> Result<TargetUrl, TargetUrlError> {
    let text = files::read_text(path, SETTINGS_BYTES_MAX).map_err(TargetUrlError::File)?;
    let syntax = |message| TargetUrlError::Syntax { path: path.to_owned(), message };
    let whole: TargetFile = toml::from_str(&text).map_err(|error| syntax(error.to_string()))?;
    let own = TargetArgs::deserialize(whole.own).map_err(|error| syntax(error.to_string()))?;
    if !whole.target.contains("://") {
        return Err(syntax("`target` is not a URL".to_owned()));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(TargetUrl { own: Some(Box::new(own.in_folder(folder))), ..whole.target.parse()? })
}
