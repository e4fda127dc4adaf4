//! `$filter`: terms joined by `and` and `or`. `and` binds closer (`OData` 4.0).

use crate::base::ids::PrincipalId;
use crate::service::arm::error::ArmError;
use crate::service::world::record::Tags;

/// One condition of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// `atScope()`: excludes the scopes below.
    AtScope,
    /// `atScopeAndBelow()`.
    AtScopeAndBelow,
    /// `principalId eq '..'`.
    Principal(PrincipalId),
    /// `assignedTo('..')`: the principal itself. Azure includes its groups, but there are no groups here.
    AssignedTo(PrincipalId),
    /// A comparison of a field with a text.
    Field(Field, Test),
}

/// Field that a filter compares with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Location,
    Name,
    ResourceGroup,
    ResourceType,
    RoleName,
    /// The scale set of a machine.
    ScaleSet,
    TagName,
    TagValue,
    Type,
}

/// Condition that a text must meet. Letter case does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Equal(String),
    NotEqual(String),
    StartsWith(String),
    Contains(String),
}

impl Test {
    /// Returns true if `text` meets the condition.
    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Equal(wanted) => text.eq_ignore_ascii_case(wanted),
            Self::NotEqual(other) => !text.eq_ignore_ascii_case(other),
            Self::StartsWith(start) => {
                let head = text.get(..start.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(start))
            }
            Self::Contains(part) => text.to_lowercase().contains(&part.to_lowercase()),
        }
    }
}

const FIELDS: [(&str, Field); 9] = [
    ("location", Field::Location),
    ("name", Field::Name),
    ("resourceGroup", Field::ResourceGroup),
    ("resourceType", Field::ResourceType),
    ("roleName", Field::RoleName),
    ("virtualMachineScaleSet/id", Field::ScaleSet),
    ("tagName", Field::TagName),
    ("tagValue", Field::TagValue),
    ("type", Field::Type),
];

/// A filter: a list of alternatives. One of them must hold with all its terms. Without a `$filter` everything
/// passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter(Vec<Vec<Term>>);

impl Filter {
    /// Parses a filter. A term that the list does not support is refused: ignoring it would show too much.
    pub(crate) fn parse(
        filter: Option<&str>,
        takes: impl Fn(&Term) -> bool,
    ) -> Result<Self, ArmError> {
        let Some(filter) = filter else { return Ok(Self(vec![Vec::new()])) };
        let refused = || ArmError::InvalidFilter(filter.to_owned());
        let tokens = tokens(filter).ok_or_else(refused)?;
        let is = |word: &'static str| move |token: &Token<'_>| token.is_word(word);
        let term = |tokens: &[Token<'_>]| term(tokens).filter(&takes).ok_or_else(refused);
        let all = |tokens: &[Token<'_>]| tokens.split(is("and")).map(term).collect();
        tokens.split(is("or")).map(all).collect::<Result<_, _>>().map(Self)
    }

    /// Returns true if the terms of one alternative all hold. `holds` judges a single term.
    pub(crate) fn passes(&self, holds: impl Fn(&Term) -> bool) -> bool {
        self.0.iter().any(|terms| terms.iter().all(&holds))
    }

    /// Like [`passes`](Self::passes), for an item with tags: one and the same tag must meet all conditions on
    /// tags.
    pub(crate) fn passes_tagged(&self, tags: &Tags, holds: impl Fn(&Term) -> bool) -> bool {
        self.0.iter().any(|terms| {
            let (of_tags, others): (Vec<_>, Vec<_>) =
                terms.iter().partition(|term| is_of_tags(term));
            let fits = |(name, value): (&String, &String)| {
                of_tags.iter().all(|term| match term {
                    Term::Field(Field::TagName, test) => test.fits(name),
                    Term::Field(_, test) => test.fits(value),
                    _ => false,
                })
            };
            others.into_iter().all(&holds) && (of_tags.is_empty() || tags.iter().any(fits))
        })
    }
}

/// Returns true if the term is about a tag.
pub(crate) const fn is_of_tags(term: &Term) -> bool {
    matches!(term, Term::Field(Field::TagName | Field::TagValue, _))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// A literal. A quote in it is written twice.
    Text(String),
    /// `(`, `)` or `,`.
    Mark(char),
}

impl Token<'_> {
    fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }
}

/// Splits a filter into tokens. Returns `None` when a literal does not end.
fn tokens(filter: &str) -> Option<Vec<Token<'_>>> {
    let (mut found, mut rest) = (Vec::new(), filter.trim_start());
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match first {
            '\'' => {
                let (text, after) = literal(after)?;
                found.push(Token::Text(text));
                after
            }
            '(' | ')' | ',' => {
                found.push(Token::Mark(first));
                after
            }
            _ => {
                let ends = |char: char| char.is_whitespace() || "'(),".contains(char);
                let (word, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                found.push(Token::Word(word));
                after
            }
        }
        .trim_start();
    }
    Some(found)
}

/// Returns the text of a literal whose opening quote was read, and the rest after its closing quote.
fn literal(mut rest: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    loop {
        let (head, after) = rest.split_once('\'')?;
        text.push_str(head);
        let Some(next) = after.strip_prefix('\'') else { return Some((text, after)) };
        text.push('\'');
        rest = next;
    }
}

