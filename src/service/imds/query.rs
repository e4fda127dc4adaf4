//! Query strings: few parameters, each at most once. Nothing is allocated unless a value is encoded.

use std::borrow::Cow;

use crate::base::http::{Encoded, pairs};

/// Greatest number of parameters, more than any client sends. It bounds the search for repeats.
const PARAMETERS_MAX: usize = 16;

/// Reasons why a query, or one of its values, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter occurs twice.
    #[error("the query repeats the parameter '{0}'")]
    DuplicateParameter(String),
    /// The name of a parameter is percent-encoded.
    #[error("the query encodes the name of a parameter")]
    EncodedName,
    /// The decoded value is not UTF-8.
    #[error("the value of '{0}' is not valid")]
    InvalidParameter(&'static str),
    /// The query has more parameters than any client sends.
    #[error("the query cannot be read")]
    TooManyParameters,
}

/// The parameters of one request, not yet decoded.
#[derive(Debug)]
pub struct Query<'a> {
    pairs: [(Encoded<'a>, Encoded<'a>); PARAMETERS_MAX],
    len: usize,
}

impl<'a> Query<'a> {
    /// Splits `text` at `&` and `=`.
    ///
    /// A name has only one spelling. If `client%5Fid` were ignored as an unknown parameter, the caller would
    /// get another identity than the one it asked for.
    ///
    /// # Errors
    /// Returns `EncodedName` or `TooManyParameters`.
    pub fn parse(text: &'a str) -> Result<Self, QueryError> {
        const NONE: Encoded<'_> = Encoded::new("");
        let mut query = Self { pairs: [(NONE, NONE); PARAMETERS_MAX], len: 0 };
        for (name, value) in pairs(text) {
            let slot = query.pairs.get_mut(query.len).ok_or(QueryError::TooManyParameters)?;
            if name.is_encoded() {
                return Err(QueryError::EncodedName);
            }
            *slot = (name, value);
            query.len += 1;
        }
        Ok(query)
    }

    fn pairs(&self) -> &[(Encoded<'a>, Encoded<'a>)] {
        self.pairs.get(..self.len).unwrap_or_default()
    }

    /// Refuses a query that names any parameter twice, known or not, because two readers could choose
    /// different values.
    ///
    /// # Errors
    /// Returns `DuplicateParameter` with the name of the first repeated parameter.
    pub fn refuse_repeats(&self) -> Result<(), QueryError> {
        let mut rest = self.pairs();
        while let Some(((name, _), later)) = rest.split_first() {
            if later.iter().any(|(other, _)| other == name) {
                return Err(QueryError::DuplicateParameter(name.as_sent().to_owned()));
            }
            rest = later;
        }
        Ok(())
    }

    /// Returns the decoded value of a parameter, if the query has it.
    ///
    /// # Errors
    /// Returns `InvalidParameter` when the value is not UTF-8.
    pub fn get(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, QueryError> {
        let Some((_, raw)) = self.pairs().iter().find(|(other, _)| other.as_sent() == name) else {
            return Ok(None);
        };
        raw.decode().map(Some).map_err(|_| QueryError::InvalidParameter(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_decoded_once() {
        let query = Query::parse("resource=https%3A%2F%2Fvault.azure.net&x=%2541&y=a+b&z").unwrap();
        assert_eq!(query.get("resource").unwrap().unwrap(), "https://vault.azure.net");
        assert_eq!(query.get("x").unwrap().unwrap(), "%41");
        assert_eq!(query.get("y").unwrap().unwrap(), "a b");
        assert_eq!(query.get("z").unwrap().unwrap(), "");
        assert_eq!(query.get("absent"), Ok(None));
    }

    #[test]
    fn repeats_floods_and_broken_encodings_are_refused() {
        let repeated = Query::parse("a=1&b=2&a=3").unwrap();
        assert_eq!(repeated.refuse_repeats(), Err(QueryError::DuplicateParameter("a".to_owned())));
        assert_eq!(
            Query::parse(&"a=1&".repeat(17)).map(|_| ()),
            Err(QueryError::TooManyParameters)
        );
        let broken = Query::parse("resource=%FF").unwrap();
        assert_eq!(broken.get("resource"), Err(QueryError::InvalidParameter("resource")));
    }

    proptest! {
        #[test]
        fn no_query_makes_the_parser_panic(text in "\\PC{0,120}", pairs in "([a-z_%+=&0-9]{0,8}){0,30}") {
            for text in [text, pairs] {
                if let Ok(query) = Query::parse(&text) {
                    let _ = query.refuse_repeats();
                    let _ = query.get("resource");
                }
            }
        }
    }
}
