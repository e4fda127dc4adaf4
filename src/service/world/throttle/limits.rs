//! Limits of the requests of virtual machines, and their text form.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Limits of each virtual machine, or none. The text form is `azure`, `off`, or limits such as
/// `identity=20/s,concurrent=5,metadata=5/s`. A limit that is left out is Azure's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Throttle {
    /// No limits.
    #[default]
    Off,
    /// These limits.
    On(Limits),
}

/// Limits of one virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Identity requests per second, and the most at once after a pause.
    pub identity: NonZeroU32,
    /// Identity requests that may be in flight at the same time.
    pub concurrent: NonZeroU32,
    /// Requests per second for other metadata, and the most at once after a pause.
    pub metadata: NonZeroU32,
}

/// Error of a text that is no throttle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a throttle; write azure, off, or limits of 1 and more such as identity=20/s,concurrent=5,metadata=5/s"
)]
pub struct ThrottleError(String);

impl Throttle {
    /// Limits of Azure (documentation of the instance metadata service, and FAQ of managed identities).
    pub const AZURE: Self = Self::On(Limits::AZURE);

    /// Returns the limits, if there are any.
    pub const fn limits(self) -> Option<Limits> {
        match self {
            Self::Off => None,
            Self::On(limits) => Some(limits),
        }
    }
}

impl Limits {
    const AZURE: Self =
        Self { identity: at_least_one(20), concurrent: at_least_one(5), metadata: at_least_one(5) };

    /// Reads limits, each at most once. Returns `None` when the text has anything else.
    fn read(text: &str) -> Option<Self> {
        let [mut identity, mut concurrent, mut metadata] = [None; 3];
        for part in text.split(',') {
            let (name, value) = part.split_once('=')?;
            let (slot, value) = match name {
                "identity" => (&mut identity, per_second(value)),
                "concurrent" => (&mut concurrent, value),
                "metadata" => (&mut metadata, per_second(value)),
                _ => return None,
            };
            if slot.replace(value.parse().ok()?).is_some() {
                return None;
            }
        }
        Some(Self {
            identity: identity.unwrap_or(Self::AZURE.identity),
            concurrent: concurrent.unwrap_or(Self::AZURE.concurrent),
            metadata: metadata.unwrap_or(Self::AZURE.metadata),
        })
    }
}

const fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(count.saturating_sub(1))
}

/// Removes the unit of a rate, which may be left out.
fn per_second(value: &str) -> &str {
    value.strip_suffix("/s").unwrap_or(value)
}

impl FromStr for Throttle {
    type Err = ThrottleError;

    fn from_str(text: &str) -> Result<Self, ThrottleError> {
        match text {
            "azure" => Ok(Self::AZURE),
            "off" => Ok(Self::Off),
            _ => Limits::read(text).map(Self::On).ok_or_else(|| ThrottleError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Throttle {
    type Error = ThrottleError;

    fn try_from(text: String) -> Result<Self, ThrottleError> {
        text.parse()
    }
}

impl From<Throttle> for String {
    fn from(throttle: Throttle) -> Self {
        throttle.to_string()
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            &Self::AZURE => f.write_str("azure"),
            Self::On(Limits { identity, concurrent, metadata }) => {
                write!(f, "identity={identity}/s,concurrent={concurrent},metadata={metadata}/s")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(text: &str) -> Option<[u32; 3]> {
        let limits = text.parse::<Throttle>().unwrap().limits()?;
        Some([limits.identity, limits.concurrent, limits.metadata].map(NonZeroU32::get))
    }

    #[test]
    fn limits_that_are_left_out_are_those_of_azure() {
        assert_eq!(numbers("off"), None);
        assert_eq!(numbers("azure"), Some([20, 5, 5]));
        assert_eq!(numbers("identity=7"), Some([7, 5, 5]));
        assert_eq!(numbers("metadata=1/s,concurrent=2"), Some([20, 2, 1]));
    }

    #[test]
    fn other_texts_are_refused_with_an_example() {
        for text in [
            "",
            "Azure",
            "on",
            "20",
            "identity",
            "identity=",
            "identity=0/s",
            "identity=-1/s",
            "identity=20/m",
            "concurrent=5/s",
            "identity=4294967296",
            "identity=1,identity=1",
            "identity=1,",
            "identity=1, concurrent=2",
            "tokens=1/s",
        ] {
            let error = text.parse::<Throttle>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{text}` is not a throttle; write azure")),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_throttle_is_read_back_as_it_was_written(
            [identity, concurrent, metadata] in proptest::array::uniform3(1..=u32::MAX),
        ) {
            let [identity, concurrent, metadata] = [identity, concurrent, metadata].map(at_least_one);
            let throttle = Throttle::On(Limits { identity, concurrent, metadata });
            prop_assert_eq!(throttle.to_string().parse(), Ok(throttle));
        }
    }
}