fn term(tokens: &[Token<'_>]) -> Option<Term> {
    use Token::{Mark, Text, Word};
    match tokens {
        [name, Mark('('), Mark(')')] if name.is_word("atScope") => Some(Term::AtScope),
        [name, Mark('('), Mark(')')] if name.is_word("atScopeAndBelow") => {
            Some(Term::AtScopeAndBelow)
        }
        [name, Mark('('), Text(id), Mark(')')] if name.is_word("assignedTo") => {
            Some(Term::AssignedTo(id.parse().ok()?))
        }
        [name, eq, Text(id)] if name.is_word("principalId") && eq.is_word("eq") => {
            Some(Term::Principal(id.parse().ok()?))
        }
        // One field name is written in quotes because it contains a slash.
        [Word(name), eq, Text(value)] if eq.is_word("eq") => {
            field(name, Test::Equal(value.clone()))
        }
        [Text(name), eq, Text(value)] if eq.is_word("eq") => {
            field(name, Test::Equal(value.clone()))
        }
        [Word(name), ne, Text(value)] if ne.is_word("ne") => {
            field(name, Test::NotEqual(value.clone())).filter(|term| !is_of_tags(term))
        }
        [name, Mark('('), Word(own), Mark(','), Text(start), Mark(')')]
            if name.is_word("startswith") =>
        {
            field(own, Test::StartsWith(start.clone()))
        }
        [name, Mark('('), Text(part), Mark(','), Word(own), Mark(')')]
            if name.is_word("substringof") =>
        {
            field(own, Test::Contains(part.clone()))
        }
        _ => None,
    }
}

fn field(name: &str, test: Test) -> Option<Term> {
    let known = FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|(_, field)| Term::Field(*field, test))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0b1ec700-0000-4000-8000-00000000000a";

    fn parsed(text: &str) -> Vec<Vec<Term>> {
        Filter::parse(Some(text), |_| true).unwrap().0
    }

    #[test]
    fn the_filters_of_clients_are_understood() {
        let id: PrincipalId = ID.parse().unwrap();
        let is = |field, text: &str| Term::Field(field, Test::Equal(text.to_owned()));
        for (text, expected) in [
            ("atScope()", vec![Term::AtScope]),
            (&format!("principalId eq '{ID}'"), vec![Term::Principal(id)]),
            (&format!("assignedTo('{ID}')"), vec![Term::AssignedTo(id)]),
            (
                &format!("atScope() and assignedTo('{ID}')"),
                vec![Term::AtScope, Term::AssignedTo(id)],
            ),
            ("roleName eq 'a and b'", vec![is(Field::RoleName, "a and b")]),
            (
                "rolename EQ 'it''s' AND type eq 'BuiltInRole'",
                vec![is(Field::RoleName, "it's"), is(Field::Type, "BuiltInRole")],
            ),
            (
                "resourceType eq 'Microsoft.KeyVault/vaults' and name eq 'kv'",
                vec![is(Field::ResourceType, "Microsoft.KeyVault/vaults"), is(Field::Name, "kv")],
            ),
            (
                "startswith(tagname, 'co') and tagvalue eq ''",
                vec![
                    Term::Field(Field::TagName, Test::StartsWith("co".to_owned())),
                    is(Field::TagValue, ""),
                ],
            ),
            (
                "substringof('kv',name) and location ne 'westus'",
                vec![
                    Term::Field(Field::Name, Test::Contains("kv".to_owned())),
                    Term::Field(Field::Location, Test::NotEqual("westus".to_owned())),
                ],
            ),
            ("'virtualMachineScaleSet/id' eq '/s'", vec![is(Field::ScaleSet, "/s")]),
        ] {
            assert_eq!(parsed(text), [expected], "{text}");
        }
        assert_eq!(Filter::parse(None, |_| false).unwrap().0, [[]]);
        assert_eq!(parsed("name eq 'a' or name eq 'b' and location eq 'or'").len(), 2);
    }

    #[test]
    fn other_filters_are_refused_and_not_passed_over() {
        for text in [
            "x",
            "principalId eq 'x'",
            "principalId ne 'x'",
            "atScope() xor atScope()",
            "(atScope())",
            "roleName eq 'a'b'",
            "roleName eq a",
            "atScope() and ",
            "or atScope()",
            "tagName ne 'a'",
            "contains(name, 'a')",
            "plan eq 'a'",
            "roleName eq '",
            "'",
        ] {
            assert!(Filter::parse(Some(text), |_| true).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_said_of_tags_must_fit_one_tag() {
        let tags: Tags = [("Env", "dev"), ("team", "prod")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for (text, passes) in [
            ("tagName eq 'env' and tagValue eq 'DEV'", true),
            ("tagName eq 'env' and tagValue eq 'prod'", false),
            ("tagName eq 'env' and tagValue eq 'prod' or tagName eq 'team'", true),
            ("startswith(tagName, 'e')", true),
            ("tagValue eq 'x'", false),
        ] {
            let filter = Filter::parse(Some(text), |_| true).unwrap();
            assert_eq!(filter.passes_tagged(&tags, |_| false), passes, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_filter_panics(text in "( and | or |'|atScope\\(\\)|eq|principalId|[(),]|\\PC){0,20}") {
            let _ = Filter::parse(Some(&text), |_| true);
        }
    }
}
