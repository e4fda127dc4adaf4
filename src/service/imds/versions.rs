//! API versions: the known ones, and the answer to an unknown one.

use super::query::{Query, QueryError};

/// All versions that the service accepts, oldest first (Azure IMDS documentation, 2025).
const VERSIONS: [&str; 35] = [
    "2017-03-01",
    "2017-04-02",
    "2017-08-01",
    "2017-10-01",
    "2017-12-01",
    "2018-02-01",
    "2018-04-02",
    "2018-10-01",
    "2019-02-01",
    "2019-03-11",
    "2019-04-30",
    "2019-06-01",
    "2019-06-04",
    "2019-08-01",
    "2019-08-15",
    "2019-11-01",
    "2020-06-01",
    "2020-07-15",
    "2020-09-01",
    "2020-10-01",
    "2020-12-01",
    "2021-01-01",
    "2021-02-01",
    "2021-03-01",
    "2021-05-01",
    "2021-08-01",
    "2021-10-01",
    "2021-11-01",
    "2021-11-15",
    "2021-12-13",
    "2023-07-01",
    "2023-11-15",
    "2024-03-15",
    "2024-07-17",
    "2025-04-07",
];

/// First version with the identity category.
pub(super) const IDENTITY_SINCE: &str = "2018-02-01";

/// Versions that only the scheduled events have (Azure documentation of scheduled events).
const EVENTS_ONLY: [&str; 4] = ["2017-11-01", "2019-01-01", "2019-04-01", "2020-07-01"];

/// First version with the scheduled events.
const EVENTS_SINCE: &str = "2017-08-01";

/// First version with the instance category.
pub(super) const INSTANCE_SINCE: &str = "2017-04-02";

/// First version with `bypass_cache`. Earlier versions ignore it, like any unknown parameter.
pub(super) const BYPASS_SINCE: &str = "2023-07-01";

/// Reasons why the api-version of a query is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VersionError {
    /// The query cannot be decoded.
    Query(QueryError),
    /// The version is missing, unknown, or older than what is asked for.
    Unsupported,
}

impl From<QueryError> for VersionError {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

/// Returns the api-version of a query.
///
/// # Errors
/// Returns `Unsupported` when it is missing, unknown, or older than `since`.
pub(super) fn require(query: &Query<'_>, since: &str) -> Result<&'static str, VersionError> {
    let asked = query.get("api-version")?.ok_or(VersionError::Unsupported)?;
    let known = VERSIONS.iter().find(|version| **version == asked && **version >= since);
    known.copied().ok_or(VersionError::Unsupported)
}

/// Checks the api-version of a query for scheduled events, which have some versions of their own.
///
/// # Errors
/// Returns the errors of [`require`].
pub(super) fn require_events(query: &Query<'_>) -> Result<(), VersionError> {
    let asked = query.get("api-version")?.unwrap_or_default();
    if EVENTS_ONLY.contains(&&*asked) {
        return Ok(());
    }
    require(query, EVENTS_SINCE).map(|_| ())
}

/// Returns the answer of `/metadata/versions`.
pub(super) fn document() -> String {
    let quoted = VERSIONS.map(|version| format!("\"{version}\""));
    format!(r#"{{"apiVersions":[{}]}}"#, quoted.join(","))
}

/// Returns the body for a missing or unknown version. MSAL.NET reads `newest-versions[0]` from it.
pub(super) fn refusal() -> String {
    let newest: Vec<String> =
        VERSIONS.iter().rev().take(3).map(|version| format!("\"{version}\"")).collect();
    format!(
        r#"{{"error":"Bad request. api-version is invalid or was not specified in the request. For more information refer to aka.ms/azureimds","newest-versions":[{}]}}"#,
        newest.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_sorted_and_each_category_starts_at_its_own() {
        assert!(VERSIONS.is_sorted());
        let accepts = |version: &str, since| {
            require(&Query::parse(&format!("api-version={version}")).unwrap(), since).is_ok()
        };
        assert!(accepts("2018-02-01", IDENTITY_SINCE) && accepts("2019-08-01", IDENTITY_SINCE));
        assert!(!accepts("2017-12-01", IDENTITY_SINCE) && accepts("2017-12-01", INSTANCE_SINCE));
        for version in ["", "2018-02-02", "9999-01-01", "latest"] {
            assert!(!accepts(version, INSTANCE_SINCE), "{version}");
        }
    }

    #[test]
    fn a_refusal_names_the_newest_versions_first() {
        assert!(
            refusal().ends_with(r#""newest-versions":["2025-04-07","2024-07-17","2024-03-15"]}"#)
        );
    }
}
