//! Protection against printing secrets by accident.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes: no `Display`, a placeholder in `Debug`, wiped from memory on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Redacted(Vec<u8>);

impl Redacted {
    /// Takes ownership of the bytes.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, for code that must use them. Never put them into a log or an error.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the SHA-256 in hexadecimal. It is enough to recognise a secret later.
    pub fn digest(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.0);
        digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
            hex
        })
    }

    /// Returns true if this is the secret of `digest`, in constant time.
    pub fn has_digest(&self, digest: &str) -> bool {
        let own = self.digest();
        let same = aws_lc_rs::constant_time::verify_slices_are_equal;
        same(own.as_bytes(), digest.as_bytes()).is_ok()
    }
}

/// Returns a URL for display, even if it is malformed. User name, password, query and fragment are left out.
pub fn shown_url(url: &str) -> String {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let (scheme, rest) = url.split_at(host);
    // A password may contain any character, including those that end the host.
    let (hidden, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("...@", rest));
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    format!("{scheme}{hidden}{}", rest.get(..end).unwrap_or_default())
}

/// A secret that is a plain string in a text, such as a request or a world file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretText(pub Redacted);

impl<'de> serde::Deserialize<'de> for SecretText {
    /// For a value that is not a string, the error does not show the value.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = SecretText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText(Redacted::new(text.as_bytes().to_vec())))
            }

            fn visit_string<E>(self, text: String) -> Result<SecretText, E> {
                Ok(SecretText(Redacted::new(text.into_bytes())))
            }
        }

        let what = "the value of a secret is not a string; put it in quotes";
        deserializer.deserialize_string(Visitor).map_err(|_| serde::de::Error::custom(what))
    }
}

impl std::str::FromStr for SecretText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Redacted::new(text.as_bytes().to_vec())))
    }
}

/// Stores a secret, as base64, in a record of the store. This is the only place where secrets leave memory.
pub mod stored {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Redacted;

    /// Serializes the secret as base64.
    ///
    /// # Errors
    /// Returns an error when the serializer fails.
    pub fn serialize<S: Serializer>(secret: &Redacted, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(secret.expose()))
    }

    /// Deserializes a secret.
    ///
    /// # Errors
    /// Returns an error when the text is not base64. The error does not quote it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Redacted, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(&*text);
        bytes.map(Redacted::new).map_err(|_| serde::de::Error::custom("a secret is not base64"))
    }
}

impl PartialEq for Redacted {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Redacted {}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redacted(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threat 11 of `docs/reliability.md`.
    #[test]
    fn threat_11_a_secret_does_not_show_itself_in_logs_or_errors() {
        let secret = Redacted::new(b"open sesame".to_vec());
        let text = SecretText(secret.clone());
        for shown in [format!("{secret:?}"), format!("{text:?}"), format!("{:#?}", Some(&secret))] {
            for part in ["open", "sesame", "111", "6f"] {
                assert!(!shown.contains(part), "{shown}");
            }
        }
        let url = shown_url("https://name:hunter2@host/path?token=hunter2#hunter2");
        assert!(!url.contains("hunter2"), "{url}");
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("http://h/path", "http://h/path"),
            ("https://h/path?code=x", "https://h/path"),
            ("get+http://u:p/?#@h:1/a#x", "get+http://...@h:1/a"),
            ("u:p@h?x", "...@h"),
            ("", ""),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let secret = Redacted::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "Redacted(..)");
        assert_eq!(secret.expose(), b"hunter2");
    }

    #[test]
    fn a_secret_is_recognised_by_its_digest() {
        let secret = Redacted::new(b"abc".to_vec());
        // FIPS 180-2 appendix B.1.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(secret.digest() == digest && secret.has_digest(digest));
        assert!(!secret.has_digest("") && !secret.has_digest(&"0".repeat(64)));
    }
}
