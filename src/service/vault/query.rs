//! The query of a request: the API version and the requested page of a list.

use std::borrow::Cow;

use crate::base::http::{Encoded, pairs};

/// Largest and default number of items on a page.
pub(super) const PAGE_MAX: usize = 25;

/// Reason for refusing a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    #[error("The request URI is missing the query parameter api-version.")]
    ApiVersionMissing,
    #[error(
        "The specified version ({0}) is not recognized. Consider using the latest supported version (2025-07-01)."
    )] // (seen, with another version)
    ApiVersionUnknown(String),
    #[error("The query cannot be decoded.")]
    Encoding,
    #[error("The parameter maxresults must be a number from 1 to {PAGE_MAX}.")]
    MaxResults,
    #[error("The parameter {0} stands twice.")]
    Repeated(&'static str),
    #[error("The parameter $skiptoken is not one that this vault made.")]
    SkipToken,
}

/// Parsed query. Unknown parameters are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) api_version: String,
    pub(super) page_size: usize,
    pub(super) skip_token: Option<String>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let (mut api_version, mut page_size, mut skip_token) = (None, None, None);
        for (name, value) in pairs(text) {
            let (name, value) = (decoded(name)?, decoded(value)?);
            let (slot, name) = match &*name {
                "api-version" => (&mut api_version, "api-version"),
                "maxresults" => (&mut page_size, "maxresults"),
                // Clients send the dollar sign plain or percent-encoded.
                "$skiptoken" => (&mut skip_token, "$skiptoken"),
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(QueryError::Repeated(name));
            }
        }
        let api_version = api_version.filter(|version| !version.is_empty());
        let api_version = api_version.ok_or(QueryError::ApiVersionMissing)?;
        if !is_api_version(&api_version) {
            return Err(QueryError::ApiVersionUnknown(api_version));
        }
        let page_size = page_size.map_or(Ok(PAGE_MAX), |text| page_size_of(&text))?;
        Ok(Self { api_version, page_size, skip_token })
    }
}

fn decoded(text: Encoded<'_>) -> Result<Cow<'_, str>, QueryError> {
    text.decode_percent().map_err(|_| QueryError::Encoding)
}

fn page_size_of(text: &str) -> Result<usize, QueryError> {
    let size = text.parse().ok().filter(|size| (1..=PAGE_MAX).contains(size));
    size.ok_or(QueryError::MaxResults)
}

/// Returns true for `7.4` or `2025-07-01`, either with `-preview` or `-preview.1`. Unknown versions are
/// accepted: clients use newer versions than this code, and the format of secrets has not changed since 7.1.
fn is_api_version(text: &str) -> bool {
    let digits = |text: &str, count: std::ops::RangeInclusive<usize>| {
        count.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (base, preview) =
        text.split_once("-preview").map_or((text, None), |(base, preview)| (base, Some(preview)));
    let is_preview = preview.is_none_or(|rest| {
        rest.is_empty() || rest.strip_prefix('.').is_some_and(|number| digits(number, 1..=2))
    });
    let is_number = base
        .split_once('.')
        .is_some_and(|(major, minor)| digits(major, 1..=2) && digits(minor, 1..=2));
    let is_date = base.len() == "2025-07-01".len()
        && base.split('-').map(|part| (part.len(), digits(part, 2..=4))).eq([
            (4, true),
            (2, true),
            (2, true),
        ]);
    is_preview && (is_number || is_date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_well_formed_version_is_taken_and_nothing_else() {
        for version in
            ["7.0", "7.6", "7.6-preview.1", "2016-10-01", "2025-07-01", "2026-04-01-preview"]
        {
            assert!(Query::parse(&format!("api-version={version}")).is_ok(), "{version}");
        }
        for version in
            ["7", "7.", "x", "2025-7-1", "2025-07-01-01", "7.1-beta", "7.1-previewx", "latest"]
        {
            let refused = Err(QueryError::ApiVersionUnknown(version.to_owned()));
            assert_eq!(Query::parse(&format!("api-version={version}")), refused);
        }
        for query in ["", "api-version", "api-version=", "x=7.4"] {
            assert_eq!(Query::parse(query), Err(QueryError::ApiVersionMissing), "{query}");
        }
    }

    #[test]
    fn parameters_are_decoded_and_stand_once() {
        let query =
            Query::parse("%24skiptoken=a%2Bb&api-version=7.4&maxresults=3&x=1&x=2").unwrap();
        assert_eq!(query.skip_token.as_deref(), Some("a+b"));
        assert_eq!(query.page_size, 3);
        assert_eq!(
            Query::parse("api-version=7.4&api-version=7.4"),
            Err(QueryError::Repeated("api-version"))
        );
        for size in ["0", "26", "", "-1", "x"] {
            let refused = Query::parse(&format!("api-version=7.4&maxresults={size}"));
            assert_eq!(refused, Err(QueryError::MaxResults), "{size}");
        }
        assert_eq!(Query::parse("api-version=%FF"), Err(QueryError::Encoding));
    }

    proptest! {
        #[test]
        fn no_query_makes_the_reader_panic(text in "\\PC{0,80}", shaped in "(api-version|maxresults|\\$skiptoken|[=&%.0-9-]){0,16}") {
            let _ = Query::parse(&text);
            let _ = Query::parse(&shaped);
        }
    }
}
