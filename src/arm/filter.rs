//! `$filter`: terms joined by `and`.

use super::error::ArmError;
use crate::ids::PrincipalId;

/// One condition of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// `atScope()`: not what is below.
    AtScope,
    /// `atScopeAndBelow()`.
    AtScopeAndBelow,
    /// `principalId eq '..'`.
    Principal(PrincipalId),
    /// `assignedTo('..')`: the principal, and groups that it is in, of which there are none here.
    AssignedTo(PrincipalId),
    /// `roleName eq '..'`.
    RoleName(String),
    /// `type eq '..'`.
    Type(String),
    /// `resourceType eq '..'`.
    ResourceType(String),
}

/// The terms of a filter, which are all to hold; those that the list does not take are refused, for
/// to pass them over would show too much.
pub(super) fn parse(
    filter: Option<&str>,
    takes: impl Fn(&Term) -> bool,
) -> Result<Vec<Term>, ArmError> {
    let Some(filter) = filter else { return Ok(Vec::new()) };
    let refused = || ArmError::InvalidFilter(filter.to_owned());
    terms(filter).into_iter().map(|text| term(text).filter(&takes).ok_or_else(refused)).collect()
}

/// Splits at every `and` that is outside of quotes.
fn terms(filter: &str) -> Vec<&str> {
    let (mut found, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, char) in filter.char_indices() {
        quoted ^= char == '\'';
        let rest = filter.get(at..at + 5);
        if !quoted && at >= start && rest.is_some_and(|rest| rest.eq_ignore_ascii_case(" and ")) {
            found.push(filter.get(start..at).unwrap_or_default());
            start = at + 5;
        }
    }
    found.push(filter.get(start..).unwrap_or_default());
    found
}

fn term(text: &str) -> Option<Term> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("atScope()") {
        return Some(Term::AtScope);
    }
    if text.eq_ignore_ascii_case("atScopeAndBelow()") {
        return Some(Term::AtScopeAndBelow);
    }
    let (head, value) = text.split_once('\'')?;
    let head = head.trim().to_ascii_lowercase();
    let words: Vec<_> = head.split_whitespace().collect();
    if let Some(value) = value.strip_suffix("')")
        && matches!(words.as_slice(), ["assignedto("] | ["assignedto", "("])
    {
        return Some(Term::AssignedTo(value.parse().ok()?));
    }
    let value = literal(value.strip_suffix('\'')?)?;
    match words.as_slice() {
        ["principalid", "eq"] => Some(Term::Principal(value.parse().ok()?)),
        ["rolename", "eq"] => Some(Term::RoleName(value)),
        ["type", "eq"] => Some(Term::Type(value)),
        ["resourcetype", "eq"] => Some(Term::ResourceType(value)),
        _ => None,
    }
}

/// The text of a literal, in which a quote is written twice (`OData` 4.0 ABNF, `string`).
fn literal(text: &str) -> Option<String> {
    let unquoted = text.replace("''", "");
    (!unquoted.contains('\'')).then(|| text.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0b1ec700-0000-4000-8000-00000000000a";

    #[test]
    fn the_filters_of_clients_are_understood() {
        let id: PrincipalId = ID.parse().unwrap();
        for (text, expected) in [
            ("atScope()", vec![Term::AtScope]),
            (&format!("principalId eq '{ID}'"), vec![Term::Principal(id)]),
            (&format!("assignedTo('{ID}')"), vec![Term::AssignedTo(id)]),
            (
                &format!("atScope() and assignedTo('{ID}')"),
                vec![Term::AtScope, Term::AssignedTo(id)],
            ),
            ("roleName eq 'a and b'", vec![Term::RoleName("a and b".to_owned())]),
            (
                "rolename EQ 'it''s' AND type eq 'BuiltInRole'",
                vec![Term::RoleName("it's".to_owned()), Term::Type("BuiltInRole".to_owned())],
            ),
        ] {
            assert_eq!(parse(Some(text), |_| true).unwrap(), expected, "{text}");
        }
        assert_eq!(parse(None, |_| true).unwrap(), []);
    }

    #[test]
    fn other_filters_are_refused_and_not_passed_over() {
        for text in [
            "x",
            "principalId eq 'x'",
            "principalId ne 'x'",
            "atScope() or atScope()",
            "roleName eq 'a'b'",
            "atScope() and ",
            "roleName eq '",
            "'",
        ] {
            assert!(parse(Some(text), |_| true).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_filter_panics(text in "( and |'|atScope\\(\\)|eq|principalId|\\PC){0,20}") {
            let _ = parse(Some(&text), |_| true);
        }
    }
}
